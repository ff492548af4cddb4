"""A runner whose model is a function, for tests that must know what is said, and when."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from qingtan.engine.runner import Chunk
from qingtan.glm.config import GLMConfig
from qingtan.glm.tokenizer import GLMTokenizer

NextToken = Callable[[list[int]], int]


@dataclass
class ScriptedRunner:
    """Puts all weight on the token that `next_token` names for the tokens so far.

    Attributes:
        adapters: names that requests may give; the script is the same with all.
        gate: a step waits until it is set.
        steps: the chunks of each step.
    """

    next_token: NextToken
    slots: int = 2
    context: int = 400
    adapters: tuple[str, ...] = ()
    config: GLMConfig = field(default_factory=lambda: GLMConfig.named("tiny"))
    gate: threading.Event = field(default_factory=threading.Event)
    steps: list[list[Chunk]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()
        self._tokens: dict[int, list[int]] = {}

    def forward(self, batch: Sequence[Chunk]) -> np.ndarray:
        assert self.gate.wait(30)
        self.steps.append(list(batch))
        assert len({chunk.slot for chunk in batch}) == len(batch)
        return np.stack([self._row(chunk) for chunk in batch])

    def release(self, slot: int) -> None:
        del self._tokens[slot]

    def _row(self, chunk: Chunk) -> np.ndarray:
        tokens = self._tokens.setdefault(chunk.slot, [])
        assert 0 <= chunk.slot < self.slots
        assert chunk.start == len(tokens)
        tokens.extend(chunk.tokens)
        row = np.full(self.config.vocab_size, -100, np.float32)
        row[self.next_token(tokens)] = 100
        return row


def answers(tokenizer: GLMTokenizer, text: str) -> NextToken:
    """Answer every conversation with this text: an empty line of metadata, the text, the end."""
    return says(tokenizer, "\n", text)


def says(tokenizer: GLMTokenizer, metadata: str, content: str) -> NextToken:
    """Answer with a line of metadata (its line break included) and a content."""
    script = [*tokenizer.encode(metadata), *tokenizer.encode(content)]
    script.append(tokenizer.special_id("<|user|>"))
    opening = tokenizer.special_id("<|assistant|>")

    def next_token(tokens: list[int]) -> int:
        said = tokens[::-1].index(opening) if opening in tokens else 0
        return script[min(said, len(script) - 1)]

    return next_token
