"""Word, Excel and PowerPoint files, made by the libraries that write them."""

import datetime
from typing import Any

import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx.util import Inches

from qingtan.knowledge.documents import Faq
from qingtan.knowledge.reading import Limits, Unreadable

from .files import parse, sheet, shown, slides, word


def test_word_headings_lists_and_paragraphs_stay_in_their_order() -> None:
    def fill(document: Any) -> None:
        document.core_properties.title = "请假制度"
        document.core_properties.modified = datetime.datetime(2024, 5, 6)
        document.add_heading("请假制度", 0)
        document.add_heading("总则", 1)
        document.add_paragraph("员工请假应当提前\n申请。")
        document.add_paragraph("事假", style="List Bullet")
        document.add_paragraph("病假", style="List Bullet 2")
        document.add_heading("细则", 2)
        document.add_paragraph("（一）适用范围")

    document = parse("请假.docx", word(fill))
    assert document.title == "请假制度"
    assert document.date == "2024-05-06"
    assert shown(document) == [
        ("h1", "请假制度"),
        ("h1", "总则"),
        ("paragraph", "员工请假应当提前\n申请。"),
        ("list", "事假\n病假"),
        ("h2", "细则"),
        ("h3", "（一）适用范围"),
    ]


def test_word_tables_repeat_merged_cells_and_know_their_header() -> None:
    def fill(document: Any) -> None:
        table = document.add_table(rows=4, cols=3)
        for row, texts in enumerate(
            (("地区", "标准", ""), ("", "住宿", "餐饮"), ("北京", "500", "100"), ("", "600", "120"))
        ):
            for column, text in enumerate(texts):
                table.cell(row, column).text = text
        table.cell(0, 1).merge(table.cell(0, 2))
        table.cell(0, 0).merge(table.cell(1, 0))
        table.cell(2, 0).merge(table.cell(3, 0))

    (block,) = parse("标准.docx", word(fill)).blocks
    assert block.rows == (
        ("地区", "标准", "标准"),
        ("地区", "住宿", "餐饮"),
        ("北京", "500", "100"),
        ("北京", "600", "120"),
    )
    assert block.header_rows == 2
    assert block.text.startswith("地区 | 标准 | 标准\n")


def test_a_header_that_word_repeats_is_the_header() -> None:
    def fill(document: Any) -> None:
        table = document.add_table(rows=3, cols=2)
        for cell, text in zip(table._cells, ("1", "2", "a", "b", "c", "d"), strict=True):
            cell.text = text
        properties = table.rows[0]._tr.get_or_add_trPr()
        properties.append(parse_xml(f"<w:tblHeader {nsdecls('w')}/>"))

    (block,) = parse("表.docx", word(fill)).blocks
    assert block.header_rows == 1


NUMBERED = """
<w:abstractNum {ns} w:abstractNumId="90">
  <w:lvl w:ilvl="0"><w:start w:val="9"/><w:numFmt w:val="chineseCounting"/>
    <w:lvlText w:val="第%1条"/></w:lvl>
  <w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/>
    <w:lvlText w:val="（%2）"/></w:lvl>
</w:abstractNum>
"""


def test_numbers_that_only_word_shows_are_counted() -> None:
    def fill(document: Any) -> None:
        ns = nsdecls("w")
        numbering = document.part.numbering_part.element
        numbering.insert(0, parse_xml(NUMBERED.format(ns=nsdecls("w"))))
        numbering.append(
            parse_xml(f'<w:num {nsdecls("w")} w:numId="91"><w:abstractNumId w:val="90"/></w:num>')
        )
        for depth, text in ((0, "甲"), (1, "子"), (1, "丑"), (0, "乙"), (1, "寅"), (0, "丙")):
            paragraph = document.add_paragraph(text)
            paragraph._p.get_or_add_pPr().append(
                parse_xml(f'<w:numPr {ns}><w:ilvl w:val="{depth}"/><w:numId w:val="91"/></w:numPr>')
            )

    assert shown(parse("法.docx", word(fill))) == [
        ("paragraph", "第九条 甲"),
        ("list", "（1）子\n（2）丑"),
        ("paragraph", "第十条 乙"),
        ("list", "（1）寅"),
        ("paragraph", "第十一条 丙"),
    ]


def test_word_keeps_what_is_inserted_controlled_and_boxed_and_drops_what_is_deleted() -> None:
    def fill(document: Any) -> None:
        paragraph = document.add_paragraph("前")
        ns = nsdecls("w")
        for xml in (
            f"<w:ins {ns}><w:r><w:t>插入</w:t></w:r></w:ins>",
            f"<w:del {ns}><w:r><w:delText>删除</w:delText></w:r></w:del>",
            f"<w:r {ns}><w:rPr><w:vanish/></w:rPr><w:t>隐藏</w:t></w:r>",
            f"<w:r {ns}><w:t>后</w:t></w:r>",
        ):
            paragraph._p.append(parse_xml(xml))
        document.element.body.insert(
            1,
            parse_xml(
                f"<w:sdt {ns}><w:sdtContent><w:p><w:r><w:t>控件</w:t></w:r></w:p>"
                "</w:sdtContent></w:sdt>"
            ),
        )

    assert shown(parse("稿.docx", word(fill))) == [("paragraph", "前插入后"), ("paragraph", "控件")]


