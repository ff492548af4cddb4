"""The words of a text: features for classifiers and search, where sentences are not needed."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from qingtan.errors import UserError
from qingtan.recipe import Recipe

if TYPE_CHECKING:
    from rjieba import Jieba

_STOP_WORDS = Path(__file__).with_name("stop_words")
# Some 60 MB at most.
_REMEMBERED_WORDS = 500_000


class WordsTable(Recipe):
    """How text is cut into words, and which are left out."""

    stop_words: Literal["none", "default"] | Path = "default"
    """Words to leave out: "none"; "default", the function words of Chinese and English; or a UTF-8
    file of one's own, with words between spaces or line ends, and comments from "#" on."""
    min_characters: int = Field(default=1, ge=1)
    """Leave out shorter words."""
    keep_numbers: bool = True
    """Whether a word may have no letter in it."""
    dictionary: Path | None = None
    """Words that jieba should know besides its own: a UTF-8 file with a word in each line, after
    which its frequency may stand (jieba's format)."""


class Segmenter:
    """Cuts text into words with jieba's dictionary and its hidden Markov model for names.

    It takes about 0.1 s to make and cannot be pickled: make one in each process.
    """

    def __init__(self, table: WordsTable) -> None:
        """Load the dictionary and the stop words.

        Raises:
            UserError: a file is missing or is not UTF-8, or a line of the dictionary is wrong.
        """
        self._jieba = _load_jieba(table.dictionary)
        self._word_of = _WordOf(table)

    def words(self, text: str) -> list[str]:
        """Return the words in their order, in lower case, without punctuation and stop words."""
        try:
            tokens = self._jieba.cut(text)
        except UnicodeEncodeError:  # half a surrogate pair
            tokens = self._jieba.cut(text.encode("utf-8", "replace").decode("utf-8"))
        words = [word for word in map(self._word_of.__getitem__, tokens) if word]
        if len(self._word_of) > _REMEMBERED_WORDS:
            self._word_of.clear()
        return words


class _WordOf(dict[str, str]):
    """What a token of jieba's counts for, or nothing; made when first asked for."""

    def __init__(self, table: WordsTable) -> None:
        self._table = table
        self._stop_words = frozenset(_stop_words(table.stop_words))

    def __missing__(self, token: str) -> str:
        word = self._bare(token.lower())
        word = self[token] = word if self._is_wanted(word) else ""
        return word

    def _is_wanted(self, word: str) -> bool:
        return (
            len(word) >= self._table.min_characters
            and word not in self._stop_words
            and (self._table.keep_numbers or any(map(str.isalpha, word)))
        )

    def _bare(self, token: str) -> str:
        if token.isalnum():
            return token
        # jieba takes these for letters, but only C++, C# and the like end in them.
        token = token.lstrip("+#&._%-").rstrip("&._%-")
        return token if any(map(str.isalnum, token)) else ""


def _load_jieba(dictionary: Path | None) -> "Jieba":
    from rjieba import Jieba  # takes a moment, and only this needs it

    jieba = Jieba()
    for number, line in enumerate(_read(dictionary).splitlines() if dictionary else (), start=1):
        if not line.strip():
            continue
        word, *rest = line.split()
        if rest and not rest[0].isdecimal():
            raise UserError(f"{dictionary}, line {number}: after {word!r} write its frequency")
        jieba.add_word(word, int(rest[0]) if rest else None, None)
    return jieba


def _stop_words(choice: str | Path) -> Iterator[str]:
    if choice == "none":
        return
    paths = [choice] if isinstance(choice, Path) else sorted(_STOP_WORDS.glob("*.txt"))
    for path in paths:
        for line in _read(path).splitlines():
            yield from line.partition("#")[0].lower().split()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError:
        raise UserError(f"{path}: cannot be read; name a file of words") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8: {error}") from None
