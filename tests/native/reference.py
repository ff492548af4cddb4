"""A model of random weights, in the native form and as plain numpy in float64."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from tests.native.packed import GROUP, largest, to_bf16

from qingtan.native import Cache, Kernels, Layer, Matrix, Model, Pool

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
PLACES = ("qkv", "out", "gate_up", "down")
BLOCK_TOKENS = 8
NO_ADAPTER = -1


@dataclass(frozen=True)
class Shape:
    """Small, and odd where it may be."""

    heads: int = 6
    groups: int = 2
    head_dim: int = 16
    hidden: int = 64
    ffn: int = 96
    layers: int = 3
    vocabulary: int = 77
    context: int = 320
    epsilon: float = 1e-5
    theta: float = 10_000.0
    bias: bool = True
    tied: bool = False

    @property
    def columns(self) -> int:
        return (self.heads + 2 * self.groups) * self.head_dim

    def matrices(self) -> dict[str, tuple[int, int]]:
        return {
            "qkv": (self.columns, self.hidden),
            "out": (self.hidden, self.heads * self.head_dim),
            "gate_up": (2 * self.ffn, self.hidden),
            "down": (self.hidden, self.ffn),
        }


def random_weights(shape: Shape, seed: int = 0) -> dict[str, Floats]:
    """Names as in glm/model.py, "3.qkv" for a layer's."""
    rng = np.random.default_rng(seed)

    def normal(*size: int, scale: float = 1.0, mean: float = 0.0) -> Floats:
        return (mean + scale * rng.standard_normal(size)).astype(np.float32)

    weights = {
        "embedding": normal(shape.vocabulary, shape.hidden),
        "final_norm": normal(shape.hidden, scale=0.2, mean=1),
    }
    if not shape.tied:
        weights["head"] = normal(shape.vocabulary, shape.hidden, scale=shape.hidden**-0.5)
    for i in range(shape.layers):
        for place, (n, k) in shape.matrices().items():
            weights[f"{i}.{place}"] = normal(n, k, scale=k**-0.5)
        for norm in ("attention_norm", "mlp_norm"):
            weights[f"{i}.{norm}"] = normal(shape.hidden, scale=0.2, mean=1)
        if shape.bias:
            weights[f"{i}.bias"] = normal(shape.columns, scale=0.3)
    return weights


class Native:
    """The native model of some weights; `weights` are then what its formats have made of them."""

    def __init__(
        self,
        shape: Shape,
        weights: dict[str, Floats],
        formats: dict[str, str] | str,
        kernels: Kernels | None,
        pool: Pool,
    ) -> None:
        self.shape, self.weights, self.pool = shape, dict(weights), pool
        self.formats = formats
        self.model = Model(
            heads=shape.heads,
            groups=shape.groups,
            head_dim=shape.head_dim,
            context=shape.context,
            epsilon=shape.epsilon,
            theta=shape.theta,
            embedding=self.matrix("embedding"),
            layers=[self.layer(i) for i in range(shape.layers)],
            final_norm=weights["final_norm"],
            head=None if shape.tied else self.matrix("head"),
            pool=pool,
            kernels=kernels,
        )

    def matrix(self, name: str) -> Matrix:
        place = name.split(".")[-1]
        fmt = self.formats if isinstance(self.formats, str) else self.formats[place]
        rows = self.weights[name]
        packed = Matrix(to_bf16(rows) if fmt == "bf16" else rows, fmt, self.pool)
        rounded = np.empty(packed.shape, np.float32)
        packed.unpack(rounded, self.pool)
        self.weights[name] = rounded
        return packed

    def layer(self, i: int) -> Layer:
        return Layer(
            attention_norm=self.weights[f"{i}.attention_norm"],
            mlp_norm=self.weights[f"{i}.mlp_norm"],
            qkv_bias=self.weights.get(f"{i}.bias"),
            qkv=self.matrix(f"{i}.qkv"),
            out=self.matrix(f"{i}.out"),
            gate_up=self.matrix(f"{i}.gate_up"),
            down=self.matrix(f"{i}.down"),
        )

    def cache(self, blocks: int = 128) -> Cache:
        shape = self.shape
        return Cache(shape.layers, shape.groups, shape.head_dim, blocks, BLOCK_TOKENS)


