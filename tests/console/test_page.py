"""The page in a real browser, with a real server behind it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

if os.environ.get("QINGTAN_REQUIRE_ALL") != "1":
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Locator, Page, Request, Route, expect

OpenPage = Callable[..., Page]

CHAT = "**/v1/chat/completions"
# The machine may be busy with other tests.
expect.set_options(timeout=30_000)

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

# Greedy: the model's answer is then the same in every run.
SETTINGS = {"temperature": 0, "topP": 1, "maxTokens": 64, "systemPrompt": "", "model": None}
HOSTILE = """<img src=x onerror="document.title='owned'"> <script>document.title='owned'</script>

![pixel](http://evil.example/pixel.png)

[run](javascript:document.title='owned') and [read](https://example.org/)

<iframe src="http://evil.example/"></iframe>"""


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page(storage=settings())


def settings(**changes: Any) -> dict[str, str]:
    return {"qingtan.settings": json.dumps({**SETTINGS, **changes})}


def conversation(question: str, answer: str) -> dict[str, str]:
    value = {
        "id": "c1",
        "title": question,
        "updated": 1,
        "messages": [
            {"id": "m1", "role": "user", "content": question},
            {"id": "m2", "role": "assistant", "content": answer, "ending": "stop"},
        ],
    }
    return {"qingtan.conversation.c1": json.dumps(value), "qingtan.current": '"c1"'}


def ask(page: Page, question: str) -> None:
    page.get_by_role("textbox", name="问题").fill(question)
    page.keyboard.press("Enter")


def wait_until_answered(page: Page) -> None:
    expect(page.locator(".dialogue[aria-busy=false]")).to_be_visible()


def answers(page: Page) -> Locator:
    return page.locator(".answer")


def stored_messages(page: Page) -> list[dict[str, Any]]:
    """The messages of the only conversation, once the browser has stored how its answer ended."""
    found = page.wait_for_function(
        """() => {
            const isOurs = ([key]) => key.startsWith("qingtan.conversation.");
            const stored = Object.entries(localStorage).find(isOurs);
            const messages = stored ? JSON.parse(stored[1]).messages : [];
            return messages.at(-1)?.ending && messages;
        }"""
    )
    messages: list[dict[str, Any]] = found.json_value()
    return messages


def body(request: Request) -> dict[str, Any]:
    assert isinstance(request.post_data_json, dict)
    return request.post_data_json


def slow_down(page: Page) -> None:
    """Lets the answer trickle in, however fast the server is."""
    client = page.context.new_cdp_session(page)
    conditions = {"offline": False, "latency": 0, "uploadThroughput": -1}
    client.send("Network.emulateNetworkConditions", {**conditions, "downloadThroughput": 4000})


def sse(*events: object) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


def fulfill_answer(route: Route, text: str) -> None:
    events = [
        {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    route.fulfill(content_type="text/event-stream", body=sse(*events))


def test_start_names_the_product_and_the_model(page: Page) -> None:
    expect(page.locator(".start")).to_contain_text("清谈 Qingtan")
    with page.expect_response("**/v1/models") as response:
        page.reload()
    model = response.value.json()["data"][0]["id"]
    expect(page.locator(".start")).to_contain_text(model)
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_text("内容由人工智能生成，请核对")).to_be_visible()


def test_answer_is_what_the_api_returned(page: Page) -> None:
    # Chromium does not always keep the body of a stream, so it is read on the way.
    answered: list[tuple[Request, str]] = []

    def pass_on(route: Route) -> None:
        response = route.fetch()
        answered.append((route.request, response.text()))
        route.fulfill(response=response)

    page.route(CHAT, pass_on)
    ask(page, "你好")
    wait_until_answered(page)
    ((request, stream),) = answered
    assert body(request)["stream"] is True
    lines = [line[6:] for line in stream.splitlines() if line.startswith("data: ")]
    chunks = [json.loads(line) for line in lines if line != "[DONE]"]
    text = "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )
    assert text != ""
    assert [message["content"] for message in stored_messages(page)] == ["你好", text]
    expect(page.get_by_text("你好", exact=True).last).to_be_visible()
    expect(answers(page).locator(".markdown")).not_to_be_empty()


def test_answer_grows_and_stops_on_demand(open_page: OpenPage) -> None:
    page = open_page(storage=settings(maxTokens=None))
    slow_down(page)
    ask(page, "请写一个很长的故事")
    expect(answers(page).locator(".markdown")).not_to_be_empty()
    early = answers(page).inner_text()
    page.wait_for_timeout(1000)
    later = answers(page).inner_text()
    assert len(later) > len(early)
    page.get_by_role("button", name="停止回答").click()
    expect(page.get_by_text("已停止回答。")).to_be_visible()
    stopped = answers(page).inner_text()
    page.wait_for_timeout(500)
    assert answers(page).inner_text() == stopped
    expect(page.get_by_role("button", name="发送")).to_be_visible()


def test_length_limit_is_said(open_page: OpenPage) -> None:
    page = open_page(storage=settings(maxTokens=2))
    ask(page, "你好")
    expect(page.get_by_text("已达到长度上限")).to_be_visible()


def test_retry_replaces_the_last_answer(page: Page) -> None:
    ask(page, "你好")
    wait_until_answered(page)
    page.route(CHAT, lambda route: fulfill_answer(route, "另一个回答"))
    page.get_by_role("button", name="重新回答").click()
    expect(answers(page)).to_have_count(1)
    expect(answers(page)).to_have_text("另一个回答")


def test_question_can_be_edited(page: Page) -> None:
    ask(page, "旧问题")
    wait_until_answered(page)
    page.get_by_role("button", name="修改问题").click()
    editor = page.locator(".question-editor textarea").first
    editor.fill("新问题")
    with page.expect_request(CHAT) as request:
        editor.press("Enter")
    assert body(request.value)["messages"] == [{"role": "user", "content": "新问题"}]
    wait_until_answered(page)
    assert [message["role"] for message in stored_messages(page)] == ["user", "assistant"]


def test_earlier_turns_and_settings_are_sent(page: Page) -> None:
    page.route(CHAT, lambda route: fulfill_answer(route, "第一个回答"))
    ask(page, "第一个问题")
    wait_until_answered(page)
    page.get_by_role("button", name="设置").click()
    page.get_by_label("系统提示词").fill("你很简洁")
    page.keyboard.press("Escape")
    with page.expect_request(CHAT) as request:
        ask(page, "第二个问题")
    sent = body(request.value)
    assert sent["messages"] == [
        {"role": "system", "content": "你很简洁"},
        {"role": "user", "content": "第一个问题"},
        {"role": "assistant", "content": "第一个回答"},
        {"role": "user", "content": "第二个问题"},
    ]
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0, 1, 64)


def test_enter_never_sends_while_an_input_method_composes(page: Page) -> None:
    page.get_by_role("textbox", name="问题").click()
    client = page.context.new_cdp_session(page)
    composition = {"text": "nihao", "selectionStart": 5, "selectionEnd": 5}
    client.send("Input.imeSetComposition", composition)
    page.keyboard.press("Enter")
    expect(page.locator(".start")).to_be_visible()
    client.send("Input.insertText", {"text": "你好"})
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".start")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".dialogue")).to_be_visible()


def test_conversation_survives_a_reload(page: Page) -> None:
    ask(page, "你好")
    wait_until_answered(page)
    before = answers(page).inner_text()
    page.reload()
    expect(answers(page)).to_have_text(before, use_inner_text=True)
    expect(page.get_by_role("navigation").get_by_role("button", name="你好").first).to_be_visible()


def test_reload_in_mid_stream_keeps_what_had_arrived(open_page: OpenPage) -> None:
    page = open_page(storage=settings(maxTokens=None))
    slow_down(page)
    ask(page, "请写一个很长的故事")
    expect(answers(page).locator(".markdown")).not_to_be_empty()
    page.wait_for_timeout(600)
    seen = answers(page).locator(".markdown").inner_text()
    page.reload()
    expect(page.get_by_text("页面在回答途中被关闭或刷新")).to_be_visible()
    assert answers(page).locator(".markdown").inner_text().startswith(seen[:-1])


def test_language_is_switched_and_remembered(page: Page) -> None:
    page.get_by_role("button", name="Switch to English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.get_by_text("AI-generated content; please verify")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Write a short poem about autumn")).to_be_visible()


def test_language_follows_the_browser(open_page: OpenPage) -> None:
    page = open_page(locale="en-US")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.get_by_role("button", name="New chat")).to_be_visible()


def test_conversations_are_renamed_and_deleted(open_page: OpenPage) -> None:
    page = open_page(storage={**settings(), **conversation("旧标题", "回答")})
    page.get_by_role("button", name="“旧标题”的操作").click()
    page.get_by_role("menuitem", name="重命名").click()
    page.get_by_role("textbox", name="标题").fill("新标题")
    page.get_by_role("button", name="保存").click()
    page.get_by_role("button", name="“新标题”的操作").click()
    page.get_by_role("menuitem", name="删除").click()
    page.get_by_role("dialog").get_by_role("button", name="删除").click()
    expect(page.get_by_text("还没有对话")).to_be_visible()
    expect(page.locator(".start")).to_be_visible()
    page.reload()
    expect(page.get_by_text("还没有对话")).to_be_visible()


def test_phone_has_the_history_in_a_drawer(open_page: OpenPage) -> None:
    page = open_page(storage=settings(), **PHONE)
    ask(page, "你好")
    wait_until_answered(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("button", name="打开对话记录").click()
    history = page.get_by_role("navigation", name="对话记录")
    history.get_by_role("button", name="新对话").click()
    expect(page.locator(".start")).to_be_visible()
    expect(history).to_be_hidden()


def test_dark_follows_the_system(open_page: OpenPage) -> None:
    page = open_page(color_scheme="dark")
    background = "getComputedStyle(document.querySelector('.main')).backgroundColor"
    dark = page.evaluate(background)
    page.emulate_media(color_scheme="light")
    expect(page.locator(".main")).not_to_have_css("background-color", dark)
    expect(page.locator(".main")).to_have_css("background-color", "rgb(255, 255, 255)")


def assert_harmless(page: Page) -> None:
    answer = answers(page)
    expect(answer.get_by_role("link", name="read")).to_have_attribute(
        "rel", "noopener noreferrer nofollow"
    )
    expect(answer.locator("img, script, iframe")).to_have_count(0)
    expect(answer.locator("a")).to_have_count(1)
    expect(answer).to_contain_text("<img src=x")
    expect(page).to_have_title("清谈 Qingtan")


def test_hostile_markdown_in_the_history_is_harmless(open_page: OpenPage) -> None:
    assert_harmless(open_page(storage=conversation("你好", HOSTILE)))


def test_hostile_markdown_in_an_answer_is_harmless(page: Page) -> None:
    page.route(CHAT, lambda route: fulfill_answer(route, HOSTILE))
    ask(page, "你好")
    wait_until_answered(page)
    assert_harmless(page)


def test_hostile_question_is_harmless(page: Page) -> None:
    ask(page, HOSTILE)
    expect(page.locator(".ant-bubble-end")).to_contain_text("<img src=x")
    expect(page.locator(".ant-bubble-end").locator("img, iframe, a")).to_have_count(0)


def test_an_error_is_shown_and_can_be_retried(page: Page) -> None:
    error = {"message": "提示太长了", "type": "invalid_request_error", "param": None, "code": None}
    page.route(CHAT, lambda route: route.fulfill(status=400, json={"error": error}), times=1)
    ask(page, "你好")
    expect(page.get_by_role("alert")).to_contain_text("提示太长了")
    page.get_by_role("button", name="重试").click()
    wait_until_answered(page)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(answers(page)).to_have_count(1)


def test_an_error_in_mid_stream_keeps_the_text(page: Page) -> None:
    events = [
        {"choices": [{"index": 0, "delta": {"content": "前一半"}, "finish_reason": None}]},
        {"error": {"message": "内存不足", "type": "server_error", "param": None, "code": None}},
    ]
    page.route(
        CHAT, lambda route: route.fulfill(content_type="text/event-stream", body=sse(*events))
    )
    ask(page, "你好")
    expect(page.get_by_role("alert")).to_contain_text("内存不足")
    expect(answers(page)).to_contain_text("前一半")


def test_an_unreachable_server_is_said(open_page: OpenPage) -> None:
    page = open_page(storage=settings())
    page.route("**/v1/**", lambda route: route.abort())
    ask(page, "你好")
    expect(page.get_by_role("alert")).to_contain_text("无法连接服务器")


def test_models_can_be_chosen_where_there_are_several(page: Page) -> None:
    models = {"object": "list", "data": [{"id": "first"}, {"id": "second"}]}
    page.route("**/v1/models", lambda route: route.fulfill(json=models))
    page.route(CHAT, lambda route: fulfill_answer(route, "好"))
    page.reload()
    page.get_by_role("combobox", name="模型").click()
    page.get_by_title("second").click()
    with page.expect_request(CHAT) as request:
        ask(page, "你好")
    assert body(request.value)["model"] == "second"


def test_broken_storage_does_not_break_the_page(open_page: OpenPage) -> None:
    keys = ["settings", "language", "current", "conversation.x"]
    page = open_page(storage={f"qingtan.{key}": '{"id": 1, broken' for key in keys})
    expect(page.locator(".start")).to_be_visible()


def test_every_button_has_a_name(open_page: OpenPage) -> None:
    page = open_page(storage=conversation("你好", "```py\nprint()\n```"))
    expect(answers(page)).to_be_visible()
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, [role=button], textarea")]
           .filter(item => !item.ariaLabel && !item.innerText.trim() && !item.ariaHidden)
           .map(item => item.outerHTML)"""
    )
    assert nameless == []