def test_sheets_are_pages_with_titles_merged_cells_and_values_as_shown() -> None:
    def fill(book: Any) -> None:
        first = book.active
        first.title = "价格"
        first.append(["价目表"])
        first.merge_cells("A1:C1")
        first.append(["类别", "品名", "单价", "折扣", "日期"])
        first.append(["水果", "苹果", 3.5, 0.25, datetime.date(2024, 1, 2)])
        first.append([None, "梨", 4, 0.5, datetime.datetime(2024, 1, 3, 8, 30)])
        first.merge_cells("A3:A4")
        first["D3"].number_format = first["D4"].number_format = "0%"
        first.append([])
        first.append(["店名", "地址"])
        first.append(["东店", "东街1号"])
        second = book.create_sheet("Sheet2")
        second.append(["只有一句话"])
        book.create_sheet("密").sheet_state = "hidden"

    document = parse("价格.xlsx", sheet(fill))
    assert document.pages == 3
    assert [(block.page, block.kind, block.text) for block in document.blocks] == [
        (1, "heading", "价格"),
        (1, "heading", "价目表"),
        (
            1,
            "table",
            "类别 | 品名 | 单价 | 折扣 | 日期\n水果 | 苹果 | 3.5 | 25% | 2024-01-02\n"
            "水果 | 梨 | 4 | 50% | 2024-01-03 08:30:00",
        ),
        (1, "table", "店名 | 地址\n东店 | 东街1号"),
        (2, "paragraph", "只有一句话"),
    ]
    assert [block.header_rows for block in document.blocks if block.kind == "table"] == [1, 1]
    assert len(document.warnings) == 1
    assert "密" in document.warnings[0]


def test_an_empty_row_inside_a_table_does_not_divide_it() -> None:
    def fill(book: Any) -> None:
        for row in (["品名", "数量"], ["笔", 1], ["纸", 2], [], ["墨", 3], ["砚", 4]):
            book.active.append(row)

    (block,) = parse("库存.xlsx", sheet(fill)).blocks
    assert block.rows[-1] == ("砚", "4")


def test_a_cell_at_the_far_end_of_a_sheet_costs_nothing() -> None:
    def fill(book: Any) -> None:
        book.active["A1"] = "近"
        book.active["XFD1048576"] = "远"

    document = parse("远.xlsx", sheet(fill))
    assert "近" in document.blocks[0].text
    assert "远" in document.blocks[-1].text


def test_a_merge_over_a_whole_sheet_is_cut_to_what_is_filled() -> None:
    def fill(book: Any) -> None:
        book.active.append(["项目", "金额"])
        book.active.append(["住宿", 1])
        book.active.append(["餐饮", 2])

    data = sheet(fill)
    merged = _with_merge(data, "A2:XFD1048576")
    (block,) = parse("合并.xlsx", merged).blocks
    assert block.rows[0] == ("项目", "金额")


def _with_merge(data: bytes, cells: str) -> bytes:
    from .files import rewritten

    merge = f'</sheetData><mergeCells count="1"><mergeCell ref="{cells}"/></mergeCells>'
    return rewritten(
        data,
        {"xl/worksheets/sheet1.xml": lambda xml: xml.replace(b"</sheetData>", merge.encode())},
    )


def test_question_sheets_become_questions() -> None:
    def fill(book: Any) -> None:
        book.active.append(["编号", "分类", "标准问（必填）", "相似问", "答案"])
        book.active.append([1, "退货", "怎么退货？", "如何退款\n退货流程；能退吗", "七天内可退。"])
        book.active.append([2, None, None, "退货要钱吗", None])
        book.active.append([3, "发票", "能开发票吗", None, "可以。\n请联系客服。"])

    document = parse("问答.xlsx", sheet(fill))
    assert [block.faq for block in document.blocks] == [
        Faq("怎么退货？", "七天内可退。", ("如何退款", "退货流程", "能退吗", "退货要钱吗"), "退货"),
        Faq("能开发票吗", "可以。\n请联系客服。", (), "发票"),
    ]
    assert document.blocks[0].text == "怎么退货？\n七天内可退。"
    assert "编号" in document.warnings[0]


def test_slides_are_pages_with_titles_points_tables_and_notes() -> None:
    def fill(presentation: Any) -> None:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = "第一季度"
        slide.placeholders[1].text = "收入增长\n成本下降"
        slide.notes_slide.notes_text_frame.text = "讲三分钟"
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        slide.shapes.title.text = "数据"
        table = slide.shapes.add_table(3, 2, Inches(1), Inches(2), Inches(4), Inches(2)).table
        for row, texts in enumerate((("月", "额"), ("一月", "10"), ("二月", "12"))):
            for column, text in enumerate(texts):
                table.cell(row, column).text = text
        table.cell(1, 0).merge(table.cell(2, 0))

    document = parse("汇报.pptx", slides(fill))
    assert document.pages == 2
    assert document.title == "第一季度"
    assert [
        (block.page, *pair) for block, pair in zip(document.blocks, shown(document), strict=True)
    ] == [
        (1, "h1", "第一季度"),
        (1, "list", "收入增长\n成本下降"),
        (1, "paragraph", "讲三分钟"),
        (2, "h1", "数据"),
        (2, "table", "月 | 额\n一月二月 | 10\n一月二月 | 12"),
    ]
    assert document.blocks[-1].header_rows == 1


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.pptx", "a.doc"])
def test_old_or_protected_office_files_say_what_to_do(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINGTAN_LANG", "en")
    with pytest.raises(Unreadable, match="password"):
        parse(name, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))


def test_too_many_sheets_cells_and_characters_are_refused() -> None:
    def fill(book: Any) -> None:
        for number in range(3):
            page = book.active if not number else book.create_sheet()
            for _ in range(10):
                page.append(["字" * 10] * 10)

    data = sheet(fill)
    parse("大.xlsx", data)
    for limits in (Limits(pages=2), Limits(cells=250), Limits(characters=2000), Limits(blocks=2)):
        with pytest.raises(Unreadable):
            parse("大.xlsx", data, limits)
