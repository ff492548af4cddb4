"""Results made up for the tests: every kind of figure, and texts that would break a page."""

from typing import Any

from qingtan.evaluation.results import Conversation, Estimate, Figure, Results, TaskResult

NAN = float("nan")
ANGLED = '<b onclick="alert(1)">x</b><script>document.title = "broken"</script>'
# Every line would be something else in Markdown.
MARKED = (
    "# 标题 | 一半\n\n- 第一项 *强调* `代码`\n1. 二\n===\n|a|b|\n|---|---|\n"
    "    缩进\n\u3000\u3000段首 [链接](http://example.com) $x$ &lt; ~~~\n> 引用\\"
)
DIGEST = "ab" * 32


def estimate(value: float, half: float = 0.05) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def figure(name: str, model: Estimate, **changes: Any) -> Figure:
    values: dict[str, Any] = {
        "name": name,
        "english": name.title(),
        "chinese": f"{name}（中）",
        "unit": "share",
        "higher_is_better": True,
        "items": 1200,
        "model": model,
    }
    return Figure.model_validate(values | changes)


def task(name: str, *figures: Figure, **changes: Any) -> TaskResult:
    values: dict[str, Any] = {
        "name": name,
        "english": f"{name.title()} | {ANGLED}",
        "chinese": f"{name}任务",
        "file": f"{name}.jsonl.zst",
        "asked": 1200,
        "available": 4316,
        "figures": figures,
    }
    return TaskResult.model_validate(values | changes)


def make_results(**changes: Any) -> Results:
    """Return results with all units, all verdicts, and figures that have no value."""
    tasks = (
        task(
            "labels",
            figure(
                "accuracy",
                estimate(0.831),
                baseline=estimate(0.5),
                gain=estimate(0.331),
            ),
            figure("f1", estimate(0.25), baseline=estimate(0.3), gain=estimate(-0.05, 0.2)),
            too_long=7,
            baseline_english="the commonest label",
            baseline_chinese="最常见的标签",
        ),
        task(
            "translation",
            figure(
                "chrf",
                estimate(24.68, 1.5),
                unit="points",
                baseline=estimate(30, 1.5),
                gain=estimate(-5.32, 1.5),
            ),
            figure(
                "perplexity",
                estimate(1234.5, 10.25),
                unit="number",
                higher_is_better=False,
                baseline=estimate(1234.5, 10.25),
                gain=estimate(0.0, 0.25),
            ),
        ),
        task("poems", figure("distinct", estimate(3.14159), unit="number")),
        task(
            "empty",
            figure(
                "f1",
                estimate(NAN),
                baseline=Estimate(value=0.5, low=NAN, high=NAN),
                gain=estimate(NAN),
            ),
        ),
    )
    values: dict[str, Any] = {
        "model": f"models/<i>x</i>|{ANGLED}",
        "weights_sha256": DIGEST,
        "parameters": 3_986_112,
        "version": "0.1.0",
        "date": "2026-01-02T03:04:05+00:00",
        "device": "CPU, 2 threads",
        "seconds": 3723.4,
        "limit": 1200,
        "seed": 7,
        "temperature": 0.7,
        "top_p": 0.9,
        "repetition_penalty": 1.05,
        "tasks": tasks,
        "overall": (figure("ended", estimate(0.9)),),
        "held_out": {"poems|a": estimate(2.65), "laws": estimate(NAN)},
        "conversations": (
            Conversation(
                messages=(
                    {"role": "user", "content": "你好\n" + ANGLED},
                    {"role": "assistant", "content": MARKED},
                ),
                ended=True,
            ),
            Conversation(
                messages=(
                    {"role": "system", "content": "简短"},
                    {"role": "user", "content": "说\u202e话"},
                    {"role": "assistant", "content": ""},
                ),
                ended=False,
            ),
        ),
    }
    return Results.model_validate(values | changes)
