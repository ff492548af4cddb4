import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.knowledge.numerals import read_numeral, spell_articles, write_numeral


@given(st.integers(1, 99_999))
def test_what_is_written_is_read(number: int) -> None:
    assert read_numeral(write_numeral(number)) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("一百七十", 170),
        ("十五", 15),
        ("一千零五", 1005),
        ("二〇二四", 2024),
        ("两万三千", 23_000),
        ("三亿零二万", 300_020_000),
        ("170", 170),
        ("叁佰", 300),
        ("", None),
        ("三月", None),
    ],
)
def test_numerals(text: str, number: int | None) -> None:
    assert read_numeral(text) == number


def test_articles_are_spelled_as_in_laws() -> None:
    assert spell_articles("《刑法》第170条和第 15 章") == "《刑法》第一百七十条和第十五章"
    assert spell_articles("第0条，第三条") == "第0条，第三条"
