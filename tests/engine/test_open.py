"""Which engine opens a model, and what is said of options that do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qingtan.engine.native_runner import NativeRunner
from qingtan.engine.open import RunnerOptions, open_runner
from qingtan.engine.runner import Chunk, Runner
from qingtan.engine.torch_runner import TorchRunner
from qingtan.errors import UserError

from .sequences import Floats, tokens

SMALL: dict[str, Any] = {"context": 64, "cache_bytes": 1 << 20, "threads": 1}


def opened(folder: Path, **options: Any) -> Runner:
    return open_runner(folder, RunnerOptions(**{**SMALL, **options}))


def logits(runner: Runner) -> Floats:
    return runner.forward([Chunk(tokens(40, 1), 0, range(3), logits=40)]).logits.copy()


def distance(one: Floats, other: Floats) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(one))


def test_the_native_engine_is_a_processors_and_torch_can_be_asked_for(
    tiny_checkpoint: Path,
) -> None:
    default, native = opened(tiny_checkpoint), opened(tiny_checkpoint, engine="native")
    torch = opened(tiny_checkpoint, engine="torch")
    assert isinstance(default, NativeRunner)
    assert isinstance(native, NativeRunner)
    assert isinstance(torch, TorchRunner)
    assert np.array_equal(logits(default), logits(native))
    assert distance(logits(torch), logits(native)) < 1e-3


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_options_reach_the_engine(tiny_checkpoint: Path, engine: str) -> None:
    small, large = (opened(tiny_checkpoint, engine=engine, cache_bytes=n << 20) for n in (1, 2))
    assert small.context == large.context == 64
    assert 1.9 < large.blocks / small.blocks < 2.1
    assert opened(tiny_checkpoint, engine=engine, context=None).context == 1024


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_bfloat16_is_less_exact_than_the_default(tiny_checkpoint: Path, engine: str) -> None:
    exact = logits(opened(tiny_checkpoint, engine=engine))
    assert np.array_equal(exact, logits(opened(tiny_checkpoint, engine=engine, dtype="float32")))
    rounded = logits(opened(tiny_checkpoint, engine=engine, dtype="bfloat16"))
    assert 1e-3 < distance(exact, rounded) < 2e-2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "abacus"}, "engine 'abacus' is none of native, torch"),
        ({"engine": "native", "device": "cuda"}, "on the CPU, not on 'cuda'"),
        ({"dtype": "int3"}, "'int3' is none of the native engine's: float32, bfloat16, int8, int4"),
        ({"dtype": "float16"}, "'float16' is none of"),
        ({"engine": "torch", "dtype": "int8"}, "dtype 'int8' is none of float32, bfloat16"),
        ({"cache_bytes": 1000}, "one context of 64 tokens takes"),
    ],
)
def test_what_does_not_fit_is_said(
    tiny_checkpoint: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        opened(tiny_checkpoint, **options)
