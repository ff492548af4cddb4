"""The cleaning steps, run one after another until none of them finds anything to do."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice

from qingtan.corpus.cleaning.boilerplate import Boilerplate
from qingtan.corpus.cleaning.characters import tidy_characters
from qingtan.corpus.cleaning.markup import choose_variants, remove_markdown_links, remove_markup
from qingtan.corpus.cleaning.mojibake import repair_mojibake
from qingtan.corpus.cleaning.settings import CleaningTable
from qingtan.corpus.cleaning.simplify import simplifier

# In the order in which they run. Mojibake comes before the characters, because some of its
# characters are controls that the other removes; furniture is looked for in text that is clean.
CLEANING_STEPS = {
    "mojibake": "Lines decoded with the wrong encoding are repaired",
    "wiki_variants": "Regional wording marked in Chinese wikis becomes the simplified variant",
    "markup": "HTML and wiki markup is removed",
    "markdown_links": "Markdown images and link targets are removed",
    "unicode": "Characters are folded and composed, invisible ones removed, spaces tidied",
    "simplify": "Traditional characters become simplified ones",
    "boilerplate": "Lines that are page furniture are dropped",
}

# Real text settles in two or three rounds; only text made to be nested needs more.
_MAX_ROUNDS = 50

Step = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A text after cleaning.

    Attributes:
        text: the clean text.
        changes: the name of each step that changed the text, with the text after it, in the order
            of the changes. A step is there more than once where another's change gave it more
            to do.
    """

    text: str
    changes: tuple[tuple[str, str], ...]


class Cleaner:
    """Cleans texts as a recipe's table says.

    The steps are repeated until none of them changes anything, so cleaning a clean text changes
    nothing, whatever the steps do to one another's work.
    """

    def __init__(self, table: CleaningTable) -> None:
        self._steps = _steps(table)

    def clean(self, text: str) -> Cleaned:
        """Return the text with every step applied; any string is accepted.

        A text that does not settle in 50 rounds, which takes markup or mojibake nested as deep,
        comes out empty.
        """
        changes: list[tuple[str, str]] = []
        to_settle = len(self._steps)
        for name, step in islice(cycle(self._steps), len(self._steps) * _MAX_ROUNDS):
            after = step(text)
            if after == text:
                to_settle -= 1
                if to_settle == 0:
                    return Cleaned(text, tuple(changes))
                continue
            text = after
            changes.append((name, text))
            to_settle = len(self._steps)
        if not self._steps:
            return Cleaned(text, ())
        return Cleaned("", (*changes, (self._steps[-1][0], "")))


def _steps(table: CleaningTable) -> list[tuple[str, Step]]:
    """Return the steps that the table asks for."""
    makers: dict[str, Callable[[CleaningTable], Step]] = {
        "mojibake": lambda _: repair_mojibake,
        "wiki_variants": lambda _: choose_variants,
        "markup": lambda _: remove_markup,
        "markdown_links": lambda _: remove_markdown_links,
        "unicode": lambda _: tidy_characters,
        "simplify": lambda table: simplifier(table.conversion),
        "boilerplate": lambda table: (
            Boilerplate(table.boilerplate_patterns, table.boilerplate_characters).remove
        ),
    }
    return [(name, makers[name](table)) for name in CLEANING_STEPS if getattr(table, name)]
