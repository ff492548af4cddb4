"""Pages that are pictures, read by rapidocr where it is installed."""

import importlib.util
from functools import cache
from typing import Any

from qingtan.knowledge.reading.pdf.lines import Line, plain

_DOTS_A_POINT = 200 / 72
_MOST_DOTS = 4000  # on a side
_LEAST_SURE = 0.5


def is_installed() -> bool:
    """Return whether pages can be read at all."""
    return importlib.util.find_spec("rapidocr") is not None


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(params={"Global.log_level": "warning"})


def read_page(page: Any) -> list[Line]:
    """Return the lines of a page that is drawn and looked at."""
    width, height = page.get_size()
    scale = min(_DOTS_A_POINT, _MOST_DOTS / max(width, height, 1))
    picture = page.render(scale=scale).to_numpy()
    result = _engine()(picture)
    if result.boxes is None:
        return []
    found = []
    for box, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
        xs, ys = [float(x) / scale for x, _ in box], [float(y) / scale for _, y in box]
        words = plain(text)
        if words and score >= _LEAST_SURE:
            # Letters fill about five sixths of the box that is drawn around a line.
            size = round((max(ys) - min(ys)) / 1.2)
            found.append(Line(words, min(xs), min(ys), max(xs), max(ys), size))
    return sorted(found, key=lambda line: (round(line.middle), line.left))
