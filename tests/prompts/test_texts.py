"""Whole texts: the wordings against the training conversations."""

import re
from collections import Counter
from collections.abc import Callable

import pytest

from qingtan.prompts import texts

from .samples import asked_with, conversations, needs_data

UNDER_TITLE = re.compile(r"以《(.*)》为题，创作一首(?:(词)，词牌为“(.*)”|(.*))。")
FROM_LINE = re.compile(r"以“(.*)”为首句，续写一首(.*)。")


@needs_data
@pytest.mark.parametrize(
    ("ask", "file", "task", "least"),
    [
        (texts.title, "summarization", "title_generation", 1000),
        (texts.paper_title, "summarization", "title_generation", 300),
        (texts.summary, "summarization", "doc_summary", 800),
        (texts.lead, "summarization", "article_lead", 500),
        (texts.to_chinese, "translation_tatoeba", "translate_en2zh", 4000),
        (texts.to_english, "translation_tatoeba", "translate_zh2en", 4000),
    ],
)
def test_texts_are_asked_for_as_in_training(
    ask: Callable[[str], str], file: str, task: str, least: int
) -> None:
    assert len(asked_with(ask, file, task)) >= least


@needs_data
def test_poems_are_asked_for_as_in_training() -> None:
    forms: Counter[tuple[str, str]] = Counter()
    for question, _ in conversations("poem", "poem_writing"):
        if match := UNDER_TITLE.fullmatch(question):
            title, song, tune, other = match.groups()
            form = "曲" if other == "元曲" else song or other
            assert texts.poem(form, title) == question
            assert texts.poem(form, title, tune=tune) == question
            forms["title", form] += 1
        elif match := FROM_LINE.fullmatch(question):
            first_line, form = match.groups()
            assert texts.poem(form, first_line=first_line) == question
            forms["first line", form] += 1
    assert set(forms) == {(by, form) for by in ("title", "first line") for form in texts.POEM_FORMS}
    assert min(forms.values()) > 40


def test_a_poem_has_a_title_or_a_first_line() -> None:
    assert texts.poem("词", "秋夜", tune="浣溪沙") == "以《秋夜》为题，创作一首词，词牌为“浣溪沙”。"
    for given in ({}, {"title": "秋夜", "first_line": "秋夜凉"}):
        with pytest.raises(ValueError, match="either a title or a first line"):
            texts.poem("五言绝句", **given)
