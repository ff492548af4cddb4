"""PDF files whose every character is known, for a small writer of the tests makes them."""

import itertools

import pytest

from qingtan.knowledge.documents import Document
from qingtan.knowledge.reading import Limits, Unreadable
from qingtan.knowledge.reading.pdf import ocr

from .files import parse, shown
from .pdf_writer import Page, Pdf

SENTENCE = "本公司员工应当遵守国家法律法规和公司的各项规章制度，维护公司的利益和声誉。"
ENGLISH = (
    "The quick brown fox jumps over the lazy dog and then it rests for a while under the old"
    " tree, where nobody disturbs it until the evening comes and the light is gone."
)


def write_chinese(page: Page, y: float, text: str, columns: int = 30, size: float = 12) -> float:
    """Write a paragraph with its first line two characters in; return where the next stands."""
    lines = [text[: columns - 2]]
    lines += [text[n : n + columns] for n in range(columns - 2, len(text), columns)]
    for number, line in enumerate(lines):
        page.text(90 if number else 90 + 2 * size, y, line, size)
        y += 1.5 * size
    return y


def write_english(page: Page, y: float, text: str, columns: int = 60, left: float = 90) -> float:
    line = ""
    for word in [*text.split(), ""]:
        if len(line) + len(word) > columns or not word:
            page.text(left, y, line.strip(), 12)
            y, line = y + 16, ""
        line += word + " "
    return y


def read(pdf: Pdf, limits: Limits | None = None) -> Document:
    return parse("文件.pdf", pdf.data(), limits)


def test_paragraphs_are_put_together_from_lines() -> None:
    pdf = Pdf(title="手册", date="D:20240305120000+08'00'")
    page = pdf.page()
    y = write_chinese(page, 90, SENTENCE * 3)
    y = write_chinese(page, y, SENTENCE * 2)
    y = write_english(page, y + 20, ENGLISH)
    document = read(pdf)
    assert [text for _, text in shown(document)] == [SENTENCE * 3, SENTENCE * 2, ENGLISH]
    assert document.title == "手册"
    assert document.date == "2024-03-05"
    assert document.pages == 1


def test_places_are_shares_of_the_page_however_it_is_turned() -> None:
    for rotate in (0, 90, 180, 270):
        pdf = Pdf()
        page = pdf.page(size=(600, 800), rotate=rotate)
        page.text(150, 200, "四个大字", 20)
        (block,) = read(pdf).blocks
        assert block.box is not None
        left, top, right, bottom = block.box
        expected = {
            0: (150 / 600, 200 / 800),
            90: (1 - 200 / 800, 150 / 600),
            180: (1 - 150 / 600, 1 - 200 / 800),
            270: (200 / 800, 1 - 150 / 600),
        }[rotate]
        nearest = min(
            abs(x - expected[0]) + abs(y - expected[1])
            for x, y in itertools.product((left, right), (top, bottom))
        )
        assert nearest < 0.02
        assert (right - left) * (600, 800)[rotate % 180 > 0] == pytest.approx(
            80 if rotate % 180 == 0 else 20, abs=6
        )


def test_a_word_divided_at_the_end_of_a_line_is_whole_again() -> None:
    pdf = Pdf()
    page = pdf.page()
    page.text(90, 100, "This is an example of a word that is divi-")
    page.text(90, 116, "ded at the end of a line, which happens.")
    assert "that is divided at the end" in read(pdf).blocks[0].text


def test_larger_lines_are_titles_by_their_size() -> None:
    pdf = Pdf()
    page = pdf.page()
    page.text(200, 90, "产品说明书", 24)
    page.text(90, 130, "安装方法", 16)
    y = write_chinese(page, 160, SENTENCE * 2)
    page.text(90, y + 10, "使用方法", 16)
    write_chinese(page, y + 40, SENTENCE * 2)
    document = read(pdf)
    assert [kind for kind, _ in shown(document)] == ["h1", "h2", "paragraph", "h2", "paragraph"]
    assert document.title == "产品说明书"


