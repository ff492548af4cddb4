"""Files, folders and archives, friendly and not."""

import io
import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.knowledge.reading import Limits, Source, Unreadable, clean_name, sources

from .files import archive


def names(path: Path, limits: Limits | None = None) -> list[str]:
    return [each.name for each in sources(path, limits)]


def refused(path: Path) -> list[str]:
    return [each.name for each in sources(path) if each.problem]


def test_a_file_is_one_source(tmp_path: Path) -> None:
    path = tmp_path / "手册.txt"
    path.write_text("内容", encoding="utf-8")
    (source,) = sources(path)
    assert (source.name, source.size, source.read()) == ("手册.txt", 6, "内容".encode())
    with pytest.raises(UserError, match=r"无此\.txt"):
        list(sources(tmp_path / "无此.txt"))


@pytest.mark.security
def test_a_folder_gives_its_files_sorted_without_hidden_ones_and_links_out(tmp_path: Path) -> None:
    (tmp_path / "秘密.txt").write_text("x")
    folder = tmp_path / "kb"
    (folder / "b").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("b/2.txt", "b/1.txt", "a.txt", ".hidden", ".git/config", "~$a.docx"):
        (folder / name).write_text(name)
    (folder / "out.txt").symlink_to(tmp_path / "秘密.txt")
    (folder / "outdir").symlink_to(tmp_path)
    (folder / "in.txt").symlink_to(folder / "a.txt")
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.txt")
    (folder / "c.zip").write_bytes(archive({"内/一.txt": b"1", "二.txt": b"2"}))
    assert names(folder) == [
        "a.txt",
        "c.zip/内/一.txt",
        "c.zip/二.txt",
        "in.txt",
        "b/1.txt",
        "b/2.txt",
    ]


@pytest.mark.security
def test_a_neighbour_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    (tmp_path / "kb").mkdir()
    (tmp_path / "kb2").mkdir()
    (tmp_path / "kb2" / "other.txt").write_text("x")
    (tmp_path / "kb" / "link.txt").symlink_to(tmp_path / "kb2" / "other.txt")
    assert names(tmp_path / "kb") == []


def test_names_in_the_encoding_of_chinese_windows_are_read(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr("placeholder_name.txt", "a")
    gbk = "员工手册资料夹名称.txt".encode("gb18030")[:20]
    data = out.getvalue().replace(b"placeholder_name.txt", gbk.ljust(20, b"x")[:20])
    (tmp_path / "a.zip").write_bytes(data)
    (name,) = names(tmp_path / "a.zip")
    assert name == gbk.decode("gb18030")


def test_names_in_utf8_without_the_flag_and_in_the_unicode_field_are_read(tmp_path: Path) -> None:
    raw = "手册.txt".encode()
    extra_name = "正名.txt".encode()
    field = struct.pack("<BL", 1, zlib.crc32(b"plain.txt")) + extra_name
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        info = zipfile.ZipInfo("x" * len(raw))
        target.writestr(info, "1")
        info = zipfile.ZipInfo("plain.txt")
        info.extra = struct.pack("<HH", 0x7075, len(field)) + field
        target.writestr(info, "2")
    (tmp_path / "a.zip").write_bytes(out.getvalue().replace(b"x" * len(raw), raw))
    assert names(tmp_path / "a.zip") == ["手册.txt", "正名.txt"]


ESCAPES = [
    "../up.txt",
    "a/../../up.txt",
    "/etc/passwd",
    "C:/windows.txt",
    "C:windows.txt",
    "..\\up.txt",
    "a\\b.txt",
    "%2e%2e%2fup.txt",
    "%252e%252e/up.txt",
    "．．／up.txt",
    "‥/up.txt",
    "a/. ./..\u200b/up.txt",
    ".. /up.txt",
    "...\\x",
    "\\\\server\\share.txt",
]


@pytest.mark.parametrize("name", ESCAPES)
def test_a_member_that_leads_out_is_refused_and_the_rest_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({name: b"evil", "好.txt": b"good"}))
    found = list(sources(tmp_path / "a.zip"))
    assert [each.name for each in found if not each.problem] == ["好.txt"]
    assert len(found) == 2
    with pytest.raises(Unreadable):
        found[0].read()
    with pytest.raises(Unreadable):
        clean_name(name)


@given(
    st.text(max_size=30)
    | st.lists(
        st.sampled_from(
            ["..", ".", "/", "\\", "%2e", "%2f", "%", "25", "c:", "\0", "．", "／", "a", "字", " "]
        )
    ).map("".join)
)
@pytest.mark.security
def test_no_name_escapes_however_it_is_written(name: str) -> None:
    try:
        cleaned = clean_name(name)
    except Unreadable:
        return
    root = Path("/srv/kb")
    assert (root / cleaned).resolve().is_relative_to(root)
    assert not {"..", "", "."} & set(cleaned.split("/"))
    assert "\\" not in cleaned
    assert "\0" not in cleaned
    assert clean_name(cleaned) == cleaned


