"""What the built-in recipe makes of its training data for the encoder."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import zstandard

from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.passages import PassagePairs
from qingtan.training.tables import ContrastiveTable

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "recipes" / "built-in" / "derive_pairs.py"
DATA = ROOT.parent / "shared" / "data"
PASSAGES = ("松鹤镇建于永宁三年。", "镇上的糕点叫雪花酥。", "东边有碧螺江流过。")
CARD = "名称：青云楼\n电话：010-5550101\n地址：柳巷三号"
ARTICLES = (
    "《茶叶条例》第一条　为了规范茶叶，制定本条例。",
    "《茶叶条例》第二条　茶叶应当干燥。\n不得受潮。",
)
ABSTRACT = (
    "本文研究了茶叶在仓库里受潮的原因。结果表明，多数仓库的窗没有关好，雨季尤其如此，应当改进。"
)

Record = dict[str, Any]


def record(number: str, task: str, prompt: str, answer: str, **changes: str) -> Record:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    own = {"task": task, "source": "made", "licence": "CC-BY-SA-4.0", "id": number}
    return {"messages": messages, **own, **changes}


def ask(header: str, body: str, question: str) -> str:
    return f"{header}\n\n{body}\n\n问题：{question}"


def numbered(passages: tuple[str, ...], between: str = "\n") -> str:
    return between.join(f"[{i}] {text}" for i, text in enumerate(passages, start=1))


def made() -> dict[str, list[Record]]:
    prompt = ask("请标出编号。", numbered(PASSAGES), "东边流过的是什么江？")
    product = ask(
        "以下是《茶》的文档片段。",
        numbered(("泡茶\n用热水。", "喝茶\n慢慢喝。"), "\n\n"),
        "请介绍一下泡茶。",
    )
    quoted = f"碧螺江。\n依据：[3] {PASSAGES[2]}"
    cited = [
        record(f"drcd-{i}-1-{i}", "docqa_cited", prompt, "碧螺江[3]" if i % 2 else quoted)
        for i in range(12)
    ]
    unusable = [
        record("drcd-90-1-1", "docqa_cited", prompt, "碧螺江"),
        record("drcd-91-1-1", "docqa_cited", prompt, "碧螺江[4]"),
        record("drcd-92-1-1", "docqa_cited", prompt.replace("[2]", "[5]"), "碧螺江[3]"),
        record("drcd-93-1-1", "docqa_cited", prompt + "-{zh-cn:江}-", "碧螺江[3]"),
        record("drcd-94-1-1", "docqa_unanswerable", prompt, "资料中没有。"),
    ]
    reading = record(
        "cmrc2018-A_1_QUERY_2",
        "reading_comprehension",
        ask("阅读。", "茶是绿的。", "茶是什么颜色？"),
        "绿",
    )
    pdq = record("pdq-x-1", "product_docqa_cited", product, "用热水。[1]")
    article = "《茶叶条例》第二条规定：茶叶应当干燥。"
    return {
        "docqa": [*cited, *unusable, reading, pdq],
        "faq": [record("faq-1", "doc_faq", "茶怎么泡？", "用热水。", attribution="the brewers")],
        "law": [
            record(
                "law-1-第二条",
                "law_docqa_cited",
                ask("法律。", numbered(ARTICLES), "《茶叶条例》第二条规定了什么？"),
                "干燥。[2]",
            ),
            record(
                "law-1-第一条",
                "law_docqa_cited",
                ask("法律。", numbered(ARTICLES), "第一条是如何规定的？"),
                "规范。[1]",
            ),
            record("law-2-第二条", "law_article", "《茶叶条例》第二条的内容是什么？", article),
        ],
        "customer_service": [
            record("kb-1-电话", "kb_faq", ask("请回答。", CARD, "青云楼的电话？"), "010-5550101。"),
            record(
                "kbmiss-1", "kb_unanswerable", ask("请回答。", CARD, "青云楼的停车场？"), "没有。"
            ),
        ],
        "summarization": [
            record("lctt-1-t", "title_generation", f"拟题：\n{ABSTRACT}", "茶叶受潮的原因"),
            record("lctt-1", "article_lead", f"概括：\n\n茶叶会受潮。{ABSTRACT}", "茶叶会受潮。"),
            record("lctt-2", "article_lead", "概括：\n\n茶叶会受潮。就这样。", "茶叶会受潮。"),
        ],
    }


def write_data(folder: Path, files: dict[str, list[Record]]) -> Path:
    (folder / "sft").mkdir(parents=True)
    for name, records in files.items():
        lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records)
        (folder / "sft" / f"{name}.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    return folder


def read(folder: Path) -> dict[str, Record]:
    with zstandard.open(folder / "pairs.jsonl.zst", "rt", encoding="utf-8") as file:
        return {pair["id"]: pair for pair in map(json.loads, file)}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("derive_pairs", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_kind_of_record_becomes_a_pair(script: ModuleType, tmp_path: Path) -> None:
    counts = script.derive(write_data(tmp_path / "data", made()), tmp_path / "pairs")
    pairs = read(tmp_path / "pairs")
    assert counts == {
        "cited": 12,
        "reading": 1,
        "product": 1,
        "faq": 1,
        "law": 2,
        "card": 1,
        "title": 1,
        "summary": 1,
    }
    assert len(pairs) == 20
    cited = [pair for name, pair in pairs.items() if name.startswith("drcd")]
    alone = [pair for pair in cited if "negatives" in pair]
    assert 0 < len(alone) < len(cited)
    for pair in cited:
        assert pair["question"] == "东边流过的是什么江？"
        assert pair["passage"] == (PASSAGES[2] if pair in alone else "".join(PASSAGES[1:]))
        assert pair.get("negatives", [*PASSAGES[:2]]) == [*PASSAGES[:2]]
        assert pair["document"] == pair["id"].rsplit("-", 2)[0]
    assert pairs["cmrc2018-A_1_QUERY_2"]["passage"] == "茶是绿的。"
    assert pairs["cmrc2018-A_1_QUERY_2"]["document"] == "cmrc2018-A_1"
    assert pairs["pdq-x-1"]["passage"] == "泡茶\n用热水。"
    assert pairs["pdq-x-1"]["negatives"] == ["喝茶\n慢慢喝。"]
    assert (pairs["faq-1"]["question"], pairs["faq-1"]["passage"]) == ("茶怎么泡？", "用热水。")
    assert pairs["law-1-第二条"]["passage"] == ARTICLES[1]
    assert pairs["law-1-第二条"]["negatives"] == [ARTICLES[0]]
    assert pairs["law-1-第二条"]["document"] == "law-1"
    assert pairs["kb-1-电话"]["passage"] == CARD
    assert pairs["kb-1-电话"]["document"] == "kb-1"
    # The summary is asked, and does not stand in its text any more.
    assert pairs["lctt-1-t"]["passage"] == pairs["lctt-1"]["passage"] == ABSTRACT
    assert pairs["lctt-1-t"]["document"] == pairs["lctt-1"]["document"] == "lctt-1"
    assert all((p["source"], p["licence"]) == ("made", "CC-BY-SA-4.0") for p in pairs.values())
    assert pairs["faq-1"]["attribution"] == "the brewers"


def test_the_order_of_the_records_changes_nothing(script: ModuleType, tmp_path: Path) -> None:
    for name, turn in (("one", False), ("two", True)):
        files = {file: records[::-1] if turn else records for file, records in made().items()}
        script.derive(write_data(tmp_path / name / "data", files), tmp_path / name / "pairs")
    one, two = (tmp_path / name / "pairs" / "pairs.jsonl.zst" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_the_trainer_reads_what_is_made(
    script: ModuleType, tmp_path: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    script.derive(write_data(tmp_path / "data", made()), tmp_path / "pairs")
    table = ContrastiveTable(pairs=tmp_path / "pairs" / "pairs.jsonl.zst")
    source = PassagePairs.open(table, tiny_tokenizer, 256, seed=0)
    assert len(source.train) + len(source.validation) == 20
    (found,) = source.provenance.sources
    assert (found.name, found.licence, found.documents) == ("made", "CC-BY-SA-4.0", 20)


def test_what_is_wrong_is_named(script: ModuleType, tmp_path: Path) -> None:
    files = made()
    del files["faq"][0]["licence"]
    with pytest.raises(UserError, match=r"faq.jsonl.zst:1: licence is missing"):
        script.derive(write_data(tmp_path / "data", files), tmp_path / "pairs")
    files = made() | {"summarization": []}
    with pytest.raises(UserError, match="no usable record of the kinds title, summary"):
        script.derive(write_data(tmp_path / "empty", files), tmp_path / "pairs")
    with pytest.raises(UserError, match="docqa"):
        script.derive(tmp_path / "nothing", tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()
    script.derive(write_data(tmp_path / "good", made()), tmp_path / "pairs")
    with pytest.raises(UserError, match="pairs"):
        script.derive(tmp_path / "good", tmp_path / "pairs")
    script.derive(tmp_path / "good", tmp_path / "pairs", force=True)


@pytest.mark.skipif(not DATA.is_dir(), reason="the corpus is not here")
def test_the_real_data_give_pairs_of_every_kind(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(DATA), str(tmp_path / "pairs")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counts = {line.split()[0]: int(line.split()[1]) for line in printed.splitlines()}
    assert counts["cited"] > 5000
    assert min(counts.values()) >= 800
    pairs = read(tmp_path / "pairs").values()
    assert all(pair["question"].strip() and pair["passage"].strip() for pair in pairs)
    assert max(len(pair["passage"]) for pair in pairs) <= 1000
    # Texts of one document do not count against each other: it may not have too many.
    assert Counter(pair["document"] for pair in pairs).most_common(1)[0][1] < len(pairs) / 100
