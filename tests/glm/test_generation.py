"""Generating many at once, against transformers and against one at a time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, GlmForCausalLM

from qingtan.errors import UserError
from qingtan.glm.checkpoint import save_model
from qingtan.glm.generation import generate
from qingtan.glm.model import GLM
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import BASE, SHAPES, random_model, random_tokens

NEW_TOKENS = 14


@pytest.fixture(scope="module")
def model() -> GLM:
    return random_model(SHAPES["wide heads, one group"])


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    """Of different lengths, two of them equal."""
    return [random_tokens(BASE, n, seed=n + i).tolist() for i, n in enumerate((9, 3, 1, 9, 20))]


def complete(model: GLM, prompts: list[list[int]], **changes: Any) -> list[list[int]]:
    settings: dict[str, Any] = {"max_tokens": NEW_TOKENS, "stop_ids": (), "vocab_size": 160}
    return generate(model, prompts, **settings | changes)


def recompute(model: GLM, prompt: list[int], prefix: torch.Tensor | None) -> list[int]:
    """Return the greedy continuation without a cache."""
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(NEW_TOKENS):
            logits = model(torch.tensor([ids]), prefix=prefix).logits
            ids.append(int(logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_greedy_continuations_equal_those_of_transformers(
    model: GLM, prompts: list[list[int]], tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    save_model(model, tiny_tokenizer, tmp_path / "model", layout="glm")
    theirs = GlmForCausalLM.from_pretrained(tmp_path / "model").eval()
    free = complete(model, prompts)
    stops = [free[0][5], free[3][2]]
    theirs.generation_config.eos_token_id = None
    settings = GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0, eos_token_id=stops
    )
    expected = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        answer = theirs.generate(
            ids, attention_mask=torch.ones_like(ids), generation_config=settings
        )
        expected.append(answer[0, len(prompt) :].tolist())
    assert complete(model, prompts, stop_ids=stops) == expected
    assert len(expected[0]) < NEW_TOKENS
    assert expected[0][-1] in stops


def test_rows_do_not_touch_each_other(model: GLM, prompts: list[list[int]]) -> None:
    stops = {complete(model, prompts)[1][3]}
    together = complete(model, prompts, stop_ids=stops)
    assert together == [complete(model, [prompt], stop_ids=stops)[0] for prompt in prompts]
    assert len({len(answer) for answer in together}) > 1


def test_a_prefix_stands_before_every_row(model: GLM, prompts: list[list[int]]) -> None:
    c = model.config
    shape = (c.num_hidden_layers, 2, c.num_key_value_heads, 5, c.head_dim)
    prefix = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 3
    expected = [recompute(model, prompt, prefix) for prompt in prompts]
    assert complete(model, prompts, prefix=prefix) == expected
    assert expected != complete(model, prompts)


def test_the_context_ends_a_row_where_it_is_full(prompts: list[list[int]]) -> None:
    model = random_model(replace(BASE, max_position_embeddings=22))
    answers = complete(model, [*prompts, [1] * 22])
    assert [len(answer) for answer in answers] == [13, 14, 14, 13, 2, 0]


@pytest.mark.parametrize("length", [0, 65])
def test_a_prompt_that_does_not_fit_is_named(length: int) -> None:
    with pytest.raises(UserError, match=f"prompt 1 has {length} tokens.*64"):
        complete(random_model(BASE), [[1], [1] * length])


@pytest.mark.parametrize("temperature", [0.0, 5.0])
def test_rows_of_padding_are_never_generated(prompts: list[list[int]], temperature: float) -> None:
    prompts = [[id % 40 for id in prompt] for prompt in prompts]
    answers = complete(random_model(BASE), prompts, vocab_size=40, temperature=temperature)
    assert max(max(answer) for answer in answers) < 40


def test_samples_depend_on_the_generator_alone(model: GLM, prompts: list[list[int]]) -> None:
    def sample(seed: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        return complete(model, prompts, temperature=1.0, generator=generator)

    first = sample(1)
    torch.manual_seed(99)
    assert sample(1) == first != sample(2)


def test_samples_follow_the_tempered_distribution(model: GLM) -> None:
    """Pearson's statistic stays near its 159 degrees of freedom, deviation √318."""
    count, prompt = 5_000, [5, 6, 7]
    with torch.inference_mode():
        logits = model(torch.tensor([prompt])).logits[0, -1].double()
    expected = (logits / 1.5).softmax(-1) * count
    generator = torch.Generator().manual_seed(0)
    answers = complete(model, [prompt] * count, max_tokens=1, temperature=1.5, generator=generator)
    found = torch.bincount(torch.tensor(answers)[:, 0], minlength=160)
    often = expected > 5
    statistic = ((found - expected) ** 2 / expected)[often].sum()
    freedom = int(often.sum())
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    model = random_model(BASE).train(training)
    seen = []
    model.layers[1].register_forward_hook(lambda module, *_: seen.append(module.training))
    (answer,) = complete(model, [[1, 2]])
    assert seen == [False] * len(answer)
    assert model.training is model.layers[0].training is training


def test_no_prompts_give_no_answers() -> None:
    assert complete(random_model(BASE), []) == []
    assert complete(random_model(BASE), [[1], [2]], max_tokens=0) == [[], []]
