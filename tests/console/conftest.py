"""A real server with a tiny model, and a browser that looks at its page.

The model's weights are random, so the tests never judge what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serving import serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def server(tiny_checkpoint: Path) -> Iterator[str]:
    """The address of a `qingtan serve` that is ready."""
    with serve(tiny_checkpoint) as address:
        yield address


@pytest.fixture
def open_page(browser: Browser, server: str) -> Iterator[Callable[..., Page]]:
    """Opens the page in a fresh browser profile; afterwards checks that it kept the rules.

    `storage` is what the browser's storage holds at the first visit; the other arguments are
    those of a browser context.
    """
    contexts = []
    hosts: set[str] = set()
    complaints: list[str] = []

    def open_page(storage: dict[str, str] | None = None, **options: Any) -> Page:
        context = browser.new_context(
            **{"locale": "zh-CN", "viewport": {"width": 1280, "height": 800}, **options}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda line: complaints.append(line.text) if "Security Policy" in line.text else None,
        )
        if storage:
            # On a page of the same origin that runs no script, so that only the first visit
            # finds this and a reload finds what the page itself has stored.
            page.goto(server + "healthz")
            page.evaluate("entries => Object.assign(localStorage, entries)", storage)
        page.goto(server)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert hosts <= {server.split("/")[2]}, "the page asked another host"
    assert complaints == []
