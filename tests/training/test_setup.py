"""What a recipe asks for, as it is built."""

from pathlib import Path

import pytest
import torch

from qingtan.corpus import Corpus
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.setup import build_source, choose_precision

from .samples import ANSWERS, make_recipe


@pytest.mark.parametrize("questions", [False, True])
def test_questions_are_learnt_where_asked_for(
    questions: bool, corpus: Path, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    recipe = make_recipe(tmp_path, corpus, data__questions=questions)
    source = build_source(recipe, Corpus.open(corpus), tiny_tokenizer, {"talks": 1.0})
    batch = next(source.batches(4))
    learnt = tiny_tokenizer.decode(batch.labels[batch.kept].tolist())
    assert any(answer in learnt for answer in ANSWERS.values())
    assert any(question in learnt for question in ANSWERS) == questions


def test_products_are_in_bfloat16_where_that_is_fast() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    expected = torch.bfloat16 if "avx512_bf16" in flags else torch.float32
    assert choose_precision("auto", torch.device("cpu")) == expected
    assert choose_precision("float32", torch.device("cpu")) == torch.float32