@pytest.mark.parametrize("title", ["about:blank", "https://example.org/a", "Untitled", "文档1"])
def test_what_programs_write_for_want_of_a_title_is_none(title: str) -> None:
    pdf = Pdf(title=title)
    page = pdf.page()
    page.text(200, 90, "产品说明书", 24)
    write_chinese(page, 130, SENTENCE * 2)
    assert read(pdf).title == "产品说明书"


def test_numbered_and_bold_lines_of_the_same_size_are_titles_too() -> None:
    pdf = Pdf()
    page = pdf.page()
    page.text(220, 90, "第一章 总则")
    y = write_chinese(page, 120, SENTENCE * 2)
    page.text(90, y + 8, "注意事项", bold=True)
    write_chinese(page, y + 34, SENTENCE * 2)
    assert [kind for kind, _ in shown(read(pdf))] == ["h1", "paragraph", "h2", "paragraph"]


def test_the_outline_of_a_file_names_its_titles() -> None:
    pdf = Pdf()
    for number, title in enumerate(("背景", "方法"), 1):
        page = pdf.page()
        page.text(90, 90, title)
        write_chinese(page, 120, SENTENCE * 2)
        pdf.bookmark(title, number)
    assert [kind for kind, _ in shown(read(pdf))] == ["h1", "paragraph", "h1", "paragraph"]


def test_running_heads_and_page_numbers_are_left_out() -> None:
    pdf = Pdf()
    for number in range(1, 5):
        page = pdf.page()
        page.text(240, 40, "内部资料 请勿外传", 9)
        page.text(280, 815, f"第 {number} 页 共 4 页", 9)
        write_chinese(page, 100 + number, f"{number}号内容。" + SENTENCE)
    texts = [text for _, text in shown(read(pdf))]
    assert texts == [f"{number}号内容。" + SENTENCE for number in range(1, 5)]


def test_heads_that_change_with_the_chapter_but_count_on_are_left_out() -> None:
    pdf = Pdf()
    for number in range(1, 9):
        page = pdf.page()
        page.text(90, 40, f"Chapter {number}: Title{'abcdefgh'[number - 1]}   {number + 4}", 9)
        write_english(page, 100, f"Text {'abcdefgh'[number - 1]}. " + ENGLISH)
    assert all("Chapter" not in text for _, text in shown(read(pdf)))


def test_a_paragraph_goes_on_over_the_end_of_a_page() -> None:
    pdf = Pdf()
    first, second = pdf.page(), pdf.page()
    text = SENTENCE * 4
    write_chinese(first, 700, text[:88])  # 28 + 30 + 30 characters fill three lines
    for number, start in enumerate(range(88, len(text), 30)):
        second.text(90, 80 + 18 * number, text[start : start + 30])
    document = read(pdf)
    assert shown(document) == [("paragraph", text)]
    assert document.blocks[0].page == 1


def test_a_line_that_stands_out_divides_no_paragraph() -> None:
    pdf = Pdf()
    page = pdf.page()
    page.text(90, 60, "https://example.org/" + "long/" * 17)
    write_chinese(page, 100, SENTENCE * 3)
    texts = [text for _, text in shown(read(pdf))]
    assert texts[1:] == [SENTENCE * 3]


def test_a_ruled_table_keeps_its_merged_cells_and_its_place() -> None:
    pdf = Pdf()
    page = pdf.page()
    write_chinese(page, 90, SENTENCE)
    draw_table(page, 200)
    write_chinese(page, 320, SENTENCE * 2)
    document = read(pdf)
    assert [kind for kind, _ in shown(document)] == ["paragraph", "table", "paragraph"]
    table = document.blocks[1]
    assert table.rows == (
        ("项目", "金额", "金额"),
        ("项目", "上限", "下限"),
        ("住宿", "500", "2𠮷"),
    )
    assert table.header_rows == 2
    assert table.box is not None
    assert table.box[1] == pytest.approx(200 / 842, abs=0.01)


