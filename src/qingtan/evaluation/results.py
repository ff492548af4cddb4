"""What an evaluation found: `results.json`, of which reports and model cards are written."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from qingtan.errors import UserError
from qingtan.evaluation.metrics.metric import Unit
from qingtan.files import write_text

RESULTS_FILE = "results.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Estimate(_Record):
    """A figure with its interval of 95%, by the bootstrap over the items."""

    value: float
    low: float
    high: float


class Figure(_Record):
    """One metric of one task."""

    name: str
    english: str
    chinese: str
    unit: Unit
    higher_is_better: bool
    items: int
    """Items that the figure is made of."""
    model: Estimate
    baseline: Estimate | None = None
    """The same metric of the task's trivial baseline."""
    gain: Estimate | None = None
    """How much better than the baseline the model is, paired by item: above 0 is better, whichever
    way the metric points."""

    @property
    def verdict(self) -> Literal["better", "level", "worse"] | None:
        """Whether the interval of the gain lies above 0, around it or below; None without one."""
        if self.gain is None:
            return None
        return "better" if self.gain.low > 0 else "worse" if self.gain.high < 0 else "level"


class TaskResult(_Record):
    """One task."""

    name: str
    english: str
    chinese: str
    file: str
    asked: int
    """Items that were asked."""
    available: int
    """Items that the file has for the task."""
    too_long: int = 0
    """Items that do not fit the model's context; they count as wrong, with an empty answer."""
    baseline_english: str = ""
    baseline_chinese: str = ""
    figures: tuple[Figure, ...]
    """The first is the headline."""


class Conversation(_Record):
    """A conversation as it came."""

    messages: tuple[dict[str, str], ...]
    """OpenAI's messages, the model's answers included."""
    ended: bool
    """The last answer ended by itself."""


class Results(_Record):
    """A whole evaluation."""

    format: Literal[1] = 1
    model: str
    """The name or folder that was given."""
    weights_sha256: str
    """Of the checkpoint's tensors: the files' digests, in the order of their names."""
    parameters: int
    version: str
    """Qingtan's."""
    date: str
    device: str
    seconds: float
    limit: int
    """The most items of a task; 0 is all."""
    seed: int
    temperature: float
    top_p: float
    repetition_penalty: float
    no_repeat_ngram_size: int = 0
    """The model's defaults in sampling, which the tasks with many good answers use; the others
    take the likeliest token with these penalties."""
    tasks: tuple[TaskResult, ...]
    overall: tuple[Figure, ...]
    """Over the answers of all tasks together."""
    held_out: dict[str, Estimate] = {}
    """Bits per byte of held-out text by source."""
    conversations: tuple[Conversation, ...] = ()

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read `results.json` of an evaluation's folder.

        Raises:
            UserError: it is missing or damaged.
        """
        path = Path(folder) / RESULTS_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{path}: no such file; make it with qingtan evaluate") from None
        except ValidationError as error:
            raise UserError(f"{path}: holds no results of an evaluation: {error}") from None

    def write(self, folder: str | Path) -> Path:
        """Write `results.json` into a folder, and return its path."""
        path = Path(folder) / RESULTS_FILE
        write_text(path, self.model_dump_json(indent=2) + "\n")
        return path
