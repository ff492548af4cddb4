"""A small writer of PDF files, so that tests know what stands in them."""

import zlib
from dataclasses import dataclass, field

A4 = (595.0, 842.0)


@dataclass
class Page:
    """A page under way; coordinates are points from its upper left corner."""

    size: tuple[float, float] = A4
    rotate: int = 0
    crop: tuple[float, float, float, float] | None = None
    _content: list[str] = field(default_factory=list)
    _texts: list[tuple[float, float, float, str, bool]] = field(default_factory=list)
    picture: bool = False

    def text(self, x: float, y: float, text: str, size: float = 12, bold: bool = False) -> None:
        """Write a line whose foot stands at (x, y)."""
        self._texts.append((x, self.size[1] - y, size, text, bold))

    def rule(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a line."""
        height = self.size[1]
        self._content.append(f"0.8 w {x0} {height - y0} m {x1} {height - y1} l S")

    def bar(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Fill a box with black: text shows nothing, for the font is not in the file."""
        height = self.size[1]
        self._content.append(f"0 g {x0} {height - y1} {x1 - x0} {y1 - y0} re f")

    def raw(self, operators: str) -> None:
        """Write operators as they are."""
        self._content.append(operators)


class Pdf:
    """A document of pages in one font, which maps its own codes to Unicode."""

    def __init__(self, title: str = "", date: str = "") -> None:
        self._info = {"Title": title, "CreationDate": date}
        self.pages: list[Page] = []
        self._codes: dict[str, int] = {}
        self._outline: list[tuple[str, int]] = []
        self.shown: dict[str, str] = {}
        """What the font says a character is, where that is another."""
        self.sizes_above = False
        """Whether pages have their size from the node above them, which has the first one's."""

    def page(self, size: tuple[float, float] = A4, rotate: int = 0, picture: bool = False) -> Page:
        """Begin a page."""
        self.pages.append(Page(size, rotate, picture=picture))
        return self.pages[-1]

    def bookmark(self, title: str, page: int) -> None:
        """List a title; pages from 1."""
        self._outline.append((title, page))

    def data(self) -> bytes:
        """Return the file."""
        streams = [self._stream(page) for page in self.pages]
        count = len(self.pages)
        first_page = 10
        objects: dict[int, bytes] = {}
        kids = " ".join(f"{first_page + 2 * n} 0 R" for n in range(count))
        first_mark = first_page + 2 * count
        objects[1] = b"<</Type/Catalog/Pages 2 0 R/Outlines 9 0 R>>"
        above = _boxes(self.pages[0]) if self.sizes_above else ""
        objects[2] = f"<</Type/Pages/Kids[{kids}]/Count {count}{above}>>".encode()
        objects[3] = b"<</Type/Font/Subtype/Type0/BaseFont/Song/Encoding/Identity-H"
        objects[3] += b"/DescendantFonts[5 0 R]/ToUnicode 7 0 R>>"
        objects[4] = objects[3].replace(b"/Song", b"/Song,Bold").replace(b"5 0 R", b"6 0 R")
        objects[5], objects[6] = self._font("Song", 400), self._font("Song,Bold", 700)
        objects[7] = _wrapped(self._to_unicode().encode())
        objects[8] = _wrapped(
            b"\x80" * 4,
            "/Type/XObject/Subtype/Image/Width 2/Height 2/BitsPerComponent 8/ColorSpace/DeviceGray",
        )
        objects.update(self._marks(first_mark, first_page))
        for number, (page, stream) in enumerate(zip(self.pages, streams, strict=True)):
            place = first_page + 2 * number
            boxes = "" if self.sizes_above else _boxes(page)
            objects[place] = (
                f"<</Type/Page/Parent 2 0 R{boxes}/Rotate {page.rotate}"
                f"/Contents {place + 1} 0 R/Resources<</Font<</F 3 0 R/B 4 0 R>>"
                "/XObject<</I 8 0 R>>>>>>"
            ).encode()
            objects[place + 1] = _wrapped(stream)
        info = "".join(
            f"/{key}<feff{value.encode('utf-16-be').hex()}>"
            for key, value in self._info.items()
            if value
        )
        last = max(objects) + 1
        objects[last] = f"<<{info}>>".encode()
        return _file(objects, info=last)

    def _stream(self, page: Page) -> bytes:
        lines = list(page._content)
        if page.picture:
            lines.append(f"q {page.size[0]} 0 0 {page.size[1]} 0 0 cm /I Do Q")
        for x, y, size, text, bold in page._texts:
            codes = "".join(f"{self._code(character):04x}" for character in text)
            lines.append(f"BT /{'B' if bold else 'F'} {size} Tf {x} {y} Td <{codes}> Tj ET")
        return "\n".join(lines).encode()

    def _code(self, character: str) -> int:
        return self._codes.setdefault(character, len(self._codes) + 1)

    def _font(self, name: str, weight: int) -> bytes:
        widths = "".join(f"{code}[500]" for text, code in self._codes.items() if text.isascii())
        flags = 4 | (1 << 18 if weight > 400 else 0)
        return (
            f"<</Type/Font/Subtype/CIDFontType2/BaseFont/{name}/DW 1000/W[{widths}]"
            "/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
            f"/FontDescriptor<</Type/FontDescriptor/FontName/{name}/Flags {flags}"
            f"/FontBBox[0 -200 1000 900]/ItalicAngle 0/Ascent 880/Descent -120/CapHeight 700"
            f"/StemV {80 if weight == 400 else 160}/FontWeight {weight}>>>>"
        ).encode()

    def _to_unicode(self) -> str:
        pairs = [
            f"<{code:04x}><{self.shown.get(text, text).encode('utf-16-be').hex()}>"
            for text, code in self._codes.items()
        ]
        blocks = [pairs[n : n + 100] for n in range(0, len(pairs), 100)]
        chars = "\n".join(f"{len(b)} beginbfchar\n" + "\n".join(b) + "\nendbfchar" for b in blocks)
        return (
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Own def"
            " /CMapType 2 def 1 begincodespacerange <0000><ffff> endcodespacerange\n"
            f"{chars}\nendcmap end end"
        )

    def _marks(self, first: int, first_page: int) -> dict[int, bytes]:
        count = len(self._outline)
        if not count:
            return {9: b"<</Type/Outlines/Count 0>>"}
        last = first + count - 1
        found = {9: f"<</Type/Outlines/First {first} 0 R/Last {last} 0 R/Count {count}>>".encode()}
        for number, (title, page) in enumerate(self._outline):
            place = first + number
            links = f"/Next {place + 1} 0 R" if place < last else ""
            links += f"/Prev {place - 1} 0 R" if number else ""
            found[place] = (
                f"<</Title<feff{title.encode('utf-16-be').hex()}>/Parent 9 0 R{links}"
                f"/Dest[{first_page + 2 * (page - 1)} 0 R/Fit]>>"
            ).encode()
        return found


def _boxes(page: Page) -> str:
    width, height = page.size
    crop = page.crop and f"/CropBox[{' '.join(map(str, page.crop))}]"
    return f"/MediaBox[0 0 {width} {height}]{crop or ''}"


def _wrapped(data: bytes, more: str = "") -> bytes:
    packed = zlib.compress(data)
    head = f"<</Length {len(packed)}/Filter/FlateDecode{more}>>stream\n".encode()
    return head + packed + b"\nendstream"


def _file(objects: dict[int, bytes], info: int) -> bytes:
    out = b"%PDF-1.7\n"
    places = {}
    for number, value in sorted(objects.items()):
        places[number] = len(out)
        out += f"{number} 0 obj\n".encode() + value + b"\nendobj\n"
    size = max(objects) + 1
    table = "".join(
        f"{places[n]:010} 00000 n \n" if n in places else "0000000000 65535 f \n"
        for n in range(size)
    )
    start = len(out)
    trailer = f"xref\n0 {size}\n{table}trailer\n<</Size {size}/Root 1 0 R/Info {info} 0 R>>\n"
    return out + f"{trailer}startxref\n{start}\n%%EOF\n".encode()
