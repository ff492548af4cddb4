"""The GLM in PyTorch: ChatGLM3's mathematics, checked against published reference outputs.

RMSNorm before attention and before the MLP; one joint QKV projection with bias; rotary positions
on interleaved pairs of the first half of each head; keys and values shared by groups of heads;
SwiGLU; a head that may be tied to the embedding. Sources: ChatGLM3's published configuration and
modelling files; RoPE 2104.09864, GQA 2305.13245, SwiGLU 2002.05202, P-Tuning v2 2110.07602.

Shapes: B sequences, T new tokens, S tokens seen (prefix and cache included), D hidden width,
H query heads, G key-value heads, W head width, L layers, V vocabulary.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from qingtan.errors import UserError
from qingtan.glm.cache import KVCache, Step
from qingtan.glm.config import GLMConfig

# For `logits_at`: what generating needs.
LAST = slice(-1, None)


@dataclass(frozen=True)
class GLMOutput:
    """What a forward pass gives.

    Attributes:
        logits: (B, T, V), or of the tokens that were asked for: (B, t, V) of a slice, (N, V).
        hidden: (B, T, D) after the final norm.
        attentions: per layer (B, H, T, S) weights, when asked for.
        layers: after each block (B, T, D), when asked for.
    """

    logits: Tensor
    hidden: Tensor
    attentions: tuple[Tensor, ...] = ()
    layers: tuple[Tensor, ...] = ()


class RMSNorm(nn.Module):
    """x / rms(x) · weight, the statistics in float32 (1910.07467)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, eps=self.eps).to(x.dtype) * self.weight


class Attention(nn.Module):
    """Grouped-query attention with rotary positions on half of each head."""

    def __init__(self, config: GLMConfig) -> None:
        super().__init__()
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        self.qkv = nn.Linear(config.hidden_size, config.qkv_size, bias=config.attention_bias)
        self.out = nn.Linear(self.heads * self.head_dim, config.hidden_size, bias=False)

    def forward(
        self,
        x: Tensor,
        rotary: Tensor,
        mask: Tensor | None,
        layer: int,
        step: Step | None,
        prefix: Tensor | None,
        want_weights: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) → (B, T, D) and, on request, weights (B, H, T, S).

        `mask` (B or 1, 1, T, S) is true where a token may look; None means causal.
        """
        batch, length, _ = x.shape
        heads = self.qkv(x).view(batch, length, -1, self.head_dim).transpose(1, 2)
        rotated, value = heads[:, : -self.groups], heads[:, -self.groups :]
        turned = apply_rotary(rotated, rotary)
        query, key = turned[:, : self.heads], turned[:, self.heads :]
        if step is not None:
            key, value = step.write(layer, key, value)
            key, value = key.to(query.dtype), value.to(query.dtype)
        elif prefix is not None:
            first = prefix[layer].unsqueeze(1).expand(-1, batch, -1, -1, -1).to(query.dtype)
            key, value = torch.cat([first[0], key], 2), torch.cat([first[1], value], 2)
        if want_weights:
            mixed, weights = _attend_explicitly(query, key, value, mask)
        else:
            weights, mixed = None, _attend(query, key, value, mask)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, -1)), weights


class MLP(nn.Module):
    """down(silu(gate) · up), gate and up in one product, gate first."""

    def __init__(self, config: GLMConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.down(F.silu(gate) * up)
        return out


class Block(nn.Module):
    """Attention and MLP, each behind a norm and added to the stream."""

    def __init__(self, config: GLMConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(
        self,
        x: Tensor,
        rotary: Tensor,
        mask: Tensor | None,
        layer: int = 0,
        step: Step | None = None,
        prefix: Tensor | None = None,
        want_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        attended, weights = self.attention(
            self.attention_norm(x), rotary, mask, layer, step, prefix, want_weights
        )
        x = x + attended
        return x + self.mlp(self.mlp_norm(x)), weights


class Embedding(nn.Embedding):
    """An embedding of zeros; a normal draw, even of a meta tensor, imports 80 MB of torch."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)


