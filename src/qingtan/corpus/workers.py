"""Builds sources in several processes and shows how far they are."""

import multiprocessing
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tqdm import tqdm

from qingtan.corpus.shards import ShardEntry, SourceEntry
from qingtan.corpus.source import Job, build_source
from qingtan.errors import UserError
from qingtan.i18n import tr

POLL_SECONDS = 0.5

Built = tuple[SourceEntry, list[ShardEntry]]


def build_sources(jobs: list[Job], workers: int) -> list[Built]:
    """Build every source, `workers` at a time, and return what was built in the jobs' order.

    Raises:
        UserError: a source cannot be built, or a worker was killed; the others are stopped.
    """
    progress = _Progress()
    with _executor(min(workers, len(jobs)), progress) as executor:
        try:
            # The largest first, so that the last to end is a small one.
            by_size = sorted(jobs, key=_file_size, reverse=True)
            futures = {job.source.name: executor.submit(_work, job) for job in by_size}
            _watch(list(futures.values()), progress)
            return [futures[job.source.name].result() for job in jobs]
        except BrokenProcessPool:
            raise UserError(
                "a worker process was killed, perhaps for want of memory; try fewer workers"
            ) from None
        finally:
            progress.stop()
            executor.shutdown(wait=True, cancel_futures=True)


class _Stopped(Exception):  # noqa: N818
    """Raised in a worker when another one failed."""


class _Progress:
    """Counts that the workers share with the process that shows them."""

    def __init__(self) -> None:
        context = _context()
        self._counts = context.Array("q", 2)
        self._stop = context.Event()

    def report(self, documents: int, tokens: int) -> None:
        """Add a batch; a worker calls it."""
        if self._stop.is_set():
            raise _Stopped
        with self._counts:
            self._counts[0] += documents
            self._counts[1] += tokens

    def read(self) -> tuple[int, int]:
        """Return documents and tokens so far."""
        with self._counts:
            return self._counts[0], self._counts[1]

    def stop(self) -> None:
        """Make every worker give up at its next batch."""
        self._stop.set()


_progress: _Progress


def _start_worker(progress: _Progress) -> None:
    # Shared counters can reach a process only while it starts, hence a global.
    global _progress
    _progress = progress


def _work(job: Job) -> Built:
    return build_source(job, _progress.report)


def _context() -> Any:
    # A forked copy of a process with running threads can hang; a spawned one cannot.
    return multiprocessing.get_context("spawn")


def _executor(workers: int, progress: _Progress) -> Executor:
    if workers == 1:
        return ThreadPoolExecutor(1, initializer=_start_worker, initargs=(progress,))
    return ProcessPoolExecutor(
        workers, mp_context=_context(), initializer=_start_worker, initargs=(progress,)
    )


def _file_size(job: Job) -> int:
    return job.source.file(job.recipe.root).stat().st_size


def _watch(futures: list[Future[Built]], progress: _Progress) -> None:
    """Show the progress until all are done; raise the error of the first that fails."""
    start, waiting = time.monotonic(), set(futures)
    with tqdm(unit=tr(" documents", " 篇"), unit_scale=True, disable=None) as bar:
        while waiting:
            done, waiting = wait(waiting, timeout=POLL_SECONDS)
            for future in done:
                future.result()
            documents, tokens = progress.read()
            rate = tokens / max(time.monotonic() - start, 1e-9)
            bar.set_postfix_str(f"{rate:,.0f} tokens/s", refresh=False)
            bar.update(documents - bar.n)
