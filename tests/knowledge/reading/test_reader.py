"""The process that reads: it may be killed, and what it reads may be an attack."""

import io
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from qingtan.knowledge.reading import Limits, Reader, Source, Unreadable, read, sources
from qingtan.knowledge.reading.limits import MIB

from .files import archive, rewritten, sheet, slides, source, word
from .pdf_writer import Pdf

pytestmark = pytest.mark.usefixtures("english")


def docx_of(text: str) -> bytes:
    def fill(document: Any) -> None:
        document.add_paragraph(text)

    return word(fill)


def xlsx_of(text: str) -> bytes:
    def fill(book: Any) -> None:
        book.active.append([text])

    return sheet(fill)


def pptx_of(text: str) -> bytes:
    def fill(presentation: Any) -> None:
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        slide.shapes.title.text = text

    return slides(fill)


def pdf_of(text: str) -> bytes:
    pdf = Pdf()
    pdf.page().text(90, 90, text)
    return pdf.data()


MAKERS = {"a.docx": docx_of, "a.xlsx": xlsx_of, "a.pptx": pptx_of, "a.pdf": pdf_of}
MAIN_PARTS = {
    "a.docx": ("word/document.xml", b"<w:document"),
    "a.xlsx": ("xl/worksheets/sheet1.xml", b"<worksheet"),
    "a.pptx": ("ppt/slides/slide1.xml", b"<p:sld "),
}


def test_all_formats_come_back_whole_through_the_process(reader: Reader) -> None:
    for name, make in MAKERS.items():
        document = reader.read(source(name, make("四个大字𠮷")))
        assert document.blocks[0].text == "四个大字𠮷"
        assert document.name == name
    document = reader.read(
        source("问.csv", "问题,答案,相似问\n甲？,乙,丙|丁\n甲2？,乙,\n".encode())
    )
    assert document.blocks[0].faq is not None
    assert document.blocks[0].faq.similar == ("丙", "丁")
    table = reader.read(source("表.csv", "名,值\na,1\n".encode())).blocks[0]
    assert table.rows == (("名", "值"), ("a", "1"))


