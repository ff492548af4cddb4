"""What can be counted of a text's quality, for a batch of texts at once."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.ngrams import Characters
from qingtan.corpus.quality import segments
from qingtan.corpus.quality.batches import batches
from qingtan.corpus.quality.classes import MISREAD, Kind, kind_table
from qingtan.corpus.quality.lines import Lines
from qingtan.corpus.quality.repetition import TOP_GRAM, repetitions
from qingtan.corpus.quality.segments import Ints
from qingtan.corpus.quality.words import SpanHasher, Units

Column = NDArray[np.float64]

LONGEST_RUN = 5
LONGEST_BLOB = 100


@dataclass(frozen=True)
class Measures:
    """Measures of a batch of texts, each a column (texts,) float64.

    "Visible" are all characters but spaces. A "unit" is a Han character, or a word in another
    script: an unbroken run of letters and digits. Shares are from 0 to 1; a share of nothing is 0.
    """

    characters: Column
    """Letters, ideographs and digits."""
    symbol_share: Column
    """Of the visible characters: neither letters, digits nor punctuation of sentences."""
    digit_share: Column
    """Of the visible characters."""
    broken_share: Column
    """Of the visible characters: controls, private use, U+FFFD, and text read in a wrong encoding
    (锟斤拷, 烫烫烫, 屯屯屯, two bytes of UTF-8 read as Latin-1)."""
    han_share: Column
    """Of the letters."""
    latin_share: Column
    """Of the letters."""
    word_length: Column
    """Mean length of the words, in characters."""
    stop_word_share: Column
    """Of the words: English ones that hold sentences together."""
    function_share: Column
    """Of the Han characters: those that hold sentences together."""
    short_line_share: Column
    """Of the visible characters: in lines of fewer than 5 units."""
    bullet_share: Column
    """Of the lines that are not blank: those that begin with a bullet."""
    ellipsis_share: Column
    """Of the lines that are not blank: those that end in "…" or "..."."""
    longest_stretch: Column
    """The most units with neither punctuation, symbol nor line break between them."""
    duplicate_line_share: Column
    """Of the visible characters: in lines that stood in the text before, but for the case of
    ASCII letters."""
    top_gram_share: Column
    """Of the units: the commonest run of 4 units, after its first occurrence; at most 1."""
    repeated_share: Column
    """Of the units: in runs of 10 units that occurred in the text before."""
    run_share: Column
    """Of the visible characters: in runs of more than 5 times the same letter, ideograph or
    punctuation mark other than ASCII's."""
    blob_share: Column
    """Of the visible characters: in unbroken runs of more than 100 visible ASCII characters."""

    def __len__(self) -> int:
        return len(self.characters)