class GLM(nn.Module):
    """The whole model. A new one is initialised by `initialize`; `checkpoint.load` fills one.

    Attributes:
        activation_checkpointing: in training, compute each block again in the backward pass
            instead of keeping what is inside it (1604.06174).
    """

    def __init__(self, config: GLMConfig) -> None:
        super().__init__()
        self.config = config
        self.activation_checkpointing = False
        self.embedding = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.final_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.head.weight = self.embedding.weight

    def forward(
        self,
        tokens: Tensor,
        *,
        cache: KVCache | Step | None = None,
        rows: Tensor | None = None,
        prefix: Tensor | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        logits_at: Tensor | slice = slice(None),
        want_attentions: bool = False,
        want_layers: bool = False,
    ) -> GLMOutput:
        """Run the model.

        Args:
            tokens: (B, T) int64.
            cache: continues the sequences in it, and grows by these tokens; or where the tokens
                stand in a `PagedCache`, which counts nothing.
            rows: (B,) the cache's rows that `tokens` belong to; all of them by default.
            prefix: a P-Tuning v2 prefix (L, 2, G, P, W) to learn; a cache holds its own.
            mask: (B or 1, 1, T, T) bool, which of these tokens each may look at, without a cache;
                causal by default. Every token may look at the prefix.
            positions: (B or 1, T) int64 rotary positions, without a cache; from 0 up by default.
            logits_at: the tokens whose logits to compute: a slice of T, such as LAST, or a mask
                (B, T) that picks N.
            want_attentions: return the attention weights too.
            want_layers: return the stream after each block too.

        Raises:
            UserError: the cache is too small, or was given with a prefix, a mask or positions.
        """
        if cache is not None and prefix is not None:
            raise UserError("give the prefix to the cache, or to the model without a cache")
        if cache is not None and (mask is not None or positions is not None):
            raise UserError("a mask and positions are for sequences without a cache")
        length = tokens.shape[1]
        step = None
        if positions is None:
            positions = torch.arange(length, device=tokens.device)[None]
        if cache is not None:
            step = cache.place_next(rows, length) if isinstance(cache, KVCache) else cache
            positions = step.positions
            mask = step.mask if want_attentions or step.seen > length else None
        elif prefix is not None or want_attentions:
            mask = causal_mask(length, tokens.device) if mask is None else mask
            mask = mask if prefix is None else F.pad(mask, (prefix.shape[3], 0), value=True)
        rotary = rotary_table(self.config, positions)
        x = self.embedding(tokens)
        attentions, layers = [], []
        for i, block in enumerate(self.layers):
            arguments = (x, rotary, mask, i, step, prefix, want_attentions)
            if self.activation_checkpointing and self.training:
                x, weights = checkpoint(block, *arguments, use_reentrant=False)
            else:
                x, weights = block(*arguments)
            attentions.append(weights)
            if want_layers:
                layers.append(x)
        if isinstance(cache, KVCache) and step is not None:
            cache.advance(step)
        hidden = self.final_norm(x)
        wanted = hidden[:, logits_at] if isinstance(logits_at, slice) else hidden[logits_at]
        logits = self.head(wanted)
        return GLMOutput(
            logits,
            hidden,
            tuple(attentions) if want_attentions else (),
            tuple(layers) if want_layers else (),
        )


def initialize(model: GLM, seed: int = 0) -> GLM:
    """Draw a new model's weights, the same ones for the same seed; return the model.

    Embedding (and a head of its own): normal, deviation 0.02. Matrices: normal, deviation
    1/√inputs, which keeps activations at unit scale (LeCun), and for the two that add to the
    residual stream (`out`, `down`) also divided by √(2·layers), so that the stream's variance does
    not grow with depth (GPT-2). Norms 1, biases 0.
    """
    generator = torch.Generator().manual_seed(seed)
    residual = (2 * model.config.num_hidden_layers) ** -0.5
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            nn.init.constant_(parameter, 1.0 if "norm" in name else 0.0)
        elif name.startswith(("embedding", "head")):
            nn.init.normal_(parameter, std=0.02, generator=generator)
        else:
            scale = residual if name.endswith(("out.weight", "down.weight")) else 1.0
            deviation = scale * parameter.shape[1] ** -0.5
            nn.init.normal_(parameter, std=deviation, generator=generator)
    return model


def rotary_table(config: GLMConfig, positions: Tensor) -> Tensor:
    """Return cosines and sines (2, B, 1, T, W/4) float32 for positions (B, T).

    θᵢ = rope_theta^(−2i/(W/2)): the rotated part of a head is its first half.
    """
    half = config.head_dim // 2
    exponents = torch.arange(0, half, 2, dtype=torch.float32, device=positions.device) / half
    angles = positions[:, None, :, None].float() * config.rope_theta**-exponents
    return torch.stack((angles.cos(), angles.sin()))


def apply_rotary(x: Tensor, rotary: Tensor) -> Tensor:
    """Rotate interleaved pairs of the first half of each head; x (B, heads, T, W)."""
    cos, sin = rotary.to(x.dtype)
    turned, passed = x.chunk(2, dim=-1)
    even, odd = turned[..., 0::2], turned[..., 1::2]
    pairs = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1)
    return torch.cat((pairs.flatten(-2), passed), dim=-1)


def causal_mask(length: int, device: torch.device) -> Tensor:
    """(1, 1, T, T): every token sees itself and what came before."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    if query.shape[2] > 1:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, enable_gqa=True
        )
    # The heads of a group as if they were tokens: its keys and values are read once for all of
    # them, and a GPU's kernels for masks know no groups.
    folded = query.view(len(query), key.shape[1], -1, query.shape[3])
    return F.scaled_dot_product_attention(folded, key, value, attn_mask=mask).view_as(query)


def _attend_explicitly(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(share, 1), value.repeat_interleave(share, 1)
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.float().softmax(-1).to(query.dtype)
    return weights @ value, weights
