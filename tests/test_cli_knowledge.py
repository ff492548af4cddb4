"""`qingtan kb`, as a user runs it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from qingtan import Knowledge
from test_cli import COMMAND, ENVIRONMENT, qingtan

DOCUMENTS = Path("recipes/example/documents")


@pytest.fixture
def kb(tmp_path: Path) -> Any:
    """Runs `qingtan kb` on bases of this test's own."""
    place = str(tmp_path / "knowledge")

    def run(command: str, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
        return qingtan("kb", command, *arguments, "--knowledge", place, **options)

    return run


def ok(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    return run.stdout


def test_documents_go_in_and_answers_come_out(kb: Any) -> None:
    assert "manual" in ok(kb("create", "manual", "--about", "a lamp", "--words", "清谈一号"))
    assert "added 2" in ok(kb("add", "manual", str(DOCUMENTS)))
    assert "2 documents" in ok(kb("list"))
    assert "manual.md" in ok(kb("list", "manual"))
    found = ok(kb("search", "manual", "保修", "--limit", "1"))
    assert "manual.md" in found
    assert "paragraph 10" in found
    answered = ok(kb("ask", "manual", "清谈一号的保修期是多久？"))
    assert answered.startswith("清谈一号的保修期为两年")
    assert "[1]" in answered
    assert "manual.md" in answered
    nothing = ok(kb("ask", "manual", "珠穆朗玛峰有多高？"))
    assert "没有找到" in nothing
    assert "可以在订单页" in ok(kb("ask", "manual", "怎么退货？", "--written", "--threads", "1"))


def test_vectors_are_joined_to_the_words_where_a_model_is_named(kb: Any) -> None:
    ok(kb("create", "manual"))
    ok(kb("add", "manual", str(DOCUMENTS), "--vectors-by", "qingtan"))
    asked = ("search", "manual", "保修", "--json")
    with_vectors = json.loads(ok(kb(*asked, "--vectors-by", "qingtan")))["data"]
    by_words = json.loads(ok(kb(*asked)))["data"]
    assert any(hit["vectors"] is not None for hit in with_vectors)
    assert all(hit["vectors"] is None for hit in by_words)
    refused = kb("add", "manual", str(DOCUMENTS), "--vectors-by", "nowhere")
    assert refused.returncode == 2
    assert "nowhere" in refused.stderr


def test_a_learner_is_led_to_the_answer(kb: Any) -> None:
    ok(kb("create", "manual"))
    ok(kb("add", "manual", str(DOCUMENTS)))
    said = ok(kb("teach", "manual", given="台灯的保修期是多久？\n提示\n两年\n"))
    assert "先自己想一想" in said
    assert "提示" in said
    assert "对了" in said


def test_programs_read_json(kb: Any) -> None:
    made = json.loads(ok(kb("create", "manual", "--json")))
    assert (made["name"], made["documents"]) == ("manual", 0)
    job = json.loads(ok(kb("add", "manual", str(DOCUMENTS / "manual.md"), "--json")))
    assert [line["outcome"] for line in job["report"]] == ["added"]
    (base,) = json.loads(ok(kb("list", "--json")))["data"]
    assert base["documents"] == 1
    (document,) = json.loads(ok(kb("list", "manual", "--json")))["data"]
    hit = json.loads(ok(kb("search", "manual", "保修", "--json")))["data"][0]
    assert hit["document"]["id"] == document["id"]
    answered = json.loads(ok(kb("ask", "manual", "保修期是多久？", "--passages-only", "--json")))
    assert answered["passages"][0]["document"]["id"] == document["id"]
    assert json.loads(ok(kb("jobs", "manual", "--json")))["data"][0]["id"] == job["id"]


def test_a_file_that_cannot_be_read_is_one_line(kb: Any, tmp_path: Path) -> None:
    ok(kb("create", "mixed"))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "good.txt").write_text("好的内容。", encoding="utf-8")
    (tmp_path / "files" / "bad.pdf").write_bytes(b"%PDF-1.7 broken")
    run = kb("add", "mixed", str(tmp_path / "files"))
    assert run.returncode == 0
    assert "added 1, could not be read 1" in run.stdout
    (line,) = [line for line in run.stderr.splitlines() if "bad.pdf" in line]
    assert line.startswith("bad.pdf: ")
    alone = kb("add", "mixed", str(tmp_path / "files" / "bad.pdf"))
    assert alone.returncode == 2
    again = ok(kb("add", "mixed", str(tmp_path / "files" / "good.txt"), language="zh"))
    assert "未变 1" in again


def test_what_the_user_got_wrong_is_said(kb: Any, tmp_path: Path) -> None:
    for arguments, message in (
        (("add", "none", str(DOCUMENTS)), "none: no such knowledge base"),
        (("search", "none", "x"), "none: no such knowledge base"),
        (("create", "a/b"), "name: "),
        (("list", "none"), "none: no such knowledge base"),
        (("restore", str(tmp_path / "no-backup"), "--yes"), "no such file"),
    ):
        run = kb(*arguments)
        assert run.returncode == 2, arguments
        assert run.stderr.startswith("Error: ")
        assert message in run.stderr
    ok(kb("create", "there"))
    assert "no such file" in kb("add", "there", str(tmp_path / "missing.txt")).stderr
    assert "no such document" in kb("remove", "there", "missing.txt").stderr
    assert "--yes" in kb("remove", "there").stderr


def test_removing_backup_and_restore(kb: Any, tmp_path: Path) -> None:
    ok(kb("create", "manual"))
    ok(kb("add", "manual", str(DOCUMENTS)))
    ok(kb("backup", str(tmp_path / "backup")))
    ok(kb("remove", "manual", "faq.csv"))
    assert "faq.csv" not in ok(kb("list", "manual"))
    ok(kb("remove", "manual", "--yes"))
    assert "manual" not in ok(kb("list")).splitlines()[0].split("\t")[0]
    ok(kb("restore", str(tmp_path / "backup"), "--yes"))
    assert "faq.csv" in ok(kb("list", "manual"))


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(400):
        text = f"第{number}号文件：" + "今天我们在公园散步。" * 200
        (files / f"{number:03}.txt").write_text(text, encoding="utf-8")
    place = ("--knowledge", str(tmp_path / "knowledge"))
    ok(qingtan("kb", "create", "many", *place))
    command = [*COMMAND, "kb", "add", "many", str(files), *place]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True, **pipes) as adding:
        deadline = time.monotonic() + 60
        with Knowledge.open(place[1]) as knowledge:
            while not knowledge.base("many").documents:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        os.killpg(adding.pid, signal.SIGINT)  # Ctrl-C reaches all processes of a terminal
        _, complaints = adding.communicate(timeout=30)
    assert adding.returncode == 130
    assert "the same command goes on" in complaints
    assert "Traceback" not in complaints
    before = documents(place)
    assert 0 < before < 400
    rest = json.loads(ok(qingtan("kb", "add", "many", str(files), "--json", *place)))
    assert rest["counts"] == {"added": 400 - before, "unchanged": before}


def documents(place: tuple[str, ...]) -> int:
    (base,) = json.loads(ok(qingtan("kb", "list", "--json", *place)))["data"]
    count: int = base["documents"]
    return count


@pytest.mark.security
def test_web_addresses_of_this_machine_are_not_fetched(kb: Any) -> None:
    ok(kb("create", "web"))
    run = kb("add", "web", "http://127.0.0.1:1/")
    assert run.returncode == 2
    assert "public Internet" in run.stderr
