"""Answers from given text, talk and writing: the wordings against the training conversations."""

import re
from collections import Counter

import orjson
from hypothesis import given
from hypothesis import strategies as st

from qingtan.corpus.cleaning.characters import tidy_characters
from qingtan.corpus.reading.streams import Chunks
from qingtan.evaluation.metrics.citations import is_refusal, read_citations, strip_citations
from qingtan.prompts import answers

from .samples import SFT, conversations, needs_data

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z", "P"]), min_size=1)
PHONE = re.compile(r"^电话：(.+)$", re.MULTILINE)


def split(question: str) -> tuple[str, list[str], str]:
    """Return the first line, the passages and the question of a prompt with numbered passages."""
    first, _, rest = question.partition("\n\n")
    text, _, asked = rest.rpartition("\n\n问题：")
    passages: list[str] = []
    for line in text.split("\n"):
        if line.startswith(start := f"[{len(passages) + 1}] "):
            passages.append(line.removeprefix(start))
        else:
            passages[-1] += f"\n{line}"
    return first, passages, asked


@needs_data
def test_passages_are_asked_about_as_in_training() -> None:
    refused = conversations("docqa", "docqa_unanswerable")
    assert len(refused) > 700
    for question, _ in refused:
        _, passages, asked = split(question)
        assert answers.answer_from_passages(asked, passages) == question
    assert {answer for _, answer in refused} == set(answers.REFUSALS)


@needs_data
def test_citations_are_written_as_in_training() -> None:
    cited = Counter(
        answers.cite(strip_citations(answer), *read_citations(answer)) == answer
        for _, answer in conversations("docqa", "docqa_cited")
        if "依据：" not in answer
    )
    assert cited[True] > 3000
    assert cited[False] < 0.01 * cited[True]


@needs_data
def test_texts_are_asked_about_as_in_training() -> None:
    wording, _, _ = answers.read_and_answer("", "").partition("\n\n")
    found = [q for q, _ in conversations("docqa", "reading_comprehension") if q.startswith(wording)]
    assert len(found) > 500
    for question in found:
        text, _, asked = question.removeprefix(f"{wording}\n\n").rpartition("\n\n问题：")
        assert answers.read_and_answer(asked, text) == question


@needs_data
def test_laws_are_asked_about_as_in_training() -> None:
    found = conversations("law", "law_docqa_cited")
    assert len(found) > 9000
    for question, _ in found:
        _, articles, asked = split(question)
        raw = [article.replace("条 ", "条\u3000", 1) for article in articles]
        assert answers.answer_law(asked, articles) == question
        assert answers.answer_law(asked, raw) == question


@needs_data
def test_customers_ask_and_are_refused_as_in_training() -> None:
    with_number = Counter[bool]()
    for question, answer in conversations("customer_service", "kb_unanswerable"):
        first, _, rest = question.partition("\n\n")
        card, _, asked = rest.rpartition("\n\n问题：")
        assert answers.answer_customer(asked, card) == question
        assert first not in card
        phone = PHONE.search(card)
        written = {answers.refuse_customer(), answers.refuse_customer(phone[1] if phone else None)}
        assert answer in written
        with_number[answer == answers.refuse_customer()] += 1
    assert min(with_number.values()) > 100


@needs_data
def test_facts_are_given_as_in_training() -> None:
    lines = b"".join(Chunks(SFT / "dialogue.jsonl.zst", 1 << 20)).splitlines()
    records = [each for each in map(orjson.loads, lines) if each["task"] == "grounded_chat"]
    assert len(records) > 3000
    ahead = answers.chat_with_knowledge("", [("", "", "")]).partition("\n")[0]
    rebuilt = 0
    for record in records:
        # The last words of the user, and no others, come with facts.
        *before, asked, answer = [tidy_characters(m["content"]) for m in record["messages"]]
        assert answer
        assert not any(text.startswith(ahead) for text in before)
        given_facts, _, text = asked.removeprefix(f"{ahead}\n").rpartition("\n\n")
        facts = [line.split("|", 2) for line in given_facts.split("\n")]
        if all(len(fact) == 3 for fact in facts):  # some values go on in the next line
            triples = [(fact[0], fact[1], fact[2]) for fact in facts]
            assert answers.chat_with_knowledge(text, triples) == asked
            rebuilt += 1
    assert rebuilt > 0.9 * len(records)


@needs_data
def test_articles_are_asked_for_as_in_training() -> None:
    kinds = Counter[str]()
    for question, answer in conversations("writing", "article_writing"):
        title = answer.partition("\n")[0].removeprefix("# ")
        if question == answers.write_article(title):
            kinds["title"] += 1
        before, lead, text = question.partition("，主旨：")
        if lead and question == answers.write_article(title, text):
            assert before == answers.write_article(title).removesuffix("。")
            kinds["lead"] += 1
        assert answer.startswith("# ")
    assert kinds["title"] > 50
    assert kinds["lead"] > 400


@needs_data
def test_other_writing_is_asked_for_as_in_training() -> None:
    kinds = Counter[str]()
    for kind, ask in (
        ("recipe", answers.write_recipe),
        ("story_writing", answers.tell_story),
        ("novel_continue", answers.continue_novel),
    ):
        before, after = ask("\0").split("\0")
        for question, _ in conversations("writing", kind):
            if question.startswith(before) and question.endswith(after):
                kinds[kind] += 1
                assert ask(question.removeprefix(before).removesuffix(after)) == question
    assert kinds["recipe"] > 40
    assert kinds["story_writing"] > 15
    assert kinds["novel_continue"] > 300


def test_every_refusal_is_known_as_one() -> None:
    given_refusals = [
        *answers.REFUSALS,
        answers.refuse_customer(),
        answers.refuse_customer("0571-88880018"),
    ]
    for refusal in given_refusals:
        assert is_refusal(refusal), refusal
        assert not read_citations(refusal)


@given(WORDS, st.lists(st.integers(1, 99), min_size=1, unique=True))
def test_citations_are_read_as_they_are_written(answer: str, numbers: list[int]) -> None:
    cited = answers.cite(answer, *numbers)
    assert read_citations(cited) == set(numbers)
    assert strip_citations(cited) == answer


@given(WORDS, st.lists(WORDS, min_size=1))
def test_passages_are_numbered_from_one(question: str, passages: list[str]) -> None:
    for ask in (answers.answer_from_passages, answers.answer_law):
        _, numbered, asked = split(ask(question, passages))
        assert numbered == passages
        assert asked == question


def test_talk_without_facts_stays_as_it_is() -> None:
    assert answers.chat_with_knowledge("你好！", []) == "你好！"
    facts = [("青溪镇", "面积", "30平方公里"), ("青溪镇", "特产", "茶叶")]
    assert answers.chat_with_knowledge("那里有什么？", facts) == (
        "参考知识：\n青溪镇|面积|30平方公里\n青溪镇|特产|茶叶\n\n那里有什么？"
    )
