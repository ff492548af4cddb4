"""Files and folders that are there whole or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.files import new_folder, read_json, write_json, write_text

MARKER = "config.json"


def fill(path: Path, text: str, replace: bool = False) -> None:
    with new_folder(path, MARKER, replace) as folder:
        (folder / MARKER).write_text(text)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "above" / "new"
    with new_folder(target, MARKER) as folder:
        (folder / MARKER).write_text("1")
        assert not target.exists()
    assert listing(tmp_path) == ["above", "above/new", f"above/new/{MARKER}"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("replace", [False, True])
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, replace: bool, error: type[BaseException]
) -> None:
    target = tmp_path / "new"
    if replace:
        fill(target, "old")
    before = listing(tmp_path)

    def fail() -> None:
        with new_folder(target, MARKER, replace) as folder:
            (folder / MARKER).write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert listing(tmp_path) == before
    assert not replace or (target / MARKER).read_text() == "old"


def test_an_earlier_result_is_replaced_only_when_asked(tmp_path: Path) -> None:
    target = tmp_path / "new"
    fill(target, "old")
    (target / "more").touch()
    with pytest.raises(UserError, match="new: exists"):
        fill(target, "new")
    assert (target / MARKER).read_text() == "old"
    fill(target, "new", replace=True)
    assert listing(tmp_path) == ["new", f"new/{MARKER}"]
    assert (target / MARKER).read_text() == "new"


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "documents"
    target.mkdir()
    (target / "letter").write_text("dear")
    with pytest.raises(UserError, match=rf"documents: exists and has no {MARKER}"):
        fill(target, "new", replace=True)
    assert (target / "letter").read_text() == "dear"


def test_what_a_killed_process_left_is_no_hindrance(tmp_path: Path) -> None:
    for leftover in (".new.partial", ".new.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "rest").touch()
    fill(tmp_path / "new", "1")
    assert listing(tmp_path) == ["new", f"new/{MARKER}"]


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r")))
def test_text_is_written_as_utf8(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("files") / "a.txt"
    path.write_text("before")
    write_text(path, text)
    assert path.read_bytes() == text.encode()
    assert listing(path.parent) == ["a.txt"]


def test_a_failed_write_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "x" * 100_000 + "\ud800")
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(codec="utf-8"))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(st.characters(codec="utf-8")), JSON))
def test_json_comes_back(value: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("files") / "a.json"
    write_json(path, value)
    assert read_json(path) == value
    assert json.loads(path.read_text(encoding="utf-8")) == value


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "not JSON"), (b"{", "not JSON"), (b"\xff", "not JSON"), (b"[1]", "no JSON object")],
)
def test_what_is_no_json_object_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"a\.json: .*{message}"):
        read_json(path)
    with pytest.raises(UserError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json")
