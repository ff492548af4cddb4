"""Which files are read, and what is said of those that cannot be."""

import os
from pathlib import Path

import pytest

from qingtan.corpus.reading import FormatTable, InputFile, list_files, read_raw
from qingtan.errors import UserError

from .reading import read, texts, write


def names(path: Path, pattern: str | None = None) -> list[str]:
    return [file.name for file in list_files(path, pattern)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name in (
        *("b.md", "a/z.txt", "a/b/c.md", "a/b/图.jsonl.gz", "B.CSV", "c.parquet"),
        *(".hidden.md", ".git/x.md", "a/readme", "a/photo.png", "d.parquet.gz", "e.json", "f.zst"),
    ):
        write(root, name, "x")
    return root


def test_a_folder_is_walked_in_order(folder: Path) -> None:
    found = list_files(folder)
    expected = ["B.CSV", "a/b/c.md", "a/b/图.jsonl.gz", "a/z.txt", "b.md", "c.parquet"]
    assert [file.name for file in found] == expected
    assert [file.path for file in found] == [folder / name for name in expected]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*.md", ["a/b/c.md", "b.md"]),
        ("*.md", ["b.md"]),
        ("a/**", ["a/b/c.md", "a/b/图.jsonl.gz", "a/z.txt"]),
        ("**/b/?.md", ["a/b/c.md"]),
    ],
)
def test_a_pattern_narrows(folder: Path, pattern: str, expected: list[str]) -> None:
    assert names(folder, pattern) == expected


def test_a_single_file_has_its_own_name(folder: Path) -> None:
    path = folder / "a" / "z.txt"
    assert list_files(path) == [InputFile(path, "z.txt")]


def test_links_are_followed_once(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/w.md", "x")
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "a" / "self").symlink_to(folder / "a" / "self")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert names(folder, "**/*.md") == ["a/b/c.md", "b.md", "link/w.md"]


def test_a_link_to_nothing_is_not_passed_over(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(folder.parent / path.name)
    (folder / "gone.md").symlink_to(folder / "nowhere.md")
    assert "gone.md" in names(folder)
    with pytest.raises(UserError, match=r"gone\.md: no such file"):
        read(folder)


def test_names_that_are_not_utf_8_can_be_reported(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))
    path.write_text("x")
    assert names(tmp_path) == ["\ufffd.txt"]
    assert texts(tmp_path) == ["x"]


def test_what_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none: no such file or folder"):
        list_files(tmp_path / "none")
    with pytest.raises(UserError, match=r"e\.json: no reader for \.json; make it JSON Lines"):
        list_files(folder / "e.json")
    with pytest.raises(
        UserError, match=r"photo\.png: no reader for this suffix; .*\.jsonl, .*\.md"
    ):
        list_files(folder / "a" / "photo.png")
    with pytest.raises(UserError, match=r"no file that matches '\*\.html' .*\.jsonl, .*\.md"):
        list_files(folder, "*.html")
    with pytest.raises(UserError, match=r"empty: no file in this folder"):
        list_files(write(tmp_path, "empty/.keep.md", "").parent)
    for name in ("none.jsonl", "none.jsonl.zst", "none.parquet"):
        with pytest.raises(UserError, match=rf"{name}: no such file"):
            list(read_raw([InputFile(folder / name, name)], FormatTable()))
    with pytest.raises(UserError, match=r"e\.json: no reader"):
        list(read_raw([InputFile(folder / "e.json", "e.json")], FormatTable()))


@pytest.mark.parametrize("suffix", ["jsonl", "txt", "csv", "html"])
@pytest.mark.parametrize("compression", [".gz", ".zst"])
def test_damaged_compression_is_named(tmp_path: Path, suffix: str, compression: str) -> None:
    data = b"".join(b"%d,%d\n" % (i * i, i**5 % 977) for i in range(50_000))
    path = write(tmp_path, f"a.{suffix}{compression}", data)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:5], b"", data, whole + b"tail"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"a\.{suffix}\{compression}: cannot be read"):
            read(path)
