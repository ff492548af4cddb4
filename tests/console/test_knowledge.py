"""The knowledge pages in a real browser: documents in, chunks, search, answers, feedback."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

if os.environ.get("QINGTAN_REQUIRE_ALL") != "1":
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Locator, Page, Route, expect

from knowledge.reading.pdf_writer import Pdf

OpenPage = Callable[..., Page]

expect.set_options(timeout=30_000)
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LAW = """# 图书馆管理办法

## 第一章 总则

第一条 为了规范图书馆的管理，制定本办法。

第二条 读者可以凭借书证借阅图书，每次最多借阅十册。

## 第二章 借阅

第三条 借阅期限为三十天，逾期每天收取一角滞纳金。
"""
HOSTILE = """# <img src=x onerror="document.title='owned'">

<script>document.title='owned'</script> 独角兽 ![pixel](http://evil.example/pixel.png)

[独角兽](javascript:document.title='owned') <iframe src="http://evil.example/"></iframe>
"""


def open_base(page: Page, name: str) -> None:
    """Make a base on the page, and be in it."""
    page.get_by_role("link", name="知识库").first.click()
    page.get_by_role("button", name="新建知识库").click()
    page.get_by_label("名称").fill(name)
    page.get_by_role("button", name="创建").click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def upload(page: Page, folder: Path, **files: str | bytes) -> None:
    """Choose files, and wait until each is read or set aside."""
    paths = []
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        paths.append(path)
    page.locator("input[type=file]").set_input_files(paths)
    expect(page.locator(".uploads > li")).to_have_count(len(paths))
    expect(page.locator(".uploads output", has_text="完成")).to_have_count(len(paths))


def documents(page: Page) -> Locator:
    return page.locator(".documents > li")


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def find(page: Page, query: str) -> None:
    tab(page, "查找")
    page.get_by_role("searchbox", name="查找内容").fill(query)
    page.keyboard.press("Enter")


def test_files_are_uploaded_and_those_that_fail_are_named(page: Page, tmp_path: Path) -> None:
    open_base(page, "上传")
    files = {"办法.md": LAW, "说明.txt": "清谈一号的保修期为两年。", "坏.pdf": b"%PDF-1.7 broken"}
    upload(page, tmp_path, **files)
    expect(documents(page)).to_have_count(2)
    expect(page.locator(".report > li")).to_have_count(1)
    expect(page.locator(".report > li")).to_contain_text("坏.pdf")
    expect(page.get_by_role("progressbar", name="办法.md的进度")).to_be_visible()
    page.get_by_role("button", name="清除已完成的").click()
    expect(page.locator(".uploads")).to_have_count(0)
    page.reload()
    expect(documents(page)).to_have_count(2)


def test_a_file_is_dropped(page: Page) -> None:
    open_base(page, "拖放")
    data = page.evaluate_handle(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["清谈一号的保修期为两年。"], "拖来的.txt"));
            return data;
        }"""
    )
    target = page.get_by_role("button", name="把文件拖到这里")
    target.dispatch_event("drop", {"dataTransfer": data})
    expect(documents(page)).to_contain_text("拖来的.txt")


def test_chunks_stand_beside_their_document(page: Page, tmp_path: Path) -> None:
    open_base(page, "对照")
    upload(page, tmp_path, **{"办法.md": LAW})
    page.get_by_role("link", name="图书馆管理办法").click()
    blocks, chunks = page.locator(".block"), page.locator(".chunks button")
    expect(blocks).to_have_count(6)
    third = chunks.filter(has_text="三十天")
    third.click()
    expect(third).to_have_attribute("aria-current", "true")
    expect(page.locator(".block.chosen")).to_contain_text("三十天")
    page.go_back()
    expect(page.locator(".block.chosen")).to_have_count(0)


def test_a_hit_leads_to_its_paragraph(page: Page, tmp_path: Path) -> None:
    open_base(page, "定位")
    paragraphs = [f"第{i}段讲的是一般的事情，没有什么特别。" for i in range(200)]
    paragraphs[150] = "独角兽计划在三月启动。"
    upload(page, tmp_path, **{"长文.txt": "\n\n".join(paragraphs)})
    find(page, "独角兽计划")
    hit = page.locator(".passage").first
    expect(hit).to_contain_text("独角兽计划在三月启动")
    expect(hit.locator(".scores")).to_contain_text("得分")
    hit.get_by_role("link").click()
    chosen = page.locator(".block.chosen", has_text="独角兽计划")
    expect(chosen).to_be_in_viewport()
    # The address alone leads there, too.
    page.reload()
    expect(chosen).to_be_in_viewport()