@dataclass
class Chunk:
    """The part of one sequence in a step. Every token's logits are asked for."""

    tokens: Sequence[int]
    table: Sequence[int]
    start: int = 0
    prefix: int = 0
    adapter: int = NO_ADAPTER
    hidden: bool = field(default=False)

    def part(self, begin: int, end: int) -> "Chunk":
        return replace(self, tokens=self.tokens[begin:end], start=self.start + begin)


def forward(
    native: Native, cache: Cache, sequences: Sequence[Chunk]
) -> tuple[list[Floats], Floats]:
    """Logits of each sequence's tokens (rows, V), and the sums of hidden states (M, D)."""
    tokens = np.array([token for one in sequences for token in one.tokens], np.int32)
    numbers = [[len(one.tokens), one.start, one.prefix, one.adapter] for one in sequences]
    tables = np.full((len(sequences), max(len(one.table) for one in sequences)), -1, np.int32)
    for i, one in enumerate(sequences):
        tables[i, : len(one.table)] = one.table
    pooled = np.array([i for i, one in enumerate(sequences) if one.hidden], np.int32)
    logits = np.full((len(tokens), native.shape.vocabulary), np.nan, np.float32)
    hidden = np.full((len(pooled), native.shape.hidden), np.nan, np.float32)
    native.model.forward(
        tokens,
        np.array(numbers, np.int32),
        tables,
        np.arange(len(tokens), dtype=np.int32),
        cache,
        logits,
        pooled,
        hidden,
    )
    ends = np.cumsum([len(one.tokens) for one in sequences])
    return np.split(logits, ends[:-1]), hidden


class _Weights:
    """Weights in float64, and products with them."""

    def __init__(
        self, weights: dict[str, Floats], formats: dict[str, str] | str, kernels: Kernels | None
    ) -> None:
        self._weights = {name: array.astype(np.float64) for name, array in weights.items()}
        self._formats = formats
        self._kernels = kernels

    def __getitem__(self, name: str) -> Doubles:
        return self._weights[name]

    def product(self, name: str, x: Doubles) -> Doubles:
        fmt = (
            self._formats if isinstance(self._formats, str) else self._formats[name.split(".")[-1]]
        )
        x = _rounded_groups(x, self._kernels) if fmt in ("q8", "q4") else x
        result: Doubles = x @ self._weights[name].T
        return result


def _rounded_groups(x: Doubles, kernels: Kernels | None) -> Doubles:
    groups = x.reshape(len(x), -1, GROUP)
    scales = largest(groups, kernels)[..., None] / 127
    rounded: Doubles = np.rint(groups / scales) * scales
    return rounded.reshape(x.shape)


def reference(
    shape: Shape,
    weights: dict[str, Floats],
    tokens: Sequence[int],
    prefix: NDArray[np.float32] | None = None,
    round_cache: bool = True,
    formats: dict[str, str] | str = "f32",
    kernels: Kernels | None = None,
) -> tuple[Doubles, Doubles]:
    """Logits (T, V) and hidden states (T, D) of one sequence, in float64.

    `prefix` (layers, 2, G, P, W) stands before it. With `round_cache` keys and values are rounded
    to fp16, as the cache rounds them. Where `formats` say q8 or q4, what the weights multiply is
    rounded as native/kernels.h has it for these kernels.
    """
    w = _Weights(weights, formats, kernels)
    x = w["embedding"][np.asarray(tokens)]
    for i in range(shape.layers):
        mixed = _attention(shape, w, i, x, prefix, round_cache)
        x = x + w.product(f"{i}.out", mixed)
        normed = _norm(x, w[f"{i}.mlp_norm"], shape.epsilon)
        gate, up = np.split(w.product(f"{i}.gate_up", normed), 2, axis=1)
        x = x + w.product(f"{i}.down", gate / (1 + np.exp(-gate)) * up)
    hidden = _norm(x, w["final_norm"], shape.epsilon)
    return w.product("embedding" if shape.tied else "head", hidden), hidden


