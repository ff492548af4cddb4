"""Text in other encodings than UTF-8."""

import codecs
import re
from collections.abc import Iterable, Iterator

# By so many bytes a text in GB 18030 is told from a damaged one in UTF-8.
_SAMPLE_BYTES = 1 << 16
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def decode(data: bytes, encoding: str) -> str:
    """Decode a whole text, without its byte order mark.

    Args:
        encoding: a codec of Python, or "auto" as in `FormatTable.encoding`.

    Raises:
        UnicodeDecodeError: these bytes are no text in that encoding.
    """
    if encoding == "auto":
        encoding = _marked(data) or _guess_whole(data)
    return data.decode(encoding).removeprefix("\ufeff")


def to_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield a stream of text as UTF-8 without a byte order mark.

    In place of what cannot be decoded stand bytes that are no valid UTF-8 either, so that it is
    found when its record is parsed; a stream in UTF-8 is passed on unchecked.
    """
    stream = iter(chunks)
    head = _gather(stream, 3)
    if encoding == "auto":
        encoding = _marked(head) or "auto"
    while encoding == "auto":
        found = _NOT_ASCII.search(head)
        yield head[: found.start()] if found else head
        head = head[found.start() :] if found else next(stream, b"")
        if found:
            head += _gather(stream, _SAMPLE_BYTES - len(head))
            encoding = _guess(head[:_SAMPLE_BYTES])
        elif not head:
            return
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        yield head.removeprefix(codecs.BOM_UTF8)
        yield from stream
    else:
        yield from _convert(head, stream, encoding)


def _convert(head: bytes, stream: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("qingtan.undecodable")
    text = decoder.decode(head).removeprefix("\ufeff")
    yield text.encode("utf-8", "surrogatepass")
    for chunk in stream:
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    # Half a surrogate pair, which strict UTF-8 has no bytes for.
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error("qingtan.undecodable", _mark_undecodable)


def _gather(stream: Iterator[bytes], size: int) -> bytes:
    """Take pieces until there are so many bytes, or the stream ends."""
    pieces: list[bytes] = []
    while size > 0 and (piece := next(stream, b"")):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _marked(data: bytes) -> str | None:
    return next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)


def _guess_whole(data: bytes) -> str:
    found = _NOT_ASCII.search(data)
    return _guess(data[found.start() :][:_SAMPLE_BYTES]) if found else "utf-8"


def _guess(sample: bytes) -> str:
    """Return "utf-8" or "gb18030", whichever a text more likely is.

    Nearly every character of a text in GB 18030 is an error in UTF-8, so a text in UTF-8 with some
    damage is still taken for what it is.
    """
    text = sample.decode("utf-8", "replace")
    errors = text.count("\ufffd")
    sound = len(text) - len(text.encode("ascii", "ignore")) - errors
    return "gb18030" if errors > sound else "utf-8"
