"""What requests have of a step, and the tokens that are drawn for those that generate."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qingtan import native
from qingtan.engine.requests import Generation, Work
from qingtan.engine.runner import Chunk, StepResult
from qingtan.errors import UserError

Logits = NDArray[np.float32]
Masks = NDArray[np.int32]
_NONE = np.zeros((0, 0), np.float32)


@dataclass
class Part:
    """A request's part in a step.

    Attributes:
        work, chunk: the request, and what is computed of it.
        logits: float32 (chunk.logits, columns); the columns may be more than the vocabulary.
        hidden: float32 (hidden_size,) where the chunk asked for it.
        drawn: the next tokens of a generation: one, and one more for each guess that came true.
        error: why none could be drawn.
    """

    work: Work
    chunk: Chunk
    logits: Logits = field(default_factory=lambda: _NONE)
    hidden: NDArray[np.float32] | None = None
    drawn: list[int] = field(default_factory=list)
    error: Exception | None = None

    @property
    def draws(self) -> bool:
        """Whether the step gives a generation its next token."""
        return isinstance(self.work, Generation) and self.chunk.logits > 0

    @property
    def drafts(self) -> list[int]:
        """The guesses that the step checks: the last of a generation's tokens in it."""
        return list(self.chunk.tokens[len(self.chunk.tokens) + 1 - self.chunk.logits :])

    @property
    def end(self) -> int:
        """How many of the request's tokens, guesses among them, are computed after the step."""
        return self.chunk.start + len(self.chunk.tokens)


def hand_out(parts: Sequence[Part], result: StepResult) -> None:
    """Give each part its rows of a step's result."""
    row, hidden = 0, iter(result.hidden)
    for part in parts:
        part.logits = result.logits[row : row + part.chunk.logits]
        row += part.chunk.logits
        if part.chunk.hidden:
            part.hidden = next(hidden)


def mask_rows(parts: Sequence[Part], vocab: int) -> Masks | None:
    """Return which tokens grammars allow, for each row of logits to draw from.

    Args:
        parts: of generations.

    Returns:
        int32 (Σ chunk.logits, ⌈vocab / 32⌉), a bit for each token; None where no generation has a
        grammar.
    """
    if not any(_generation(part).grammar for part in parts):
        return None
    masks = np.full((sum(part.chunk.logits for part in parts), -(-vocab // 32)), -1, np.int32)
    row = 0
    for part in parts:
        grammar, rows = _generation(part).grammar, part.chunk.logits
        if grammar is not None:
            try:
                grammar.masks(part.drafts, masks[row : row + rows])
            except UserError as error:  # it has become too complex
                part.error = error
        row += rows
    return masks


def draw(parts: Sequence[Part], logits: Logits, masks: Masks | None, pool: native.Pool) -> None:
    """Draw the next tokens of all parts; a part that cannot gets an error.

    Args:
        parts: of generations.
        logits: (Σ chunk.logits, columns), the parts' own one after the other.
        masks: see `mask_rows`.
    """
    rows = np.array([part.chunk.logits for part in parts], np.int32)
    drafts = np.array([token for part in parts for token in part.drafts], np.int32)
    samplers = [_generation(part).sampler for part in parts]
    try:
        drawn = native.draw_all(samplers, logits, rows, drafts, masks, pool)
    except (FloatingPointError, ValueError) as error:
        # The model broke on one sequence, or a grammar allows nothing: the others must go on.
        if len(parts) == 1:
            parts[0].error = error
            return
        starts = np.cumsum(rows) - rows
        for part, start, count in zip(parts, starts, rows, strict=True):
            own = slice(start, start + count)
            draw([part], logits[own], None if masks is None else masks[own], pool)
        return
    for part, tokens in zip(parts, drawn, strict=True):
        part.drawn = tokens


def _generation(part: Part) -> Generation:
    assert isinstance(part.work, Generation)
    return part.work
