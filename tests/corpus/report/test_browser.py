"""The report in a real browser, with scripts switched off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qingtan.corpus.report import write_report

from .reports import small_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens a small report; afterwards checks that it asked for nothing else."""
    write_report(small_report(), tmp_path, "poems and chats")
    contexts = []
    asked: list[str] = []

    def open_report(**options: Any) -> Page:
        context = browser.new_context(java_script_enabled=False, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert all(url.endswith("/report.html") for url in asked)


def test_the_language_is_switched_without_a_script(open_report: Callable[..., Page]) -> None:
    page = open_report()
    page.locator("label[for=choose-en]").first.click()
    assert page.get_by_role("heading", name="Sources").is_visible()
    page.locator("label[for=choose-zh]").first.click()
    assert not page.get_by_role("heading", name="Sources").is_visible()
    assert page.get_by_role("heading", name="来源").first.is_visible()


def test_samples_unfold(open_report: Callable[..., Page]) -> None:
    page = open_report()
    sample = page.locator("#rules details details, #rules details").first
    inside = sample.locator(":scope > :not(summary)").first
    assert not inside.is_visible()
    sample.locator("summary").first.click()
    assert inside.is_visible()


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_never_scrolls_sideways(open_report: Callable[..., Page], width: int) -> None:
    page = open_report(viewport={"width": width, "height": 900})
    page.mouse.wheel(500, 0)
    box = page.locator("body").bounding_box()
    assert box is not None
    assert box["width"] <= width
    assert box["x"] >= 0


def test_it_is_dark_where_the_reader_wants_it_dark(open_report: Callable[..., Page]) -> None:
    pictures = {open_report(color_scheme=scheme).screenshot() for scheme in ("light", "dark")}
    assert len(pictures) == 2