def test_nothing_found_is_said(page: Page, tmp_path: Path) -> None:
    open_base(page, "没有")
    upload(page, tmp_path, **{"甲.txt": "清谈一号的保修期为两年。"})
    find(page, "核聚变反应堆")
    expect(page.get_by_text("没有找到。")).to_be_visible()


def test_an_answer_is_asked_for_and_rated(page: Page, tmp_path: Path) -> None:
    open_base(page, "提问")
    upload(page, tmp_path, **{"办法.md": LAW})
    tab(page, "提问")
    page.get_by_role("combobox", name="回答方式").click()
    page.get_by_title("只看原文").click()
    page.get_by_role("textbox", name="问题").fill("借阅期限是多少天？")
    page.keyboard.press("Enter")
    passage = page.locator(".passage", has_text="三十天").first
    expect(passage).to_be_visible()
    passage.get_by_role("button", name="有用").click()
    expect(passage.get_by_role("button", name="有用")).to_have_attribute("aria-pressed", "true")
    tab(page, "评价")
    rated = page.locator(".feedback > li")
    expect(rated).to_have_count(1)
    expect(rated).to_contain_text("借阅期限是多少天？")
    expect(rated).to_contain_text("三十天")


def test_citations_lead_to_the_paragraph(page: Page, tmp_path: Path) -> None:
    """What the model says is given here; the passage and its document are real."""
    open_base(page, "引用")
    upload(page, tmp_path, **{"办法.md": LAW})
    tab(page, "提问")

    def rewrite(route: Route) -> None:
        response = route.fetch(
            post_data=json.dumps(
                {**json.loads(route.request.post_data or ""), "retrieval_only": True}
            )
        )
        body = response.json()
        third = next(p for p in body["passages"] if "三十天" in p["chunk"]["text"])
        sentences = [{"text": "借阅期限为三十天。", "citation": 1}]
        said = {"text": "借阅期限为三十天。[1]", "sentences": sentences, "passages": [third]}
        route.fulfill(response=response, json={**body, **said, "refused": False})

    page.route("**/v1/knowledge/ask", rewrite)
    page.get_by_role("textbox", name="问题").fill("借阅期限是多少天？")
    page.keyboard.press("Enter")
    expect(page.locator(".answered")).to_have_text("借阅期限为三十天。1")
    page.get_by_role("link", name="出处 1：图书馆管理办法").click()
    expect(page.locator(".block.chosen")).to_contain_text("三十天")


def printed_rules() -> bytes:
    """Three pages of rules; a black bar behind the third's shows where the file has it."""
    pdf = Pdf(title="图书馆管理办法")
    first, second = "为了规范图书馆的管理，制定本办法。", "每次最多借阅十册。"
    third = "借阅期限为三十天，逾期收取滞纳金。"
    for number, rule in enumerate((first, second, third), start=1):
        page = pdf.page()
        page.text(90, 90, f"第{'一二三'[number - 1]}条", 18, bold=True)
        page.text(90, 600, rule, 16)
        page.text(90, 700, "本页其余的文字没有什么特别之处。", 12)
    pdf.pages[2].bar(90, 586, 90 + 16 * 17, 602)
    return pdf.data()


def test_a_citation_opens_the_page_of_a_pdf_file(page: Page, tmp_path: Path) -> None:
    open_base(page, "页面")
    upload(page, tmp_path, **{"办法.pdf": printed_rules()})
    tab(page, "提问")
    page.get_by_role("textbox", name="问题").fill("借阅期限是多少天？")
    page.keyboard.press("Enter")
    page.locator(".citation").first.click()
    picture = page.get_by_role("img", name="第 3 页（共 3 页）")
    expect(picture).to_be_visible()
    expect(page.locator(".mark.chosen").last).to_be_in_viewport()
    assert covers(page.locator(".mark.chosen"), picture, 90, 586, 90 + 16 * 17, 602)
    assert dark_share(picture, 90, 586, 90 + 16 * 17, 602) > 0.9
    assert dark_share(picture, 90, 620, 90 + 16 * 17, 680) < 0.1
    # The chunk stands beside the page, and the words are one press away.
    expect(page.locator(".chunks [aria-current=true]")).to_contain_text("三十天")
    page.get_by_text("文字", exact=True).click()
    expect(page.locator(".block.chosen", has_text="三十天")).to_be_in_viewport()


