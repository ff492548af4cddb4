"""Jobs: what becomes of each item, whatever happens."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qingtan.errors import NotFound, UserError
from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Document
from qingtan.knowledge.encoders import Vectors
from qingtan.knowledge.ingestion import Ingestion, Item, Job, Line, Loaded
from qingtan.knowledge.store.interface import Base, Store
from qingtan.knowledge.store.job_records import Lost

from ..conftest import Opener
from .samples import cut, files, ingestion, read, run_all


@pytest.fixture
def base(store: Store) -> Base:
    return store.create_base("t", "kb")


def outcomes(job: Job) -> list[tuple[str, str]]:
    return [(line.name, line.outcome) for line in job.report]


def names(store: Store, base: Base) -> list[str]:
    return [document.name for document in store.documents(base)]


def test_a_job_from_its_beginning_to_its_end(store: Store, base: Base, tmp_path: Path) -> None:
    work = ingestion(store)
    job = work.submit(
        base, files(tmp_path, {"a": "客服电话\n退货", "b": "发票\n[picture]"}, "售后")
    )
    assert (job.state, job.total, job.done, job.base, job.report) == ("queued", 2, 0, "kb", ())
    assert work.run_once()
    job = work.job(base, job.id)
    assert (job.state, job.done, job.finished) == ("running", 1, None)
    assert run_all(work) == 1
    job = work.job(base, job.id)
    assert (job.state, job.done, job.counts) == ("done", 2, {"added": 2})
    assert job.finished is not None
    assert job.report == (
        Line("a", "added"),
        Line("b", "added", warnings=("a picture was not read",)),
    )
    (found,) = store.search_words([base], "客服", 9)
    assert found.chunk.document.topic == "售后"
    assert store.original(base, found.chunk.document.id) == "客服电话\n退货".encode()
    assert [each.id for each in work.jobs(base)] == [job.id]
    assert not work.run_once()
    assert store.check() == []


def test_the_same_again_changes_nothing_and_a_new_version_replaces(
    store: Store, base: Base, tmp_path: Path
) -> None:
    work = ingestion(store)
    work.submit(base, files(tmp_path, {"a": "旧政策", "b": "不变"}))
    run_all(work)
    before = store.documents(base)
    job = work.submit(base, files(tmp_path, {"a": "新政策", "b": "不变"}))
    run_all(work)
    assert outcomes(work.job(base, job.id)) == [("a", "replaced"), ("b", "unchanged")]
    assert store.document_named(base, "b") == before[1]
    assert [each.chunk.chunk.text for each in store.search_words([base], "政策", 9)] == ["新政策"]
    work.submit(base, files(tmp_path, {"b": "不变"}, topic="另一主题"))
    run_all(work)
    assert [each.topic for each in store.documents(base)] == ["", "另一主题"]


@pytest.mark.security
def test_ten_broken_ones_among_a_hundred_cost_ten_lines(
    store: Store, base: Base, tmp_path: Path
) -> None:
    texts: dict[str, str | bytes] = {f"{number:03}": f"第{number}条" for number in range(100)}
    broken = [f"{number:03}" for number in range(5, 100, 10)]
    texts.update(dict.fromkeys(broken, b"\xff\xfe"))
    work = ingestion(store)
    items = files(tmp_path, texts)
    (tmp_path / broken[0]).unlink()
    job = work.submit(base, items)
    run_all(work)
    job = work.job(base, job.id)
    assert (job.state, job.counts) == ("done", {"added": 90, "failed": 10})
    failed = [line for line in job.report if line.outcome == "failed"]
    assert [line.name for line in failed] == broken
    assert all(line.name in line.reason for line in failed)
    assert len(names(store, base)) == 90


def test_a_job_of_which_nothing_could_be_read_has_failed(
    store: Store, base: Base, tmp_path: Path
) -> None:
    work = ingestion(store)
    job = work.submit(base, files(tmp_path, {"a": b"\xff"}))
    assert run_all(work) == 2
    assert work.job(base, job.id).state == "failed"


def test_what_fails_once_is_tried_again_after_the_others(
    store: Store, base: Base, tmp_path: Path
) -> None:
    seen: list[str] = []

    def moody(item: Item, loaded: Loaded) -> Document:
        seen.append(item.name)
        if seen == ["a"]:
            raise OSError("the network is down")
        return read(item, loaded)

    work = Ingestion(store, moody, cut)
    job = work.submit(base, files(tmp_path, {"a": "甲", "b": "乙", "c": "丙"}))
    run_all(work)
    assert seen == ["a", "b", "c", "a"]
    assert outcomes(work.job(base, job.id)) == [(name, "added") for name in "abc"]
    assert work.job(base, job.id).report[0].reason == ""


def test_what_ends_its_workers_is_set_aside_and_the_job_goes_on(
    store: Store, base: Base, tmp_path: Path
) -> None:
    class Killed(BaseException):
        """As good as kill -9: nothing of the worker runs after it."""

    def deadly(item: Item, loaded: Loaded) -> Document:
        if item.name == "a":
            raise Killed
        return read(item, loaded)

    work = Ingestion(store, deadly, cut, lease=0.05)
    job = work.submit(base, files(tmp_path, {"a": "甲", "b": "乙"}))
    for _ in range(2):
        with pytest.raises(Killed):
            work.run_once()
        time.sleep(0.1)
    assert run_all(work) == 1
    job = work.job(base, job.id)
    assert job.state == "done"
    assert outcomes(job) == [("a", "failed"), ("b", "added")]
    assert "2" in job.report[0].reason


def test_cancelling_takes_effect_at_once(store: Store, base: Base, tmp_path: Path) -> None:
    cancelled: list[Job] = []

    def cancel_while_reading(item: Item, loaded: Loaded) -> Document:
        if item.name == "b":
            cancelled.append(work.cancel(base, job.id))
        return read(item, loaded)

    work = Ingestion(store, cancel_while_reading, cut)
    job = work.submit(base, files(tmp_path, {"a": "甲", "b": "乙", "c": "丙"}))
    assert run_all(work) == 2
    job = work.job(base, job.id)
    assert (job.state, job.done) == ("cancelled", 3)
    assert outcomes(job) == [("a", "added"), ("b", "cancelled"), ("c", "cancelled")]
    assert names(store, base) == ["a"]
    assert work.cancel(base, job.id) == job
    assert store.check() == []


@pytest.mark.security
def test_another_takes_over_what_a_dead_worker_held(
    store: Store, base: Base, tmp_path: Path
) -> None:
    work = ingestion(store)
    work.submit(base, files(tmp_path, {"a": "甲"}))
    dead = store.jobs.claim("dead", 0.1, 2)
    assert dead is not None
    assert not work.run_once()
    time.sleep(0.15)
    assert work.run_once()
    with pytest.raises(Lost):  # it was only slow: what it did must not count
        store.jobs.end(dead, "failed")
    assert not store.jobs.renew(dead, 1)
    assert names(store, base) == ["a"]


def test_a_worker_that_dies_while_an_item_ends_has_put_nothing_in(
    store: Store, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*given: object, **named: object) -> None:
        raise Killed

    work = ingestion(store, lease=0.05)
    work.submit(base, files(tmp_path, {"a": "甲"}))
    with monkeypatch.context() as patch:
        patch.setattr(store.jobs, "end", die)
        with pytest.raises(Killed):
            work.run_once()
    assert names(store, base) == []
    time.sleep(0.1)
    assert run_all(work) == 1
    assert names(store, base) == ["a"]


def test_a_slow_item_is_held_as_long_as_its_worker_lives(
    store: Store, base: Base, tmp_path: Path
) -> None:
    taken: list[object] = []

    def slow(item: Item, loaded: Loaded) -> Document:
        time.sleep(0.5)
        taken.append(store.jobs.claim("other", 1, 2))
        return read(item, loaded)

    work = Ingestion(store, slow, cut, lease=0.15)
    job = work.submit(base, files(tmp_path, {"a": "甲"}))
    run_all(work)
    assert taken == [None]
    assert work.job(base, job.id).counts == {"added": 1}


def test_jobs_take_turns(store: Store, base: Base, tmp_path: Path) -> None:
    work = ingestion(store)
    large = work.submit(base, files(tmp_path, {f"{number:02}": "甲" for number in range(20)}))
    small = work.submit(base, files(tmp_path, {"x": "乙", "y": "丙"}))
    for _ in range(4):
        work.run_once()
    assert work.job(base, small.id).state == "done"
    assert work.job(base, large.id).done == 2


def test_many_workers_do_each_item_once(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    base = store.create_base("t", "kb")
    read_names: list[str] = []

    def count(item: Item, loaded: Loaded) -> Document:
        read_names.append(item.name)
        return read(item, loaded)

    work = Ingestion(store, count, cut)
    job = work.submit(base, files(tmp_path, {f"{n:02}": f"第{n}条" for n in range(40)}))
    stop = threading.Event()
    threads = [threading.Thread(target=work.run, args=(stop, 0.01)) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while work.job(base, job.id).state != "done" and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    assert sorted(read_names) == [f"{n:02}" for n in range(40)]
    assert work.job(base, job.id).counts == {"added": 40}
    assert store.check() == []


def test_a_base_that_is_removed_meanwhile(store: Store, base: Base, tmp_path: Path) -> None:
    def remove(item: Item, loaded: Loaded) -> Document:
        store.remove_base(base)
        return read(item, loaded)

    work = Ingestion(store, remove, cut)
    job = work.submit(base, files(tmp_path, {"a": "甲", "b": "乙"}))
    assert run_all(work) == 1
    with pytest.raises(NotFound):
        work.job(base, job.id)
    assert store.check() == []


def test_jobs_belong_to_their_base(store: Store, base: Base, tmp_path: Path) -> None:
    work = ingestion(store)
    job = work.submit(base, files(tmp_path, {"a": "甲"}))
    other = store.create_base("u", "kb")
    attempts: list[Callable[[], object]] = [
        lambda: work.job(other, job.id),
        lambda: work.cancel(other, job.id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            attempt()
    assert work.jobs(other) == []
    assert work.job(base, job.id).state == "queued"
    with pytest.raises(UserError):
        work.submit(base, [])


def test_scratch_is_removed_with_the_last_item_that_needs_it(
    store: Store, base: Base, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    items = [
        Item("file", each.name, each.place, scratch=str(spool))
        for each in files(spool, {"a": "甲", "b": b"\xff"})
    ]
    work = ingestion(store)
    job = work.submit(base, items)
    work.run_once()
    assert spool.exists()
    assert store.jobs.scratch() == {str(spool)}
    run_all(work)
    assert not spool.exists()
    assert outcomes(work.job(base, job.id)) == [("a", "added"), ("b", "failed")]


class _Encoder:
    name, dimensions = "lengths", 2

    def encode(self, texts: list[str]) -> Vectors:
        vectors = np.array([(len(text), 1) for text in texts], np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def test_chunks_are_encoded(store: Store, base: Base, tmp_path: Path) -> None:
    work = Ingestion(store, read, cut, _Encoder())  # type: ignore[arg-type]
    lines = "\n".join("字" * number for number in range(1, 100))
    work.submit(base, files(tmp_path, {"a": lines, "empty": ""}))
    run_all(work)
    base = store.base("t", "kb")
    assert (base.encoder, base.dimensions, base.chunks) == ("lengths", 2, 99)
    query = np.array([3, 1], np.float32) / np.float32(10) ** 0.5
    found = store.search_vectors([base], query, 1)
    assert [each.chunk.chunk.text for each in found] == ["字字字"]


def test_an_error_of_the_reader_itself_goes_into_the_report(
    store: Store, base: Base, tmp_path: Path
) -> None:
    def broken(item: Item, loaded: Loaded) -> Document:
        raise ZeroDivisionError("x" * 10_000)

    def too_deep(document: Document) -> list[Chunk]:
        raise RecursionError

    for work in (Ingestion(store, broken, cut), Ingestion(store, read, too_deep)):
        job = work.submit(base, files(tmp_path, {"a": "甲"}))
        run_all(work)
        (line,) = work.job(base, job.id).report
        assert "Error" in line.reason
        assert len(line.reason) <= 500
