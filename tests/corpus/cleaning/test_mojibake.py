"""Repair of text that was decoded with the wrong encoding."""

import pytest

from .steps import clean

CHINESE = [
    "中国人民",
    "我们在学习中文，你呢？",
    "人工智能是计算机科学的一个分支。",
    "《红楼梦》是中国古典小说（四大名著之一）。",
    "今天是2024年5月1日，天气很好！",
    "這是繁體中文的句子，沒有問題。",
]

UNTOUCHED = [
    *CHINESE,
    "联通",
    "涓涓细流，鏖战，锛子，鐨",
    "浠水县 澧县 缁云 娴熟",
    "naïve café, größe, Ærø, señor, “quotes” – dash…",
    "ÀÉÎÕÜ São Paulo, Málaga, ÎLE-DE-FRANCE, L’ÉTÉ",
    "3×“4”，±5°，·",
    "Привет, мир",
    'x = "Ã" # a letter',
    "锟斤拷",
    "",
]


@pytest.mark.parametrize("text", CHINESE)
@pytest.mark.parametrize("wrong", ["latin-1", "sloppy-windows-1252"])
@pytest.mark.parametrize("right", ["utf-8", "gbk"])
def test_chinese_read_as_latin_is_repaired(text: str, wrong: str, right: str) -> None:
    broken = text.encode(right).decode(wrong)
    assert clean(f"first\n{broken}\n好", "mojibake") == f"first\n{text}\n好"


@pytest.mark.parametrize("text", ["中国人民", "我们在学习中文哪", "今天2024年，晴天"])
def test_utf_8_read_as_gbk_is_repaired(text: str) -> None:
    broken = text.encode().decode("gb18030")
    assert broken != text
    assert clean(broken, "mojibake") == text


@pytest.mark.parametrize("text", CHINESE)
def test_what_lost_bytes_stays(text: str) -> None:
    broken = text.encode().decode("gb18030", "replace")
    assert "\ufffd" not in broken or clean(broken, "mojibake") == broken


def test_repair_inside_a_line_and_twice_over() -> None:
    assert clean("他说â€œ你好â€\x9d。", "mojibake") == "他说“你好”。"
    twice = "schön".encode().decode("latin-1").encode().decode("latin-1")
    assert clean(twice, "mojibake") == "schön"


@pytest.mark.parametrize("text", UNTOUCHED)
def test_good_text_stays(text: str) -> None:
    assert clean(text, "mojibake") == text
