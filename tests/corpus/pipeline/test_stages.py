"""What the stages do to real files, seen in what a build leaves behind."""

import io
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from qingtan.corpus import Corpus, CorpusRecipe, build_corpus
from qingtan.corpus.statistics import CorpusReport
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer

from ..samples import SENTENCES, conversation, numbered

PARAGRAPH = "".join(SENTENCES[i] for i in (0, 3, 7, 1))
RULES_ON: dict[str, Any] = {"languages": {}, "quality": {}, "near_duplicates": {}}


def texts_of(folder: Path) -> list[str]:
    corpus = Corpus.open(folder)
    tokenizer = GLMTokenizer.from_file(corpus.tokenizer_path)
    shards = corpus.select("train")
    return [tokenizer.decode(shard.document(i)) for shard in shards for i in range(len(shard))]


def report_of(folder: Path) -> CorpusReport:
    return CorpusReport.model_validate_json((folder / "report.json").read_bytes())


def documents_of(folder: Path) -> list[dict[str, Any]]:
    records = []
    for path in sorted((folder / "documents").glob("*.jsonl.zst")):
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes())).read()
        records += [json.loads(line) for line in data.splitlines()]
    return records


def test_many_formats_make_one_corpus(make_recipe, tmp_path: Path) -> None:
    notes, tables = tmp_path / "notes", tmp_path / "tables"
    notes.mkdir()
    tables.mkdir()
    (notes / "one.md").write_text("# 标题\n\n第一篇。", encoding="utf-8")
    (notes / "two.txt").write_bytes("第二篇。".encode("gb18030"))
    page = f"<html><body><nav>首页</nav><article><p>{PARAGRAPH}</p></article></body></html>"
    (notes / "three.html").write_text(page, encoding="utf-8")
    (tables / "four.csv").write_text('body,n\n"第四篇，\n两行。",4\n', encoding="utf-8")
    pq.write_table(pa.table({"body": ["第五篇。"], "source": ["diary"]}), tables / "five.parquet")
    source = {"name": "notes", "path": "notes", "licence": "CC0-1.0", "attribution": "某人"}
    folder = build_corpus(
        make_recipe(
            source,
            source | {"name": "tables", "path": "tables", "format": {"fields": {"text": "body"}}},
            validation_share=0,
        ),
        workers=1,
    )
    assert texts_of(folder) == [
        "# 标题\n\n第一篇。",
        PARAGRAPH,
        "第二篇。",
        "第五篇。",
        "第四篇，\n两行。",
    ]
    found = {(s.name, s.licence, s.attribution) for s in Corpus.open(folder).provenance.sources}
    assert {name for name, _, _ in found} == {"notes", "tables", "diary"}
    assert {licence for _, licence, _ in found} == {"CC0-1.0"}


def test_rules_drop_what_they_name_and_show_it(write_records, make_recipe) -> None:
    good = [f"{PARAGRAPH}第{i}号通知说，{SENTENCES[i % 8]}大家都知道了。" for i in range(5)]
    bad = {
        "min_characters": "今天我们很好。",
        "max_run_share": PARAGRAPH + "哈" * 40,
        "language-ko": "안녕하세요. 오늘은 날씨가 매우 좋습니다. 공원에 산책하러 갑시다.",
    }
    write_records("notes.jsonl", [{"text": text} for text in [*good, *bad.values()]])
    recipe = make_recipe({"name": "notes", "path": "notes.jsonl"}, **RULES_ON, validation_share=0)
    folder = build_corpus(recipe, workers=1)
    report = report_of(folder)
    (source,) = report.sources
    assert texts_of(folder) == good
    assert {rule: s.dropped.documents for rule, s in source.rules.items()} == dict.fromkeys(bad, 1)
    for rule, text in bad.items():
        (sample,) = report.samples[rule]
        assert sample.text == text
        assert sample.line == 6 + list(bad).index(rule)
    assert source.after["read"].documents == 8
    assert source.after["language"].documents == 7
    assert source.after["encode"].documents == 5
    assert source.histograms
    assert {sum(histogram.counts) for histogram in source.histograms.values()} == {7}


def test_a_source_may_have_its_own_rules(write_records, make_recipe) -> None:
    write_records("notes.jsonl", [{"text": "今天好。"}])
    plain = {"name": "plain", "path": "notes.jsonl"}
    tables = make_recipe(
        plain,
        plain | {"name": "own", "override": {"quality": {"zh": {"min_characters": False}}}},
        **RULES_ON,
    ).tables
    assert tables[0].quality.zh.min_characters
    assert tables[1].quality.zh.min_characters is False
    assert tables[1].quality.zh.max_symbol_share == tables[0].quality.zh.max_symbol_share
    with pytest.raises(ValueError, match="no_such_rule"):
        make_recipe(plain | {"override": {"quality": {"zh": {"no_such_rule": 1}}}})


