"""Writing and reading shards, and what is said of damaged ones."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qingtan.corpus import Corpus, build_corpus
from qingtan.corpus.documents import Document
from qingtan.corpus.encoded import Encoded, token_type
from qingtan.corpus.shards import CorpusIndex
from qingtan.corpus.writer import ShardWriter
from qingtan.errors import UserError
from qingtan.provenance import Provenance, Source

from .samples import conversation


@st.composite
def documents(draw: st.DrawFn, kind: str, vocab_size: int) -> Document:
    length = draw(st.integers(1, 40))
    tokens = draw(st.lists(st.integers(0, vocab_size - 1), min_size=length, max_size=length))
    mask = draw(st.lists(st.booleans(), min_size=length, max_size=length))
    trained = mask if kind == "conversations" else None
    return Document(tokens, trained, draw(st.integers(0, 2**32 - 1)))


def describe(counts: NDArray[np.int64]) -> tuple[Source, ...]:
    ((documents, size, tokens),) = counts.tolist()
    return (Source(name="s", licence="MIT", documents=documents, bytes=size, tokens=tokens),)


@settings(max_examples=50)
@given(st.data())
def test_what_is_written_is_read(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["text", "conversations"]))
    vocab_size = data.draw(st.sampled_from([300, 65_536, 65_537, 2**32]))
    written = data.draw(st.lists(documents(kind, vocab_size), max_size=20))
    dtype, rest = token_type(vocab_size), written
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = ShardWriter(folder, "s", "train", kind, data.draw(st.integers(1, 200)), describe)
        while rest:
            size = data.draw(st.integers(1, len(rest)))
            part, rest = rest[:size], rest[size:]
            writer.add(Encoded.of(part, [1] * size, [0] * size, dtype))
        writer.close()
        assert sum(e.origins[0].documents for e in writer.entries) == len(written)
        assert sum(e.origins[0].tokens for e in writer.entries) == sum(
            len(document.tokens) for document in written
        )
        index = CorpusIndex(
            tokenizer_sha256="",
            vocab_size=vocab_size,
            dtype=dtype,
            shards=writer.entries,
            sources=(),
        )
        (folder / "corpus.json").write_text(index.model_dump_json())
        (folder / "tokenizer.model").touch()
        Provenance().write(folder)
        shards = Corpus.open(folder).shards
        read = [(shard, i) for shard in shards for i in range(len(shard))]
        assert len(read) == len(written)
        for document, (shard, i) in zip(written, read, strict=True):
            assert shard.document(i).tolist() == document.tokens
            assert shard.bytes[i] == document.scored_bytes
            if document.trained is not None:
                part = slice(shard.starts[i], shard.starts[i + 1])
                assert shard.trained[part].tolist() == document.trained
        assert all(shard.tokens.dtype == dtype for shard in shards)


@pytest.fixture
def corpus_path(write_records, make_recipe) -> Path:
    write_records("talk.jsonl", [conversation(f"问{i}", "答") for i in range(20)])
    source = {"name": "talk", "kind": "conversations", "path": "talk.jsonl"}
    return build_corpus(make_recipe(source, validation_share=0), workers=1)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def scramble(path: Path) -> None:
    path.write_bytes(b"?" * 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "name",
    [
        "corpus.json",
        "provenance.json",
        "train-talk-00000.tokens.npy",
        "train-talk-00000.starts.npy",
        "train-talk-00000.bytes.npy",
        "train-talk-00000.trained.npy",
    ],
)
@pytest.mark.parametrize("damage", [Path.unlink, cut, scramble, empty])
def test_a_damaged_file_is_named(
    corpus_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(corpus_path / name)
    with pytest.raises(UserError, match=name):
        Corpus.open(corpus_path)


def test_other_arrays_than_the_index_says_are_named(corpus_path: Path) -> None:
    path = corpus_path / "train-talk-00000.bytes.npy"
    np.save(path, np.zeros(3, np.uint32))
    with pytest.raises(UserError, match=r"bytes\.npy: uint32 \(3,\), but the index says"):
        Corpus.open(corpus_path)


def test_starts_that_do_not_fit_are_named(corpus_path: Path) -> None:
    path = corpus_path / "train-talk-00000.starts.npy"
    starts = np.load(path)
    starts[1] = 10**9
    np.save(path, starts)
    with pytest.raises(UserError, match=r"starts\.npy: does not fit"):
        Corpus.open(corpus_path)


def test_a_missing_folder_or_tokenizer_is_named(corpus_path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        Corpus.open(tmp_path / "nowhere")
    (corpus_path / "tokenizer.model").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.model"):
        Corpus.open(corpus_path)


def test_an_unknown_source_is_named_with_the_known(corpus_path: Path) -> None:
    corpus = Corpus.open(corpus_path)
    assert [shard.source for shard in corpus.select("train", ["talk"])] == ["talk"]
    with pytest.raises(UserError, match="no source poems; it has talk"):
        corpus.select("train", ["poems"])


def test_a_corpus_can_be_moved(corpus_path: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(corpus_path, moved)
    assert len(Corpus.open(moved).shards[0]) == 20
