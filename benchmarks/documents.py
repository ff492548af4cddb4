"""Reading PDF files beside pypdf and pdfminer.six: characters right, paragraphs whole, and speed.

Draws texts from a folder of JSON Lines, lets Chromium print them as PDF files (in one column,
in two, and with indented paragraphs; with a running head and page numbers), and reads them back
with each library. The text that was printed is known, so two numbers tell how right a library is:

- characters: 1 - Indel distance / lengths, of the text printed and the text read without spaces;
  the heads and the page numbers that a library lets through count against it.
- paragraphs: the share of the printed paragraphs that are one paragraph again, no more and no less.

Files of --pdf are held to the text in a file of the same name that ends in .txt, whose paragraphs
stand between empty lines; without one they are read for speed alone. Debian's manuals come as both:

    apt-get download debian-reference-zh-cn maint-guide-zh-cn debmake-doc installation-guide-amd64

All speeds are of the whole reading within one process,
in processor time, the library loaded already: Qingtan's with paragraphs, titles and tables, the
others' of text alone.

Needs Chromium (`apt-get install chromium`) with a Chinese font (`fonts-noto-cjk` or another),
rapidfuzz (of the `evaluate` extra), and for each peer an interpreter that has it:

    python -m venv peers && peers/bin/pip install pypdf pdfminer.six
    python benchmarks/documents.py --peers-python peers/bin/python
    python benchmarks/documents.py --texts 0 --pdf manuals/*.pdf

A peer that its interpreter has not is left out, and said so.
"""

import argparse
import html
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard
from rapidfuzz.distance import Indel

REPOSITORY = Path(__file__).resolve().parents[1]
SIDE = Path(__file__).parent / "document_peers/side.py"
SIDES = ("qingtan", "pdfminer", "pypdf")
SOURCES = ("laws", "articles", "english-docs")
LAYOUTS = {
    "one column": "",
    "two columns": "main{columns:2;column-gap:2em}",
    "indented": "p{margin:0;text-indent:2em}",
}
STYLE = """@page{size:A4;margin:2.2cm 2cm;@top-center{content:"测试文集 Sample texts";font-size:9pt}
@bottom-center{content:"第 " counter(page) " 页";font-size:9pt}}
body{font-size:10.5pt;line-height:1.5}p{margin:0 0 .6em;text-align:justify}h1{font-size:18pt}"""


@dataclass(frozen=True)
class Sheet:
    """A printed file; `paragraphs` is what was printed, empty where nobody knows it."""

    kind: str
    path: Path
    paragraphs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    seconds: float
    paragraphs: list[str]


def main() -> None:
    """Read the command line and print the tables."""
    options = parse_arguments()
    pythons = dict.fromkeys(options.sides, options.peers_python)
    pythons["qingtan"] = sys.executable
    sides = [side for side in options.sides if has(side, pythons[side])]
    with tempfile.TemporaryDirectory() as name:
        sheets = [*print_texts(options, Path(name)), *map(given, options.pdf)]
        if not sheets:
            sys.exit("nothing to read: install Chromium, or name files with --pdf")
        results = {side: read_with(side, pythons[side], sheets, options.rounds) for side in sides}
        print_tables(sheets, results)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=REPOSITORY / "../shared/data/pretrain")
    parser.add_argument("--texts", type=int, default=4, help="of each source")
    parser.add_argument("--characters", type=int, default=8_000, help="of a text, at most")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest counts")
    parser.add_argument("--pdf", type=Path, nargs="*", default=[], help="more files")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--peers-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("chrome"))
    return parser.parse_args()


def has(side: str, python: str) -> bool:
    """Return whether a side can run; say how to install it where it cannot."""
    module = {"qingtan": "pypdfium2", "pdfminer": "pdfminer", "pypdf": "pypdf"}[side]
    if subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0:
        return True
    print(f"{side} is left out: {python} has no {module}; see the head of this file")
    return False


def print_texts(options: argparse.Namespace, folder: Path) -> Iterator[Sheet]:
    """Print the sample in each layout."""
    if options.chromium is None or not options.data.is_dir():
        return
    for source in SOURCES:
        for number, text in enumerate(draw(options.data / f"{source}.jsonl.zst", options)):
            for layout, style in LAYOUTS.items():
                path = folder / f"{source}-{number}-{layout[:3]}.pdf"
                print_page(options.chromium, text, style, path)
                yield Sheet(f"{source}, {layout}", path, tuple(text))