def test_near_duplicates_are_dropped_across_sources(write_records, make_recipe) -> None:
    rng = random.Random(3)
    characters = "".join(SENTENCES[:4])
    texts = ["".join(rng.choices(characters, k=300)) for _ in range(6)]
    changed = [text[:100] + "改了几个字" + text[105:] for text in texts[:3]]
    write_records("one.jsonl", [{"text": text} for text in texts])
    write_records("two.jsonl", [{"text": text} for text in changed])
    sources = [{"name": name, "path": f"{name}.jsonl"} for name in ("one", "two")]
    near = {"near_duplicates": {}, "validation_share": 0}
    report = report_of(build_corpus(make_recipe(*sources, **near), workers=1))
    assert [s.after["encode"].documents for s in report.sources] == [6, 0]
    samples = report.samples["near-duplicate"]
    assert {(s.text, s.after) for s in samples} == {
        (new, old) for new, old in zip(changed, texts[:3], strict=True)
    }
    assert all(s.value is not None and s.value >= 0.8 for s in samples)
    apart = near | {"near_duplicates": {"across_sources": False}}
    report = report_of(build_corpus(make_recipe(*sources, **apart), workers=1, force=True))
    assert [s.after["encode"].documents for s in report.sources] == [6, 3]
    sources[1]["near_duplicates"] = False
    report = report_of(build_corpus(make_recipe(*sources, **near), workers=1, force=True))
    assert [s.after["encode"].documents for s in report.sources] == [6, 3]


def test_evaluation_items_are_kept_out_and_counted(write_records, make_recipe) -> None:
    question = "清谈这个系统的名字，出自魏晋时代名士们在竹林之中的哪一种谈话？"
    write_records("notes.jsonl", [{"text": PARAGRAPH}, {"text": PARAGRAPH + question}])
    write_records("talk.jsonl", [conversation(question, "不知道。"), conversation("你好", "好。")])
    write_records("exam.jsonl.zst", [{"question": question}, {"question": "短？"}])
    recipe = make_recipe(
        {"name": "notes", "path": "notes.jsonl"},
        {"name": "talk", "kind": "conversations", "path": "talk.jsonl"},
        evaluation=[{"name": "exam", "path": "exam.jsonl.zst", "fields": ["question"]}],
    )
    report = report_of(build_corpus(recipe, workers=1))
    (exam,) = report.evaluation
    assert (exam.items, exam.short_items, exam.dropped.documents) == (1, 1, 2)
    assert [source.after["encode"].documents for source in report.sources] == [1, 1]
    wrong = recipe.model_copy(
        update={"evaluation": (recipe.evaluation[0].model_copy(update={"fields": ("query",)}),)}
    )
    with pytest.raises(UserError, match="query"):
        build_corpus(wrong, workers=1, force=True)


def test_personal_data_are_masked_and_not_told_by_the_report(write_records, make_recipe) -> None:
    # The second number would be cut in two by an excerpt's end.
    text = "请联系 wang.xiao@mail.com.cn 或 13912345678。"
    long = "请联系" + "。" * 392 + "13912345678。"
    write_records("notes.jsonl", [{"text": text}, {"text": long}])
    write_records("talk.jsonl", [conversation("电话？", "13912345678。")])
    folder = build_corpus(
        make_recipe(
            {"name": "notes", "path": "notes.jsonl"},
            {"name": "talk", "kind": "conversations", "path": "talk.jsonl"},
            validation_share=0,
            documents={},
        ),
        workers=1,
    )
    assert texts_of(folder)[0] == "请联系 [电子邮箱] 或 [手机号码]。"
    assert documents_of(folder)[2]["messages"][1]["content"] == "[手机号码]。"
    assert report_of(folder).sources[0].masked == {"email": 1, "mobile_phone": 2}
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"139123" not in path.read_bytes()
            assert b"wang.xiao" not in path.read_bytes()


def test_documents_and_words_are_written(write_records, make_recipe, tmp_path: Path) -> None:
    write_records("notes.jsonl", [{"text": "我们今天在公园散步。", "id": "n1", "licence": "MIT"}])
    source = {"name": "notes", "path": "notes.jsonl"}
    table = {"format": "jsonl.zst", "words": {}}
    recipe = make_recipe(source, tokenizer=None, documents=table)
    folder = build_corpus(recipe, workers=1)
    (document,) = documents_of(folder)
    assert document["text"] == "我们今天在公园散步。"
    assert (document["id"], document["licence"], document["source"]) == ("n1", "MIT", "notes")
    assert "公园" in document["words"]
    assert "在" not in document["words"]
    assert not (folder / "corpus.json").exists()
    parquet = recipe.model_copy(
        update={"documents": recipe.documents.model_copy(update={"format": "parquet"})}
    )
    build_corpus(parquet, workers=1, force=True)
    (path,) = (folder / "documents").iterdir()
    assert pq.read_table(path).to_pylist() == [document]
    # What is written is read again.
    again = {"name": "again", "root": folder, "path": "documents"}
    assert texts_of(
        build_corpus(make_recipe(again, output=tmp_path / "b", validation_share=0), workers=1)
    ) == [document["text"]]


