"""Builds that are stopped or killed go on, and end in the same bytes."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.feather
import pytest

from qingtan.corpus import CorpusRecipe, build_corpus
from qingtan.errors import UserError

from ..samples import SENTENCES, contents_of, conversation


class Stopped(BaseException):
    """Ends the build in the middle, as Ctrl-C does."""


@pytest.fixture(autouse=True)
def _small_pieces_of_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr("qingtan.corpus.build.PIECE_BYTES", 4000)


@pytest.fixture
def recipe(write_records, make_recipe) -> CorpusRecipe:
    texts = [f"{i}。{SENTENCES[i % 8]}{SENTENCES[i * 5 % 8]}" for i in range(150)]
    alike = [text.replace("。", "，") for text in texts[:60]]
    notes = [{"text": text} for text in (*texts, *alike)]
    write_records("notes.jsonl", ["{", *notes])
    talk = [conversation(f"问题{i}：{SENTENCES[0]}", SENTENCES[i % 8]) for i in range(40)]
    write_records("talk.jsonl", [*talk, conversation("问", "")])
    write_records("exam.jsonl", [{"question": texts[7]}])
    return make_recipe(
        {"name": "notes", "path": "notes.jsonl"},
        {"name": "talk", "kind": "conversations", "path": "talk.jsonl"},
        tokenizer=None,
        vocabulary={"size": 400},
        documents={"format": "jsonl.zst"},
        evaluation=[{"name": "exam", "path": "exam.jsonl"}],
        near_duplicates={"min_grams": 10},
        shard_tokens=1000,
        max_rejected_share=0.5,
    )


def writes(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None]) -> None:
    """Call `before` before every file that a build writes, renames or removes."""

    def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
        def guard(*args: Any, **kwargs: Any) -> Any:
            before()
            return function(*args, **kwargs)

        return guard

    for owner, name in [
        (Path, "replace"),
        (Path, "rename"),
        (Path, "mkdir"),
        (Path, "write_bytes"),
        (np, "save"),
        (np, "savez"),
        (pyarrow.feather, "write_feather"),
    ]:
        monkeypatch.setattr(owner, name, guarded(getattr(owner, name)))


def count_writes(recipe: CorpusRecipe) -> int:
    calls: list[None] = []
    with pytest.MonkeyPatch.context() as patch:
        writes(patch, lambda: calls.append(None))
        build_corpus(recipe, workers=1)
    return len(calls)


def stop_at(recipe: CorpusRecipe, number: int) -> None:
    remaining = iter(range(number))

    def stop() -> None:
        if next(remaining, None) is None:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        writes(patch, stop)
        with pytest.raises(Stopped):
            build_corpus(recipe, workers=1)


def test_a_build_that_is_stopped_at_any_write_goes_on(recipe: CorpusRecipe, tmp_path: Path) -> None:
    total = count_writes(recipe)
    whole = contents_of(recipe.output)
    assert total > 60
    for number in sorted(random.Random(1).sample(range(total), 25)):
        output = tmp_path / f"stopped-{number}" / "corpus"
        again = recipe.model_copy(update={"output": output})
        stop_at(again, number)
        assert not output.exists() or contents_of(output) == whole
        build_corpus(again, workers=1, force=True)
        assert contents_of(output) == whole, f"stopped before write {number}"
        assert [path.name for path in output.parent.iterdir()] == ["corpus"]


def test_what_is_done_is_not_done_again(
    recipe: CorpusRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = count_writes(recipe)
    again = recipe.model_copy(update={"output": recipe.output.parent / "again" / "corpus"})
    stop_at(again, total - 5)
    calls: list[None] = []
    writes(monkeypatch, lambda: calls.append(None))
    build_corpus(again, workers=1)
    assert len(calls) < total / 2


LARGER_PIECES = 400_000


def build(recipe: CorpusRecipe) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qingtan.corpus.build.PIECE_BYTES", LARGER_PIECES)
        build_corpus(recipe, workers=2)


@pytest.fixture
def long_recipe(write_records, make_recipe) -> CorpusRecipe:
    write_records("long.jsonl.gz", ({"text": f"{i}：" + "明月清风" * 99} for i in range(30_000)))
    return make_recipe({"name": "long", "path": "long.jsonl.gz"})


def test_a_killed_build_goes_on(long_recipe: CorpusRecipe, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=build, args=(long_recipe,))
    process.start()
    partial = tmp_path / ".corpus.partial"
    deadline = time.monotonic() + 60
    while not list(partial.glob("cleaned/*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert list(partial.glob("cleaned/*.json"))
    assert not (tmp_path / "corpus").exists()
    build(long_recipe)
    other = long_recipe.model_copy(update={"output": tmp_path / "other" / "corpus"})
    build(other)
    assert contents_of(tmp_path / "corpus") == contents_of(other.output)
    assert not partial.exists()


def build_until(recipe: CorpusRecipe, place: str) -> None:
    """Build, and kill this process before it writes to a path that holds `place`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qingtan.corpus.build.PIECE_BYTES", 4000)

        def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
            def guard(*args: Any, **kwargs: Any) -> Any:
                if any(place in str(argument) for argument in args):
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return guard

        for owner, name in [(Path, "replace"), (Path, "rename"), (np, "save"), (np, "savez")]:
            patch.setattr(owner, name, guarded(getattr(owner, name)))
        build_corpus(recipe, workers=1)


@pytest.mark.parametrize(
    "place",
    [
        "cleaned/0001-0000000.json",
        "duplicates/exact.npy",
        "duplicates/near.npy",
        "tokenizer.model",
        "encoded/0001-0000000.train.npz",
        "result/train-talk",
        "result/corpus.json",
        "result/report.json",
        "result",
    ],
)
def test_a_build_that_is_killed_at_any_step_goes_on(
    recipe: CorpusRecipe, tmp_path: Path, place: str
) -> None:
    killed = recipe.model_copy(update={"output": tmp_path / "killed" / "corpus"})
    process = multiprocessing.get_context("spawn").Process(target=build_until, args=(killed, place))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not killed.output.exists()
    for each in (killed, recipe):
        build_corpus(each, workers=1)
    assert contents_of(killed.output) == contents_of(recipe.output)


def test_two_builds_of_one_corpus_do_not_meet(recipe: CorpusRecipe, tmp_path: Path) -> None:
    from filelock import FileLock

    with (
        FileLock(tmp_path / ".corpus.lock"),
        pytest.raises(UserError, match="another process is building it"),
    ):
        build_corpus(recipe, workers=1)


def test_another_recipe_begins_anew(recipe: CorpusRecipe, tmp_path: Path) -> None:
    total = count_writes(recipe)
    other, fresh = tmp_path / "other" / "corpus", tmp_path / "fresh" / "corpus"
    stop_at(recipe.model_copy(update={"output": other}), total // 2)
    for output in (other, fresh):
        changed = recipe.model_copy(update={"output": output, "validation_share": 0.3})
        build_corpus(changed, workers=1)
    assert contents_of(other) == contents_of(fresh)
