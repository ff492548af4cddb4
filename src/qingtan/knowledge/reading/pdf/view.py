"""How a page is shown: cut, turned, and measured from its upper left corner."""

import ctypes
from typing import Any

import pypdfium2.raw as raw

_DOTS = 1000  # a point: pdfium gives whole dots
_APART = 100.0  # points


class View:
    """From a page's own coordinates to the page as it is shown.

    pdfium itself is asked, since a page's boxes may stand in any of the nodes above it.

    Attributes:
        size: width and height in points.
    """

    def __init__(self, page: Any) -> None:
        self.size: tuple[float, float] = page.get_size()
        origin, right, up = (_dots(page, *at) for at in ((0, 0), (_APART, 0), (0, _APART)))
        self._origin = origin[0] / _DOTS, origin[1] / _DOTS
        # By how much a point to the right, and one up, move the place that is shown.
        self._right, self._up = (
            ((end[0] - origin[0]) / _DOTS / _APART, (end[1] - origin[1]) / _DOTS / _APART)
            for end in (right, up)
        )

    def shown(
        self, left: float, top: float, right: float, bottom: float
    ) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of a box."""
        x0, y0 = self._point(left, bottom)
        x1, y1 = self._point(right, top)
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def _point(self, x: float, y: float) -> tuple[float, float]:
        return (
            self._origin[0] + x * self._right[0] + y * self._up[0],
            self._origin[1] + x * self._right[1] + y * self._up[1],
        )


def _dots(page: Any, x: float, y: float) -> tuple[int, int]:
    width, height = (round(side * _DOTS) for side in page.get_size())
    to_x, to_y = ctypes.c_int(), ctypes.c_int()
    raw.FPDF_PageToDevice(page, 0, 0, width, height, 0, x, y, to_x, to_y)
    return to_x.value, to_y.value
