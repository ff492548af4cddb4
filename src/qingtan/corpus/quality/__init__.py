"""Which language a text is in, what can be counted of its quality, and what must be dropped."""

from qingtan.corpus.quality.histograms import HISTOGRAMS, histogram
from qingtan.corpus.quality.language import LanguageTable, identify
from qingtan.corpus.quality.measures import Measures, measure
from qingtan.corpus.quality.rules import (
    RULES,
    QualityRules,
    QualityTable,
    Rule,
    Verdict,
    judge,
)

__all__ = [
    "HISTOGRAMS",
    "RULES",
    "LanguageTable",
    "Measures",
    "QualityRules",
    "QualityTable",
    "Rule",
    "Verdict",
    "histogram",
    "identify",
    "judge",
    "measure",
]
