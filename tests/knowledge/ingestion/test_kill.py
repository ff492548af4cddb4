"""kill -9 at random moments of ingestion, twenty times, and the store is whole."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from qingtan.knowledge.store import open_store
from qingtan.knowledge.words import segmenter

from .samples import files, ingestion

MORE = 15  # documents for each life of the worker
# Forked processes have the dictionary loaded already, so that a kill meets work and no imports.
FORK = multiprocessing.get_context("fork")


def work(place: str) -> None:
    """Until killed, or until nothing is left."""
    store = open_store(place)
    worker = ingestion(store, lease=0.05, attempts=1000)
    while any(job.state in ("queued", "running") for job in worker.jobs(store.base("t", "kb"))):
        if not worker.run_once():
            time.sleep(0.01)
    store.close()
    os._exit(0)


def check(place: str, texts: dict[str, str]) -> int:
    """Every document that is there has all its chunks, and each is found; returns how many."""
    store = open_store(place)
    assert store.check() == []
    base = store.base("t", "kb")
    documents = store.documents(base)
    for document in documents:
        lines = [chunk.chunk.text for chunk in store.chunks(base, document.id)]
        assert lines == texts[document.name].splitlines()
        assert store.original(base, document.id) == texts[document.name].encode()
    found = store.search_words([base], "退货", base.chunks + 1)
    assert len(found) == base.chunks == sum(document.chunks for document in documents)
    ended = sum(job.done for job in store.jobs.jobs(base))
    assert ended == len(documents)
    store.close()
    return len(documents)


@pytest.mark.parametrize(("kind", "kills_wanted"), [("sqlite", 20), ("postgres", 5)])
@pytest.mark.security
def test_kill_9_at_random_moments(
    kind: str, kills_wanted: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = str(tmp_path / "kb.db") if kind == "sqlite" else request.getfixturevalue("database")
    chance = random.Random(0)
    segmenter().index("退货")
    store = open_store(place)
    base = store.create_base("t", "kb")
    store.close()
    texts: dict[str, str] = {}
    kills = 0
    while kills < kills_wanted:
        new = {f"{len(texts) + n}": text(len(texts) + n) for n in range(MORE)}
        texts.update(new)
        store = open_store(place)
        ingestion(store).submit(base, files(tmp_path, dict(new)))
        store.close()

        process = FORK.Process(target=work, args=(place,))
        process.start()
        process.join(chance.uniform(0.01, 0.15))
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            kills += 1
        check(place, texts)

    last = FORK.Process(target=work, args=(place,))
    last.start()
    last.join(120)
    assert last.exitcode == 0
    assert check(place, texts) == len(texts)
    store = open_store(place)
    for job in store.jobs.jobs(base):
        assert (job.state, job.counts) == ("done", {"added": MORE})
    store.close()


def text(number: int) -> str:
    return "\n".join(f"第{number}条之{line}：退货" for line in range(1 + number % 30))