# zipfile itself cuts names at a NUL when it writes.
NAMES = st.text(min_size=1, max_size=12).map(lambda name: name.replace("\0", "_"))


@given(st.dictionaries(NAMES, st.binary(max_size=20), max_size=5))
@pytest.mark.security
def test_archives_with_any_names_give_clean_ones(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes]
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.zip"
    usable = {n: d for n, d in members.items() if n.encode("utf-8", "ignore").decode() == n}
    path.write_bytes(archive(usable))
    for source in sources(path):
        if not source.problem:
            assert clean_name(source.name) == source.name
            source.read()


@pytest.mark.security
def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    data = archive({"a.txt?../b.txt": b"x"}).replace(b"a.txt?", b"a.txt\0")
    (tmp_path / "a.zip").write_bytes(data)
    assert len(refused(tmp_path / "a.zip")) == 1


def test_of_two_members_with_one_name_the_second_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({"a.txt": b"1", "./a.txt": b"2"}))
    first, second = sources(tmp_path / "a.zip")
    assert first.read() == b"1"
    assert second.problem


@pytest.mark.security
def test_links_in_archives_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        info = zipfile.ZipInfo("link.txt")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        target.writestr(info, "/etc/passwd")
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    assert refused(tmp_path / "a.zip") == ["link.txt"]


def test_an_archive_in_an_archive_is_opened_and_one_deeper_is_not(tmp_path: Path) -> None:
    inner = archive({"字.txt": b"1", "deeper.zip": archive({"x.txt": b"2"})})
    (tmp_path / "a.zip").write_bytes(archive({"内.zip": inner}))
    assert names(tmp_path / "a.zip") == ["内.zip/字.txt", "内.zip/deeper.zip"]
    assert refused(tmp_path / "a.zip") == ["内.zip/deeper.zip"]


@pytest.mark.security
def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(archive({f"{n}.txt": bytes(5_000_000) for n in range(4)}))
    with pytest.raises(Unreadable, match=r"times its size|倍"):
        list(sources(path))
    with pytest.raises(Unreadable, match="MiB"):
        list(sources(path, Limits(unpacked_bytes=1 << 20, ratio=1e9)))
    with pytest.raises(Unreadable, match="4"):
        list(sources(path, Limits(members=3, ratio=1e9)))


def test_archives_in_archives_share_one_budget(tmp_path: Path) -> None:
    inner = archive({"a.txt": os.urandom(1000) + bytes(300_000)})
    (tmp_path / "a.zip").write_bytes(archive({f"{n}.zip": inner for n in range(5)}))
    found = list(sources(tmp_path / "a.zip", Limits(unpacked_bytes=1_000_000)))
    assert [bool(each.problem) for each in found] == [False, False, False, True, True]


def test_a_member_gives_no_more_than_it_declares(tmp_path: Path) -> None:
    data = bytearray(archive({"a.txt": b"x" * 10_000}))
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(mark) + place
        data[at : at + 4] = struct.pack("<L", 10)
    (tmp_path / "a.zip").write_bytes(bytes(data))
    (source,) = sources(tmp_path / "a.zip")
    with pytest.raises(Unreadable):
        source.read()


def test_a_long_list_of_members_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x01\x02" * 1000 + archive({"a.txt": b"1"}))
    with pytest.raises(Unreadable):
        list(sources(path, Limits(members=10)))


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x03\x04junk", bytes(1000)])
def test_what_is_no_archive_is_refused_or_one_line_in_a_folder(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    (tmp_path / "b.txt").write_text("b")
    with pytest.raises(Unreadable):
        list(sources(tmp_path / "a.zip"))
    assert names(tmp_path) == ["a.zip", "b.txt"]
    assert refused(tmp_path) == ["a.zip"]


def test_files_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(bytes(2000))
    (source,) = sources(tmp_path / "a.txt")
    with pytest.raises(Unreadable):
        source.read(Limits(file_bytes=1999))
    assert len(source.read(Limits(file_bytes=2000))) == 2000


def test_bytes_at_hand_are_a_source_with_a_clean_name() -> None:
    assert Source.of_bytes("a/./b.txt", b"1").name == "a/b.txt"
    assert Source.of_bytes("https://x.example/a?b=c", b"1").name == "https://x.example/a?b=c"
    with pytest.raises(Unreadable):
        Source.of_bytes("../b.txt", b"1")
