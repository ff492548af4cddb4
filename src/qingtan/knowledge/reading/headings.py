"""Titles that are told by their numbers: 第一章 总则, 一、概述, （二）范围, 3.2 Results."""

import re

_NUMERAL = "[一二三四五六七八九十百千零〇0-9０-９]"
_LONGEST = 40
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "part",
        re.compile(
            f"第{_NUMERAL}+(?:编|篇|卷|部分|部)(?![^\\s　：:])|第{_NUMERAL}+[编篇卷][\\s　]*\\S"
        ),
    ),
    ("chapter", re.compile(f"第{_NUMERAL}+[章回](?!节)")),
    ("section", re.compile(f"第{_NUMERAL}+节")),
    ("one", re.compile("[一二三四五六七八九十]{1,3}、[\\s　]*\\S")),
    ("bracket", re.compile("[（(][一二三四五六七八九十]{1,3}[）)][\\s　]*\\S")),
    (
        "decimal",
        re.compile(
            r"(\d{1,2}(?:\.\d{1,2}){1,3})[.．]?[\s　]+\S|(\d{1,2}(?:\.\d{1,2}){1,3})[一-鿿]"
        ),
    ),
    (
        "closing",
        re.compile("附[\\s　]*则$|附[\\s　]*录[一二三四五六七八九十A-Z0-9]*([\\s　：:]|$)"),
    ),
)
_ORDER = ("part", "chapter", "closing", "section", "one", "bracket")
_ENDS = "。；;，,！!？?、：:…"
_LEADERS = re.compile(r"[.．·…]{3,}\s*\d*$|\s\d{1,4}$")
_SENTENCE = re.compile("[。；！？]")


def numbered(line: str) -> str:
    """Return the kind of a numbered title, or nothing where a line is none.

    A title is short, is no sentence, and is no line of a table of contents.
    """
    line = line.strip()
    if len(line) > _LONGEST or not line or line[-1] in _ENDS or _SENTENCE.search(line):
        return ""
    if _LEADERS.search(line):
        return ""
    kind = next((kind for kind, form in _FORMS if form.match(line)), "")
    if kind == "decimal":
        return f"decimal{line.split()[0].rstrip('.．').count('.') + 1}"
    if kind in ("chapter", "section") and len(line) > 30:
        return ""
    return kind


def levels(kinds: list[str], first: int = 1) -> dict[str, int]:
    """Return the level of each kind that a document has, from `first` on.

    Decimal numbers (1.1, 1.1.1) have their own depth below the others.
    """
    present = [kind for kind in _ORDER if kind in kinds]
    result: dict[str, int] = {}
    level = first
    for kind in present:
        if kind == "closing" and "chapter" in present:
            result[kind] = result["chapter"]
            continue
        result[kind] = level
        level += 1
    decimals = sorted(kind for kind in set(kinds) if kind.startswith("decimal"))
    for number, kind in enumerate(decimals):
        result[kind] = level + number
    return result
