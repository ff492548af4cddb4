"""The GLM in plain numpy, from its formulas, over tensors by ChatGLM3's names.

One sequence, no cache, float64; it shares no code with the package.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pairs = list[tuple[Array, Array]]


@dataclass(frozen=True)
class Reference:
    """A model; `prefix` has for each layer keys and values (groups, length, head_dim)."""

    tensors: Mapping[str, NDArray[np.floating]]
    heads: int
    groups: int
    head_dim: int
    eps: float = 1e-5
    rope_theta: float = 10_000.0
    prefix: Pairs | None = None

    def hidden(self, tokens: list[int]) -> Array:
        """Return (tokens, width) after the final norm."""
        found = (re.search(r"layers\.(\d+)\.", name) for name in self.tensors)
        layers = 1 + max(int(match[1]) for match in found if match)
        x = self._get("embedding.word_embeddings.weight")[tokens]
        for i in range(layers):
            layer = f"encoder.layers.{i}."
            x = x + self._attention(layer, self._norm(x, layer + "input_layernorm"), i)
            x = x + self._mlp(layer, self._norm(x, layer + "post_attention_layernorm"))
        return self._norm(x, "encoder.final_layernorm")

    def logits(self, tokens: list[int]) -> Array:
        """Return (tokens, vocabulary)."""
        name = "output_layer.weight"
        tied = "transformer." + name not in self.tensors
        head = self._get("embedding.word_embeddings.weight" if tied else name)
        return self.hidden(tokens) @ head.T

    def _get(self, name: str) -> Array:
        return self.tensors["transformer." + name].astype(np.float64)

    def _norm(self, x: Array, name: str) -> Array:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self._get(f"{name}.weight")

    def _attention(self, layer: str, x: Array, index: int) -> Array:
        joined = x @ self._get(layer + "self_attention.query_key_value.weight").T
        bias = layer + "self_attention.query_key_value.bias"
        if "transformer." + bias in self.tensors:
            joined = joined + self._get(bias)
        length = len(x)
        rows = joined.reshape(length, -1, self.head_dim)
        outputs = []
        for head in range(self.heads):
            group = head // (self.heads // self.groups)
            query = self._rotate(rows[:, head])
            key = self._rotate(rows[:, self.heads + group])
            value = rows[:, self.heads + self.groups + group]
            before = 0
            if self.prefix:
                before = self.prefix[index][0].shape[1]
                key = np.concatenate([self.prefix[index][0][group], key])
                value = np.concatenate([self.prefix[index][1][group], value])
            scores = query @ key.T / np.sqrt(self.head_dim)
            hidden = np.triu(np.ones((length, length), bool), 1)
            scores[:, before:][hidden] = -np.inf
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            outputs.append(weights / weights.sum(-1, keepdims=True) @ value)
        return np.concatenate(outputs, -1) @ self._get(layer + "self_attention.dense.weight").T

    def _rotate(self, x: Array) -> Array:
        turned = x.copy()
        half = self.head_dim // 2
        for i in range(half // 2):
            angle = np.arange(len(x)) * self.rope_theta ** (-2 * i / half)
            a, b = x[:, 2 * i], x[:, 2 * i + 1]
            turned[:, 2 * i] = a * np.cos(angle) - b * np.sin(angle)
            turned[:, 2 * i + 1] = b * np.cos(angle) + a * np.sin(angle)
        return turned

    def _mlp(self, layer: str, x: Array) -> Array:
        gate, up = np.split(x @ self._get(layer + "mlp.dense_h_to_4h.weight").T, 2, axis=-1)
        return gate / (1 + np.exp(-gate)) * up @ self._get(layer + "mlp.dense_4h_to_h.weight").T
