"""Folding of characters, spaces and lines."""

import unicodedata

import pytest

from .steps import clean

FOLDED = [
    ("ＡＢＣｘｙｚ０１９", "ABCxyz019"),
    ("５０％＋３＝＠＃＄＆＊／＼＿｜＜＞－．", "50%+3=@#$&*/\\_|<>-."),
    ("ｱｲｳ｡｢ｶﾞﾊﾟ｣､", "アイウ。「ガパ」、"),
    ("ﾡ￨", "ㄱ│"),
    ("甲﹐乙﹑丙﹔丁﹕戊﹖己﹗﹙庚﹚", "甲，乙、丙；丁：戊？己！（庚）"),
    ("︵竖排︶﹁引﹂", "（竖排）「引」"),
    ("ﬁne ﬂow oﬀice ﬆ", "fine flow office st"),
    ("\uf900\uf901\uf902\U0002f800", "豈更車丽"),
    ("⼀⼈⽂", "一人文"),
    ("ﻣﺮﺣﺒﺎ", "مرحبا"),
    ("5 \u00b5m, 3 \u212b, 2 \u2126", "5 \u03bcm, 3 \u00c5, 2 \u03a9"),
    ("cafe\u0301", "café"),
    ("ハ\u309aン", "パン"),
    ("\u1112\u1161\u11ab", "한"),
    ("\ufeff零\u200b宽\u2060字\u00ad符", "零宽字符"),
    ("\u202aleft\u202c \u2066x\u2069\u200e", "left x"),
    ("a\x00b\x08c\x1fd\x7fe\x9ff", "abcdef"),
    ("a\ue000b\uf8ffc\U000f0000d\U0010fffde", "abcde"),
    ("a\ud800b\udfffc\ufffed\ufdd0e\U0001ffff", "abcde"),
    ("葛\U000e0100城 辻\ufe00", "葛城 辻"),
    ("a\u200db \u200c甲", "ab 甲"),
]

UNTOUCHED = [
    "你好，世界。！？：；（）“”‘’、《》【】「」［］｛｝～￥——……",
    "10² H₂O x³ aⁿ",
    "①②⑳ ⑴ ⒈ ㈠ ㊣",
    "½ ¼ ™ © ® № ℃ ℉ ㎡ ㎏ ㏑ ㋀",
    "ⅠⅡⅢⅫ ⅳ",
    "ℝ 𝒙 𝐀 ℵ",
    "𠮷野家 㐀 𪚥",
    "café naïve Ångström Привет שלום สวัสดี",
    "❤️ ☺︎ 1️⃣ #️⃣ 👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇨🇳",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "می‌خواهم क्‍ष ශ්‍රී",
    "\u0600\u06dd ᠮᠣᠩ\u180b",
    "def f(a):\n    if a:\n\t\treturn a\n\nx",
    "ㄅㄆㄇ 가나다 ㄱㄴㄷ アイウ",
    "\ufffd",
]

SPACES = [
    ("一\r\n二\r三\x85四\u2028五\u2029六\x0b七\x0c八", "一\n二\n三\n四\n五\n六\n七\n八"),
    ("a\u00a0b\u2003c\u202fd\u3000e", "a b c d e"),
    ("\u3000\u3000第一段\n\u3000\u3000第二段", "第一段\n第二段"),
    ("x\n \u3000 段\n\ufeff\u3000段", "x\n段\n段"),
    ("行尾  \t\n下行 ", "行尾\n下行"),
    ("一\n\n\n\n二\n \n\t\n三", "一\n\n二\n\n三"),
    ("\n\n 首尾 \n", "首尾"),
    (" \u200b\n\ud800", ""),
]


@pytest.mark.parametrize(("text", "expected"), FOLDED + SPACES)
def test_characters_and_spaces_are_folded(text: str, expected: str) -> None:
    assert clean(text, "unicode") == expected


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_has_a_meaning_of_its_own_stays(text: str) -> None:
    assert clean(text, "unicode") == text


def test_every_full_width_letter_and_digit_becomes_what_nfkc_makes_of_it() -> None:
    wide = "".join(c for c in map(chr, range(0xFF01, 0xFF5F)) if c.isalnum())
    assert clean(wide, "unicode") == unicodedata.normalize("NFKC", wide)


def test_every_character_is_folded_once_and_for_all_and_can_be_written() -> None:
    planes = [range(0x30000), range(0xE0000, 0xE1000), range(0x10FFF0, 0x110000)]
    every = "a".join(chr(code) for plane in planes for code in plane)
    once = clean(every, "unicode")
    assert clean(once, "unicode") == once
    assert unicodedata.is_normalized("NFC", once)
    once.encode("utf-8")
    assert {unicodedata.category(c) for c in set(once) - {"\n", "\t"}} & {"Cc", "Cs", "Co"} == set()


def test_a_long_run_of_spaces_takes_no_longer_than_a_text() -> None:
    assert clean("a" + " " * 300_000 + "b \nc", "unicode") == "a" + " " * 300_000 + "b\nc"
