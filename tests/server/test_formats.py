"""Answers of a form that was asked for: grammars make even random weights keep to it."""

import json
import re
from typing import Any

import pytest
from openai import BadRequestError

from server.conftest import Served
from server.test_api import HELLO, TOOLS, streamed

REQUEST = {"model": "tiny", "messages": HELLO, "max_tokens": 300, "seed": 2, "temperature": 1.0}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"enum": ["北京", "上海"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
        "rain": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
    },
    "required": ["city", "days", "rain"],
    "additionalProperties": False,
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True},
}


def check_weather(text: str) -> None:
    """Check what SCHEMA says."""
    value = json.loads(text)
    assert list(value) == ["city", "days", "rain"]
    assert value["city"] in ("北京", "上海")
    assert type(value["days"]) is int
    assert 1 <= value["days"] <= 7
    assert len(value["rain"]) == 2
    assert all(type(each) is bool for each in value["rain"])


def test_json_by_a_schema(tiny_server: Served) -> None:
    create = tiny_server.client.chat.completions.create
    answer = create(**REQUEST, response_format=FORMAT, n=3)
    for choice in answer.choices:
        check_weather(choice.message.content)
        assert choice.finish_reason == "stop"
    chunks = list(create(**REQUEST, response_format=FORMAT, stream=True))
    assert streamed(chunks) == answer.choices[0].message.content


def test_any_json_object(tiny_server: Served) -> None:
    create = tiny_server.client.chat.completions.create
    # Without a shorter way out a random model writes for ever: the brace is made likely.
    brace = tiny_server.model.engine.tokenizer.encode("\n}")[-1]
    request = REQUEST | {"logit_bias": {str(brace): 20}}
    answer = create(**request, response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.choices[0].message.content), dict)
    again = create(**request, extra_body={"structured_outputs": {"json_object": True}})
    assert again.choices[0].message.content == answer.choices[0].message.content


@pytest.mark.parametrize(
    ("asked", "pattern"),
    [
        ({"regex": r"1[3-9][0-9]{9}"}, r"1[3-9][0-9]{9}"),
        ({"choice": ["春", "夏天", "秋"]}, "春|夏天|秋"),
        ({"grammar": 'root ::= "好" [0-9] | "坏" [a-z]'}, "好[0-9]|坏[a-z]"),
        ({"grammar": 'start: WORD\nWORD: "好" /[0-9]/'}, "好[0-9]"),
    ],
)
def test_structured_outputs(tiny_server: Served, asked: dict[str, Any], pattern: str) -> None:
    client, extra = tiny_server.client, {"structured_outputs": asked}
    answer = client.chat.completions.create(**REQUEST, extra_body=extra)
    assert re.fullmatch(pattern, answer.choices[0].message.content)
    text = client.completions.create(model="tiny", prompt="春眠", seed=1, extra_body=extra)
    assert re.fullmatch(pattern, text.choices[0].text)
    start = client.completions.create(model="tiny", prompt="", seed=1, extra_body=extra)
    assert re.fullmatch(pattern, start.choices[0].text)


@pytest.mark.parametrize("schema", [SCHEMA, json.dumps(SCHEMA)])
def test_a_schema_as_an_object_or_text(tiny_server: Served, schema: object) -> None:
    extra = {"structured_outputs": {"json": schema}}
    text = tiny_server.client.completions.create(
        model="tiny", prompt="天气：", seed=1, max_tokens=300, extra_body=extra
    )
    check_weather(text.choices[0].text)


def test_a_seed_gives_the_same_json_with_logprobs(tiny_server: Served) -> None:
    create = tiny_server.client.chat.completions.create
    first = create(**REQUEST, response_format=FORMAT)
    told = create(**REQUEST, response_format=FORMAT, logprobs=True).choices[0]
    assert told.message.content == first.choices[0].message.content
    data = bytes(byte for entry in told.logprobs.content for byte in entry.bytes)
    assert data.decode() == told.message.content


SCHEMA_FIELD = "response_format.json_schema.schema"
WRONG = [
    ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema goes with"),
    (
        {"response_format": {"type": "text", "json_schema": FORMAT["json_schema"]}},
        "response_format",
        "json_schema goes with",
    ),
    ({"response_format": FORMAT | {"json_schema": {"name": "x"}}}, SCHEMA_FIELD, "required"),
    (
        {"response_format": FORMAT | {"json_schema": {"name": "x y", "schema": {}}}},
        "response_format.json_schema.name",
        "pattern",
    ),
    (
        {"response_format": FORMAT | {"json_schema": {"name": "x", "schema": {"type": "date"}}}},
        SCHEMA_FIELD,
        "date",
    ),
    ({"response_format": FORMAT, "tools": TOOLS}, SCHEMA_FIELD, "tools"),
    (
        {"response_format": FORMAT, "structured_outputs": {"regex": "x"}},
        "structured_outputs",
        "response_format",
    ),
    ({"structured_outputs": {}}, "structured_outputs", "exactly one"),
    ({"structured_outputs": {"regex": "x", "choice": ["x"]}}, "structured_outputs", "exactly one"),
    ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex", ""),
    ({"structured_outputs": {"regex": "x" * 70000}}, "structured_outputs.regex", "65536"),
    ({"structured_outputs": {"json": 5}}, "structured_outputs.json", "a JSON schema"),
    ({"structured_outputs": {"json": "{"}}, "structured_outputs.json", "not JSON"),
    ({"structured_outputs": {"choice": []}}, "structured_outputs.choice", "at least 1"),
    ({"structured_outputs": {"choice": [5]}}, "structured_outputs.choice[0]", "string"),
    ({"structured_outputs": {"grammar": "start: nothing"}}, "structured_outputs.grammar", ""),
    ({"structured_outputs": {"grammar": "root ::= nothing"}}, "structured_outputs.grammar", ""),
    (
        {"structured_outputs": {"regex": "x", "whitespace_pattern": " "}},
        "structured_outputs.whitespace_pattern",
        "not supported",
    ),
]


@pytest.mark.parametrize(("changes", "param", "message"), WRONG)
def test_what_cannot_be_kept_to_is_refused(
    tiny_server: Served, changes: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        tiny_server.client.chat.completions.create(**REQUEST, extra_body=changes)
    assert refused.value.param == param
    assert refused.value.body["message"].startswith(param)
    assert message in refused.value.body["message"]
    assert tiny_server.model.engine.wait_idle(5)


def test_tools_that_are_not_offered_leave_room_for_a_form(tiny_server: Served) -> None:
    answer = tiny_server.client.chat.completions.create(
        **REQUEST, response_format=FORMAT, tools=TOOLS, tool_choice="none"
    )
    check_weather(answer.choices[0].message.content)