def test_pages_are_turned(page: Page, tmp_path: Path) -> None:
    open_base(page, "翻页")
    upload(page, tmp_path, **{"办法.pdf": printed_rules()})
    page.get_by_role("link", name="图书馆管理办法").click()
    back, on = (page.get_by_role("button", name=name) for name in ("上一页", "下一页"))
    number = page.get_by_role("spinbutton", name="页码")
    expect(page.get_by_role("img", name="第 1 页")).to_be_visible()
    expect(page.locator(".mark")).to_have_count(3)
    expect(page.locator(".mark.chosen")).to_have_count(0)
    expect(back).to_be_disabled()
    on.press("Enter")
    expect(page.get_by_role("img", name="第 2 页")).to_be_visible()
    number.fill("3")
    expect(page.get_by_role("img", name="第 3 页")).to_be_visible()
    expect(on).to_be_disabled()
    # A chunk turns to its own page, and again when it is chosen again.
    for _ in range(2):
        page.locator(".chunks button", has_text="十册").click()
        expect(page.get_by_role("img", name="第 2 页")).to_be_visible()
        expect(page.locator(".mark.chosen").first).to_be_visible()
        back.click()
        expect(page.get_by_role("img", name="第 1 页")).to_be_visible()


def test_a_page_that_cannot_be_drawn_leaves_the_text(page: Page, tmp_path: Path) -> None:
    open_base(page, "不能画")
    upload(page, tmp_path, **{"办法.pdf": printed_rules()})
    page.route("**/pages/2", lambda route: route.fulfill(status=400))
    page.get_by_role("link", name="图书馆管理办法").click()
    page.get_by_role("button", name="下一页").click()
    expect(page.get_by_role("alert")).to_contain_text("无法显示")
    page.get_by_role("button", name="下一页").click()
    expect(page.get_by_role("img", name="第 3 页")).to_be_visible()


def covers(
    marks: Locator, picture: Locator, left: float, top: float, right: float, bottom: float
) -> bool:
    """Return whether a mark lies around a box, in points, of a picture of an A4 page."""
    whole = picture.bounding_box()
    assert whole is not None
    x, y = whole["width"] / 595, whole["height"] / 842
    for mark in marks.all():
        box = mark.bounding_box()
        assert box is not None
        found = (
            (box["x"] - whole["x"]) / x,
            (box["y"] - whole["y"]) / y,
            (box["x"] + box["width"] - whole["x"]) / x,
            (box["y"] + box["height"] - whole["y"]) / y,
        )
        if found == pytest.approx((left, top, right, bottom), abs=8):
            return True
    return False


def dark_share(picture: Locator, left: float, top: float, right: float, bottom: float) -> float:
    """Return how much of a box, in points, of a picture of an A4 page is dark."""
    found: float = picture.evaluate(
        """(picture, [left, top, right, bottom]) => {
            const [x, y] = [picture.naturalWidth / 595, picture.naturalHeight / 842];
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
            const pen = canvas.getContext("2d");
            pen.drawImage(picture, 0, 0);
            const box = [left * x, top * y, (right - left) * x, (bottom - top) * y];
            const { data } = pen.getImageData(...box.map(Math.round));
            const dark = data.filter((value, at) => at % 4 === 0 && value < 128).length;
            return dark / (data.length / 4);
        }""",
        [left, top, right, bottom],
    )
    return found


