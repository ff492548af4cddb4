"""The loss as a picture, where people would look rather than read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def plot_losses(metrics: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss and held-out bits per byte against tokens; PNG, written beside and renamed.

    Args:
        metrics: the lines of metrics.jsonl.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    training = [m for m in metrics if "loss" in m]
    tokens, losses = ([m[name] for m in training] for name in ("tokens", "loss"))
    millions = [count / 1e6 for count in tokens]
    left.plot(millions, losses, linewidth=1, alpha=0.3)
    left.plot(millions, _smooth(losses), linewidth=2)
    left.set(title="training loss", xlabel="million tokens", ylabel="nats a token")
    evaluations = [m for m in metrics if "bits_per_byte" in m]
    for source in evaluations[-1]["bits_per_byte"] if evaluations else ():
        points = [m for m in evaluations if source in m["bits_per_byte"]]
        right.plot(
            [m["tokens"] / 1e6 for m in points],
            [m["bits_per_byte"][source] for m in points],
            marker=".",
            label=source,
        )
    right.set(title="held-out text", xlabel="million tokens", ylabel="bits a byte")
    if evaluations:
        right.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1, 1))
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, format="png", dpi=110)
    plt.close(figure)
    partial.replace(path)


def _smooth(values: Sequence[float], share: float = 0.1) -> list[float]:
    """Return the exponential moving average, each new value counting by a share."""
    averages: list[float] = []
    for value in values:
        before = averages[-1] if averages else value
        averages.append(before + share * (value - before))
    return averages
