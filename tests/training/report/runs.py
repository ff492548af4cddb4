"""Folders of runs made up for the tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qingtan.training.choices import Choices
from qingtan.training.forgetting import Standing, write_standing

ANGLED = '<b onclick="alert(1)">处处闻啼鸟</b><script>document.title = "broken"</script>'


def step_line(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "tokens": step * 1000,
        "loss": 2 + 6 / step,
        "gradient_norm": 0.5 + 1 / step,
        "learning_rate": 3e-4 / step,
        "tokens_per_second": 8000 + step,
        "mfu": 0.4,
        "seconds": step * 40.0,
        "parts": {"divergence": 1 / step, "own_part": float(step)},
    }


def evaluation_line(step: int) -> dict[str, Any]:
    bits = {"poems": 1 + 1 / step, "<talks>": 2 + 1 / step}
    return {"step": step, "tokens": step * 1000, "bits_per_byte": bits, "epsilon": step / 10}


def write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    path.write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8"
    )


def make_run(folder: Path, steps: int = 100, every: int = 25) -> Path:
    """Make a finished run's folder, with a line of metrics for each step."""
    (folder / "model").mkdir(parents=True)
    recipe = {
        "output": str(folder),
        "model": {"size": "tiny", "start": None},
        "privacy": {"epsilon": 8.0, "delta": 1e-5},
        "steps": steps,
    }
    (folder / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    metrics = []
    for step in range(1, steps + 1):
        metrics.append(step_line(step))
        if step % every == 0:
            metrics.append(evaluation_line(step))
    write_lines(folder / "metrics.jsonl", metrics)
    samples = [
        {"step": step, "samples": [{"prompt": "春眠不觉晓，", "text": f"{step}{ANGLED}"}]}
        for step in range(every, steps + 1, every)
    ]
    write_lines(folder / "samples.jsonl", samples)
    skipped = [
        {"name": f"talks-0, document {i}", "tokens": 100, "reason": "longer than a row of 64"}
        for i in range(7)
    ]
    skipped.append({"name": "pair 3", "tokens": 9, "reason": "equal answers"})
    write_lines(folder / "skipped.jsonl", skipped)
    before = Standing({"news": 1.0, "poems": 3.0}, {"news": Choices(45, 50)})
    after = Standing({"news": 1.25, "poems": 2.0}, {"news": Choices(10, 50)})
    write_standing(folder, "before", before, ["poems"])
    write_standing(folder, "after", after, ["poems"])
    return folder
