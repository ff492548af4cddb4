"""Building a corpus, from records to shards on disk."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qingtan.corpus import Corpus, build_corpus
from qingtan.corpus.statistics import CorpusReport
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import contents_of, conversation, numbered

TEXT = {"name": "notes", "path": "notes.jsonl"}
TALK = {"name": "talk", "kind": "conversations", "path": "talk.jsonl"}


def texts_of(corpus: Corpus, split: Any) -> list[str]:
    tokenizer = GLMTokenizer.from_file(corpus.tokenizer_path)
    shards = corpus.select(split)
    return [tokenizer.decode(shard.document(i)) for shard in shards for i in range(len(shard))]


def read_report(folder: Path) -> CorpusReport:
    return CorpusReport.model_validate_json((folder / "report.json").read_bytes())


def test_documents_come_back_in_order(write_records, make_recipe) -> None:
    records = numbered(600)
    write_records("notes.jsonl", records)
    corpus = Corpus.open(build_corpus(make_recipe(TEXT, validation_share=0), workers=1))
    assert texts_of(corpus, "train") == [record["text"] for record in records]
    assert corpus.select("valid") == []


def test_a_text_starts_with_gmask_and_ends_with_eos(write_records, make_recipe) -> None:
    write_records("notes.jsonl", [{"text": "明月光"}])
    corpus = Corpus.open(build_corpus(make_recipe(TEXT, validation_share=0), workers=1))
    (shard,) = corpus.shards
    tokenizer = GLMTokenizer.from_file(corpus.tokenizer_path)
    ids = [tokenizer.gmask_id, tokenizer.sop_id, *tokenizer.encode("明月光"), tokenizer.eos_id]
    assert shard.tokens.tolist() == ids
    assert shard.starts.tolist() == [0, len(ids)]
    assert shard.bytes.tolist() == [9]
    assert shard.trained is None


def test_a_conversation_trains_on_its_answers(write_records, make_recipe) -> None:
    write_records("talk.jsonl", [conversation("天气怎么样？", "很好。")])
    corpus = Corpus.open(build_corpus(make_recipe(TALK, validation_share=0), workers=1))
    (shard,) = corpus.shards
    tokenizer = GLMTokenizer.from_file(corpus.tokenizer_path)
    assert shard.trained is not None
    assert tokenizer.decode(shard.tokens[shard.trained]).strip() == "很好。"
    assert shard.tokens[shard.trained][-1] == tokenizer.eos_id
    assert shard.bytes.tolist() == [9]


def test_arrays_are_mapped_and_small(write_records, make_recipe) -> None:
    write_records("talk.jsonl", [conversation("你好", "你好！")])
    (shard,) = Corpus.open(build_corpus(make_recipe(TALK, validation_share=0), workers=1)).shards
    assert isinstance(shard.tokens, np.memmap)
    kinds = [array.dtype for array in (shard.tokens, shard.starts, shard.bytes, shard.trained)]
    assert kinds == [np.uint16, np.int64, np.uint32, np.bool_]


def test_shards_end_at_the_given_size(write_records, make_recipe) -> None:
    write_records("notes.jsonl", numbered(100))
    recipe = make_recipe(TEXT, validation_share=0, shard_tokens=200)
    corpus = Corpus.open(build_corpus(recipe, workers=1))
    lengths = [len(shard.tokens) for shard in corpus.shards]
    assert len(lengths) > 5
    assert all(200 <= length < 260 for length in lengths[:-1])
    assert len(texts_of(corpus, "train")) == 100


def test_the_same_text_is_on_the_same_side_wherever_it_stands(
    write_records, make_recipe, tmp_path: Path
) -> None:
    records = numbered(400)
    write_records("one.jsonl", records)
    write_records("two.jsonl.zst", [*numbered(700)[400:], *reversed(records)])
    one = make_recipe({"name": "a", "path": "one.jsonl"}, validation_share=0.2)
    two = make_recipe(
        {"name": "b", "path": "two.jsonl.zst"}, validation_share=0.2, output=tmp_path / "other"
    )
    held_out = set(texts_of(Corpus.open(build_corpus(one, workers=1)), "valid"))
    others = set(texts_of(Corpus.open(build_corpus(two, workers=1)), "valid"))
    assert 40 < len(held_out) < 120
    assert held_out == others & {record["text"] for record in records}


def test_workers_make_no_difference(
    write_records, make_recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr("qingtan.corpus.build.PIECE_BYTES", 2000)
    write_records("notes.jsonl", numbered(300))
    write_records("talk.jsonl", [conversation(f"问题{i}", f"答案{i}") for i in range(50)])
    one = build_corpus(make_recipe(TEXT, TALK, output=tmp_path / "one" / "c"), workers=1)
    two = build_corpus(make_recipe(TEXT, TALK, output=tmp_path / "two" / "c"), workers=2)
    assert contents_of(one) == contents_of(two)


def test_bad_records_are_left_out_and_listed(write_records, make_recipe) -> None:
    bad_texts = ["{", {"title": "x"}, {"text": " "}, {"text": 5}, '{"text": "\\ud800"}']
    write_records("notes.jsonl", [*numbered(200), *bad_texts])
    bad_talk = [
        conversation("问", ""),
        {"messages": [{"role": "robot", "content": "?"}]},
        {"messages": []},
        {"messages": [5]},
        {"messages": [{"role": ["user"], "content": "?"}]},
        {**conversation("问", "答"), "tools": "none"},
    ]
    write_records("talk.jsonl", [*bad_talk, *(conversation(f"问{i}", "答") for i in range(200))])
    folder = build_corpus(make_recipe(TEXT, TALK), workers=1)
    lines = (folder / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    rejected = [json.loads(line) for line in lines]
    places = {(entry["file"], entry["line"]) for entry in rejected}
    assert places == {
        *(("notes.jsonl", line) for line in range(201, 206)),
        *(("talk.jsonl", line) for line in range(1, 7)),
    }
    assert all(entry["reason"] for entry in rejected)
    assert any("robot" in entry["reason"] for entry in rejected)
    sources = read_report(folder).sources
    counts = {s.name: (s.after["encode"].documents, s.rejected) for s in sources}
    assert counts == {"notes": (200, 5), "talk": (200, 6)}


@pytest.mark.parametrize("workers", [1, 2])
def test_too_many_bad_records_end_the_build(
    write_records, make_recipe, tmp_path: Path, workers: int
) -> None:
    write_records("notes.jsonl", [*numbered(9), {"titel": "x"}])
    write_records("more.jsonl", numbered(9))
    recipe = make_recipe(TEXT, {"name": "more", "path": "more.jsonl"})
    with pytest.raises(UserError, match=r'notes\.jsonl: 1 of 10 .*, line 10: no "text"'):
        build_corpus(recipe, workers=workers)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_duplicates_are_dropped_and_counted(write_records, make_recipe) -> None:
    write_records("notes.jsonl", [*numbered(10), *numbered(4, source="elsewhere")])
    corpus = Corpus.open(build_corpus(make_recipe(TEXT, validation_share=0), workers=1))
    assert len(texts_of(corpus, "train")) == 10
    (source,) = read_report(corpus.path).sources
    assert source.rules["exact-duplicate"].dropped.documents == 4
    samples = read_report(corpus.path).samples["exact-duplicate"]
    assert [sample.line for sample in samples] == [11, 12, 13, 14]
    assert all(sample.text == sample.after for sample in samples)


def test_sources_can_be_excluded_and_limited(write_records, make_recipe) -> None:
    write_records("notes.jsonl", [*numbered(5, source="rude"), *numbered(20)[5:]])
    recipe = make_recipe({**TEXT, "limit": 8}, exclude_sources=["rude"], validation_share=0)
    corpus = Corpus.open(build_corpus(recipe, workers=1))
    assert len(texts_of(corpus, "train")) == 3
    assert read_report(corpus.path).sources[0].excluded == 5


def test_provenance_follows_the_records(write_records, make_recipe, tmp_path: Path) -> None:
    table = tmp_path / "sources.toml"
    table.write_text(
        '[licences]\n"MIT-like" = "MIT"\n'
        '[sources.diary]\nlicence = "CC0-1.0"\norigin = "a drawer"\naliases = ["journal"]\n'
    )
    write_records("notes.jsonl", [*numbered(3, source="journal"), *numbered(5)[3:]])
    write_records("talk.jsonl", [conversation("问", "答", source="diary", licence="MIT-like")])
    recipe = make_recipe(TEXT, TALK, licences=table)
    corpus = Corpus.open(build_corpus(recipe, workers=1))
    found = {(s.name, s.licence, s.origin): s.documents for s in corpus.provenance.sources}
    assert found == {
        ("diary", "CC0-1.0", "a drawer"): 3,
        ("notes", "LicenseRef-unknown", ""): 2,
        ("diary", "MIT", "a drawer"): 1,
    }
    only_talk = corpus.provenance_of(["talk"])
    assert [(s.licence, s.documents) for s in only_talk.sources] == [("MIT", 1)]
    assert [step.name for step in only_talk.steps] == ["corpus"]
    tokens = sum(source.tokens for source in corpus.provenance.sources)
    assert tokens == sum(len(shard.tokens) for shard in corpus.shards)


def test_an_earlier_corpus_is_replaced_only_when_asked(write_records, make_recipe) -> None:
    write_records("notes.jsonl", numbered(3))
    recipe = make_recipe(TEXT, validation_share=0)
    build_corpus(recipe, workers=1)
    write_records("notes.jsonl", numbered(7))
    with pytest.raises(UserError, match="--force"):
        build_corpus(recipe, workers=1)
    corpus = Corpus.open(build_corpus(recipe, workers=1, force=True))
    assert len(texts_of(corpus, "train")) == 7


def test_what_is_no_corpus_is_never_replaced(write_records, make_recipe, tmp_path: Path) -> None:
    write_records("notes.jsonl", numbered(3))
    treasure = tmp_path / "corpus" / "treasure"
    treasure.parent.mkdir()
    treasure.touch()
    with pytest.raises(UserError, match="will not be replaced"):
        build_corpus(make_recipe(TEXT), workers=1, force=True)
    assert treasure.exists()


def test_missing_files_are_named_at_once(write_records, make_recipe, tmp_path: Path) -> None:
    write_records("notes.jsonl", numbered(3))
    with pytest.raises(UserError, match=r"talk\.jsonl: no such file"):
        build_corpus(make_recipe(TEXT, TALK))
    with pytest.raises(UserError, match=r"none\.model"):
        build_corpus(make_recipe(TEXT, tokenizer=tmp_path / "none.model"))
    with pytest.raises(UserError, match=r"none\.toml"):
        build_corpus(make_recipe(TEXT, licences=tmp_path / "none.toml"))
    assert not (tmp_path / "corpus").exists()


def test_the_summary_speaks_the_users_language(
    write_records, make_recipe, capsys, monkeypatch
) -> None:
    write_records("notes.jsonl", numbered(3))
    monkeypatch.setenv("QINGTAN_LANG", "zh")
    build_corpus(make_recipe(TEXT), workers=1)
    assert "3 篇" in capsys.readouterr().out
    monkeypatch.setenv("QINGTAN_LANG", "en")
    build_corpus(make_recipe(TEXT), workers=1, force=True)
    assert "3 documents" in capsys.readouterr().out
