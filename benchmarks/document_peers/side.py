"""Reads PDF files with one library and prints what it found; runs in that library's interpreter.

    python side.py pdfminer a.pdf b.pdf

Prints a line of JSON a file: {"seconds": …, "paragraphs": […]}. Loading the library is not counted,
processor time is; each file is read `--rounds` times, of which the fastest counts.
"""

import argparse
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

Read = Callable[[Path], list[str]]


def with_qingtan() -> Read:
    from qingtan.knowledge.reading.draft import Draft
    from qingtan.knowledge.reading.limits import Limits
    from qingtan.knowledge.reading.pdf import ocr, read_pdf

    ocr.is_installed = lambda: False  # the others do not look at pictures either

    def read(path: Path) -> list[str]:
        draft = Draft(path.name, Limits())
        read_pdf(path.read_bytes(), draft)
        return [block.text for block in draft.blocks]

    return read


def with_pypdf() -> Read:
    from pypdf import PdfReader  # type: ignore[import-not-found]

    def read(path: Path) -> list[str]:
        pages = [page.extract_text() for page in PdfReader(path).pages]
        return [line for page in pages for line in page.split("\n")]

    return read


def with_pdfminer() -> Read:
    from pdfminer.high_level import extract_text

    def read(path: Path) -> list[str]:
        return re.split(r"\n\s*\n|\f", extract_text(path))

    return read


SIDES = {"qingtan": with_qingtan, "pypdf": with_pypdf, "pdfminer": with_pdfminer}


def main() -> None:
    """Read the command line and print a line a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=sorted(SIDES))
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    read = SIDES[options.side]()
    for path in options.files:
        seconds = []
        for _ in range(options.rounds):
            start = time.process_time()
            paragraphs = read(path)
            seconds.append(time.process_time() - start)
        print(json.dumps({"seconds": min(seconds), "paragraphs": paragraphs}), flush=True)


if __name__ == "__main__":
    main()
