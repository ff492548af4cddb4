"""Takes the pictures in docs/images/: of the page, with a real model answering, and of a report.

    python docs/screenshot.py --model qingtan
    python docs/screenshot.py --url http://127.0.0.1:8000/
    python docs/screenshot.py --report runs/built-in/corpus/report.html corpus-report.png
    python docs/screenshot.py --report runs/example/lora/report.html training-report.png

It needs playwright (`pip install playwright`), Debian's chromium, and fonts-noto-cjk.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

IMAGES = Path(__file__).parent / "images"
QUESTIONS = ["你好，你是谁？", "你能做什么？", "写一首关于秋天的诗"]
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
ANSWER_TIMEOUT_S = 600


@contextlib.contextmanager
def serve(model: str) -> Iterator[str]:
    """The address of a server that answers, for as long as the pictures take."""
    command = [sys.executable, "-m", "qingtan", "serve", "--model", model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""
            address = re.search(r"http://[^\s/]+/", said)
            if not address:
                raise SystemExit("the server did not start")
            yield address[0]
        finally:
            process.terminate()


def converse(page: Page, questions: list[str]) -> None:
    for question in questions:
        page.get_by_role("textbox", name="问题").fill(question)
        page.keyboard.press("Enter")
        page.locator(".dialogue[aria-busy=true]").wait_for()
        page.locator(".dialogue[aria-busy=false]").wait_for(timeout=ANSWER_TIMEOUT_S * 1000)


def take(browser: Browser, url: str, name: str, questions: list[str], **options: Any) -> None:
    page = browser.new_page(locale="zh-CN", **options)
    page.goto(url)
    converse(page, questions)
    # Nothing on the picture should be pointed at or blinking.
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / name)
    page.close()


def take_report(browser: Browser, report: Path, name: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(report.resolve().as_uri())
    page.screenshot(path=IMAGES / name)
    browser.close()


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(
        executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="qingtan", help="the model to serve")
    parser.add_argument("--url", help="use this running server instead of starting one")
    parser.add_argument(
        "--report", nargs=2, metavar=("PAGE", "NAME"), help="take only the picture of this report"
    )
    arguments = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    if arguments.report:
        with sync_playwright() as playwright:
            page, name = arguments.report
            take_report(launch(playwright), Path(page), name)
        return
    server = (
        contextlib.nullcontext(arguments.url.rstrip("/") + "/")
        if arguments.url
        else serve(arguments.model)
    )
    with server as url, sync_playwright() as playwright:
        browser = launch(playwright)
        take(browser, url, "console.png", QUESTIONS, **DESKTOP)
        take(browser, url, "console-phone.png", QUESTIONS[:2], **PHONE)
        browser.close()


if __name__ == "__main__":
    main()
