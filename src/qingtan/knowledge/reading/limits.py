"""How much one file may cost, and the error for what cannot be read."""

from dataclasses import dataclass

from qingtan.errors import UserError

MIB = 1 << 20


class Unreadable(UserError):  # noqa: N818 - said of the file
    """A file cannot be read.

    Attributes:
        reason: for people.
        name: the document's, as far as it is known where the error is raised.
    """

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason = reason
        self.name = name


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading may cost; beyond it a file is refused.

    Attributes:
        file_bytes: of one file, and of an archive's packed bytes.
        unpacked_bytes: what all members of an archive, or of an Office file, come to.
        ratio: unpacked bytes to packed ones; not looked at below `small_bytes`.
        small_bytes: unpacked, which harm nobody whatever they came from.
        members: of an archive, or of an Office file.
        pages: or slides, or sheets.
        cells: of all tables of a file, merged cells counted as often as they cover one.
        blocks: of a document.
        characters: of a document.
        seconds: of the processor, for one file; by the clock five times as many.
        memory_bytes: of the process that reads, itself included.
    """

    file_bytes: int = 128 * MIB
    unpacked_bytes: int = 512 * MIB
    ratio: float = 150.0
    small_bytes: int = 8 * MIB
    members: int = 10_000
    pages: int = 5_000
    cells: int = 2_000_000
    blocks: int = 200_000
    characters: int = 20_000_000
    seconds: float = 60.0
    memory_bytes: int = 2048 * MIB

    @property
    def clock_seconds(self) -> float:
        """How long one file may take by the clock."""
        return 5 * self.seconds
