"""Files as streams of bytes: decompressed, in pieces of bounded size."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


class Chunks:
    """The decompressed bytes of a file, a piece at a time.

    Attributes:
        path: the file.
        size: bytes of a piece, but for the last.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces.

        Raises:
            OSError: the file is missing, or cannot be read to its end.
        """
        codec = COMPRESSIONS.get(self.path.suffix.lower())
        with self.path.open("rb") as file:
            if codec is None:
                yield from iter(lambda: file.read(self.size), b"")
                return
            if not file.read(1):
                raise OSError(f"an empty file, which {codec} never writes")
        # Unlike zstandard's and gzip's own readers, Arrow's bounds what one call decompresses,
        # reads several frames as one stream, and tells a file cut short from one that ends.
        with pa.CompressedInputStream(pa.OSFile(str(self.path)), codec) as stream:
            yield from iter(lambda: stream.read(self.size), b"")
