"""/v1/embeddings as OpenAI's own client meets it."""

import base64
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from openai import BadRequestError, NotFoundError

from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.server.embeddings import MAX_INPUTS
from scripted import NextToken, answers
from server.conftest import Served
from server.test_api import HELLO, wait_until

Start = Callable[[NextToken], Served]
TEXTS = ["春眠不觉晓", "处处闻啼鸟", "hello"]


def test_each_text_has_a_vector(tiny_server: Served, tiny_tokenizer: GLMTokenizer) -> None:
    answer = tiny_server.client.embeddings.create(
        model="tiny", input=TEXTS, encoding_format="float"
    )
    assert [each.index for each in answer.data] == [0, 1, 2]
    vectors = np.array([each.embedding for each in answer.data])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors, tiny_server.model.embed(TEXTS), atol=1e-5)
    tokens = sum(2 + len(tiny_tokenizer.encode(text)) for text in TEXTS)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == tokens
    assert answer.model == "tiny"


def test_base64_holds_the_same_floats(tiny_server: Served) -> None:
    create = tiny_server.client.embeddings.create
    floats = create(model="tiny", input=TEXTS[0], encoding_format="float").data[0].embedding
    # The client asks for base64 by itself, and decodes it.
    assert create(model="tiny", input=TEXTS[0]).data[0].embedding == floats
    body = {"model": "tiny", "input": TEXTS[0], "encoding_format": "base64"}
    written = tiny_server.post("v1/embeddings", body).json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(written), "<f4").tolist() == floats


def test_a_long_list_does_not_fill_the_queue(
    scripted_server: Start, tiny_tokenizer: GLMTokenizer
) -> None:
    served = scripted_server(answers(tiny_tokenizer, "好"))
    texts = [f"{i}" for i in range(40)]  # and three may run or wait
    answer = served.client.embeddings.create(model="tiny", input=texts)
    assert [each.index for each in answer.data] == list(range(40))


def test_others_are_answered_meanwhile(
    scripted_server: Start, tiny_tokenizer: GLMTokenizer
) -> None:
    served = scripted_server(answers(tiny_tokenizer, "好"))
    served.runner.gate.clear()
    told: list[Any] = []
    thread = threading.Thread(
        target=lambda: told.append(served.client.embeddings.create(model="tiny", input="春"))
    )
    thread.start()
    wait_until(lambda: served.model.engine.running == 1)
    assert [model.id for model in served.client.models.list()] == ["tiny"]
    chunks = served.client.chat.completions.create(model="tiny", messages=HELLO, stream=True)
    assert next(iter(chunks)).choices[0].delta.role == "assistant"
    served.runner.gate.set()
    thread.join(30)
    assert len(told[0].data) == 1


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input": ""}, "input[0]"),
        ({"input": []}, "input"),
        ({"input": ["春", 5]}, "input[1]"),
        ({"input": [[1, 2]]}, "input[0]"),
        ({"input": ["春"] * (MAX_INPUTS + 1)}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 8}, "dimensions"),
    ],
)
def test_the_field_is_named(tiny_server: Served, changes: dict[str, Any], param: str) -> None:
    body = {"input": "春", "encoding_format": "float"} | changes
    with pytest.raises(BadRequestError) as refused:
        tiny_server.client.embeddings.create(model="tiny", **body)
    assert refused.value.param == param


def test_what_does_not_fit_is_refused(tiny_server: Served) -> None:
    with pytest.raises(BadRequestError) as refused:
        tiny_server.client.embeddings.create(model="tiny", input=["春", "天" * 3000])
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(NotFoundError):
        tiny_server.client.embeddings.create(model="huge", input="春")
