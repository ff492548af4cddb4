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
    left.plot([m["tokens"] / 1e6 for m in training], [m["loss"] for m in training], linewidth=1)
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
        right.legend(fontsize="x-small", ncols=2)
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, format="png", dpi=110)
    plt.close(figure)
    partial.replace(path)