def test_a_page_fits_a_phone(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(**PHONE, color_scheme="dark")
    page.goto(page.url + "#/knowledge")
    page.get_by_role("button", name="新建知识库").click()
    page.get_by_label("名称").fill("手机页面")
    page.get_by_role("button", name="创建").click()
    upload(page, tmp_path, **{"办法.pdf": printed_rules()})
    find(page, "借阅期限")
    page.locator(".passage a").first.click()
    expect(page.locator(".mark.chosen").last).to_be_in_viewport()
    expect(page.locator(".chunks")).to_have_count(0)
    assert not overflows(page)
    page.get_by_text("片段", exact=True).click()
    page.locator(".chunks button").first.click()
    expect(page.get_by_role("img", name="第 1 页")).to_be_visible()


def test_the_real_model_answers_or_says_that_it_does_not_know(page: Page, tmp_path: Path) -> None:
    open_base(page, "真的")
    upload(page, tmp_path, **{"办法.md": LAW})
    tab(page, "提问")
    page.get_by_role("textbox", name="问题").fill("借阅期限是多少天？")
    page.keyboard.press("Enter")
    expect(page.locator(".answered, .refused")).to_be_visible()


def test_a_learner_is_led_to_the_answer(page: Page, tmp_path: Path) -> None:
    open_base(page, "辅导")
    upload(page, tmp_path, **{"办法.md": LAW})
    tab(page, "提问")
    page.get_by_role("combobox", name="方式", exact=True).click()
    page.get_by_title("辅导").click()
    said = page.locator(".answered")
    for reply, words in (("借阅期限是多少天？", "先自己想一想"), ("三十天", "对了")):
        page.get_by_role("textbox", name="问题").fill(reply)
        page.keyboard.press("Enter")
        expect(said.last).to_contain_text(words)


def test_what_a_document_holds_stays_text(page: Page, tmp_path: Path) -> None:
    name = "<img src=x onerror=document.title='owned'>"
    open_base(page, name)
    upload(page, tmp_path, **{"<b>坏.txt": HOSTILE})
    expect(documents(page)).to_contain_text("<b>坏.txt")
    find(page, "独角兽")
    expect(page.locator(".passage").first).to_contain_text("javascript:")
    page.locator(".passage a").first.click()
    expect(page.locator(".blocks")).to_contain_text("<iframe")
    assert page.locator(".knowledge :is(img, script, iframe)").count() == 0
    assert page.locator(".knowledge a[href^='javascript'], .knowledge a[href^='http']").count() == 0
    assert page.title() != "owned"


def test_bases_and_documents_are_removed(page: Page, tmp_path: Path) -> None:
    open_base(page, "删除")
    upload(page, tmp_path, **{"甲.txt": "清谈一号的保修期为两年。"})
    page.get_by_role("button", name="“甲.txt”的操作").click()
    page.get_by_role("menuitem", name="删除").click()
    page.get_by_role("dialog").get_by_role("button", name="删除").click()
    expect(page.get_by_text("还没有文档。")).to_be_visible()
    page.get_by_role("button", name="删除知识库").click()
    page.get_by_role("dialog").get_by_role("button", name="删除").click()
    expect(page.get_by_role("heading", name="知识库")).to_be_visible()
    expect(page.locator(".bases", has_text="删除")).to_have_count(0)


def test_the_keyboard_is_enough(page: Page, tmp_path: Path) -> None:
    open_base(page, "键盘")
    upload(page, tmp_path, **{"办法.md": LAW})
    page.get_by_role("link", name="图书馆管理办法").focus()
    page.keyboard.press("Enter")
    page.locator(".chunks button").last.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".block.chosen")).to_contain_text("三十天")
    page.locator(".ant-upload-btn, .document nav a").last.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".ant-upload-drag [role=button]")).to_have_attribute("tabindex", "0")


def test_a_phone_is_wide_enough(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(**PHONE)
    page.goto(page.url + "#/knowledge")
    page.get_by_role("button", name="新建知识库").click()
    page.get_by_label("名称").fill("手机")
    page.get_by_role("button", name="创建").click()
    upload(page, tmp_path, **{"办法.md": LAW})
    assert not overflows(page)
    for name in ("提问", "查找", "评价"):
        tab(page, name)
        assert not overflows(page), name
    find(page, "借阅期限")
    page.locator(".passage a").first.click()
    expect(page.locator(".block.chosen")).to_be_in_viewport()
    assert not overflows(page)
    page.get_by_text("片段", exact=True).click()
    expect(page.locator(".chunks")).to_be_visible()
    expect(page.locator(".blocks")).to_have_count(0)
    page.locator(".chunks button").first.click()
    expect(page.locator(".blocks")).to_be_visible()


def test_both_languages_are_spoken(page: Page) -> None:
    open_base(page, "语言")
    page.get_by_role("button", name="Switch to English").click()
    expect(page.get_by_role("tab", name="Documents")).to_be_visible()
    expect(page.get_by_text("No documents yet.")).to_be_visible()


def test_an_unknown_base_is_said_to_be_none(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#/knowledge/" + quote("没有的"))
    expect(page.get_by_role("alert")).to_contain_text("没有的")


def overflows(page: Page) -> bool:
    found: bool = page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    return found


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page()