def measure(texts: Sequence[str]) -> Measures:
    """Measure texts; what a text measures does not depend on the others."""
    parts = [_measure(batch) for batch in batches(texts)] or [_measure([])]
    names = [field.name for field in fields(Measures)]
    return Measures(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def _measure(texts: Sequence[str]) -> Measures:
    characters = Characters.of(texts)
    kinds = kind_table()[characters.codes]
    counts = _count_kinds(kinds, characters.starts)
    visible = counts[:, Kind.BROKEN :].sum(1)
    letters = counts[:, Kind.LETTER :].sum(1)
    han = counts[:, Kind.HAN :].sum(1)
    hasher = SpanHasher(characters.codes)
    units = Units.of(characters, kinds, hasher)
    lines = Lines.of(characters, kinds)
    of_lines = lines.measures(characters, units, hasher)
    top, repeated = repetitions(units)
    number_of_lines, number_of_units = np.diff(lines.starts), np.diff(units.starts)
    number_of_words = np.diff(units.word_starts)
    return Measures(
        characters=(counts[:, Kind.DIGIT] + letters).astype(np.float64),
        symbol_share=_share(counts[:, Kind.SYMBOL], visible),
        digit_share=_share(counts[:, Kind.DIGIT], visible),
        broken_share=_share(counts[:, Kind.BROKEN] + _misread(characters, kinds), visible),
        han_share=_share(han, letters),
        latin_share=_share(counts[:, Kind.LATIN] + counts[:, Kind.LEAD], letters),
        word_length=_share(segments.sums(units.word_lengths, units.word_starts), number_of_words),
        stop_word_share=_share(
            segments.sums(units.stop_words(), units.word_starts), number_of_words
        ),
        function_share=_share(counts[:, Kind.FUNCTION], han),
        short_line_share=_share(of_lines["short_line_characters"], visible),
        bullet_share=_share(of_lines["bullet_lines"], number_of_lines),
        # A text may trail off once; what is cut off is so again and again.
        ellipsis_share=_share(np.maximum(of_lines["ellipsis_lines"] - 1, 0), number_of_lines),
        longest_stretch=_longest_stretch(characters, kinds, units).astype(np.float64),
        duplicate_line_share=_share(of_lines["duplicate_characters"], visible),
        top_gram_share=np.minimum(_share(top * TOP_GRAM, number_of_units), 1.0),
        repeated_share=_share(repeated, number_of_units),
        run_share=_share(_in_runs(characters, kinds), visible),
        blob_share=_share(_in_blobs(characters), visible),
    )


def _share(part: Ints, whole: Ints) -> Column:
    return part / np.maximum(whole, 1)


def _count_kinds(kinds: NDArray[np.uint8], starts: Ints) -> Ints:
    """Return (texts, kinds) int64: how many characters of each kind."""
    texts = len(starts) - 1
    rows = np.repeat(np.arange(texts) * len(Kind), np.diff(starts))
    return np.bincount(rows + kinds, minlength=texts * len(Kind)).reshape(texts, len(Kind))


def _misread(characters: Characters, kinds: NDArray[np.uint8]) -> Ints:
    """Count visible characters, other than broken ones, of text read in a wrong encoding."""
    found = np.concatenate([_misread_gbk(characters, kinds), _misread_utf8(characters, kinds)])
    found = np.unique(found)
    # Bytes 0x80 to 0x9F became controls, which are counted as broken, or spaces.
    found = found[kinds[found] > Kind.BROKEN]
    return np.diff(np.searchsorted(found, characters.starts))


def _misread_gbk(characters: Characters, kinds: NDArray[np.uint8]) -> Ints:
    """Return the places of the characters of `MISREAD`."""
    codes, starts = characters.codes, characters.starts
    firsts = np.flatnonzero(kinds == Kind.SUSPECT)
    ends = starts[segments.owners(firsts, starts) + 1]
    found = [
        np.arange(first, first + 3)
        for first, end in zip(firsts.tolist(), ends.tolist(), strict=True)
        if "".join(map(chr, codes[first : min(first + 3, end)])) in MISREAD
    ]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _misread_utf8(characters: Characters, kinds: NDArray[np.uint8]) -> Ints:
    """Return the places of two bytes of UTF-8 read as Latin-1."""
    codes, starts = characters.codes, characters.starts
    leads = np.flatnonzero(kinds == Kind.LEAD)
    leads = leads[leads + 1 < starts[segments.owners(leads, starts) + 1]]
    following = codes[leads + 1]
    trails = (following >= 0x80) & (following <= 0xBF)
    # The no-break space and the closing quotation mark follow letters in French.
    trails &= ~np.isin(following, [0xA0, 0xBB])
    return np.concatenate([leads[trails], leads[trails] + 1])


def _longest_stretch(characters: Characters, kinds: NDArray[np.uint8], units: Units) -> Ints:
    broken = (kinds < Kind.DIGIT) & (kinds != Kind.SPACE)
    places = segments.cuts(broken, characters.starts)
    stretches = np.diff(units.before[places])
    return segments.maxima(stretches, np.searchsorted(places, characters.starts))


def _in_blobs(characters: Characters) -> Ints:
    other = (characters.codes - np.uint32(33)) >= np.uint32(94)
    places = segments.cuts(other, characters.starts)
    begins = places[:-1] + other[places[:-1]]
    return _in_long_spans(begins, places[1:], LONGEST_BLOB, characters.starts)


def _in_runs(characters: Characters, kinds: NDArray[np.uint8]) -> Ints:
    codes, starts = characters.codes, characters.starts
    same = np.flatnonzero(codes[1:] == codes[:-1]) + 1  # few: the rest looks at these alone
    kind = kinds[same]
    counted = (kind >= Kind.LETTER) | ((kind == Kind.PUNCTUATION) & (codes[same] >= 0x80))
    same = same[counted & ~np.isin(same, starts)]
    alone = np.flatnonzero(np.diff(same, prepend=-1) != 1)
    begins, lengths = same[alone] - 1, np.diff(alone, append=len(same)) + 1
    return _in_long_spans(begins, begins + lengths, LONGEST_RUN, starts)


def _in_long_spans(begins: Ints, ends: Ints, longest: int, starts: Ints) -> Ints:
    """Return (texts,) int64: the characters in spans longer than `longest`."""
    long = ends - begins > longest
    begins, lengths = begins[long], (ends - begins)[long]
    return segments.sums(lengths, np.searchsorted(begins, starts))
