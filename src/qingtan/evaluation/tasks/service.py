"""Questions of customers: on a shop's card, on what it does not say, and frequent ones."""

import hashlib
import re
from collections.abc import Sequence

from qingtan.evaluation.metrics.citations import RightRefusal
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.metrics.text import Contains, RougeL, contains
from qingtan.evaluation.task import Baseline, Task, user
from qingtan.prompts import answers

# What no card says, asked as the training conversations ask it.
_NEVER_GIVEN = (
    "请问{name}的停车费？",
    "请问{name}的儿童票价？",
    "{name}可以带宠物吗？",
    "请问{name}的会员折扣？",
)
# Other lines tell of the place as well: the metro's station of the address, the address of it.
_TOLD_TWICE = ("地址", "地铁")


def exact_values(item: Item) -> Sequence[str]:
    """Return what an answer must hold word for word: a number, an address, each dish."""
    value = item["value"]
    if item["key"] == "门票" and value == "0":
        return ["免费"]  # "免费开放，不需要门票"
    return [value] if isinstance(value, str) else [str(each) for each in value]


def ask_missing(items: Sequence[Item]) -> list[Item]:
    """Ask each card for something that it does not say.

    To half of them the item's own question is put, and the line with its answer is gone. The
    others are asked for what no card says, and so are those that could still be answered: about
    the place, or where the value also stands in another line. Which ones depends on the item only.

    Returns:
        Items with id, question and context.
    """
    return [_ask_missing(item) for item in items]


def _ask_missing(item: Item) -> Item:
    draw = int.from_bytes(hashlib.sha256(item["id"].encode()).digest()[:8])
    card, question = without_line(item["context"], item["key"]), item["question"]
    values = [str(item["value"])] if isinstance(item["value"], str) else exact_values(item)
    still_told = item["key"] in _TOLD_TWICE or any(contains(card, value) for value in values)
    if draw % 2 or still_told:
        card = item["context"]
        name = _first_line(card).partition("：")[2]
        question = _NEVER_GIVEN[draw // 2 % len(_NEVER_GIVEN)].format(name=name)
    return {"id": f"{item['id']}-missing", "question": question, "context": card}


def without_line(card: str, key: str) -> str:
    """Return a card without a key's line, and without the lines that its value goes on with."""
    return re.sub(rf"^{re.escape(key)}：.*\n?(?:[^：\n]*(?:\n|\Z))*", "", card, flags=re.M).strip()


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _first_lines(items: Sequence[Item]) -> Sequence[str]:
    return [_first_line(item["context"]) for item in items]


_FIRST_LINE = Baseline("the card's first line", "商户信息的第一行", _first_lines)
# Addresses and lists of dishes are the longest answers.
_ANSWER_TOKENS = 96

CUSTOMER_SERVICE = Task(
    name="customer-service",
    english="questions on a shop's card",
    chinese="商户信息问答",
    file="customer_service",
    fields=("context", "question", "references", "key", "value"),
    ask=lambda item: user(answers.answer_customer(item["question"], item["context"])),
    metrics=(Contains(exact_values), RougeL(lambda item: item["references"])),
    max_tokens=_ANSWER_TOKENS,
    baseline=_FIRST_LINE,
    selects=lambda item: item["task"] == "kb_faq",
)
CUSTOMER_UNANSWERABLE = Task(
    name="customer-unanswerable",
    english="questions that the card does not answer",
    chinese="商户信息无法回答的问题",
    file="customer_service",
    fields=("context", "question", "key", "value"),
    ask=CUSTOMER_SERVICE.ask,
    metrics=(RightRefusal(),),
    max_tokens=_ANSWER_TOKENS,
    baseline=_FIRST_LINE,
    selects=CUSTOMER_SERVICE.selects,
    derive=ask_missing,
)
FAQ = Task(
    name="faq",
    english="frequent questions, from memory",
    chinese="常见问题（无参考资料）",
    file="faq",
    fields=("question", "references"),
    ask=lambda item: user(item["question"]),
    metrics=(RougeL(lambda item: item["references"]),),
    max_tokens=512,
    baseline=Baseline(
        "the question itself", "重复问题", lambda items: [item["question"] for item in items]
    ),
)

TASKS = (CUSTOMER_SERVICE, CUSTOMER_UNANSWERABLE, FAQ)
