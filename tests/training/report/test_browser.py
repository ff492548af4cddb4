"""The report in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qingtan.training.report import write_report

from .runs import ANGLED, make_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens a report; afterwards checks that it complained of nothing and asked for nothing."""
    path = write_report(make_run(tmp_path / "run"))
    contexts, asked, complaints = [], [], []

    def open_report(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert all(url.endswith("/report.html") for url in asked)
    assert complaints == []


def test_the_language_is_switched_without_a_script(open_report: Callable[..., Page]) -> None:
    page = open_report(java_script_enabled=False)
    page.locator("label[for=choose-en]").first.click()
    assert page.get_by_role("heading", name="Before and after").is_visible()
    assert page.locator("figcaption", has_text="Training loss").first.is_visible()
    page.locator("label[for=choose-zh]").first.click()
    assert not page.get_by_role("heading", name="Before and after").is_visible()
    assert page.get_by_role("heading", name="训练前后").is_visible()


def test_what_a_model_writes_is_text(open_report: Callable[..., Page]) -> None:
    page = open_report()
    sample = page.locator("#samples .text").first
    assert sample.is_visible()
    assert sample.inner_text() == f"100{ANGLED}"
    assert page.locator("#samples script, #samples b").count() == 0
    assert page.title() != "broken"


def test_a_line_is_drawn_within_its_plot(open_report: Callable[..., Page]) -> None:
    page = open_report(viewport={"width": 1280, "height": 900})
    plot = page.locator("[data-plot=loss] svg")
    outer, inner = plot.bounding_box(), plot.locator("polyline").last.bounding_box()
    assert outer is not None
    assert inner is not None
    assert outer["x"] < inner["x"]
    assert inner["x"] + inner["width"] < outer["x"] + outer["width"]
    assert outer["y"] < inner["y"]
    assert inner["y"] + inner["height"] < outer["y"] + outer["height"]
    assert inner["width"] > 0.8 * outer["width"]


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_never_scrolls_sideways(open_report: Callable[..., Page], width: int) -> None:
    page = open_report(viewport={"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