def draw_table(page: Page, top: float) -> None:
    columns, rows = (90, 200, 300, 400), (top, top + 20, top + 40, top + 60)
    for y in rows:
        page.rule(200 if y == rows[1] else 90, y, 400, y)
    for x in columns:
        page.rule(x, rows[1] if x == 300 else top, x, rows[-1])
    cells = [(95, 25, "项目"), (205, 14, "金额"), (205, 34, "上限"), (305, 34, "下限")]
    for x, y, text in [*cells, (95, 54, "住宿"), (205, 54, "500"), (305, 54, "2𠮷")]:
        page.text(x, top + y, text, 11)


def test_two_columns_are_read_one_after_the_other() -> None:
    pdf = Pdf()
    page = pdf.page()
    for left, word in ((60, "left"), (310, "right")):
        write_english(page, 100, f"{word} begins. " + ENGLISH, columns=34, left=left)
    texts = [text for _, text in shown(read(pdf))]
    assert texts == [f"{word} begins. " + ENGLISH for word in ("left", "right")]


def test_radicals_ligatures_and_rare_characters_are_what_they_look_like() -> None:
    pdf = Pdf()
    pdf.shown = {"一": "⼀", "文": "⽂", "长": "⻓", "门": "⻔"}
    pdf.page().text(90, 90, "一篇文章，长门，𠮷野家")
    assert read(pdf).blocks[0].text == "一篇文章，长门，𠮷野家"


def test_characters_that_pdfium_passes_over_are_read_all_the_same() -> None:
    pdf = Pdf()
    for number, character in enumerate("请假须知"):
        pdf.pages or pdf.page()
        pdf.pages[0].text(90 + 12 * number, 90, character)
    pdf.pages[0].crop = (50.0, 50.0, 545.0, 792.0)
    (block,) = read(pdf).blocks
    assert block.text == "请假须知"
    assert block.box is not None
    assert block.box[0] == pytest.approx(40 / 495, abs=0.002)
    assert block.box[3] == pytest.approx(40 / 742, abs=0.01)


def test_a_scan_says_how_to_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTAN_LANG", "en")
    pdf = Pdf()
    pdf.page(picture=True)
    write_chinese(pdf.page(), 90, SENTENCE)
    if ocr.is_installed():
        pytest.skip("rapidocr is installed")
    document = read(pdf)
    assert [block.page for block in document.blocks] == [2]
    assert "pages 1 are pictures" in document.warnings[0]
    assert "qingtan[ocr]" in document.warnings[0]
    only = Pdf()
    only.page(picture=True)
    with pytest.raises(Unreadable, match=r"qingtan\[ocr\]"):
        read(only)


def test_a_page_with_an_emblem_is_no_scan() -> None:
    pdf = Pdf()
    pdf.page().raw("q 60 0 0 60 260 600 cm /I Do Q")
    write_chinese(pdf.page(), 90, SENTENCE)
    assert read(pdf).warnings == ()


def test_too_many_pages_are_refused() -> None:
    pdf = Pdf()
    for _ in range(3):
        pdf.page().text(90, 90, "字")
    with pytest.raises(Unreadable, match="3"):
        read(pdf, Limits(pages=2))


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_file_is_read_as_far_as_it_goes_or_refused(cut: float) -> None:
    pdf = Pdf()
    write_chinese(pdf.page(), 90, SENTENCE * 3)
    data = pdf.data()
    try:
        document = parse("断.pdf", data[: int(len(data) * cut)])
    except Unreadable:
        return
    assert document.blocks[0].text == SENTENCE * 3


def test_an_empty_page_of_enormous_size_does_no_harm() -> None:
    pdf = Pdf()
    pdf.page(size=(14_400, 14_400)).text(90, 90, "字", 12)
    assert read(pdf).blocks[0].text == "字"
