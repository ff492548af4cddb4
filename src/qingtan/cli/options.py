"""What several commands share: their options, and how they speak."""

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda or mps.")]
Temperature = Annotated[float | None, typer.Option(help="0 picks the likeliest token always.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same text.")]
RecipeFile = Annotated[Path, typer.Argument(help="A TOML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes to the recipe, as field=value.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what an earlier run has made.")]


def say(text: str) -> None:
    """Print a line, flushed at once: whoever started this through a pipe waits for it."""
    print(text, flush=True)
