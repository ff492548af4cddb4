"""What a model writes, against a loop that appends the likeliest token."""

from pathlib import Path

import pytest
import torch

from qingtan.glm.checkpoint import load_model
from qingtan.glm.conversation import encode_prompt, stop_ids
from qingtan.glm.model import GLM
from qingtan.glm.prefix import PrefixEncoder
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.samples import take_samples
from qingtan.training.subject import Subject
from qingtan.training.tables import SamplesTable

TABLE = SamplesTable(prompts=("春眠不觉晓，", "你好"), tokens=12)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> GLM:
    return load_model(tiny_checkpoint, dtype=torch.float32).train()


def write_plainly(model: GLM, tokenizer: GLMTokenizer, ids: list[int]) -> list[int]:
    written: list[int] = []
    while len(written) < TABLE.tokens:
        with torch.no_grad():
            logits = model(torch.tensor([ids + written])).logits[0, -1, : tokenizer.vocab_size]
        token = int(logits.argmax())
        if token in stop_ids(tokenizer):
            break
        written.append(token)
    return written


def test_texts_go_on_as_by_a_plain_loop(model: GLM, tiny_tokenizer: GLMTokenizer) -> None:
    subject = Subject(model).train()
    texts = take_samples(subject, tiny_tokenizer, TABLE, as_conversation=False)
    assert model.training
    for prompt, text in zip(TABLE.prompts, texts, strict=True):
        ids = [*tiny_tokenizer.prefix, *tiny_tokenizer.encode(prompt)]
        assert text == tiny_tokenizer.decode(write_plainly(model, tiny_tokenizer, ids))
    assert any(texts)


def test_questions_are_answered_as_by_a_plain_loop(
    model: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    texts = take_samples(Subject(model), tiny_tokenizer, TABLE, as_conversation=True)
    for prompt, text in zip(TABLE.prompts, texts, strict=True):
        ids = encode_prompt(tiny_tokenizer, [{"role": "user", "content": prompt}])
        assert text == tiny_tokenizer.decode(write_plainly(model, tiny_tokenizer, ids)).strip()
    assert any(texts)


def test_a_prefix_takes_part_without_its_dropout(model: GLM, tiny_tokenizer: GLMTokenizer) -> None:
    torch.manual_seed(0)
    prefix = PrefixEncoder(model.config, 4)
    with torch.no_grad():
        prefix.embedding.weight.mul_(10)
    subject = Subject(model, prefix).train()
    first, second = (take_samples(subject, tiny_tokenizer, TABLE, False) for _ in range(2))
    assert first == second != take_samples(Subject(model), tiny_tokenizer, TABLE, False)