def test_a_path_is_read_and_named_in_errors(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "说明.md"
    path.write_text("# 题\n\n文", encoding="utf-8")
    assert reader.read(path).title == "题"
    assert read(path).title == "题"
    (tmp_path / "空.md").write_text("")
    with pytest.raises(Unreadable, match=r"^空\.md: holds no text"):
        reader.read(tmp_path / "空.md")
    with pytest.raises(Unreadable, match="archive"):
        reader.read(tmp_path)


def test_reasons_come_in_the_readers_language(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINGTAN_LANG", "zh")
    with pytest.raises(Unreadable, match="没有文字内容"):
        reader.read(source("空.txt", b""))


def bomb(name: str) -> bytes:
    """A document of 62 MB that is 144 KB packed, as one that brought a service down."""
    part, _ = MAIN_PARTS[name]
    data = MAKERS[name]("字")
    return rewritten(data, {part: lambda xml: xml + b" " * 62_000_000})


@pytest.mark.parametrize("name", MAIN_PARTS)
@pytest.mark.security
def test_office_bombs_are_refused_by_what_they_declare(reader: Reader, name: str) -> None:
    data = bomb(name)
    assert len(data) < 200_000
    start = time.monotonic()
    with pytest.raises(Unreadable, match="times its size"):
        reader.read(source(name, data))
    assert time.monotonic() - start < 5


LAUGHS = b'<!DOCTYPE x [<!ENTITY a0 "ha">%s]>' % b"".join(
    b'<!ENTITY a%d "%s">' % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 10)
)
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a9 SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("doctype", [LAUGHS, OUTSIDE], ids=["laughs", "outside"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", MAIN_PARTS)
@pytest.mark.security
def test_office_files_that_define_entities_are_refused(
    reader: Reader, name: str, encoding: str, doctype: bytes
) -> None:
    part, root = MAIN_PARTS[name]

    def poison(xml: bytes) -> bytes:
        body = xml[xml.index(root) :].replace("字".encode(), b"&a9;")
        return (doctype + body).decode().encode(encoding)

    data = rewritten(MAKERS[name]("字"), {part: poison})
    with pytest.raises(Unreadable, match="document type"):
        reader.read(source(name, data))


@pytest.mark.security
def test_entities_in_pages_stay_as_they_are(reader: Reader) -> None:
    for doctype in (LAUGHS, OUTSIDE):
        page = b"<html><body><p>before &a9; after</p></body></html>"
        text = "\n".join(
            block.text for block in reader.read(source("a.html", doctype + page)).blocks
        )
        assert "before" in text
        assert "root:" not in text
        assert len(text) < 2000


def endless_pdf() -> bytes:
    """A page whose form draws itself many times over, on each of many levels."""
    levels = 40
    pdf = Pdf()
    pdf.page().text(90, 90, "字字")
    data = pdf.data()
    objects = b""
    for level in range(levels):
        number = 100 + level
        calls = b"/X Do " * 10 if level + 1 < levels else b"BT (x) Tj ET"
        objects += (
            b"%d 0 obj\n<</Type/XObject/Subtype/Form/BBox[0 0 600 800]"
            b"/Resources<</XObject<</X %d 0 R>>>>/Length %d>>stream\n%s\nendstream\nendobj\n"
            % (number, number + 1, len(calls), calls)
        )
    page = data.replace(b"/XObject<</I 8 0 R>>", b"/XObject<</I 8 0 R/X 100 0 R>>")
    content = b"11 0 obj\n<</Length 60>>stream\n" + b"/X Do " * 10 + b"\nendstream\nendobj\n"
    # Without its table the file is repaired: objects are looked for, and the last ones count.
    return page[: page.index(b"xref\n")] + objects + content + b"trailer\n<</Root 1 0 R>>\n%%EOF\n"


def test_a_file_that_never_ends_is_given_up_and_the_next_one_is_read() -> None:
    limits = Limits(seconds=1)
    with Reader(limits) as reader:
        assert reader.read(source("a.txt", b"before")).blocks[0].text == "before"
        start = time.monotonic()
        with pytest.raises(Unreadable, match="longer than 1 seconds"):
            reader.read(source("圈.pdf", endless_pdf()))
        assert time.monotonic() - start < 30  # of a busy machine; on an idle one a second or two
        assert reader.read(source("a.txt", b"after"), Limits()).blocks[0].text == "after"


@pytest.mark.security
def test_a_file_that_needs_too_much_memory_is_given_up_and_the_next_one_is_read() -> None:
    rows = b"".join(b"%d,%d,%d\n" % (n, n, n) for n in range(600_000))
    with Reader(Limits(memory_bytes=96 * MIB, seconds=60)) as reader:
        with pytest.raises(Unreadable, match="96 MiB of memory"):
            reader.read(source("大.csv", rows))
        assert reader.read(source("a.txt", b"after"), Limits()).blocks[0].text == "after"


@pytest.mark.security
def test_a_process_that_is_killed_from_outside_costs_one_file() -> None:
    with Reader(Limits(seconds=20)) as reader:
        reader.read(source("a.txt", b"before"))
        process = reader._process
        assert process is not None
        threading.Timer(0.3, process.kill).start()
        with pytest.raises(Unreadable):
            reader.read(source("圈.pdf", endless_pdf()))
        assert reader.read(source("a.txt", b"after")).blocks[0].text == "after"


def test_the_process_knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTAN_API_KEY", "secret")
    with Reader() as reader:
        reader.read(source("a.txt", b"x"))
        process = reader._process
        assert process is not None
        environment = Path(f"/proc/{process.pid}/environ")
        if not environment.exists():
            pytest.skip("needs /proc")
        assert b"QINGTAN_API_KEY" not in environment.read_bytes()


def test_several_threads_get_each_their_own_document(reader: Reader) -> None:
    found: dict[int, str] = {}

    def work(number: int) -> None:
        for _ in range(5):
            text = reader.read(source(f"{number}.txt", b"text %d" % number)).blocks[0].text
            found[number] = text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"text {number}" for number in range(4)}


def damaged(data: bytes) -> bytes:
    """Turn over some bytes in the middle."""
    half = len(data) // 2
    return data[:half] + bytes(255 - byte for byte in data[half : half + 200]) + data[half + 200 :]


def ten_broken_files() -> dict[str, bytes]:
    encrypted = io.BytesIO()
    with zipfile.ZipFile(encrypted, "w") as target:
        target.writestr("word/document.xml", "<x/>")
        target.writestr("[Content_Types].xml", "<x/>")
    locked = bytearray(encrypted.getvalue())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := locked.find(mark, at + 1)) >= 0:
            locked[at + place] |= 1
    return {
        "bad/00-cut.pdf": pdf_of("字字")[:120],
        "bad/01-empty.pdf": b"",
        "bad/02-bomb.docx": bomb("a.docx"),
        "bad/03-locked.docx": bytes(locked),
        "bad/04-old.xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
        "bad/05-damaged.xlsx": damaged(xlsx_of("字")),
        "bad/06-other.pptx": archive({"a.txt": b"x"}),
        "bad/07-binary.txt": bytes(range(256)) * 4,
        "bad/08-blank.html": b"<html><body><script>x</script></body></html>",
        "bad/09-broken.jsonl": b"{broken\n",
    }


@pytest.mark.security
def test_a_thousand_files_with_ten_broken_ones_give_all_the_rest_and_ten_reasons(
    reader: Reader, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    for name, data in ten_broken_files().items():
        (tmp_path / name).write_bytes(data)
    for number in range(990):
        (tmp_path / f"{number:03}.txt").write_text(f"第{number}号文件。", encoding="utf-8")
    texts, reasons = [], {}
    for each in sources(tmp_path):
        try:
            texts.append(reader.read(each).blocks[0].text)
        except Unreadable as error:
            reasons[each.name] = error.reason
    assert texts == [f"第{number}号文件。" for number in range(990)]
    assert list(reasons) == list(ten_broken_files())
    assert len(set(reasons.values())) >= 8


def test_a_source_with_a_problem_gives_it_as_the_reason(reader: Reader) -> None:
    with pytest.raises(Unreadable, match=r"^a\.txt: because$"):
        reader.read(Source("a.txt", 1, problem="because"))
