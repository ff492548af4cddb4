"""A tokenizer and a model small enough to make for each run of the tests, and a browser."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings

from qingtan.glm.config import GLMConfig
from qingtan.glm.tokenizer import TOKENIZER_FILE, GLMTokenizer, train_tokenizer
from texts import TEXT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_configure() -> None:
    """Keep what programs keep for their user apart from the user's own; before tests are read."""
    os.environ["QINGTAN_HOME"] = tempfile.mkdtemp(prefix="qingtan-tests-")
    # How long an example takes says more of what else the machine does than of the code.
    settings.register_profile("house", deadline=None)
    settings.load_profile("house")


def pytest_unconfigure() -> None:
    """Remove it."""
    shutil.rmtree(os.environ["QINGTAN_HOME"], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The models here are so small that a second thread only waits."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> GLMTokenizer:
    """A vocabulary of 500 pieces."""
    path = tmp_path_factory.mktemp("tokenizer") / TOKENIZER_FILE
    train_tokenizer(TEXT.splitlines() * 3, 500, path)
    return GLMTokenizer.from_file(path)


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_tokenizer: GLMTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the size "tiny", with random float32 weights."""
    from qingtan.glm.checkpoint import save_model
    from qingtan.glm.model import GLM, initialize

    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(initialize(GLM(GLMConfig.named("tiny"))), tiny_tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not installed"
        if os.environ.get("QINGTAN_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()
