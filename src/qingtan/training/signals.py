"""Ctrl-C while a run is between two steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def held_back_signals() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and a polite kill into a flag that is looked at between steps.

    A second Ctrl-C stops at once, but not under torchrun, which passes the first one on again.
    """
    pressed = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(*_: Any) -> None:
        nonlocal pressed
        pressed = True
        if not torch.distributed.is_initialized():
            restore()

    for number in signals:
        signal.signal(number, note)
    try:
        yield lambda: pressed
    finally:
        restore()
