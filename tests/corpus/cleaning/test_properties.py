"""What holds for every text and every table: a second time changes nothing, nothing is invented."""

import unicodedata
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.corpus.cleaning import CLEANING_STEPS, Cleaned, Cleaner, CleaningTable

from .steps import table_of

FRAGMENTS = [
    *"中文臺灣頭髮著乾，。：“”Ａ１＜＞＆％（ｶﾞﬁ²①㎡\ufeff\u200b\u200c\u200d\ufe0f\ufe00\u20e3",
    *"\u3000\u00a0 \t\n\r\x85\u2028\x00\ud800\udfff\ue000\ufffe",
    *"\u0301\u0327\u0338\u1100\u1161\u093c",
    *"❤🔥🏴\U0001f3fd\U000e0067\U000e007f\U000e0100👨1#-{}[]|<>&;:/`~!()ÃÂâ€œ\x80\x9d\xa0ÖÐÎÄ涓枃锛銆",
    *["<b>", "</b>", "<p>", "<br/>", "<!--", "-->", "<ref>", "</ref>", "<a href='x'>", "{{", "}}"],
    *["[[", "]]", "[[File:", "](a.b)", "![", "&amp;", "&lt;", "&gt;", "&#60;", "&nbsp;", "lt;"],
    *["-{", "}-", "zh-cn:", "zh-tw:", "A|", "H|", "```", "\n```\n", "\n\n", "\r\n", "\n\u3000"],
    *["责任编辑：", "上一篇：", "版权所有", "© 2024", "首页 > 新闻 > 正文", "All rights reserved."],
    *["Edit this page", "滑鼠", "軟體", "乾隆"],
]
CHINESE = st.text(alphabet="中国人民在学习汉语今天的是了不一有", min_size=1, max_size=8)
READ_WRONGLY = st.tuples(
    CHINESE | st.sampled_from(["schön “x”", "naïve", "é"]),
    st.sampled_from(["utf-8", "gb18030"]),
    st.sampled_from(["latin-1", "sloppy-windows-1252", "gb18030"]),
).map(lambda each: each[0].encode(each[1]).decode(each[2], "replace"))
ANY_CHARACTER = st.characters(exclude_categories=())
TEXTS = st.lists(
    st.sampled_from(FRAGMENTS) | CHINESE | READ_WRONGLY | st.text(ANY_CHARACTER, max_size=4),
    max_size=14,
).map("".join)
TABLES = st.builds(
    CleaningTable,
    **dict.fromkeys(CLEANING_STEPS, st.booleans()),
    conversion=st.sampled_from(["t2s", "tw2sp", "hk2s"]),
    boilerplate_patterns=st.sampled_from([(), ("[中文]+",), ("x*",)]),
)


@pytest.mark.parametrize("step", CLEANING_STEPS)
@settings(max_examples=150)
@given(text=TEXTS)
def test_every_step_is_idempotent(step: str, text: str) -> None:
    cleaner = Cleaner(table_of(step))
    once = cleaner.clean(text).text
    assert cleaner.clean(once) == Cleaned(once, ())


@settings(max_examples=400)
@given(table=TABLES, text=TEXTS)
def test_every_table_is_idempotent_and_reports_its_changes(table: CleaningTable, text: str) -> None:
    cleaner = Cleaner(table)
    cleaned = cleaner.clean(text)
    assert cleaner.clean(cleaned.text).changes == ()
    states = [text, *(after for _, after in cleaned.changes)]
    assert states[-1] == cleaned.text
    assert all(before != after for before, after in pairwise(states))


@settings(max_examples=400)
@given(text=TEXTS)
def test_the_default_table_leaves_what_can_be_written(text: str) -> None:
    clean = Cleaner(CleaningTable()).clean(text).text
    clean.encode("utf-8")
    assert clean == clean.strip()
    assert "\n\n\n" not in clean
    assert not {unicodedata.category(c) for c in clean if c not in "\n\t"} & {"Cc", "Co", "Zl"}


def letters_of(text: str) -> Iterator[str]:
    """Yield a text's characters in their simplest form, without spaces and accents.

    Accents may change their order when what stood between them is removed.
    """
    for character in unicodedata.normalize("NFKD", text):
        if not (character.isspace() or unicodedata.combining(character)):
            yield character


@settings(max_examples=400)
@given(table=TABLES, text=TEXTS.filter(lambda text: "&" not in text and "＆" not in text))
def test_nothing_is_invented_and_the_order_stays(table: CleaningTable, text: str) -> None:
    kept = table.model_copy(update={"mojibake": False, "simplify": False})
    rest = letters_of(text)
    for character in letters_of(Cleaner(kept).clean(text).text):
        assert character in rest  # takes from the rest up to the character
