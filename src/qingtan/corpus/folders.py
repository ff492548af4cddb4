"""Output folders that appear whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qingtan.errors import UserError


@contextmanager
def new_folder(output: Path, marker: str, force: bool) -> Iterator[Path]:
    """Give a folder `<output>.partial` to write into, and rename it to `output` at the end.

    After an error the partial folder is removed; one that a killed process left is replaced.

    Args:
        output: the folder to make; its parents are made too.
        marker: a file by which an earlier result is known; only such a folder is ever replaced.
        force: replace an earlier result, when the new one is complete.

    Raises:
        UserError: `output` exists and may not be replaced.
    """
    if output.exists() and not force:
        raise UserError(f"{output}: exists; choose another output, or use --force to replace it")
    if output.exists() and not (output / marker).is_file():
        raise UserError(f"{output}: exists and has no {marker}, so it will not be replaced")
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        old = output.with_name(output.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        if output.exists():
            output.rename(old)
        partial.rename(output)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
