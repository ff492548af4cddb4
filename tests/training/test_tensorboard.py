"""Events, read back with TensorBoard's own reader."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from qingtan.errors import UserError
from qingtan.training.tensorboard import open_writer

pytest.importorskip("tensorboard")


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_numbers_are_written_under_their_names(tmp_path: Path) -> None:
    board = open_writer(tmp_path, wanted=True)
    board.start(0)
    board.add(3, {"step": 3, "tokens": 192, "loss": 2.5, "parts": {"kl": 0.25}, "note": "text"})
    board.add(3, {"step": 3, "tokens": 192, "bits_per_byte": {"诗": 1.5, "talks": 2.0}})
    board.close()
    assert read(tmp_path) == {
        "tokens": [(3, 192.0), (3, 192.0)],
        "loss": [(3, 2.5)],
        "parts/kl": [(3, 0.25)],
        "bits_per_byte/诗": [(3, 1.5)],
        "bits_per_byte/talks": [(3, 2.0)],
    }


def test_a_resumed_run_drops_what_was_after_its_checkpoint(tmp_path: Path) -> None:
    board = open_writer(tmp_path, wanted=True)
    board.start(0)
    for step in range(1, 7):
        board.add(step, {"loss": 10.0 + step})
    board.close()
    board = open_writer(tmp_path, wanted=True)
    board.start(4)
    for step in range(5, 9):
        board.add(step, {"loss": 20.0 + step})
    board.close()
    kept = [(step, 10.0 + step) for step in range(1, 5)]
    assert read(tmp_path)["loss"] == kept + [(step, 20.0 + step) for step in range(5, 9)]


def test_nothing_is_written_where_it_is_not_wanted(tmp_path: Path) -> None:
    board = open_writer(tmp_path, wanted=False)
    board.start(0)
    board.add(1, {"loss": 1.0})
    board.close()
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "torch.utils.tensorboard":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r'^tensorboard: .* pip install "qingtan\[tensorboard\]"'):
        open_writer(tmp_path, wanted=True)