def _norm(x: Doubles, weight: Doubles, epsilon: float) -> Doubles:
    normed: Doubles = x / np.sqrt((x**2).mean(1, keepdims=True) + np.float32(epsilon)) * weight
    return normed


def _attention(
    shape: Shape,
    w: _Weights,
    i: int,
    x: Doubles,
    prefix: NDArray[np.float32] | None,
    round_cache: bool,
) -> Doubles:
    normed = _norm(x, w[f"{i}.attention_norm"], shape.epsilon)
    joint = w.product(f"{i}.qkv", normed)
    if shape.bias:
        joint = joint + w[f"{i}.bias"]
    heads = joint.reshape(len(x), -1, shape.head_dim).transpose(1, 0, 2)
    query, key, value = np.split(heads, [shape.heads, shape.heads + shape.groups])
    query, key = _rotated(query, shape.theta), _rotated(key, shape.theta)
    if prefix is not None:
        key = np.concatenate([prefix[i, 0], key], axis=1)
        value = np.concatenate([prefix[i, 1], value], axis=1)
    if round_cache:
        key, value = (array.astype(np.float16).astype(np.float64) for array in (key, value))
    share = shape.heads // shape.groups
    key, value = key.repeat(share, 0), value.repeat(share, 0)
    scores = query @ key.transpose(0, 2, 1) * shape.head_dim**-0.5
    seen = np.arange(key.shape[1]) <= np.arange(len(x))[:, None] + key.shape[1] - len(x)
    scores = np.where(seen, scores, -np.inf)
    attention = np.exp(scores - scores.max(2, keepdims=True))
    mixed: Doubles = attention / attention.sum(2, keepdims=True) @ value
    return mixed.transpose(1, 0, 2).reshape(len(x), -1)


def _rotated(x: Doubles, theta: float) -> Doubles:
    """Interleaved pairs of the first half of each head (heads, T, W); float32 angles."""
    half = x.shape[2] // 2
    exponents = (np.arange(0, half, 2, dtype=np.float32) / half).astype(np.float64)
    frequencies = (theta**-exponents).astype(np.float32)
    angles = np.arange(x.shape[1], dtype=np.float32)[:, None] * frequencies
    turned = x[..., :half:2] + 1j * x[..., 1:half:2]
    turned = turned * np.exp(1j * angles.astype(np.float64))
    pairs = np.stack([turned.real, turned.imag], axis=-1).reshape(*x.shape[:2], half)
    return np.concatenate([pairs, x[..., half:]], axis=2)


PLAIN = Shape()


def native(
    shape: Shape, kernels: Kernels | None, pool: Pool, formats: str | dict[str, str] = "f32"
) -> Native:
    return Native(shape, random_weights(shape), formats, kernels, pool)


Pairs = list[dict[str, tuple[Floats, Floats]]]


def low_rank(model: Native, rank: int, seed: int, places: tuple[str, ...] = PLACES) -> Pairs:
    rng = np.random.default_rng(seed)

    def pair(n: int, k: int) -> tuple[Floats, Floats]:
        down = rng.standard_normal((rank, k)) * k**-0.5
        up = rng.standard_normal((n, rank)) * (0.3 * rank**-0.5)
        return down.astype(np.float32), up.astype(np.float32)

    shapes = model.shape.matrices()
    return [{place: pair(*shapes[place]) for place in places} for _ in range(model.shape.layers)]


def packed(adapter: Pairs, pool: Pool) -> list[dict[str, tuple[Matrix, Matrix] | None]]:
    return [
        {
            place: (Matrix(down, "f32", pool), Matrix(up, "f32", pool))
            for place, (down, up) in layer.items()
        }
        for layer in adapter
    ]
