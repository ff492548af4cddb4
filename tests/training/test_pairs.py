"""Pairs of answers: what is read, refused and skipped, and in which order it comes."""

import gzip
import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.glm.conversation import encode_prompt
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.batches import IGNORED
from qingtan.training.pairs import PreferencePairs
from qingtan.training.tables import PreferenceTable

LENGTH = 64


def write(path: Path, records: list[Any]) -> Path:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    data = "".join(line + "\n" for line in lines).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        data = pa.compress(data, "zstd", asbytes=True)
    path.write_bytes(data)
    return path


def open_pairs(
    path: Path, tokenizer: GLMTokenizer, length: int = LENGTH, seed: int = 0, **changes: float
) -> PreferencePairs:
    values = {"pairs": path, "source": "test", "licence": "CC0-1.0", **changes}
    return PreferencePairs.open(PreferenceTable.model_validate(values), tokenizer, length, seed)


def ask(i: int) -> dict[str, Any]:
    return {"prompt": f"第{i}次？", "chosen": "春眠不觉晓。", "rejected": "明月光。"}


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("pairs") / "a.jsonl", [ask(i) for i in range(100)])


@pytest.fixture(scope="module")
def a_hundred(hundred: Path, tiny_tokenizer: GLMTokenizer) -> PreferencePairs:
    return open_pairs(hundred, tiny_tokenizer)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_all_forms_of_a_pair_are_the_same_tokens(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer, suffix: str
) -> None:
    question = [{"role": "user", "content": "你好"}]
    chosen, rejected = ({"role": "assistant", "content": text} for text in ("春眠。", "明月。"))
    forms: list[dict[str, Any]] = [
        {"messages": question, "chosen": "春眠。", "rejected": "明月。"},
        {"prompt": "你好", "chosen": "春眠。", "rejected": "明月。"},
        {"prompt": question, "chosen": [chosen], "rejected": [rejected]},
        {"messages": question, "chosen": chosen, "rejected": rejected, "score": 3},
    ]
    path = write(tmp_path / f"pairs{suffix}", [*forms, ask(0)])
    pairs = open_pairs(path, tiny_tokenizer)
    found = [p for p in pairs.train + pairs.validation if not p.name.endswith(":5")]
    assert [p.name for p in found] == [f"{path}:{line}" for line in (1, 2, 3, 4)]
    prompt = encode_prompt(tiny_tokenizer, question)
    for pair in found:
        for side, text in ((pair.chosen, "春眠。"), (pair.rejected, "明月。")):
            answer = [*tiny_tokenizer.newline, *tiny_tokenizer.encode(text), tiny_tokenizer.eos_id]
            assert side.ids.tolist() == prompt + answer
            assert side.mask.tolist() == [False] * len(prompt) + [True] * len(answer)


def test_only_the_last_answer_is_predicted(tmp_path: Path, tiny_tokenizer: GLMTokenizer) -> None:
    messages = [
        {"role": "system", "content": "清谈"},
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "你好！"},
        {"role": "user", "content": "天气？"},
    ]
    tools = [{"name": "weather", "parameters": {}}]
    call = {"function": {"name": "weather", "arguments": {"city": "北京"}}}
    chosen = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "好"},
        {"role": "assistant", "content": "天气很好。"},
    ]
    record = {"messages": messages, "tools": tools, "chosen": chosen, "rejected": "不好。"}
    pairs = open_pairs(write(tmp_path / "a.jsonl", [record, ask(0)]), tiny_tokenizer, 999)
    (pair,) = (p for p in pairs.train + pairs.validation if p.name.endswith(":1"))
    prompt = encode_prompt(tiny_tokenizer, messages, tools)
    for side in (pair.chosen, pair.rejected):
        assert side.ids[: len(prompt)].tolist() == prompt
        assert not side.mask[: len(prompt)].any()
        assert side.mask[len(prompt)]
        assert side.mask[-1]
    # Of three turns the tool's own is input, but for its role, which ends the call.
    text = tiny_tokenizer.encode("好")
    observation = pair.chosen.ids.tolist().index(tiny_tokenizer.special_id("<|observation|>"))
    unlearnt = len(tiny_tokenizer.newline) + len(text) + 1  # and the next role
    where = [i for i in range(len(prompt), pair.chosen.length) if not pair.chosen.mask[i]]
    assert where == list(range(observation + 1, observation + 1 + unlearnt))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ({"chosen": "a", "rejected": "b"}, "no question"),
        ({"messages": [], "chosen": "a", "rejected": "b"}, "no question"),
        ({"prompt": "a", "messages": [{}], "chosen": "a", "rejected": "b"}, "both"),
        ({"prompt": "a", "rejected": "b"}, 'no field "chosen"'),
        ({"prompt": "a", "chosen": "b"}, 'no field "rejected"'),
        ({"prompt": "a", "chosen": 3, "rejected": "b"}, 'field "chosen": give a text'),
        ({"messages": "a", "chosen": "a", "rejected": "b"}, 'field "messages": give a text'),
        ({"prompt": "a", "chosen": "a", "rejected": "b", "tools": {}}, 'field "tools"'),
        (
            {"prompt": [{"role": "oracle", "content": "a"}], "chosen": "a", "rejected": "b"},
            "messages.0..role: 'oracle'",
        ),
        (
            {"prompt": [{"role": "assistant", "content": "a"}], "chosen": "a", "rejected": "b"},
            "there is no question",
        ),
        (
            {"prompt": "a", "chosen": [{"role": "user", "content": "a"}], "rejected": "b"},
            'field "chosen": an answer begins and ends with',
        ),
    ],
)
def test_a_malformed_record_is_named(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer, record: Any, message: str
) -> None:
    path = write(tmp_path / "a.jsonl", [ask(0), record])
    with pytest.raises(UserError, match=message) as caught:
        open_pairs(path, tiny_tokenizer)
    assert str(caught.value).startswith(f"{path}:2: ")


