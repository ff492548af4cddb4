"""Translations: sacrebleu's BLEU and chrF, from the statistics that each answer adds."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from qingtan.evaluation.metrics.metric import Answer, Item, Metric

References = Callable[[Item], Sequence[str]]


class Bleu(Metric):
    """Corpus BLEU (Papineni et al. 2002) as `sacrebleu.corpus_bleu` gives it (Post 2018).

    Args:
        gold: an item's references, at least one.
        language: of the references; Chinese is cut into characters, English as mteval-v13a does.
    """

    name, english, chinese = "bleu", "BLEU", "BLEU"
    unit = "points"

    def __init__(self, gold: References, language: Literal["zh", "en"]) -> None:
        self.gold = gold
        # The effective order changes a sentence's score only, not the counts that are read of it.
        tokenizer = "zh" if language == "zh" else "13a"
        self._bleu = BLEU(tokenize=tokenizer, effective_order=True)

    def measure(self, item: Item, answer: Answer) -> Sequence[float]:
        """Return the answer's tokens, the reference's, and matches and counts of 1- to 4-grams."""
        score = self._bleu.sentence_score(answer.text, self.gold(item))
        return [float(n) for n in (score.sys_len, score.ref_len, *score.counts, *score.totals)]

    def combine(self, sums: NDArray[np.float64]) -> float:
        """Return the corpus figure, from 0 to 100; nan where the references hold no token."""
        said, wanted, *counts = (round(n) for n in sums.tolist())
        if not wanted:
            return float("nan")
        order = len(counts) // 2
        return float(BLEU.compute_bleu(counts[:order], counts[order:], said, wanted).score)


class ChrF(Metric):
    """Corpus chrF2 (Popović 2015) as `sacrebleu.corpus_chrf` gives it.

    Args:
        gold: an item's references, at least one, of which the likest counts.
    """

    name, english, chinese = "chrf", "chrF", "chrF"
    unit = "points"

    def __init__(self, gold: References) -> None:
        self.gold = gold
        self._chrf = CHRF()

    def measure(self, item: Item, answer: Answer) -> Sequence[float]:
        """Return the answer's, the reference's and the common n-grams, for each n from 1 to 6."""
        # sacrebleu shows these statistics by no public name.
        references = [[reference] for reference in self.gold(item)]
        (statistics,) = self._chrf._extract_corpus_statistics([answer.text], references)
        return [float(n) for n in statistics]

    def combine(self, sums: NDArray[np.float64]) -> float:
        """Return the corpus figure, from 0 to 100; nan where the references hold no character."""
        counts = [round(n) for n in sums.tolist()]
        if not any(counts[1::3]):
            return float("nan")
        return float(self._chrf._compute_score_from_stats(counts).score)
