"""A runner whose model is a function, for tests that must know what is said, and when."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from qingtan.engine.runner import Chunk, StepResult
from qingtan.glm.config import GLMConfig
from qingtan.glm.tokenizer import GLMTokenizer

NextToken = Callable[[list[int]], int]


@dataclass
class ScriptedRunner:
    """Puts all weight on the token that `next_token` names for the tokens so far.

    What it has seen it keeps in blocks as any runner does, and reads the tokens so far from them.

    Attributes:
        adapters: names that requests may give; the script is the same with all.
        gate: a step waits until it is set.
        steps: the chunks of each step.
        closed: whether its engine has closed it.
    """

    next_token: NextToken
    context: int = 400
    blocks: int = 500
    block_tokens: int = 4
    adapters: tuple[str, ...] = ()
    config: GLMConfig = field(default_factory=lambda: GLMConfig.named("tiny"))
    gate: threading.Event = field(default_factory=threading.Event)
    steps: list[list[Chunk]] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self.gate.set()
        self._blocks: dict[int, list[int]] = {}

    def prefix_tokens(self, adapter: str | None) -> int:
        return 0

    def forward(
        self, chunks: Sequence[Chunk], copies: Sequence[tuple[int, int]] = ()
    ) -> StepResult:
        assert self.gate.wait(30)
        self.steps.append(list(chunks))
        for source, target in copies:
            self._blocks[target] = list(self._blocks[source])
        rows = [row for chunk in chunks for row in self._rows(chunk)]
        hidden = [np.ones(self.config.hidden_size) for chunk in chunks if chunk.hidden]
        return StepResult(
            np.array(rows, np.float32).reshape(-1, self.config.vocab_size),
            np.array(hidden, np.float32).reshape(-1, self.config.hidden_size),
        )

    def close(self) -> None:
        self.closed = True

    def _rows(self, chunk: Chunk) -> list[np.ndarray]:
        kept = [token for block in chunk.blocks for token in self._blocks.get(block, ())]
        tokens = [*kept[: chunk.start], *chunk.tokens]
        assert len(kept) >= chunk.start
        for i, block in enumerate(chunk.blocks):
            assert 0 <= block < self.blocks
            self._blocks[block] = tokens[i * self.block_tokens : (i + 1) * self.block_tokens]
        return [
            self._row(tokens[: len(tokens) - chunk.logits + 1 + i]) for i in range(chunk.logits)
        ]

    def _row(self, tokens: list[int]) -> np.ndarray:
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
