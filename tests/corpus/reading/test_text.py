"""Plain text and Markdown: what a document is, and how it is encoded."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qingtan.corpus.reading import FormatTable, Record, Rejected

from .reading import read, texts, values, write

POEM = "静夜思\r\n\r\n床前明月光，\r\n疑是地上霜。\r\n　\r\n\r\n举头望明月，\r\n低头思故乡。"


@pytest.mark.parametrize("name", ["a.txt", "a.TXT", "a.txt.gz", "a.md.zst", "a.markdown"])
def test_a_file_is_a_document(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, POEM)
    assert read(path) == [Record(name, 1, {"text": POEM})]


@pytest.mark.parametrize("suffix", ["txt", "md.gz"])
def test_paragraphs_and_lines_have_their_lines(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, f"a.{suffix}", POEM)
    paragraphs = [(r.line, r.value["text"]) for r in read(path, split="paragraphs")]
    assert paragraphs == [
        (1, "静夜思"),
        (3, "床前明月光，\r\n疑是地上霜。"),
        (7, "举头望明月，\r\n低头思故乡。"),
    ]
    lines = [(r.line, r.value["text"]) for r in read(path, split="lines")]
    assert lines == [
        (1, "静夜思"),
        (3, "床前明月光，"),
        (4, "疑是地上霜。"),
        (7, "举头望明月，"),
        (8, "低头思故乡。"),
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.sampled_from("ab 　\t\n\r汉é"), max_size=60),
    block_bytes=st.integers(1, 1000),
    limit=st.none() | st.integers(1, 5),
    most=st.integers(1, 40),
)
def test_any_blocks_split_as_plain_python_does(
    tmp_path: Path, text: str, block_bytes: int, limit: int | None, most: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    numbered = list(enumerate(text.split("\n"), start=1))
    lines = [(n, line) for n, line in numbered if line.strip(" 　\t\r")]
    paragraphs: list[tuple[int, str]] = []
    last = -1
    for n, line in lines:
        if n == last + 1:
            paragraphs[-1] = (paragraphs[-1][0], paragraphs[-1][1] + "\n" + line)
        else:
            paragraphs.append((n, line))
        last = n
    for split, expected in (("lines", lines), ("paragraphs", paragraphs)):
        found = read(path, limit, block_bytes, split=split)
        assert [(item.line, item.value["text"]) for item in found] == [
            (n, text.removesuffix("\r")) for n, text in expected[:limit]
        ]
        found = read(path, limit, block_bytes, split=split, max_record_bytes=most)
        assert [(item.line, isinstance(item, Record)) for item in found] == [
            (n, len(text.encode()) <= most) for n, text in expected[:limit]
        ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("split", ["file", "paragraphs", "lines"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str, split: str) -> None:
    lines = ["plain ASCII first"] * 300 + ["“春眠不觉晓”，𠮷€", "处处闻啼鸟。"] * 50
    path = write(tmp_path, "a.txt.gz", "\n\n".join(lines).encode(encoding))
    expected = ["\n\n".join(lines)] if split == "file" else lines
    assert texts(path, split=split) == expected
    assert texts(path, split=split, block_bytes=100) == expected


def test_utf_16_of_either_order_is_read_by_its_mark(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "\ufeff一\n二".encode("utf-16-be"))
    assert texts(path) == ["一\n二"]
    assert texts(path, split="lines") == ["一", "二"]


def test_an_encoding_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "水調歌頭\n明月幾時有".encode("big5"))
    assert texts(path, encoding="big5") == ["水調歌頭\n明月幾時有"]
    assert texts(path, encoding="big5", split="lines") == ["水調歌頭", "明月幾時有"]
    for wrong in ("nonsense", "hex"):
        with pytest.raises(ValidationError, match="no encoding"):
            FormatTable(encoding=wrong)


def test_damage_is_rejected_and_not_taken_for_another_encoding(tmp_path: Path) -> None:
    text = "一行中文，还算长。\n" * 3
    path = write(tmp_path, "a.txt", text.encode() + b"\xe4\xb8\n" + text.encode())
    (whole,) = read(path)
    assert isinstance(whole, Rejected)
    assert "cannot be decoded as utf-8" in whole.reason
    lines = read(path, split="lines")
    assert [isinstance(line, Rejected) for line in lines] == [False] * 3 + [True] + [False] * 3


@pytest.mark.parametrize(
    ("encoding", "bad"), [("gb18030", b"\xff\n"), ("utf-16-le", b"\x00\xd8\n\x00")]
)
def test_damage_in_other_encodings_costs_a_line(tmp_path: Path, encoding: str, bad: bytes) -> None:
    line = "一行中文，还算长。\n".encode(encoding)
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    path = write(tmp_path, "a.txt", mark + line * 3 + bad + line)
    assert isinstance(read(path)[0], Rejected)
    for block_bytes in (1, 100, 1 << 20):
        lines = read(path, split="lines", block_bytes=block_bytes)
        assert [isinstance(item, Record) for item in lines] == [True] * 3 + [False, True]


def test_nul_bytes_are_kept_for_cleaning(tmp_path: Path) -> None:
    assert texts(write(tmp_path, "a.txt", "甲\0乙")) == ["甲\0乙"]


def test_a_blank_file_is_no_record(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.txt", " \n　\n")) == []


FRONT = "---\ntitle: 题目\ntags:\n  - 甲\n---\n"


def test_front_matter_is_taken_off_markdown(tmp_path: Path) -> None:
    body = "# 题目\n\n---\n\n正文 *一*。\n---\n完\n"
    path = write(tmp_path, "a.md", FRONT + body)
    assert texts(path) == [body]
    for block_bytes in (1, 50, 1 << 20):
        found = read(path, split="paragraphs", block_bytes=block_bytes)
        assert [(r.line, r.value["text"]) for r in found] == [
            (6, "# 题目"),
            (8, "---"),
            (10, "正文 *一*。\n---\n完"),
        ]
    assert texts(write(tmp_path, "a.txt", FRONT + body)) == [FRONT + body]


@pytest.mark.parametrize(
    "text",
    [
        "---\n\n一段话。\n\n---\n",
        "---\n一段话\n---\n",
        "---\ntitle: 未完\n正文\n",
        "# 一\n" + FRONT,
    ],
)
def test_rules_across_the_page_are_no_front_matter(tmp_path: Path, text: str) -> None:
    assert texts(write(tmp_path, "a.md", text)) == [text]


def test_front_matter_alone_is_rejected(tmp_path: Path) -> None:
    (found,) = read(write(tmp_path, "a.md", FRONT))
    assert isinstance(found, Rejected)
    assert re.search("no text", found.reason)


def test_fields_are_renamed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"content": "甲", "text": "乙", "n": 1}\n{"text": "丙"}\n')
    assert values(path, fields={"text": "content"}) == [{"n": 1, "text": "甲"}, {}]
    swapped = values(path, fields={"text": "content", "content": "text"})
    assert swapped[0] == {"n": 1, "text": "甲", "content": "乙"}
