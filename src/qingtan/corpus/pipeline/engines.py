"""What does the work of a stage: this process, a pool of processes, or a Ray cluster."""

import gc
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, Protocol, TypeVar

import pyarrow as pa

from qingtan.corpus.pipeline.workspace import Interrupted

# A source of tasks, a task, and its result.
S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

EngineName = Literal["local", "ray"]


class Engine(Protocol):
    """Runs a stage. Every task keeps its own result on disk, so their order is no matter."""

    def run(
        self, sources: Iterable[S], expand: Callable[[S], Iterable[T]], work: Callable[[T], R]
    ) -> Iterator[R]:
        """Yield `work(task)` of every task that `expand` finds in a source, in any order.

        The functions and what goes through them must be picklable.

        Raises:
            UserError: as the functions do.
            Interrupted: a worker was killed.
        """

    def close(self) -> None:
        """End the workers."""


class Inline:
    """Works in this process, one task after another."""

    def run(
        self, sources: Iterable[S], expand: Callable[[S], Iterable[T]], work: Callable[[T], R]
    ) -> Iterator[R]:
        """See `Engine`."""
        for source in sources:
            for task in expand(source):
                yield work(task)

    def close(self) -> None:
        """See `Engine`."""


class Pool:
    """Reads in this process and works in others.

    Holds at most two tasks a worker, so that memory stays flat however much there is to read.
    """

    def __init__(self, workers: int) -> None:
        self._waiting = 2 * workers
        # A forked copy of a process with running threads can hang; a spawned one cannot.
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)

    def run(
        self, sources: Iterable[S], expand: Callable[[S], Iterable[T]], work: Callable[[T], R]
    ) -> Iterator[R]:
        """See `Engine`."""
        running: deque[Future[R]] = deque()
        try:
            for source in sources:
                for task in expand(source):
                    running.append(self._executor.submit(_work_and_tidy, work, task))
                    while len(running) >= self._waiting:
                        yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except BrokenProcessPool:
            raise Interrupted(
                "a worker process was killed, perhaps for want of memory; the same command goes "
                "on from here, with fewer --workers if it happens again"
            ) from None
        finally:
            for future in running:
                future.cancel()

    def close(self) -> None:
        """See `Engine`."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C reaches every process of a terminal; the first of them ends the others in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # There is a process for every core; threads of the libraries would only get in their way.
    os.environ["RAYON_NUM_THREADS"] = "1"
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    # A batch makes millions of objects, none of them in circles; looking for circles while it is
    # worked on takes a tenth of the time. What is imported by now stays for good.
    gc.freeze()
    gc.disable()


def _work_and_tidy(work: Callable[[T], R], task: T) -> R:
    result = work(task)
    gc.collect()
    return result


def make_engine(name: EngineName, workers: int) -> Engine:
    """Return an engine.

    Args:
        workers: processes of the local engine; a Ray cluster uses all that it has.

    Raises:
        UserError: Ray is not installed.
    """
    if name == "ray":
        from qingtan.corpus.pipeline.ray_engine import RayEngine

        return RayEngine()
    return Pool(workers) if workers > 1 else Inline()
