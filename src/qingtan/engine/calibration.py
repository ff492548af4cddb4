"""A model packed with compensated rounding, layer by layer, by what each layer gets to see.

Texts are run through the model in float32 with numpy, so nothing but one layer's weights and the
stream of the texts' tokens is held. A matrix's inputs are those that the rounded matrices before
it give, so that it makes up for their errors too.
"""

from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qingtan.engine.gptq import pack_compensated
from qingtan.engine.sources import Source
from qingtan.errors import UserError
from qingtan.glm.config import GLMConfig
from qingtan.glm.packed import Tensor, unpack
from qingtan.glm.quantization import Quantization
from qingtan.native import Matrix, Pool

# Tokens of a text: the weights of one head's attention are as many numbers, squared.
LONGEST = 1024

Floats = NDArray[np.float32]
Products = NDArray[np.float64]
# Yields a tensor by its name, and returns it in float32 as it is from then on.
Yielding = Generator[tuple[str, Tensor], None, Floats]


class Calibration:
    """Packs a model's tensors one after another.

    Args:
        source: the model, of plain floats.
        target: the precisions; that of the layers int8 or int4.
        sequences: token ids of texts; longer ones than `LONGEST` or the model's context go on as
            further ones.
        pool: the threads that pack; those of the products are numpy's own.

    Raises:
        UserError: there is no token, or one that the model does not have.
    """

    def __init__(
        self, source: Source, target: Quantization, sequences: Sequence[Sequence[int]], pool: Pool
    ) -> None:
        self._source, self._target, self._pool = source, target, pool
        self._config = source.config
        longest = min(LONGEST, self._config.max_position_embeddings)
        self._texts = [
            np.array(tokens[begin : begin + longest], np.int64)
            for tokens in sequences
            for begin in range(0, len(tokens), longest)
        ]
        if not self._texts:
            raise UserError("the calibration's texts have no tokens: name a file that has text")
        if max(int(tokens.max()) for tokens in self._texts) >= self._config.vocab_size:
            raise UserError("the calibration's texts have tokens that the model does not have")
        self._stream: list[Floats] = []
        self._mixed: list[Floats] = []

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield our tensors by name, as `Source.tensors` does.

        Raises:
            UserError: a matrix holds numbers that cannot be packed; the message names it.
        """
        embedding = self._plain("embedding.weight")
        yield "embedding.weight", embedding
        assert isinstance(embedding, Matrix)
        table = unpack(embedding, self._pool)
        self._stream = [table[tokens] for tokens in self._texts]
        del table
        for number in range(self._config.num_hidden_layers):
            yield from self._attention(f"layers.{number}")
            yield from self._mlp(f"layers.{number}")
        yield "final_norm.weight", self._plain("final_norm.weight")
        if not self._config.tie_word_embeddings:
            yield "head.weight", self._plain("head.weight")

    def _attention(self, stem: str) -> Iterator[tuple[str, Tensor]]:
        """Pack a block's attention, and add it to the stream."""
        norm = yield from self._vector(f"{stem}.attention_norm.weight")
        bias = None
        if self._config.attention_bias:
            bias = yield from self._vector(f"{stem}.attention.qkv.bias")
        qkv = yield from self._packed(f"{stem}.attention.qkv.weight", self._normed(norm))
        self._mixed = []
        for x in self._normed(norm)():
            joint = x @ qkv.T
            self._mixed.append(attend(self._config, joint if bias is None else joint + bias))
        out = yield from self._packed(f"{stem}.attention.out.weight", lambda: iter(self._mixed))
        for x, mixed in zip(self._stream, self._mixed, strict=True):
            x += mixed @ out.T
        self._mixed = []

    def _mlp(self, stem: str) -> Iterator[tuple[str, Tensor]]:
        """Pack a block's feed-forward, and add it to the stream."""
        norm = yield from self._vector(f"{stem}.mlp_norm.weight")
        normed = self._normed(norm)
        gate_up = yield from self._packed(f"{stem}.mlp.gate_up.weight", normed)

        def activated() -> Iterator[Floats]:
            # Computed twice rather than held: they are several times as wide as the stream.
            return (_activate(x @ gate_up.T) for x in normed())

        down = yield from self._packed(f"{stem}.mlp.down.weight", activated)
        for x, active in zip(self._stream, activated(), strict=True):
            x += active @ down.T

    def _packed(self, name: str, inputs: Callable[[], Iterator[Floats]]) -> Yielding:
        """Yield a matrix packed by its inputs; return it in float32, rounded."""
        weights = self._source.floats(name, self._target)
        products = _sum_products(inputs(), weights.shape[1])
        try:
            matrix = pack_compensated(weights, products, self._target.precision, self._pool)
        except ValueError as error:
            raise UserError(f"{self._source.folder}: {name}: {error}") from None
        yield name, matrix
        return unpack(matrix, self._pool)

    def _vector(self, name: str) -> Yielding:
        """Yield a norm or a bias; return it."""
        vector = self._source.floats(name, self._target)
        yield name, vector
        return vector

    def _plain(self, name: str) -> Tensor:
        return self._source.tensor(name, self._target, self._pool)

    def _normed(self, norm: Floats) -> Callable[[], Iterator[Floats]]:
        """Return what gives the stream after a norm, text by text, each time that it is called."""
        epsilon = np.float32(self._config.rms_norm_eps)

        def normed() -> Iterator[Floats]:
            for x in self._stream:
                yield x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + epsilon) * norm

        return normed


def attend(config: GLMConfig, joint: Floats) -> Floats:
    """Return the causal attention of one text, (T, heads · head_dim) float32.

    Args:
        joint: (T, qkv_size) float32: queries, keys and values, before rotation.
    """
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    split = joint.reshape(len(joint), -1, config.head_dim).transpose(1, 0, 2)
    query, key, value = np.split(split, [heads, heads + groups])
    query, key = (_rotate(x, config.rope_theta) for x in (query, key))
    hidden = np.triu(np.full((len(joint), len(joint)), -np.inf, np.float32), 1)
    mixed = np.empty((heads, len(joint), config.head_dim), np.float32)
    share = heads // groups
    for head in range(heads):  # one after another, as they take T² numbers each
        scores = query[head] @ key[head // share].T
        scores *= np.float32(config.head_dim**-0.5)
        scores += hidden
        np.exp(scores - scores.max(1, keepdims=True), out=scores)
        scores /= scores.sum(1, keepdims=True)
        mixed[head] = scores @ value[head // share]
    return mixed.transpose(1, 0, 2).reshape(len(joint), -1)


def _rotate(x: Floats, theta: float) -> Floats:
    """Rotate interleaved pairs of the first half of each head, (heads, T, W)."""
    half = x.shape[2] // 2
    angles = np.arange(x.shape[1])[:, None] * theta ** -(np.arange(0, half, 2) / half)
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    even, odd = x[..., :half:2], x[..., 1:half:2]
    turned = x.copy()
    turned[..., :half:2] = even * cos - odd * sin
    turned[..., 1:half:2] = odd * cos + even * sin
    return turned


def _activate(gate_up: Floats) -> Floats:
    gate, up = np.split(gate_up, 2, axis=1)
    # Of a gate far below 0 the exponential is infinite, and the quotient 0, as it should be.
    with np.errstate(over="ignore"):
        activated: Floats = gate / (1 + np.exp(-gate)) * up
    return activated


def _sum_products(inputs: Iterator[Floats], width: int) -> Products:
    """Return Σ x xᵀ (width, width) over the rows x of all texts."""
    products = np.zeros((width, width))
    for x in inputs:
        products += x.T @ x
    return products
