"""What is to be done, the same for every side, and what comes of it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from qingtan.files import read_json, write_json

Task = Literal["pretraining", "fine-tuning", "distillation"]
TASKS: tuple[Task, ...] = ("pretraining", "fine-tuning", "distillation")
WORK_FILE = "work.json"
MODEL, TEACHER, CORPUS = "model", "teacher", "corpus"


@dataclass(frozen=True)
class Work:
    """A training run; its folder holds a corpus, a model to start from, and perhaps a teacher.

    Attributes:
        size: the model's, by name.
        length: T, the tokens of a full row.
        rows: full rows of an update, which is one forward pass.
        warmup: updates before the clock starts.
        steps: updates in all.
        precision: of the products, float32 or bfloat16.
        ce_weight: the share of cross-entropy in a distillation's loss; KL has the rest.
    """

    task: Task
    size: str
    length: int
    rows: int
    warmup: int
    steps: int
    device: str
    precision: str
    seed: int = 0
    learning_rate: float = 3e-4
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip_norm: float = 1.0
    ce_weight: float = 0.5

    @classmethod
    def read(cls, folder: Path) -> "Work":
        """Return what a folder is for."""
        return cls(**read_json(folder / WORK_FILE))

    def write(self, folder: Path) -> None:
        """Say what a folder is for."""
        write_json(folder / WORK_FILE, asdict(self))


@dataclass(frozen=True)
class Result:
    """What came of it.

    Attributes:
        tokens_per_second: useful tokens, those of documents and not of padding.
        filled: the share of useful tokens in all that went through the model.
        peak: bytes of memory at most: the process's, or those allocated on the GPU.
        first_loss: the loss of the first update, in nats a token.
        mfu: the arithmetic that the useful tokens need, by what the machine can do in that time;
            None where that is not known.
    """

    tokens_per_second: float
    filled: float
    peak: int
    first_loss: float
    mfu: float | None = None

    @classmethod
    def parse(cls, output: str) -> "Result":
        """Read the last line of a side's output."""
        return cls(**json.loads(output.splitlines()[-1]))

    def print(self) -> None:
        """Write it where `parse` finds it."""
        print(json.dumps(asdict(self)), flush=True)


def peak_memory(device: str) -> int:
    """Return the most memory that this process has held, in bytes.

    On a CPU not `getrusage`, whose peak a process takes over from the one that started it.
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
