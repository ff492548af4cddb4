"""Questions with passages: what is read, refused and skipped, and in which batches it comes."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.batches import IGNORED, PADDING, Batch
from qingtan.training.passages import Member, PassagePair, PassagePairs
from qingtan.training.tables import ContrastiveTable

LENGTH = 64
WORDS = ["春眠", "北京", "上海", "花落", "故乡", "公园", "天气", "风雨", "你好", "城市"]


def write(path: Path, records: list[Any]) -> Path:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def ask(i: int, **changes: Any) -> dict[str, Any]:
    word = WORDS[i % 10]
    record = {
        "question": f"第{i}问：{word}？",
        "passage": f"{word}，第{i}首。" * (1 + i % 3),
        "source": "test",
        "licence": "MIT",
    }
    return {name: value for name, value in (record | changes).items() if value is not None}


def open_pairs(
    path: Path, tokenizer: GLMTokenizer, length: int = LENGTH, seed: int = 0, **changes: Any
) -> PassagePairs:
    values = {"pairs": path, "length": length, **changes}
    return PassagePairs.open(ContrastiveTable.model_validate(values), tokenizer, length, seed)


def all_of(source: PassagePairs) -> list[PassagePair]:
    return sorted(
        [*source.train, *source.validation], key=lambda pair: int(pair.name.rpartition(":")[2])
    )


def members_of(batch: Batch) -> list[Member]:
    return [piece for row in batch.pieces for piece in row if isinstance(piece, Member)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_texts_are_encoded_as_they_are_served(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer, suffix: str
) -> None:
    records = [ask(i, negatives=["明月光", "明月光", ask(i)["passage"], " "]) for i in range(5)]
    source = open_pairs(write(tmp_path / f"p{suffix}", records), tiny_tokenizer)
    for record, pair in zip(records, all_of(source), strict=True):
        for text, side in (
            (record["question"], pair.question),
            (record["passage"], pair.passage),
            ("明月光", pair.negatives[0]),
        ):
            wanted = [*tiny_tokenizer.prefix, *tiny_tokenizer.encode(text)]
            assert side.ids.tolist() == wanted[:LENGTH]
        assert len(pair.negatives) == 1  # neither twice, nor the passage itself, nor empty
    # The same text is the same number, wherever it stands.
    numbers = {pair.negatives[0].number for pair in all_of(source)}
    assert len(numbers) == 1
    assert len({pair.passage.number for pair in all_of(source)} | numbers) == 6


def test_long_texts_are_cut(tmp_path: Path, tiny_tokenizer: GLMTokenizer) -> None:
    path = write(tmp_path / "p.jsonl", [ask(0, passage="上海" * 500), ask(1)])
    first, _ = all_of(open_pairs(path, tiny_tokenizer, length=20))
    whole = [*tiny_tokenizer.prefix, *tiny_tokenizer.encode("上海" * 500)]
    assert first.passage.ids.tolist() == whole[:20]


def test_no_document_is_on_both_sides(tmp_path: Path, tiny_tokenizer: GLMTokenizer) -> None:
    records = [ask(i, document=f"document {i // 4}") for i in range(400)]
    path = write(tmp_path / "p.jsonl", records)
    source = open_pairs(path, tiny_tokenizer, validation_share=0.2)
    train, held_out = (
        {pair.document for pair in side} for side in (source.train, source.validation)
    )
    assert not train & held_out
    assert len(train | held_out) == 100
    assert 10 <= len(held_out) <= 30
    assert source.documents == len(source.train) == 400 - len(source.validation)
    # The same ones in every run, whatever its seed.
    again = open_pairs(path, tiny_tokenizer, validation_share=0.2, seed=5)
    assert [pair.name for pair in again.validation] == [pair.name for pair in source.validation]
    # Without a document's name the passage stands for it.
    bare = open_pairs(write(tmp_path / "q.jsonl", [ask(i % 7) for i in range(70)]), tiny_tokenizer)
    assert len({pair.document for pair in all_of(bare)}) == 7


@settings(max_examples=25)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 24), st.integers(1, 24)), min_size=3, max_size=25),
    rows=st.integers(6, 12),
    skip=st.integers(0, 6),
    seed=st.integers(0, 3),
)
def test_batches_are_full_whole_and_can_start_anywhere(
    tiny_tokenizer: GLMTokenizer,
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[tuple[int, int]],
    rows: int,
    skip: int,
    seed: int,
) -> None:
    records = [
        ask(i, question="上" * asked, passage=f"{'海' * said}{i}", negatives=["京" * (i % 4)])
        for i, (asked, said) in enumerate(sizes)
    ]
    path = write(tmp_path_factory.mktemp("p") / "p.jsonl", records)
    source = open_pairs(path, tiny_tokenizer, length=48, seed=seed)
    batches = list(islice(source.batches(rows), 8))
    largest = max(
        pair.question.length + pair.passage.length + sum(text.length for text in pair.negatives)
        for pair in source.train
    )
    for batch in batches:
        assert batch.tokens.shape[1] == 48
        assert 1 <= len(batch.tokens) <= rows
        assert (batch.labels == IGNORED).all()
        used = int((batch.documents != PADDING).sum())
        assert used > rows * 48 - 48 * rows // 2 - largest
        for row, pieces in enumerate(batch.pieces):
            laid = [i for piece in pieces for i in piece.tokens().tolist()]
            assert batch.tokens[row, : len(laid)].tolist() == laid
        roles = Counter((member.pair, member.role) for member in members_of(batch))
        pairs = {pair for pair, _ in roles}
        assert pairs == set(range(len(pairs)))
        assert all(roles[pair, "question"] == roles[pair, "passage"] == 1 for pair in pairs)
    resumed = list(islice(source.batches(rows, skip=skip), 2))
    for one, other in zip(resumed, batches[skip:], strict=False):
        assert one.tokens.tolist() == other.tokens.tolist()
        assert [member.number for member in members_of(one)] == [
            member.number for member in members_of(other)
        ]


def test_an_epoch_has_each_pair_once_with_negatives_drawn_anew(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    texts = [f"明月{word}" for word in WORDS]
    path = write(tmp_path / "p.jsonl", [ask(i, negatives=texts) for i in range(30)])
    source = open_pairs(path, tiny_tokenizer, negatives=2)

    def in_order() -> Iterator[tuple[str, tuple[int, ...]]]:
        for batch in source.batches(8):
            members = members_of(batch)
            for pair in range(1 + max(member.pair for member in members)):
                own = [member for member in members if member.pair == pair]
                drawn = sorted(member.number for member in own if member.role == "negative")
                yield own[0].name, tuple(drawn)

    count = len(source.train)
    first, second = (
        list(part) for part in (islice(in_order(), count), islice(in_order(), count, 2 * count))
    )
    for epoch in (first, second):
        assert {name for name, _ in epoch} == {pair.name for pair in source.train}
        assert all(len(set(drawn)) == 2 for _, drawn in epoch)
    assert [name for name, _ in first] != [name for name, _ in second]
    assert dict(first) != dict(second)


def test_sources_are_those_of_the_records(tmp_path: Path, tiny_tokenizer: GLMTokenizer) -> None:
    (tmp_path / "known.toml").write_text(
        """
