"""A real server with a tiny model, and a browser that looks at its page.

The model's weights are random, so the tests never judge what it says.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_TIMEOUT_S = 120


@pytest.fixture(scope="session")
def server(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a `qingtan serve` that is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    log = tmp_path_factory.mktemp("console") / "server.log"
    command = [sys.executable, "-m", "qingtan", "serve", "--model", str(tiny_checkpoint)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url + "healthz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not installed"
        if os.environ.get("QINGTAN_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


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
