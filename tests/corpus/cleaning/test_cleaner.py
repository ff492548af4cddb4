"""All steps together, and the table that chooses them."""

import pytest
from pydantic import ValidationError

from qingtan.corpus.cleaning import CLEANING_STEPS, Cleaned, Cleaner, CleaningTable

from .steps import clean, table_of

DEFAULT = Cleaner(CleaningTable())


def test_a_clean_text_comes_out_as_it_went_in() -> None:
    text = "# 标题\n\n你好，世界！（“引号”）\n\n```python\n    if a < b:\n\treturn 10²\n```"
    assert DEFAULT.clean(text) == Cleaned(text, ())


def test_changes_are_listed_with_the_text_after_each() -> None:
    text = "ＡＢＣ\n\nä½\xa0å¥½\n\n上一篇：春晓\n\n完"
    steps = table_of("mojibake", "unicode", "boilerplate")
    assert Cleaner(steps).clean(text) == Cleaned(
        "ABC\n\n你好\n\n完",
        (
            ("mojibake", "ＡＢＣ\n\n你好\n\n上一篇：春晓\n\n完"),
            ("unicode", "ABC\n\n你好\n\n上一篇：春晓\n\n完"),
            ("boilerplate", "ABC\n\n你好\n\n完"),
        ),
    )


def test_a_step_runs_again_where_another_gave_it_something_to_do() -> None:
    cleaned = Cleaner(table_of("markup", "unicode")).clean("<\u200bb>粗体<\u200b/b>")
    assert cleaned.text == "粗体"
    assert [name for name, _ in cleaned.changes] == ["unicode", "markup"]


def test_a_line_that_only_folding_makes_furniture_is_dropped() -> None:
    assert DEFAULT.clean("正文\n责任\u200b编辑：李四").text == "正文"


def test_no_steps_change_nothing() -> None:
    assert Cleaner(table_of()).clean("Ａ\ud800") == Cleaned("Ａ\ud800", ())


def test_text_nested_without_end_comes_out_empty() -> None:
    assert clean("{{" * 40 + "}}" * 40 + "x", "markup") == "x"
    assert clean("{{" * 60 + "}}" * 60 + "x", "markup") == ""


def test_every_step_is_a_field_of_the_table_and_described() -> None:
    assert set(CLEANING_STEPS) <= set(CleaningTable.model_fields)
    assert all(CLEANING_STEPS.values())


def test_a_pattern_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"not a regular expression: '\(广告'"):
        CleaningTable(boilerplate_patterns=("(广告",))


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(ValidationError, match="short_lines"):
        CleaningTable.model_validate({"short_lines": True})
