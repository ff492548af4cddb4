"""Labels: the wordings against the training conversations, and the reading of answers."""

import json
import re
from collections.abc import Callable, Sequence
from itertools import chain

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qingtan.prompts import labels

from .samples import asked_with, conversations, needs_data

# What may stand between the marks of the answers' forms.
WORDS = st.text("北京张三·（）【】[]{}.,'\"/%é9Aa", min_size=1)
CHOICE = re.compile(r"选择更合理的选项：\n(.+)\n最可能的(.+)是？\nA\. (.+)\nB\. (.+)")


@needs_data
@pytest.mark.parametrize(
    ("ask", "file", "task", "known"),
    [
        (labels.category, "classification", "category", labels.CATEGORIES),
        (labels.discipline, "classification", "discipline", labels.DISCIPLINES),
        (labels.topic, "classification", "topic", labels.TOPICS),
        (labels.offence, "classification", "offensive", labels.OFFENCES),
        (labels.sentiment, "sentiment", "review_sentiment", labels.SENTIMENTS),
    ],
)
def test_one_label_is_asked_for_as_in_training(
    ask: Callable[[str], str], file: str, task: str, known: Sequence[str]
) -> None:
    assert len(asked_with(ask, file, task)) >= 0.2 * len(conversations(file, task))
    assert len(set(known)) == len(known)
    assert {answer for _, answer in conversations(file, task)} == set(known)


@needs_data
def test_intents_are_asked_for_as_in_training() -> None:
    found = asked_with(labels.intent, "classification", "intent")
    assert len(found) > 400
    read = [labels.read_labels(answer) for _, answer in found]
    assert set(chain(*read)) <= set(labels.INTENTS)
    everything = (answer for _, answer in conversations("classification", "intent"))
    assert {part for answer in everything for part in answer.split("、")} == set(labels.INTENTS)
    assert ["、".join(each) for each in read] == [answer for _, answer in found]


@needs_data
def test_keywords_are_asked_for_as_in_training() -> None:
    found = asked_with(labels.keywords, "classification", "keywords")
    assert len(found) > 300
    same = ["、".join(labels.read_labels(answer)) == answer for _, answer in found]
    assert sum(same) > 0.97 * len(same)  # a few hold other commas, or a word twice


@needs_data
def test_choices_are_asked_for_as_in_training() -> None:
    found = conversations("classification", "commonsense")
    assert len(found) == 100
    for question, answer in found:
        match = CHOICE.fullmatch(question)
        assert match
        premise, asked, first, second = match.groups()
        assert asked in ("原因", "结果")
        assert (
            labels.choose(premise, "原因" if asked == "原因" else "结果", first, second) == question
        )
        assert answer in (f"A. {first}", f"B. {second}")


@needs_data
def test_aspects_are_asked_for_and_answered_as_in_training() -> None:
    found = asked_with(labels.aspects, "sentiment", "aspect_sentiment")
    assert len(found) == 100
    for _, answer in found:
        pairs = [(line.split("：")[0], line.split("：")[1]) for line in answer.split("\n")]
        assert labels.read_aspects(answer) == set(pairs)
        assert labels.write_aspects(pairs) == answer
        assert {tendency for _, tendency in pairs} <= set(labels.SENTIMENTS)
    everything = chain(*(labels.read_aspects(answer) for _, answer in found))
    assert {aspect for aspect, _ in everything} == set(labels.ASPECTS)


@needs_data
def test_entities_are_asked_for_and_answered_as_in_training() -> None:
    found = asked_with(labels.entities, "ner", "ner")
    assert len(found) > 900
    kinds = set()
    for _, answer in found:
        lines = [] if answer == "无" else [line.split("|") for line in answer.split("\n")]
        pairs = [(entity, kind) for entity, kind in lines]
        assert labels.read_entities(answer) == set(pairs)
        assert labels.write_entities(pairs) == answer
        kinds |= {kind for _, kind in pairs}
    assert kinds == set(labels.ENTITY_TYPES)


@needs_data
def test_entities_are_read_in_the_other_forms_of_training() -> None:
    forms = {"json": 0, "by type": 0}
    for _, answer in conversations("ner", "ner"):
        if answer.startswith("["):
            forms["json"] += 1
            right = {(entity["实体"], entity["类型"]) for entity in json.loads(answer)}
        elif answer.startswith("人名："):
            forms["by type"] += 1
            lines = [line.split("：", maxsplit=1) for line in answer.split("\n")]
            right = {(e, kind) for kind, es in lines for e in es.split("、") if es != "无"}
        else:
            continue
        assert labels.read_entities(answer) == right
    assert min(forms.values()) > 900


@needs_data
def test_slots_are_asked_for_and_answered_as_in_training() -> None:
    assert len(asked_with(labels.slots, "ner", "slot_filling")) > 300
    for _, answer in conversations("ner", "slot_filling"):
        triples = []
        for line in answer.split("\n"):
            place, value = line.split("：")
            domain, slot = place.split("-", maxsplit=1)
            triples.append((domain, slot, value))
        assert labels.read_slots(answer) == set(triples)
        assert labels.write_slots(triples) == answer


@given(st.lists(st.tuples(WORDS, WORDS)))
@example([("[1]", "地名")])
def test_entities_are_read_as_they_are_written(pairs: list[tuple[str, str]]) -> None:
    assert labels.read_entities(labels.write_entities(pairs)) == set(pairs)
    written = [{"实体": entity, "类型": kind} for entity, kind in pairs]
    as_json = json.dumps(written, ensure_ascii=False)
    assert labels.read_entities(as_json) == set(pairs)
    assert labels.read_entities(f"```json\n{as_json}\n```") == set(pairs)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS)))
@example([("酒店", "酒店设施", "是"), ("餐馆", "营业时间", "9点"), ("景点", "门票", "20元")])
def test_slots_are_read_as_they_are_written(triples: list[tuple[str, str, str]]) -> None:
    assert labels.read_slots(labels.write_slots(triples)) == set(triples)


@given(st.lists(st.tuples(WORDS, WORDS)), st.lists(WORDS))
def test_aspects_and_labels_are_read_as_they_are_written(
    pairs: list[tuple[str, str]], words: list[str]
) -> None:
    assert labels.read_aspects(labels.write_aspects(pairs)) == set(pairs)
    assert labels.read_labels("、".join(words)) == list(dict.fromkeys(words))


@given(st.text() | st.text('[]{}"：:|｜-、\n实体类型人名`json 1'))
@example("[" * 100_000)
@example('{"实体": "北京"}')
@example('[1, {"实体": 2, "类型": "地名"}, {"实体": "北京"}]')
def test_any_answer_can_be_read(answer: str) -> None:
    for pair in (*labels.read_entities(answer), *labels.read_aspects(answer)):
        assert all(pair)
    for triple in labels.read_slots(answer):
        assert all(triple)
    assert all(labels.read_labels(answer))


def test_answers_are_read_with_what_models_add() -> None:
    read = labels.read_entities("实体如下：\n张三 ｜ 人名。\n\n北京|地名\n以上。")
    assert read == {("张三", "人名"), ("北京", "地名")}
    assert labels.read_entities("人名：张三、李四\n地名：无\n注意：王五") == {
        ("张三", "人名"),
        ("李四", "人名"),
    }
    assert labels.read_slots("好的：\n餐馆-营业时间：09:00-21:30\n餐馆-评分: 5分") == {
        ("餐馆", "营业时间", "09:00-21:30"),
        ("餐馆", "评分", "5分"),
    }
    assert labels.read_labels("问候、询问餐馆。") == ["问候", "询问餐馆"]
    assert labels.read_labels("无") == []
