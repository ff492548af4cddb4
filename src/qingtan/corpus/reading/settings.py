"""Recipe table of reading: how files become records."""

from typing import Literal

from pydantic import Field, field_validator

from qingtan.recipe import Recipe


class FormatTable(Recipe):
    """How the files of a source are read, a `[source.format]` table."""

    fields: dict[str, str] = Field(default_factory=dict)
    """Our name of a field → the file's name of it: text = "content"; in every format."""
    split: Literal["file", "paragraphs", "lines"] = "file"
    """What a document is in plain text and Markdown: the whole file, a run of lines between blank
    lines, or one line."""
    encoding: str = "auto"
    """Of text, CSV and HTML: a codec of Python, or "auto": UTF-8, UTF-16 with a byte order mark,
    or else GB18030; an HTML page's own `meta charset` comes first."""
    html: Literal["main", "all"] = "main"
    """What is taken from an HTML page: its main text, without navigation, advertisements and
    footers, or all visible text."""
    max_record_bytes: int = Field(default=16 << 20, ge=1)
    """A longer record is rejected, and is never held in memory as a whole. Bytes."""
    delimiter: str = Field(default=",", pattern=r'^[^"\r\n]$')
    """What separates the columns of a .csv file, one ASCII character; in .tsv it is a tab."""

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, name: str) -> str:
        if name != "auto":
            try:
                b"a".decode(name, "ignore")
            except (LookupError, ValueError):
                raise ValueError(f"{name!r} is no encoding of Python's; leave it out") from None
        return name

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, delimiter: str) -> str:
        if not delimiter.isascii():
            raise ValueError("not an ASCII character")
        return delimiter
