"""What the machine can do at most, measured, and what that would make of each kind of work."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from engine_peers.precisions import PRECISIONS
from qingtan.glm.config import GLMConfig

SOURCE = Path(__file__).with_name("ceilings.cpp")
# Bits of a weight with its share of a scale (fp16, one for 32 weights), and what multiplies it.
BITS = {"float32": 32.0, "int8": 8.5, "int4": 4.5}
PRODUCTS = {"float32": "float32", "int8": "int8", "int4": "int8"}
TARGETS = {"native": "native", "avx2": "haswell"}  # what g++ calls the instructions


def build(folder: Path, instructions: str) -> Path:
    """Return the program that measures, compiled where it is not yet.

    Args:
        folder: where it lies.
        instructions: a key of TARGETS.

    Raises:
        RuntimeError: g++ is missing or cannot compile it.
    """
    program = folder / f"ceilings-{instructions}"
    if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
        folder.mkdir(parents=True, exist_ok=True)
        flags = ["-std=c++20", "-O3", f"-march={TARGETS[instructions]}", "-pthread"]
        try:
            subprocess.run(["g++", *flags, str(SOURCE), "-o", str(program)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise RuntimeError(f"{SOURCE}: g++ cannot compile it: {error}") from None
    return program


def measure(program: Path, threads: int) -> dict[str, float]:
    """Return bytes read ("read") and operations ("float32", "int8") a second."""
    done = subprocess.run([program, str(threads)], check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


@dataclass(frozen=True)
class Ceiling:
    """How fast a model can be at most.

    Of a step the larger counts: the time to read all weights once, or that of the products with
    them. Attention, and keys and values, are left out, so the truth is somewhat lower; it is higher
    for a model that the processor's cache holds.

    Attributes:
        config: the model's shape.
        precision: of the weights, a key of PRECISIONS.
        machine: as `measure` returns it.
    """

    config: GLMConfig
    precision: str
    machine: dict[str, float]

    def seconds(self, tokens: int, outputs: int) -> float:
        """Return those of a step of so many tokens, with logits for so many of them."""
        operations = 2 * (self._body * tokens + self._head * outputs)
        products = self.machine[PRODUCTS[PRECISIONS[self.precision][0]]]
        return max(self.bytes / self.machine["read"], operations / products)

    @property
    def bytes(self) -> float:
        """Those of the weights that a step multiplies with, the head's included."""
        body, head = (BITS[part] for part in PRECISIONS[self.precision])
        return (self._body * body + self._head * head) / 8

    @property
    def _head(self) -> int:
        return self.config.vocab_size * self.config.hidden_size

    @property
    def _body(self) -> int:
        tables = 1 if self.config.tie_word_embeddings else 2
        return self.config.num_parameters - tables * self._head
