"""What language a text is in: modern Chinese, literary Chinese, English, or another."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.ngrams import Characters
from qingtan.corpus.quality.batches import batches
from qingtan.corpus.quality.scripts import INDEX, NAMES, SCRIPTS, script_table
from qingtan.recipe import Recipe

# A long text is known by as many pieces, spread over it.
_PIECES = 4
_PIECE_CHARACTERS = 500
# What the library reads: it takes 0.3 microseconds a character, and more tells it little more.
_LIBRARY_CHARACTERS = 300
# A Chinese character says as much as a word: it weighs as many Latin letters. Chinese software
# documentation has down to one Han character in eight letters, English text next to none.
_HAN_WEIGHT = 8
# Fewer Latin letters, or characters of another script, are too few to tell.
_LEAST_LETTERS = 12
# Japanese prose is half kana; Chinese that quotes Japanese words has a few.
_KANA_SHARE = 0.1
# English words that are no common words of another language. English prose has 15–25 % of them,
# release notes and lists of fields 3 %.
_ENGLISH_WORDS = frozenset(
    (
        *("the", "and", "that", "with", "this", "from", "you", "your", "are", "have", "be", "by"),
        *("not", "which", "can", "will", "it", "if", "or", "when", "should", "use"),
    )
)
_ENGLISH_SHARE = 0.05
_ENGLISH_CHARACTERS = 600


class LanguageTable(Recipe):
    """Which languages to keep."""

    kinds: tuple[Literal["text", "conversations"], ...] = ("text",)
    """The kinds of source that are identified; a source of another kind is kept as it is."""
    keep: tuple[str, ...] = ("zh", "lzh", "en")
    """ISO 639 codes: "zh" modern Chinese, "lzh" literary Chinese (classics, poems in the old
    forms), "en" English, "und" too little text to tell; empty to keep every language."""


def identify(texts: Sequence[str]) -> list[str]:
    """Return the ISO 639 code of each text's language.

    The script decides first: Chinese with much code or many English names stays Chinese. Modern
    and literary Chinese are told apart by the characters that are common in one and rare in the
    other; novels in a half-literary style may be either. English is known by its commonest words;
    only other text in Latin, Cyrillic, Arabic and Indic letters goes to py3langid.

    Returns:
        "zh", "lzh", "en", another code, or "und" where too little text tells.
    """
    excerpts = [_excerpt(text) for text in texts]
    return [language for batch in batches(excerpts) for language in _identify(batch)]


def _identify(texts: Sequence[str]) -> list[str]:
    scripts, languages = _decide_by_script(_count_scripts(texts))
    for i in np.flatnonzero(languages == "").tolist():
        languages[i] = _alphabetic(texts[i], scripts[i])
    return [str(language) for language in languages.tolist()]


def _excerpt(text: str) -> str:
    if len(text) <= _PIECES * _PIECE_CHARACTERS:
        return text
    step = (len(text) - _PIECE_CHARACTERS) // (_PIECES - 1)
    return " ".join(text[i * step : i * step + _PIECE_CHARACTERS] for i in range(_PIECES))


def _count_scripts(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return (texts, scripts) int64: how many letters of each script; column 0 is no letters."""
    characters = Characters.of(texts)
    numbers = script_table()[characters.codes]
    rows = np.repeat(np.arange(len(texts)) * len(NAMES), np.diff(characters.starts))
    counts = np.bincount(rows + numbers, minlength=len(texts) * len(NAMES))
    return counts.reshape(len(texts), len(NAMES))


_HAN, _MODERN, _LITERARY = INDEX["han"], INDEX["modern"], INDEX["literary"]
_KANA, _HANGUL, _LATIN = INDEX["kana"], INDEX["hangul"], INDEX["latin"]
_LANGUAGES = np.array(["und", *(language for language, _ in SCRIPTS.values())], object)


# Who writes of names and versions in Latin letters lives now, however few function words there are.
_LITERARY_LATIN_SHARE = 0.3


def _decide_by_script(
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return each text's chief script, and its language, "" where the script leaves it open."""
    modern, literary, kana = counts[:, _MODERN], counts[:, _LITERARY], counts[:, _KANA]
    ideographs = counts[:, _HAN] + modern + literary
    weights = counts[:, :_MODERN].copy()
    weights[:, 0] = _LEAST_LETTERS - 1  # what a script must exceed
    weights[:, _HAN] = (ideographs + kana) * _HAN_WEIGHT
    weights[:, _KANA] = 0
    weights[:, _HANGUL] *= _HAN_WEIGHT
    scripts = weights.argmax(1)
    languages = _LANGUAGES[scripts]
    among_latin = counts[:, _LATIN] > _LITERARY_LATIN_SHARE * (ideographs + counts[:, _LATIN])
    chinese = np.where((literary > modern) & ~among_latin, "lzh", "zh").astype(object)
    japanese = kana > _KANA_SHARE * (ideographs + kana)
    eastern = scripts == _HAN
    languages[eastern] = np.where(japanese, "ja", chinese)[eastern]
    return scripts, languages


def _alphabetic(text: str, script: int) -> str:
    """Tell a language written in letters that several languages share."""
    if script == _LATIN and _is_english(text):
        return "en"
    return str(_library().classify(text[:_LIBRARY_CHARACTERS])[0])


def _is_english(text: str) -> bool:
    words = text[:_ENGLISH_CHARACTERS].lower().split()
    return sum(word in _ENGLISH_WORDS for word in words) > _ENGLISH_SHARE * len(words)


@cache
def _library() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # reads its model: 0.3 s

    return LanguageIdentifier.from_model_file(MODEL_FILE)
