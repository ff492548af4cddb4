"""Traditional to simplified characters."""

import pytest

from qingtan.corpus.cleaning import Conversion

from .steps import clean

PAIRS = [
    ("頭髮", "头发"),
    ("發展中國家", "发展中国家"),
    ("乾隆皇帝喝乾淨的水", "乾隆皇帝喝干净的水"),
    ("著名的著作", "著名的著作"),
    ("皇后在後面", "皇后在后面"),
    ("Hello, 世界 ①² café 😀 アイウ", "Hello, 世界 ①² café 😀 アイウ"),
    ("體\ud800驗\x00", "体\ud800验\x00"),
]


@pytest.mark.parametrize(("text", "expected"), PAIRS)
def test_known_words(text: str, expected: str) -> None:
    assert clean(text, "simplify") == expected


@pytest.mark.parametrize(
    ("conversion", "expected"), [("t2s", "这个软体用滑鼠"), ("tw2sp", "这个软件用鼠标")]
)
def test_regional_words_are_a_choice(conversion: Conversion, expected: str) -> None:
    assert clean("這個軟體用滑鼠", "simplify", conversion=conversion) == expected


def test_simplified_text_stays_whatever_its_words() -> None:
    assert clean("滑鼠和软体", "simplify", conversion="tw2sp") == "滑鼠和软体"
