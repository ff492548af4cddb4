"""A corpus and a finished run."""

from pathlib import Path

import pytest

from qingtan.glm.tokenizer import GLMTokenizer

from .samples import make_corpus, make_recipe


@pytest.fixture(scope="session")
def corpus(tiny_tokenizer: GLMTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Poems and conversations."""
    return make_corpus(tmp_path_factory.mktemp("corpus"), tiny_tokenizer)


@pytest.fixture(scope="session")
def pretrained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny model on the poems."""
    from qingtan.training.trainer import train

    run = tmp_path_factory.mktemp("runs") / "pretrained"
    train(make_recipe(run, corpus, checkpoint_every=8, evaluate_every=10))
    return run