def test_pairs_that_cannot_be_learnt_are_named(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    records = [
        ask(0),
        ask(1) | {"chosen": " \n"},
        ask(2) | {"rejected": []},
        ask(3) | {"rejected": "春眠不觉晓。"},
        ask(4) | {"rejected": "明月光。" * 40},
        ask(5),
    ]
    path = write(tmp_path / "a.jsonl", records)
    pairs = open_pairs(path, tiny_tokenizer)
    assert [(s.name, s.reason) for s in pairs.skipped] == [
        (f"{path}:2", "chosen is empty"),
        (f"{path}:3", "rejected is empty"),
        (f"{path}:4", "chosen and rejected are equal"),
        (f"{path}:5", "longer than a row of 64"),
    ]
    assert pairs.skipped[3].tokens > LENGTH + 1
    assert pairs.documents == len(pairs.train) == len(pairs.validation) == 1


def test_a_pair_that_just_fits_is_not_cut(tmp_path: Path, tiny_tokenizer: GLMTokenizer) -> None:
    path = write(tmp_path / "a.jsonl", [ask(0), ask(1)])
    whole = open_pairs(path, tiny_tokenizer)
    longest = max(p.chosen.length for p in whole.train + whole.validation)
    assert not open_pairs(path, tiny_tokenizer, longest - 1).skipped
    with pytest.raises(UserError, match=r"preference\.pairs: 0 questions .* 2 pairs are skipped"):
        open_pairs(path, tiny_tokenizer, 8)


def test_one_question_is_not_enough(tmp_path: Path, tiny_tokenizer: GLMTokenizer) -> None:
    with pytest.raises(UserError, match=r"preference\.pairs: 1 questions"):
        open_pairs(write(tmp_path / "a.jsonl", [ask(0), ask(0)]), tiny_tokenizer)
    with pytest.raises(UserError, match="no such file"):
        open_pairs(tmp_path / "b.jsonl", tiny_tokenizer)


def test_validation_has_its_share_of_whole_questions(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    records = [ask(i) | {"chosen": f"春眠{j}。"} for i in range(150) for j in range(2)]
    pairs = open_pairs(write(tmp_path / "a.jsonl", records), tiny_tokenizer, validation_share=0.2)
    assert len(pairs.train) + len(pairs.validation) == 300
    assert len(pairs.validation) == pytest.approx(60, abs=30)
    assert not {p.place for p in pairs.train} & {p.place for p in pairs.validation}
    # Which they are depends on the questions alone.
    again = open_pairs(tmp_path / "a.jsonl", tiny_tokenizer, seed=5, validation_share=0.2)
    assert [p.name for p in again.validation] == [p.name for p in pairs.validation]


@pytest.mark.parametrize("share", [1e-9, 1 - 1e-9])
def test_neither_side_is_ever_empty(
    hundred: Path, tiny_tokenizer: GLMTokenizer, share: float
) -> None:
    pairs = open_pairs(hundred, tiny_tokenizer, validation_share=share)
    assert 1 in (len(pairs.train), len(pairs.validation))
    assert len(pairs.train) + len(pairs.validation) == 100


def test_rows_are_chosen_and_rejected_in_turn(a_hundred: PreferencePairs) -> None:
    of_name = {p.chosen.name: p for p in a_hundred.train}
    batch = next(a_hundred.batches(6))
    assert batch.tokens.shape == batch.labels.shape == (6, LENGTH)
    for i in range(3):
        ((chosen,), (rejected,)) = batch.pieces[2 * i : 2 * i + 2]
        pair = of_name[chosen.name]
        assert rejected is pair.rejected
        for row, side in ((2 * i, pair.chosen), (2 * i + 1, pair.rejected)):
            labels = batch.labels[row]
            assert labels[labels != IGNORED].tolist() == side.ids[side.mask].tolist()
            assert batch.tokens[row, : side.length].tolist() == side.ids.tolist()


@settings(max_examples=20)
@given(skip=st.integers(0, 60), rows=st.sampled_from([2, 4, 14]), seed=st.integers(0, 2**32))
def test_to_skip_is_to_start_later(
    a_hundred: PreferencePairs, skip: int, rows: int, seed: int
) -> None:
    everything = [*a_hundred.train, *a_hundred.validation]
    pairs = PreferencePairs(everything, [], 0.1, LENGTH, seed)
    expected = islice(pairs.batches(rows), skip, skip + 3)
    for batch, wanted in zip(pairs.batches(rows, skip), expected, strict=False):
        assert torch.equal(batch.tokens, wanted.tokens)
        assert torch.equal(batch.labels, wanted.labels)


def test_an_epoch_has_each_pair_once_in_a_new_order(a_hundred: PreferencePairs) -> None:
    batches = a_hundred.batches(2)
    count = a_hundred.documents
    orders = [[batch.pieces[0][0].name for batch in islice(batches, count)] for _ in range(2)]
    names = Counter(p.chosen.name for p in a_hundred.train)
    assert Counter(orders[0]) == Counter(orders[1]) == names
    assert orders[0] != orders[1]
