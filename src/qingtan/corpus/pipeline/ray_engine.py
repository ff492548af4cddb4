"""Runs the stages on a Ray cluster, through Ray Data.

A source, and then a task, is one row of a Ray data set, pickled: Ray may join blocks of rows as it
likes and never cuts a row, so the pieces are those of any other engine. The results lie in the
build's folder, which every node must see under the same path.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np

from qingtan.corpus.pipeline.workspace import Interrupted
from qingtan.errors import UserError

try:
    import ray
    import ray.data
except ImportError:
    raise UserError("the engine ray needs Ray: install qingtan with its extra `cluster`") from None

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

# Reading waits for the disk most of the time. Another number than a task's keeps Ray from fusing
# the two, which would work on a whole source in one place.
READER_CPUS = 0.5

Batch = dict[str, Any]


class RayEngine:
    """A cluster, named by RAY_ADDRESS, or else this machine as a cluster of its own."""

    def __init__(self) -> None:
        self._started = not ray.is_initialized()
        if self._started:
            ray.init(log_to_driver=False, configure_logging=False)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False

    def run(
        self, sources: Iterable[S], expand: Callable[[S], Iterable[T]], work: Callable[[T], R]
    ) -> Iterator[R]:
        """See `Engine`."""
        rows = [{"data": pickle.dumps(source)} for source in sources]
        tasks = ray.data.from_items(rows, override_num_blocks=max(len(rows), 1)).map_batches(
            partial(_expand, expand), batch_size=1, num_cpus=READER_CPUS
        )
        results = tasks.map_batches(partial(_work, work), batch_size=1, num_cpus=1)
        try:
            for batch in results.iter_batches(batch_size=1):
                for data in batch["data"]:
                    result = pickle.loads(data)
                    if isinstance(result, UserError):
                        raise result
                    yield result
        except ray.exceptions.RayError as error:
            raise Interrupted(
                f"the Ray cluster lost a task; the same command goes on from here: {error}"
            ) from None

    def close(self) -> None:
        """See `Engine`."""
        if self._started:
            ray.shutdown()


def _expand(expand: Callable[[S], Iterable[T]], batch: Batch) -> Iterator[Batch]:
    for data in batch["data"]:
        try:
            for task in expand(pickle.loads(data)):
                yield _column([task])
        except UserError as error:
            yield _column([error])


def _work(work: Callable[[T], R], batch: Batch) -> Batch:
    return _column([_result(work, pickle.loads(data)) for data in batch["data"]])


def _result(work: Callable[[T], R], task: T | UserError) -> R | UserError:
    # An exception would go through Ray as a text of its own; a result stays what it is.
    if isinstance(task, UserError):
        return task
    try:
        return work(task)
    except UserError as error:
        return error


def _column(values: Iterable[Any]) -> Batch:
    return {"data": np.array([pickle.dumps(value) for value in values], dtype=object)}
