"""The metrics of a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qingtan.errors import UserError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """Takes the lines of metrics.jsonl; without a kind of writer it takes them for nothing."""

    def __init__(self, folder: Path, kind: type[SummaryWriter] | None) -> None:
        self._folder = folder
        self._kind = kind
        self._writer: SummaryWriter | None = None

    def start(self, step: int) -> None:
        """Open the files; what an interrupted run wrote of steps after this one is dropped.

        Args:
            step: the last one that is done, from 1; 0 at the start.
        """
        if self._kind is not None:
            self._writer = self._kind(str(self._folder), purge_step=step + 1)

    def add(self, step: int, entry: Mapping[str, Any]) -> None:
        """Write each number of a line under its name, those of tables under `table/name`."""
        if self._writer is not None:
            for name, value in _numbers(entry, ""):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still held back; what is added later opens the files anew."""
        if self._writer is not None:
            self._writer.close()


def open_writer(folder: Path, wanted: bool) -> Board:
    """Make ready to write a run's metrics for TensorBoard into a folder.

    Args:
        wanted: the recipe's `tensorboard`; without it nothing is imported or written.

    Raises:
        UserError: it is wanted, and TensorBoard is not installed.
    """
    if not wanted:
        return Board(folder, None)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "tensorboard: the package is not installed; take the field out of the recipe, or "
            'pip install "qingtan[tensorboard]"'
        ) from None
    return Board(folder, SummaryWriter)


def _numbers(entry: Mapping[str, Any], path: str) -> Iterator[tuple[str, float]]:
    for name, value in entry.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{path}{name}/")
        elif isinstance(value, int | float) and f"{path}{name}" != "step":
            yield f"{path}{name}", value
