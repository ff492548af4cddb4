"""Generating for training's own purposes: many prompts at once, without the engine's scheduling."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from qingtan.errors import UserError
from qingtan.glm.cache import KVCache
from qingtan.glm.model import GLM, LAST


def generate(
    model: GLM,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    stop_ids: Collection[int],
    vocab_size: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    prefix: Tensor | None = None,
) -> list[list[int]]:
    """Continue every prompt. The model is in evaluation mode meanwhile, and keeps no gradient.

    Args:
        prompts: token ids, of any lengths.
        max_tokens: the most tokens of a continuation; one ends earlier where the model's context
            is full.
        stop_ids: tokens that end a continuation.
        vocab_size: only the first so many tokens are generated; the rest of the embedding's rows
            are padding.
        temperature: divides the logits; 0 takes the likeliest token always.
        generator: what the samples are drawn from, on any device; torch's default one if None. A
            sample depends on the prompts beside it too, greedy continuations do not.
        prefix: a P-Tuning v2 prefix (L, 2, G, P, W).

    Returns:
        For each prompt the new tokens, with the stop token where there is one.

    Raises:
        UserError: a prompt is empty, or longer than the model's context.
    """
    room = _rooms(prompts, max_tokens, model.config.max_position_embeddings)
    answers: list[list[int]] = [[] for _ in prompts]
    active = [row for row, left in enumerate(room) if left > 0]
    if not active:
        return answers
    with _evaluating(model), torch.no_grad():
        capacity = max(len(prompts[row]) + room[row] for row in active)
        cache = _new_cache(model, len(prompts), capacity, prefix)
        logits = _read(model, cache, prompts, active)
        while True:
            tokens = _pick(logits[:, :vocab_size].float(), temperature, generator)
            for row, token in zip(active, tokens.tolist(), strict=True):
                answers[row].append(token)
                if token in stop_ids:
                    room[row] = len(answers[row])
            active = [row for row in active if len(answers[row]) < room[row]]
            if not active:
                return answers
            logits = _logits(model, cache, [answers[row][-1:] for row in active], active)


def _rooms(prompts: Sequence[Sequence[int]], max_tokens: int, context: int) -> list[int]:
    """Return how many tokens each prompt may get."""
    for i, prompt in enumerate(prompts):
        if not 0 < len(prompt) <= context:
            raise UserError(
                f"prompt {i} has {len(prompt)} tokens; give between 1 and the model's context of "
                f"{context}"
            )
    return [min(max_tokens, context - len(prompt)) for prompt in prompts]


@contextmanager
def _evaluating(model: GLM) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _new_cache(model: GLM, rows: int, capacity: int, prefix: Tensor | None) -> KVCache:
    weight = model.embedding.weight
    capacity += 0 if prefix is None else prefix.shape[3]
    return KVCache(model.config, rows, capacity, weight.dtype, weight.device, prefix)


def _read(
    model: GLM, cache: KVCache, prompts: Sequence[Sequence[int]], rows: Sequence[int]
) -> Tensor:
    """Read the prompts of some rows, those of one length together; return (rows, V) logits."""
    by_length: dict[int, list[int]] = {}
    for row in rows:
        by_length.setdefault(len(prompts[row]), []).append(row)
    logits = {
        row: of_row
        for group in by_length.values()
        for row, of_row in zip(
            group, _logits(model, cache, [prompts[row] for row in group], group), strict=True
        )
    }
    return torch.stack([logits[row] for row in rows])


def _logits(
    model: GLM, cache: KVCache, tokens: Sequence[Sequence[int]], rows: Sequence[int]
) -> Tensor:
    """Feed the same number of tokens to each of some rows; return (rows, V) of the last."""
    device = cache.keys.device
    output = model(
        torch.tensor([list(ids) for ids in tokens], device=device),
        cache=cache,
        rows=torch.tensor(rows, device=device),
        logits_at=LAST,
    )
    last: Tensor = output.logits[:, -1]
    return last


def _pick(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """Return a token (B,) for each row of logits (B, V)."""
    if temperature == 0:
        return logits.argmax(-1)
    # By the inverse of the distribution function: one number a row comes from the generator, so
    # it may stand on another device than the model.
    cumulative = (logits / temperature).softmax(-1).cumsum(-1, dtype=torch.float64)
    device = "cpu" if generator is None else generator.device
    shape = (len(logits), 1)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64, device=device)
    places = torch.searchsorted(
        cumulative, drawn.to(logits.device) * cumulative[:, -1:], right=True
    )
    return places[:, 0].clamp(max=logits.shape[1] - 1)
