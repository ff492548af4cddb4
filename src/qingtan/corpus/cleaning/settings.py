"""The recipe's table of cleaning."""

import re
from typing import Literal

from pydantic import Field, field_validator

from qingtan.recipe import Recipe

Conversion = Literal["t2s", "tw2s", "tw2sp", "hk2s", "hk2sp"]


class CleaningTable(Recipe):
    """What is repaired and removed in a text before anything else looks at it."""

    mojibake: bool = True
    """Repair lines that were decoded with the wrong encoding: UTF-8 read as Latin-1, Windows-1252
    or GBK, and GBK read as Latin-1. Only lines that decode back entirely are touched."""
    wiki_variants: bool = True
    """Replace the marks of Chinese wikis for regional wording, `-{zh-cn:网络;zh-tw:網路}-`, by the
    simplified variant."""
    markup: bool = False
    """Remove HTML tags, comments and entities, and a wiki's templates, references and link marks.
    Fenced code and inline code stay as they are. For sources that are pages or wikis."""
    markdown_links: bool = False
    """Remove Markdown images and the targets of Markdown links; a link's text stays."""
    unicode: bool = True
    """Fold full-width letters and digits, presentation forms and compatibility ideographs to the
    ordinary characters, compose combining sequences, remove control, zero-width and private-use
    characters, and tidy spaces and line breaks. Superscripts, circled numbers, fractions, units
    and Roman numerals stay."""
    simplify: bool = False
    """Convert traditional characters to simplified ones, with OpenCC."""
    conversion: Conversion = "t2s"
    """OpenCC's conversion: from its standard traditional ("t2s"), Taiwan's ("tw2s") or Hong Kong's
    ("hk2s") characters; with "p", regional words become the mainland's too."""
    boilerplate: bool = True
    """Drop whole lines that are page furniture: copyright footers, editors' names, links to the
    next page, share buttons, cookie notices, navigation bars, registration numbers."""
    boilerplate_patterns: tuple[str, ...] = ()
    """Further lines to drop: Python regular expressions that a whole line must match, without the
    spaces around it."""
    boilerplate_characters: int = Field(default=100, ge=1)
    """Only lines up to so many characters can be page furniture."""

    @field_validator("boilerplate_patterns")
    @classmethod
    def _check_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"not a regular expression: {pattern!r}: {error}") from None
        return patterns
