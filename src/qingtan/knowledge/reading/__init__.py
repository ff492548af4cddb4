"""Floor 3: files become documents.

`sources` lists the files of a path, `read` reads one in a process that may be killed. A format is a
module with one function from bytes to a `Draft`, entered in `formats.py`.
"""

from qingtan.knowledge.reading.limits import Limits, Unreadable
from qingtan.knowledge.reading.names import clean_name
from qingtan.knowledge.reading.reader import Reader, read
from qingtan.knowledge.reading.sources import Source, sources

__all__ = ["Limits", "Reader", "Source", "Unreadable", "clean_name", "read", "sources"]
