"""The reports' page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qingtan.evaluation.report.write import render_page

from .results import ANGLED, make_results

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(params=[360, 1280])
def page(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The page without scripts; afterwards it must have asked for nothing else."""
    path = tmp_path / "report.html"
    path.write_text(render_page(make_results()), encoding="utf-8")
    viewport = {"width": request.param, "height": 900}
    context = browser.new_context(viewport=viewport, java_script_enabled=False)  # type: ignore[arg-type]
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert asked == [path.as_uri()]
    assert complaints == []


def test_the_page_as_it_is_seen(page: Page) -> None:
    page.locator("label[for=choose-zh]").click()
    assert page.get_by_role("heading", name="与基线对照").is_visible()
    assert not page.get_by_role("heading", name="Beside the baselines").is_visible()
    page.locator("label[for=choose-en]").click()
    assert page.get_by_role("heading", name="Beside the baselines").is_visible()
    assert page.locator(".mine .text").first.inner_text() == f"你好\n{ANGLED}"
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.locator("main").bounding_box()["width"] <= width  # type: ignore[index]
    track = page.locator("svg.track").first.bounding_box()
    dot = page.locator("svg.track circle").last.bounding_box()
    first = page.locator("svg.track .model circle").first.bounding_box()
    assert track
    assert dot
    assert first
    # The dot of 83.1% stands there, and each dot within its row's height.
    middle = first["x"] + first["width"] / 2
    assert (middle - track["x"]) / track["width"] == pytest.approx(0.831, abs=0.005)
    assert track["y"] <= first["y"]
    assert first["y"] + first["height"] <= track["y"] + track["height"]
