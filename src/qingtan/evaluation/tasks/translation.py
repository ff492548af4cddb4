"""Translation of sentences, both ways."""

from collections.abc import Callable
from typing import Literal

from qingtan.evaluation.metrics.translation import Bleu, ChrF
from qingtan.evaluation.task import Baseline, Task, user
from qingtan.prompts import texts

_Language = Literal["zh", "en"]


def _task(
    name: str,
    english: str,
    chinese: str,
    source: _Language,
    target: _Language,
    ask: Callable[[str], str],
) -> Task:
    return Task(
        name=name,
        english=english,
        chinese=chinese,
        file="translation",
        fields=("zh", "en"),
        ask=lambda item: user(ask(item[source])),
        metrics=(ChrF(lambda item: [item[target]]), Bleu(lambda item: [item[target]], target)),
        max_tokens=384,
        baseline=Baseline(
            "the source as it is", "原文照抄", lambda items: [item[source] for item in items]
        ),
    )


TO_CHINESE = _task("to-chinese", "English to Chinese", "英译中", "en", "zh", texts.to_chinese)
TO_ENGLISH = _task("to-english", "Chinese to English", "中译英", "zh", "en", texts.to_english)

TASKS = (TO_CHINESE, TO_ENGLISH)
