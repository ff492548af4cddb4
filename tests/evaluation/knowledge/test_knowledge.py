"""The evaluation of knowledge on sets that are made here, and its report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from qingtan.errors import UserError
from qingtan.evaluation.knowledge.claims import make_claims
from qingtan.evaluation.knowledge.measure import best_threshold, lenient_threshold
from qingtan.evaluation.knowledge.questions import part_of, read_sets
from qingtan.evaluation.knowledge.run import Settings, evaluate_knowledge

TITLES = [f"{a}{b}{c}" for a in "东西南北" for b in "山河湖海" for c in "镇村"]


def _write(folder: Path, name: str, items: list[dict[str, object]]) -> None:
    lines = b"\n".join(orjson.dumps(item) for item in items)
    (folder / f"{name}.jsonl").write_bytes(lines)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Texts, laws and cards about places."""
    texts, laws, cards = [], [], []
    for i, title in enumerate(TITLES):
        year, people = 1900 + i, 3000 + 17 * i
        segments = [
            f"{title}是一个渔业小镇，由陈{title[0]}{title[1]}于{year}年建立，居民以捕鱼为生。",
            f"{title}的人口为{people}人。当地盛产{title[1]}鲜，没有铁路经过。",
        ]
        texts.append(
            {
                "id": f"text-{i}",
                "task": "docqa",
                "title": title,
                "context": "".join(segments),
                "segments": segments,
                "question": f"{title}是哪一年建立的？",
                "references": [f"{year}年"],
                "cite": 1,
            }
        )
        passages = [
            f"《{title}条例》第{n}条\u3000{title}的{thing}由镇政府管理，罚款{i}元。"
            for n, thing in zip("一二三", ("道路", "渔港", "灯塔"), strict=True)
        ]
        laws.append(
            {
                "id": f"law-{i}",
                "task": "law_docqa_cited",
                "passages": passages,
                "question": f"《{title}条例》第二条规定了什么？",
                "references": [f"{title}的渔港由镇政府管理，罚款{i}元。"],
                "cite": 2,
            }
        )
        cards.append(
            {
                "id": f"card-{i}",
                "task": "kb_faq",
                "context": f"名称：{title}饭店\n电话：010-6{i:06d}\n评分：4.{i % 10}",
                "question": f"怎么联系{title}饭店？",
                "references": [f"{title}饭店的电话是010-6{i:06d}。"],
                "key": "电话",
                "value": f"010-6{i:06d}",
            }
        )
    _write(tmp_path, "docqa", texts)
    _write(tmp_path, "law", laws)
    _write(tmp_path, "customer_service", cards)
    return tmp_path


def test_all_is_measured_and_reported(data: Path, tmp_path: Path) -> None:
    results = evaluate_knowledge(Settings(data, limit=0), tmp_path / "out")
    figures = {
        (task.name, figure.name): figure.model.value
        for task in results.tasks
        for figure in task.figures
    }
    for kind in ("reading", "law", "cards"):
        assert figures[f"{kind}-finding", "recall_5"] == 1
        assert figures[f"{kind}-answering", "wrong_refusal"] == 0
        assert figures[f"{kind}-answering", "right_document_cited"] == 1
        assert figures[f"{kind}-answering", "holds_reference"] == 1
    assert figures["law-refusing", "right_refusal"] == 1
    assert results.curve[0].refused_wrongly == 0
    assert results.curve[-1].refused_rightly == 1
    passed = {(kind.name, kind.true): kind.supported for kind in results.kinds}
    assert passed["answer", True] == passed["sentence", True] == 1
    assert passed["answer, number changed", False] == 0
    assert passed["sentence, negation put in", False] == 0
    assert json.loads((tmp_path / "out/results.json").read_text())["format"] == 1
    english = (tmp_path / "out/report.md").read_text()
    chinese = (tmp_path / "out/report.zh-CN.md").read_text()
    assert "| questions on laws: finding | document among the first 5 | 32 | 100% " in english
    assert "| 法条问答：检索 | 前 5 段含所在文档 | 32 | 100% " in chinese


def test_a_model_is_measured_beside_quotations(data: Path, tmp_path: Path) -> None:
    settings = Settings(data, limit=2, written_by="qingtan", vectors_by="qingtan")
    results = evaluate_knowledge(settings, tmp_path / "out")
    tasks = {task.name: task for task in results.tasks}
    assert tasks["reading-answering"].figures[0].baseline is not None
    assert tasks["reading-finding-with-vectors"].figures[0].baseline is not None
    assert tasks["reading-finding"].figures[0].baseline is None
    report = (tmp_path / "out/report.md").read_text()
    assert "Written by qingtan, beside quotations." in report
    assert "Vectors by qingtan, beside words alone." in report


def test_an_earlier_result_is_replaced_only_when_asked_for(data: Path, tmp_path: Path) -> None:
    evaluate_knowledge(Settings(data, limit=1), tmp_path / "out")
    with pytest.raises(UserError, match="--force"):
        evaluate_knowledge(Settings(data, limit=1), tmp_path / "out")
    evaluate_knowledge(Settings(data, limit=1), tmp_path / "out", force=True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="docqa"):
        evaluate_knowledge(Settings(tmp_path), tmp_path / "out")
    with pytest.raises(UserError, match="limit"):
        Settings(tmp_path, limit=-1)


def test_the_command(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qingtan", "evaluate"]
    environment = os.environ | {"QINGTAN_LANG": "en", "PYTHONIOENCODING": "utf-8"}

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)], capture_output=True, encoding="utf-8", env=environment
        )

    done = run("knowledge", "--data", data, "--limit", "3", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "law-finding" in done.stdout
    assert (tmp_path / "out/report.md").exists()
    refused = run("qingtan", "--written-by", "qingtan", "--data", data)
    assert refused.returncode == 2
    assert "--written-by: goes with knowledge only" in refused.stderr


def test_documents_of_one_title_are_of_one_part() -> None:
    assert part_of("西湖/1.txt") == part_of("西湖/2.txt")
    assert len({part_of(f"{title}/0.txt") for title in TITLES}) == 4


def test_false_claims_are_not_in_their_passages(data: Path) -> None:
    claims = make_claims([q for q in read_sets(data).questions if q.kind == "reading"])
    assert {claim.true for claim in claims} == {True, False}
    for claim in claims:
        assert claim.true or claim.text not in claim.passage
    assert claims == make_claims([q for q in read_sets(data).questions if q.kind == "reading"])


def test_thresholds() -> None:
    good, bad = np.array([0.5, 0.6, 0.7, 0.9]), np.array([0.1, 0.2, 0.3])
    assert 0.3 < best_threshold(good, bad) <= 0.5
    assert lenient_threshold(good, 0.0) == 0.5
    assert lenient_threshold(good, 0.25) == 0.6
