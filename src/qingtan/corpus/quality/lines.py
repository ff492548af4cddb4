"""Lines of a batch of texts, and what they measure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.ngrams import Characters
from qingtan.corpus.quality import segments
from qingtan.corpus.quality.classes import Kind
from qingtan.corpus.quality.segments import Ints
from qingtan.corpus.quality.words import SpanHasher, Units

BULLETS = "-*+•·●○◆◇■□▪▫▶►➤※★☆‣◦"
SHORT_LINE_UNITS = 5


@dataclass(frozen=True)
class Lines:
    """The lines of a batch that are not blank, without the spaces around them.

    Attributes:
        begins: (lines,) int64, the place of the first visible character.
        ends: (lines,) int64, the place after the last one.
        visible: (lines,) int64, how many characters are no spaces.
        starts: (texts + 1,) int64, where each text's lines begin.
    """

    begins: Ints
    ends: Ints
    visible: Ints
    starts: Ints

    @classmethod
    def of(cls, characters: Characters, kinds: NDArray[np.uint8]) -> "Lines":
        """Find the lines; `kinds` is (characters,) uint8, the `Kind` of each character."""
        places = np.flatnonzero(kinds >= Kind.BROKEN)
        cuts = segments.cuts(kinds == Kind.LINE_BREAK, characters.starts)
        # How many visible characters stand before each place where a line begins or ends.
        before = np.searchsorted(places, cuts)
        visible = np.diff(before)
        filled = visible > 0
        firsts, counts = before[:-1][filled], visible[filled]
        begins, ends = places[firsts], places[firsts + counts - 1] + 1
        return cls(begins, ends, counts, np.searchsorted(begins, characters.starts))

    def measures(
        self, characters: Characters, units: Units, hasher: SpanHasher
    ) -> dict[str, NDArray[np.int64]]:
        """Return (texts,) int64 columns.

        bullet_lines, ellipsis_lines: numbers of lines. short_line_characters,
        duplicate_characters: visible characters in lines of few units, and in lines that stood in
        the text before.
        """
        hashes = hasher.hashes(self.begins, self.ends)
        first = segments.first_occurrences(hashes, self.starts)
        repeated = first != np.arange(len(first))
        lengths = units.before[self.ends] - units.before[self.begins]
        return {
            "bullet_lines": segments.sums(self._bulleted(characters.codes), self.starts),
            "ellipsis_lines": segments.sums(self._unfinished(characters.codes), self.starts),
            "short_line_characters": segments.sums(
                self.visible * (lengths < SHORT_LINE_UNITS), self.starts
            ),
            "duplicate_characters": segments.sums(self.visible * repeated, self.starts),
        }

    def _bulleted(self, codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
        return np.isin(codes[self.begins], [ord(bullet) for bullet in BULLETS])

    def _unfinished(self, codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Whether each line ends in "…" or in "..."."""
        dots = self.ends - self.begins >= 3
        for back in (1, 2, 3):
            dots &= codes[np.maximum(self.ends - back, 0)] == ord(".")
        ends: NDArray[np.bool_] = dots | (codes[self.ends - 1] == ord("…"))
        return ends