def test_weights_say_how_much_training_reads(write_records, make_recipe) -> None:
    write_records("one.jsonl", numbered(40))
    write_records("two.jsonl", [{"text": f"另一篇{i}：{PARAGRAPH}"} for i in range(40)])
    sources = [{"name": name, "path": f"{name}.jsonl", "weight": 1} for name in ("one", "two")]
    corpus = Corpus.open(build_corpus(make_recipe(*sources, mix_tokens=10_000), workers=1))
    read = {s.name: s.tokens * corpus.epochs[s.name] for s in corpus.index.sources}
    assert read == pytest.approx({"one": 5000, "two": 5000})
    sources = [{"name": "one", "path": "one.jsonl", "epochs": 0.5}]
    corpus = Corpus.open(build_corpus(make_recipe(*sources), workers=1, force=True))
    assert corpus.epochs == {"one": 0.5}
    with pytest.raises(ValueError, match="every source has a weight"):
        make_recipe({**sources[0], "epochs": None, "weight": 1}, {"name": "b", "path": "two.jsonl"})


def test_a_vocabulary_is_learnt_from_what_is_kept(write_records, make_recipe) -> None:
    noise = [{"text": "ＺＺＺ" * 50, "source": "noise"} for _ in range(50)]
    texts = [{"text": f"{i}。{SENTENCES[i % 8]}"} for i in range(200)]
    write_records("notes.jsonl", [*texts, *noise])
    recipe = make_recipe(
        {"name": "notes", "path": "notes.jsonl"},
        tokenizer=None,
        vocabulary={"size": 420, "sample_bytes": 5000},
        exclude_sources=["noise"],
    )
    corpus = Corpus.open(build_corpus(recipe, workers=1))
    tokenizer = GLMTokenizer.from_file(corpus.tokenizer_path)
    assert corpus.vocab_size == tokenizer.vocab_size == 420 + 9
    assert len(tokenizer.encode("ZZZZZZ")) == 7  # the dummy prefix, and letter by letter
    with pytest.raises(UserError, match="could not be trained"):
        build_corpus(
            recipe.model_copy(
                update={"vocabulary": recipe.vocabulary.model_copy(update={"size": 30_000})}
            ),
            workers=1,
            force=True,
        )


def test_attributions_of_records_travel(write_records, make_recipe, tmp_path: Path) -> None:
    records = [{**r, "attribution": f"作者{i % 3}"} for i, r in enumerate(numbered(9))]
    write_records("notes.jsonl", records)
    source = {"name": "notes", "path": "notes.jsonl", "licence": "CC-BY-4.0"}
    corpus = Corpus.open(build_corpus(make_recipe(source), workers=1))
    key = ("notes", "CC-BY-4.0")
    assert corpus.provenance.attributions[key] == {"作者0", "作者1", "作者2"}
    assert corpus.provenance_of(["notes"]).attributions[key] == {"作者0", "作者1", "作者2"}
    assert sum(origin.documents for s in corpus.index.shards for origin in s.origins) == 9


def kill_a_worker() -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = multiprocessing.active_children()
        if children:
            time.sleep(1.5)
            os.kill(children[0].pid or 0, signal.SIGKILL)
            return
        time.sleep(0.01)


def test_a_killed_worker_ends_the_build_which_goes_on(
    write_records, make_recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qingtan.corpus.build.PIECE_BYTES", 200_000)
    write_records("long.jsonl", ({"text": f"{i}：" + "明月清风" * 99} for i in range(30_000)))
    recipe = make_recipe({"name": "long", "path": "long.jsonl"})
    threading.Thread(target=kill_a_worker).start()
    with pytest.raises(UserError, match=r"worker process was killed.*goes on"):
        build_corpus(recipe, workers=2)
    assert (tmp_path / ".corpus.partial").is_dir()
    build_corpus(recipe, workers=2)
    assert sum(map(len, Corpus.open(tmp_path / "corpus").shards)) == 30_000


MEASURE = """
import resource, sys
from pathlib import Path
from qingtan.corpus import CorpusRecipe, build_corpus
if __name__ == "__main__":
    recipe = CorpusRecipe.model_validate_json(Path(sys.argv[1]).read_text())
    build_corpus(recipe, workers=1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_megabytes(recipe: CorpusRecipe, folder: Path) -> int:
    (folder / "recipe.json").write_text(recipe.model_dump_json(), encoding="utf-8")
    (folder / "measure.py").write_text(MEASURE, encoding="utf-8")
    command = [sys.executable, str(folder / "measure.py"), str(folder / "recipe.json")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(run.stdout.split()[-1])


def test_memory_does_not_grow_with_the_input(write_records, make_recipe, tmp_path: Path) -> None:
    texts = [{"text": f"{i}：" + PARAGRAPH * 10} for i in range(20_000)]
    write_records("long.jsonl.gz", texts)
    source = {"name": "long", "path": "long.jsonl.gz"}
    tables = {"near_duplicates": {}, "quality": {}, "languages": {}, "shard_tokens": 500_000}
    quarter = make_recipe(source | {"limit": 5000}, output=tmp_path / "quarter", **tables)
    whole = make_recipe(source, output=tmp_path / "whole", **tables)
    less, more = (peak_megabytes(recipe, tmp_path) for recipe in (quarter, whole))
    assert more < 1.25 * less
    assert more < 1500