def given(path: Path) -> Sheet:
    """Return a file that is there, with its text where that is known."""
    text = path.with_suffix(".txt")
    if not text.exists():
        return Sheet("other", path)
    blocks = re.split(r"\n\s*\n", text.read_text(encoding="utf-8"))
    return Sheet(path.stem, path, tuple(each for each in blocks if squeezed(each)))


def draw(path: Path, options: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the paragraphs of the first texts that are long enough."""
    count = 0
    with path.open("rb") as packed:
        stream = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed), "utf-8")
        for line in stream:
            text = json.loads(line)["text"]
            if len(text) < options.characters * 0.75 or count >= options.texts:
                continue
            paragraphs = [" ".join(each.split()) for each in text.split("\n")]
            yield cut([each for each in paragraphs if len(each) > 1], options.characters)
            count += 1


def cut(paragraphs: list[str], characters: int) -> list[str]:
    """Return the first paragraphs, up to so many characters."""
    result: list[str] = []
    for each in paragraphs:
        characters -= len(each)
        if characters < 0:
            break
        result.append(each)
    return result


def print_page(chromium: str, paragraphs: list[str], style: str, path: Path) -> None:
    """Let Chromium print a page."""
    body = "".join(f"<p>{html.escape(each)}</p>" for each in paragraphs)
    page = path.with_suffix(".html")
    page.write_text(
        f"<!doctype html><meta charset=utf-8><title>t</title><style>{STYLE}{style}</style>"
        f"<main>{body}</main>",
        encoding="utf-8",
    )
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    command += [f"--user-data-dir={path.parent / 'profile'}", f"--print-to-pdf={path}", str(page)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def read_with(side: str, python: str, sheets: list[Sheet], rounds: int) -> list[Result]:
    """Let a side read all files."""
    files = [str(sheet.path) for sheet in sheets]
    command = [python, str(SIDE), side, f"--rounds={rounds}", *files]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [Result(**json.loads(line)) for line in output.splitlines()]


def print_tables(sheets: list[Sheet], results: dict[str, list[Result]]) -> None:
    """Print how right each side is, by kind, and how fast."""
    kinds = list(dict.fromkeys(sheet.kind for sheet in sheets))
    print(f"{'':32}" + "".join(f"{side:>24}" for side in results))
    print(f"{'':32}" + f"{'characters paragraphs':>24}" * len(results))
    for kind in kinds:
        places = [n for n, sheet in enumerate(sheets) if sheet.kind == kind and sheet.paragraphs]
        if places:
            cells = (score(sheets, found, places) for found in results.values())
            print(f"{kind:32}" + "".join(f"{a:>13.2%}{b:>11.1%}" for a, b in cells))
    megabytes = sum(sheet.path.stat().st_size for sheet in sheets) / 1e6
    print(f"\n{len(sheets)} files, {megabytes:.1f} MB")
    print(f"{'':32}{'seconds':>10}{'MB/s':>10}{'ours is':>12}")
    totals = {side: sum(each.seconds for each in found) for side, found in results.items()}
    for side, seconds in totals.items():
        ratio = f"{seconds / totals['qingtan']:>11.1f}×" if "qingtan" in totals else ""
        print(f"{side:32}{seconds:>10.2f}{megabytes / seconds:>10.2f}{ratio}")


def score(sheets: list[Sheet], found: list[Result], places: list[int]) -> tuple[float, float]:
    """Return the mean share of right characters, and the share of whole paragraphs."""
    characters, whole, count = 0.0, 0, 0
    for place in places:
        printed = [squeezed(each) for each in sheets[place].paragraphs]
        read = [squeezed(each) for each in found[place].paragraphs]
        characters += Indel.normalized_similarity("".join(printed), "".join(read))
        whole += sum(each in set(read) for each in printed)
        count += len(printed)
    return characters / len(places), whole / max(count, 1)


def squeezed(text: str) -> str:
    """Return a text without spaces, hyphens and the sign of a list: they may be the printer's."""
    return re.sub(r"[\s\u00ad\u2010-]+", "", re.sub(r"^\s*[*•]", "", text))


if __name__ == "__main__":
    main()
