"""Answers in all modes, on a real store, with the built-in model and with a scripted one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from knowledge.making import document
from knowledge.shop import ORDERS, fill, put
from qingtan.apps.answering import Answerer
from qingtan.apps.modes import EMERGENCY, LEGAL_NOTICE, MEDICAL_NOTICE, NO_DIAGNOSIS
from qingtan.chat import ChatGLM
from qingtan.engine.engine import Engine
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.knowledge.answers import NOTHING_FOUND
from qingtan.knowledge.retrieval import Retriever
from qingtan.knowledge.store import open_store
from qingtan.knowledge.store.interface import Base, Store
from scripted import ScriptedRunner, answers


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "knowledge.db")
    yield opened
    opened.close()


@pytest.fixture
def base(store: Store) -> Base:
    return fill(store)


@pytest.fixture
def quoting(store: Store) -> Answerer:
    return Answerer(None, Retriever(store))


def test_an_answer_without_a_model_is_quoted(quoting: Answerer, base: Base) -> None:
    answered = quoting.answer([base], "会员几天内可以退款？")
    assert answered.text == "会员七天内可以退款，押金除外。[1]"


def test_a_follow_up_is_understood(quoting: Answerer, base: Base) -> None:
    history = [
        {"role": "user", "content": "A-100的价格是多少？"},
        {"role": "assistant", "content": "300元。"},
    ]
    answered = quoting.answer([base], "B-200呢？", history)
    assert answered.question == "B-200的价格是多少？"
    assert "500元" in answered.text


def test_passages_alone(quoting: Answerer, base: Base) -> None:
    found = quoting.search([base], "退款", limit=2)
    assert found.text == ""
    assert 0 < len(found.passages) <= 2
    nothing = quoting.search([base], "zzz")
    assert (nothing.text, nothing.refused) == (NOTHING_FOUND, True)


@pytest.mark.security
def test_orders_in_passages_are_flagged_when_they_are_shown(
    quoting: Answerer, store: Store, base: Base
) -> None:
    put(store, base, document(ORDERS, name="发票.txt", title="发票"))
    assert quoting.search([base], "发票").suspicious == (1,)


def test_answers_come_from_the_bases_that_were_given(quoting: Answerer, store: Store) -> None:
    fill(store, "甲")
    other = store.create_base("乙", "店")
    assert quoting.answer([other], "会员几天内可以退款？").refused


def test_law_names_the_article(quoting: Answerer, base: Base) -> None:
    answered = quoting.answer([base], "在草坪上生火罚多少？", mode="law")
    number = answered.sentences[0].passage
    assert answered.text == (
        f"第三条　在草坪上生火的，处二百元罚款。[{number}]\n"
        f"依据：[{number}]《城市公园条例》第三条\n{LEGAL_NOTICE}"
    )


def test_medicine_gives_notice_and_no_diagnosis(quoting: Answerer, base: Base) -> None:
    plain = quoting.answer([base], "高血压患者每天吃多少盐？", mode="medicine")
    assert plain.text.endswith(MEDICAL_NOTICE)
    assert NO_DIAGNOSIS not in plain.text
    mine = quoting.answer([base], "我得了高血压，应该吃什么药物？", mode="medicine")
    assert mine.text.startswith(NO_DIAGNOSIS)
    urgent = quoting.answer([base], "我胸痛，呼吸困难", mode="medicine")
    assert urgent.text.startswith(EMERGENCY)


def test_a_mode_that_is_none_is_refused(quoting: Answerer, base: Base) -> None:
    with pytest.raises(UserError, match="mode: there is no 'magic'"):
        quoting.answer([base], "退款", mode="magic")  # type: ignore[arg-type]


def scripted(tokenizer: GLMTokenizer, said: str) -> ChatGLM:
    return ChatGLM(Engine(ScriptedRunner(answers(tokenizer, said)), tokenizer))


@pytest.mark.parametrize(
    ("said", "text", "quoted"),
    [
        ("会员七天内可以退款[1]。本店欢迎您！", "会员七天内可以退款。[1]", False),
        ("会员九天内可以退款。[1]", "会员七天内可以退款，押金除外。[1]", True),
    ],
)
def test_what_a_model_writes_is_checked(
    store: Store, base: Base, tiny_tokenizer: GLMTokenizer, said: str, text: str, quoted: bool
) -> None:
    with scripted(tiny_tokenizer, said) as model:
        answered = Answerer(model, Retriever(store), written=True).answer(
            [base], "会员几天内可以退款？"
        )
    assert (answered.text, answered.quoted) == (text, quoted)


def test_the_built_in_model_never_says_what_no_passage_supports(store: Store, base: Base) -> None:
    with ChatGLM.from_pretrained("qingtan") as model:
        answerer = Answerer(model, Retriever(store), written=True)
        for question in ("会员几天内可以退款？", "可以携带宠物吗？", "谁登上了月球？"):
            answered = answerer.answer([base], question)
            kept = [each for each in answered.sentences if each.supported]
            assert answered.refused or kept
            assert all(each.passage and not each.conflicts for each in kept)


def test_writing_needs_a_model(store: Store) -> None:
    with pytest.raises(UserError, match="written: needs a model"):
        Answerer(None, Retriever(store), written=True)


def test_a_learner_is_asked_helped_and_told(quoting: Answerer, base: Base) -> None:
    first = quoting.teach([base], "退款由谁办理？")
    assert "王芳" not in first.text
    assert not first.done
    # The state is plain data: it survives being stored.
    state = json.loads(json.dumps(first.state))
    wrong = quoting.teach([base], "李明", state)
    assert wrong.right is False
    assert "小店手册 › 退款" in wrong.text
    hint = quoting.teach([base], "提示", wrong.state)
    assert "____" in hint.text
    assert "王芳" not in hint.text
    told = quoting.teach([base], "还是李明", hint.state)
    assert told.done
    assert "王芳" in told.text
    mistakes = told.state["mistakes"]
    assert [each["said"] for each in mistakes] == ["李明", "还是李明"]
    # The next exercise keeps them.
    again = quoting.teach([base], "会员几天内可以退款？", told.state)
    assert not again.done
    right = quoting.teach([base], "七天", again.state)
    assert (right.right, right.done) == (True, True)
    assert len(right.state["mistakes"]) == 2


@pytest.mark.parametrize("said", ["王芳", "由客服王芳办理", "是王芳。"])
def test_a_right_reply_is_known(quoting: Answerer, base: Base, said: str) -> None:
    state = quoting.teach([base], "退款由谁办理？").state
    assert quoting.teach([base], said, state).right


@pytest.mark.parametrize("said", ["退款", "由谁办理", "客服办理退款要三天", "张伟"])
def test_a_reply_that_says_nothing_new_or_something_else_is_wrong(
    quoting: Answerer, base: Base, said: str
) -> None:
    state = quoting.teach([base], "退款由谁办理？").state
    assert quoting.teach([base], said, state).right is False


def test_there_is_no_lesson_where_there_is_no_answer(quoting: Answerer, base: Base) -> None:
    lesson = quoting.teach([base], "谁登上了月球？")
    assert (lesson.done, lesson.text) == (True, NOTHING_FOUND)


def test_a_state_that_is_none_is_refused(quoting: Answerer, base: Base) -> None:
    with pytest.raises(UserError, match="state: hints"):
        quoting.teach([base], "退款", {"hints": "many"})
