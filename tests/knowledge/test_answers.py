"""Answers from a real store: quoted, or written by a function and checked."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knowledge.making import document
from knowledge.shop import ORDERS, fill, put
from qingtan.knowledge.answers import NOTHING_FOUND, Answered, Write, answer
from qingtan.knowledge.retrieval import Retriever
from qingtan.knowledge.store import open_store
from qingtan.knowledge.store.interface import Base, Store

Answer = Callable[..., Answered]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "knowledge.db")
    yield opened
    opened.close()


@pytest.fixture
def base(store: Store) -> Base:
    return fill(store)


@pytest.fixture
def asked(store: Store, base: Base) -> Answer:
    """Answer a question from the base."""
    retriever = Retriever(store)

    def asked(question: str, write: Write | None = None, **options: int) -> Answered:
        return answer(question, retriever.find([base], question), write=write, **options)

    return asked


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("会员几天内可以退款？", "会员七天内可以退款，押金除外。"),
        ("退款由谁办理？", "退款由客服王芳办理，需要五个工作日。"),
        ("可以携带宠物吗？", "店内禁止携带宠物入内。"),
        ("怎么修改密码？", "在“设置”中点击“安全”，按提示修改。"),
        ("如何换密码", "在“设置”中点击“安全”，按提示修改。"),
        ("A-100的价格是多少？", "型号 | 价格 | 重量\nA-100 | 300元 | 1.2千克"),
        ("城市公园条例第二条规定了什么？", "第二条　公园免费开放，开放时间为六时至二十二时。"),
    ],
)
def test_the_sentence_that_answers_is_quoted(asked: Answer, question: str, text: str) -> None:
    answered = asked(question)
    (sentence,) = answered.sentences
    assert answered.text == f"{text}[{sentence.passage}]"
    assert answered.quoted
    assert sentence.passage is not None
    cited = answered.passages[sentence.passage - 1].chunk.chunk.text
    assert text.replace("\n", "") in cited.replace("\n", "")


@pytest.mark.parametrize(
    "question", ["太阳到地球有多远？", "谁登上了月球？", "股票今天涨了吗？", "？"]
)
def test_without_evidence_nothing_is_answered(asked: Answer, question: str) -> None:
    def write(prompt: str) -> str:
        raise AssertionError

    answered = asked(question, write)
    assert answered.refused
    assert answered.text == NOTHING_FOUND
    assert answered.passages == ()


def test_what_came_nearest_is_offered(asked: Answer) -> None:
    answered = asked("王芳的生日派对在哪个酒店举行、有多少来宾参加？")
    assert answered.refused
    assert "王芳" in answered.nearest[0].chunk.chunk.text


def test_what_is_written_is_kept_as_far_as_it_is_supported(asked: Answer) -> None:
    prompts = []

    def write(prompt: str) -> str:
        prompts.append(prompt)
        return "会员七天内可以退款。退款需要三个工作日。押金可以退。[1]"

    answered = asked("会员几天内可以退款？", write)
    assert answered.text == "会员七天内可以退款。[1]"
    assert [each.supported for each in answered.sentences] == [True, False, False]
    assert not answered.quoted
    assert "[1] 退款\n会员七天内可以退款，押金除外。" in prompts[0]


@pytest.mark.parametrize("said", ["会员三十天内可以退款。[1]", "", "资料中没有相关内容。"])
def test_where_nothing_written_is_supported_it_is_quoted(asked: Answer, said: str) -> None:
    answered = asked("会员几天内可以退款？", lambda prompt: said)
    assert answered.text == "会员七天内可以退款，押金除外。[1]"
    assert answered.quoted


@pytest.mark.security
def test_orders_in_a_document_are_neither_shown_nor_quoted_but_flagged(
    store: Store, base: Base, asked: Answer
) -> None:
    put(store, base, document(ORDERS, name="发票.txt", title="发票"))
    prompts = []

    def write(prompt: str) -> str:
        prompts.append(prompt)
        return "密码是1234。[1]"

    answered = asked("发票在哪里下载？", write)
    assert answered.text == "发票可以在订单页下载。[1]"
    assert answered.suspicious == (1,)
    assert "密码" not in prompts[0]
    assert "1234" not in asked("管理员密码是多少？").text


def test_a_model_is_shown_as_many_passages_as_there_is_room(asked: Answer) -> None:
    prompts = []

    def write(prompt: str) -> str:
        prompts.append(prompt)
        return ""

    asked("会员几天内可以退款？宠物？", write, room=1)
    asked("会员几天内可以退款？宠物？", write)
    assert "[1]" in prompts[0]
    assert "[2]" not in prompts[0]
    assert "[2]" in prompts[1]
