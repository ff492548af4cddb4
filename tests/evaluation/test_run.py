"""A whole evaluation of a tiny model, on items made for it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qingtan.errors import UserError
from qingtan.evaluation.figures import make_figure
from qingtan.evaluation.metrics.metric import Answer, Item, MeanMetric
from qingtan.evaluation.results import Results
from qingtan.evaluation.run import Settings, evaluate
from qingtan.glm.checkpoint import load_model
from qingtan.glm.tokenizer import GLMTokenizer
from training.samples import make_corpus

from .test_items import ITEMS, Same

LINE = "床前明月光"
VERSE = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。"
FILES: Mapping[str, Sequence[Item]] = {
    "translation": [
        {"id": f"t{i}", "task": "translate", "source": "own", "en": f"Hello {i}", "zh": f"你好{i}"}
        for i in range(12)
    ],
    "dialogue": [
        {
            "id": f"d{i}",
            "task": "chat",
            "source": "own",
            "history": ["你好", "你好！", f"今天是第{i}天"],
            "knowledge": [],
            "reference": "我们去公园散步吧！",
            "domain": "生活",
        }
        for i in range(5)
    ],
    "poem": [
        {
            "id": f"p{i}",
            "task": "poem_writing",
            "source": "own",
            "title": "静夜思",
            "author": "李白",
            "form": "五言绝句",
            "first_line": LINE,
            "reference": VERSE,
        }
        for i in range(2)
    ],
}
TASKS = ("to-english", "poems", "dialogue")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, items in FILES.items():
        lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def settings(
    data: Path, tiny_tokenizer: GLMTokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    folder = tmp_path_factory.mktemp("more")
    poems = folder / "known.jsonl"
    poems.write_text(json.dumps({"text": VERSE}, ensure_ascii=False) + "\n", encoding="utf-8")
    corpus = make_corpus(folder, tiny_tokenizer)
    return Settings(
        data,
        tasks=TASKS,
        limit=4,
        known=(poems,),
        corpus=corpus,
        held_out_tokens=300,
        temperature=1.0,
        slots=5,
    )


@pytest.fixture(scope="module")
def finished(
    settings: Settings, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp("evaluation") / "tiny"
    evaluate(tiny_checkpoint, settings, output)
    return output


def found(folder: Path) -> dict[str, Any]:
    """Return what an evaluation has found, without when."""
    return Results.read(folder).model_dump(exclude={"date", "seconds"})


def test_results_say_what_was_done(
    finished: Path, settings: Settings, tiny_checkpoint: Path
) -> None:
    results = Results.read(finished)
    assert (results.model, results.limit, results.seed) == (str(tiny_checkpoint), 4, 0)
    assert (results.temperature, results.top_p) == (1.0, 0.8)
    assert results.parameters == load_model(tiny_checkpoint).config.num_parameters
    one = hashlib.sha256((tiny_checkpoint / "model.safetensors").read_bytes()).digest()
    assert results.weights_sha256 == hashlib.sha256(one).hexdigest()
    assert [(t.name, t.asked, t.available, t.too_long) for t in results.tasks] == [
        ("to-english", 4, 12, 0),
        ("poems", 2, 2, 0),
        ("dialogue", 4, 5, 0),
    ]
    figures = {task.name: {f.name: f for f in task.figures} for task in results.tasks}
    chrf = figures["to-english"]["chrf"]
    assert results.tasks[0].figures[0] == chrf
    # Untrained, it translates nothing; a copy has at least the digits right.
    assert chrf.baseline is not None
    assert chrf.gain is not None
    assert chrf.gain.value == pytest.approx(chrf.model.value - chrf.baseline.value)
    assert results.tasks[0].baseline_english
    assert figures["poems"]["copied_lines"].model.value == 0
    for name in ("poems", "dialogue"):
        assert figures[name]["perplexity"].model.value > 1
        assert figures[name]["bits_per_byte"].model.value > 0
    assert [figure.name for figure in results.overall] == ["loops", "ends"]
    assert {figure.items for figure in results.overall} == {4 + 2 + 4}
    assert list(results.held_out) == ["poems", "talks"]
    assert len(results.conversations) == 10


def test_files_for_people_stand_beside_the_results(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {"results.json", "settings.json", "report.html", "report.md"} <= names
    answers = finished / "answers"
    assert {path.stem for path in answers.iterdir()} == set(TASKS)
    lines = (answers / "to-english.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert {"id", "messages", "answer", "ended", "tokens"} <= set(json.loads(lines[0]))


def test_a_stopped_evaluation_finds_the_same(
    finished: Path, settings: Settings, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tiny"
    (output / "answers").mkdir(parents=True)
    (output / "settings.json").write_bytes((finished / "settings.json").read_bytes())
    whole = (finished / "answers" / "to-english.jsonl").read_bytes()
    (output / "answers" / "to-english.jsonl").write_bytes(whole[: len(whole) * 2 // 3])
    # Nor does it matter how many are asked at once.
    evaluate(tiny_checkpoint, replace(settings, slots=1), output)
    assert found(output) == found(finished)


def test_answers_that_are_there_are_taken(
    finished: Path, settings: Settings, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    one = replace(settings, tasks=("to-english",), corpus=None, known=())
    output = tmp_path / "tiny"
    (output / "answers").mkdir(parents=True)
    (output / "settings.json").write_bytes((finished / "settings.json").read_bytes())
    records = [
        json.loads(line)
        for line in (finished / "answers" / "to-english.jsonl").read_bytes().splitlines()
    ]
    for record in records:
        record["answer"] = f"Hello {record['id'][1:]}"
    path = output / "answers" / "to-english.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    results = evaluate(tiny_checkpoint, one, output)
    chrf = results.tasks[0].figures[0]
    assert chrf.name == "chrf"
    assert chrf.model.value == pytest.approx(100)
    assert chrf.verdict == "better"
    assert results.held_out == {}


def test_other_settings_and_weights_need_force(
    finished: Path, settings: Settings, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    for changed in (replace(settings, top_p=0.5), replace(settings, seed=1)):
        with pytest.raises(UserError, match="--force"):
            evaluate(tiny_checkpoint, changed, finished)
    settings_file = tmp_path / "settings.json"
    values = json.loads(before[finished / "settings.json"])
    settings_file.write_text(json.dumps({**values, "weights_sha256": "another"}))
    with pytest.raises(UserError, match="weights_sha256 another"):
        evaluate(tiny_checkpoint, settings, tmp_path)
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    few = replace(settings, tasks=("to-english",), limit=1, corpus=None, known=())
    results = evaluate(tiny_checkpoint, few, tmp_path, force=True)
    assert results.tasks[0].asked == 1
    assert results == Results.read(tmp_path)


def test_what_is_wrong_is_said_before_anything_is_made(
    settings: Settings, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    wrong = (
        (replace(settings, tasks=("to-klingon",)), "to-klingon"),
        (replace(settings, data=tmp_path / "none"), "--data"),
        (replace(settings, corpus=tmp_path), "corpus"),
    )
    for changed, said in wrong:
        with pytest.raises(UserError, match=said):
            evaluate(tiny_checkpoint, changed, output)
    with pytest.raises(UserError, match="neither a folder nor a built-in model"):
        evaluate("no-such-model", settings, output)
    assert not output.exists()
    out_of_range: dict[str, Any] = {"limit": -1, "slots": 0, "held_out_tokens": 0, "seed": -1}
    for name, value in out_of_range.items():
        with pytest.raises(UserError, match=name):
            replace(settings, **{name: value})


class Rarely(MeanMetric):
    """Says something of the items whose answer is odd."""

    name = "rarely"
    english = "rarely"
    chinese = "偶尔"

    def score(self, item: Item, answer: Answer) -> float | None:
        return float(answer.text == item["answer"]) if int(item["answer"]) % 2 else None


def test_figures_beside_a_baseline() -> None:
    right = [Answer(item["answer"]) for item in ITEMS]
    wrong = [Answer("?") for _ in ITEMS]
    figure = make_figure(Same(), ITEMS, right, wrong)
    assert figure is not None
    assert (figure.items, figure.model.value, figure.verdict) == (30, 1, "better")
    assert figure.baseline is not None
    assert figure.baseline.value == 0
    back = make_figure(Same(), ITEMS, wrong, right)
    assert back is not None
    assert back.verdict == "worse"
    level = make_figure(Same(), ITEMS, right, right)
    assert level is not None
    assert level.verdict == "level"
    alone = make_figure(Rarely(), ITEMS, [*right[:15], *wrong[15:]])
    assert alone is not None
    # Of 30 items every second one counts, and of these 7 are right.
    assert alone.items == 15
    assert alone.model.value == pytest.approx(7 / 15)
    assert alone.model.low < 7 / 15 < alone.model.high
    assert (alone.baseline, alone.gain, alone.verdict) == (None, None, None)


def test_what_says_nothing_makes_no_figure() -> None:
    even = [item for item in ITEMS if int(item["answer"]) % 2 == 0]
    assert make_figure(Rarely(), even, [Answer("")] * len(even)) is None