[licences]
"MIT (of sorts)" = "MIT"
[sources.poems]
aliases = ["verses"]
licence = "CC-BY-4.0"
origin = "somewhere"
attribution = "the poets"
""",
        encoding="utf-8",
    )
    records = [
        ask(0, source="verses", licence=None),
        ask(1, source="poems", licence="CC-BY-4.0", attribution="Li Bai"),
        ask(2, source="poems", licence="MIT (of sorts)"),
        ask(3, source=None, licence=None),
        ask(4, attribution="a tester"),
        ask(5, source="nameless", licence=None),
    ]
    changes: dict[str, Any] = {
        "licences": tmp_path / "known.toml",
        "source": "own",
        "licence": "CC0-1.0",
        "origin": "by hand",
        "attribution": "me",
    }
    provenance = open_pairs(
        write(tmp_path / "p.jsonl", records), tiny_tokenizer, **changes
    ).provenance
    found = {source.key: source for source in provenance.sources}
    assert set(found) == {
        ("poems", "CC-BY-4.0"),
        ("poems", "MIT"),
        ("own", "CC0-1.0"),
        ("test", "MIT"),
        ("nameless", "CC0-1.0"),
    }
    poems = found["poems", "CC-BY-4.0"]
    assert (poems.documents, poems.origin, poems.attribution) == (2, "somewhere", "the poets")
    texts = [text for record in records[:2] for text in (record["question"], record["passage"])]
    assert poems.bytes == sum(len(text.encode()) for text in texts)
    assert poems.tokens == sum(
        len([*tiny_tokenizer.prefix, *tiny_tokenizer.encode(text)]) for text in texts
    )
    own = found["own", "CC0-1.0"]
    assert (own.documents, own.origin, own.attribution) == (1, "by hand", "me")
    assert provenance.attributions == {
        ("poems", "CC-BY-4.0"): frozenset({"Li Bai"}),
        ("test", "MIT"): frozenset({"a tester"}),
    }


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"passage": "p"}, 'p.jsonl:2: no field "question"'),
        ({"question": "q"}, 'p.jsonl:2: no field "passage"'),
        (ask(1, question=3), 'p.jsonl:2: field "question": give a text'),
        (ask(1, negatives="n"), 'p.jsonl:2: field "negatives": give a list of texts'),
        (ask(1, negatives=[1]), 'p.jsonl:2: field "negatives": give a list of texts'),
        (ask(1, document=7), 'p.jsonl:2: field "document": give a text'),
        (ask(1, source=None), "p.jsonl:2: no source: give the record"),
        (ask(1, licence=None), "p.jsonl:2: no licence: give the record"),
        ("{", "p.jsonl:2: "),
    ],
)
def test_a_malformed_record_is_named(
    record: Any, message: str, tmp_path: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    path = write(tmp_path / "p.jsonl", [ask(0), record, ask(2)])
    with pytest.raises(UserError) as raised:
        open_pairs(path, tiny_tokenizer)
    assert message in str(raised.value)


def test_what_is_empty_is_skipped_and_too_little_is_an_error(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    records = [ask(0, question=" "), ask(1), ask(2, passage=""), ask(3)]
    path = write(tmp_path / "p.jsonl", records)
    source = open_pairs(path, tiny_tokenizer)
    assert [(skipped.name, skipped.reason) for skipped in source.skipped] == [
        (f"{path}:1", "question is empty"),
        (f"{path}:3", "passage is empty"),
    ]
    assert len(source.train) == len(source.validation) == 1
    few = write(tmp_path / "few.jsonl", [ask(0, question=""), ask(1), ask(1)])
    with pytest.raises(
        UserError, match=r"2 pairs of 1 documents .* 1 are skipped.*few.jsonl:1: qu"
    ):
        open_pairs(few, tiny_tokenizer)
