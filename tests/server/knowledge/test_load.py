"""More questions than can be answered, and a store that is out of reach."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path

import httpx

from qingtan.chat import ChatGLM
from qingtan.engine.engine import Engine
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.knowledge.service import Knowledge
from qingtan.knowledge.store import Unavailable
from qingtan.server.errors import to_api_error
from scripted import ScriptedRunner, answers
from server.conftest import serve


def test_too_many_questions_are_told_to_come_again(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    runner = ScriptedRunner(answers(tiny_tokenizer, "两年"), context=4000, blocks=5000)
    model = ChatGLM(Engine(runner, tiny_tokenizer, max_running=2, max_waiting=1000))
    file = tmp_path / "手册.txt"
    file.write_text("台灯的保修期为两年。", encoding="utf-8")
    with Knowledge.open(tmp_path / "knowledge") as knowledge:
        knowledge.create("kb")
        knowledge.add("kb", file)
        with serve(model, knowledge) as served, ThreadPoolExecutor(60) as threads:
            url = f"{served.url}v1/knowledge/"
            body = {"bases": ["kb"], "question": "台灯的保修期是多久？", "written": True}
            runner.gate.clear()
            asked = [
                threads.submit(httpx.post, f"{url}ask", json=body, timeout=60) for _ in range(60)
            ]
            # Those that are taken wait for the gate.
            refused = list(islice(as_completed(asked, 60), 24))
            # All else goes on meanwhile.
            search = {"bases": ["kb"], "query": "保修"}
            found = httpx.post(f"{url}search", json=search, timeout=30).json()["data"]
            runner.gate.set()
            statuses = sorted(each.result().status_code for each in asked)
    assert len(found) == 1
    assert statuses == [200] * 36 + [429] * 24
    assert len(refused) == 24
    for each in refused:
        assert each.result().headers["retry-after"] == "1"


def test_a_store_out_of_reach_is_said_without_its_place() -> None:
    error = to_api_error(Unavailable("/home/somebody/knowledge.sqlite: is locked"))
    assert error.status == 503
    assert "somebody" not in error.message
    assert error.headers == {"Retry-After": "1"}
