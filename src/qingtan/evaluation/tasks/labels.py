"""Tasks whose answers are labels: intents, topics, sentiments and the like."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from qingtan.errors import UserError
from qingtan.evaluation.metrics.labels import (
    Accuracy,
    Choice,
    ExactSet,
    MacroF1,
    SetF1,
    read_options,
)
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.task import Baseline, Task, user
from qingtan.glm.conversation import Message
from qingtan.prompts import labels

_QUESTION = re.compile(r"(.+)\n最可能的(原因|结果)是？\nA\. (.+)\nB\. (.+)")
# Where a title is cut so that the pieces may be keywords.
_PARTICLES = re.compile("[的与及和对在、，,：:]")
_END_OF_SENTENCE = re.compile(r"(?<=[.。!！?？])\s")


def commonest(write: Callable[[Item], str]) -> Baseline:
    """Return a baseline that answers every item alike, as most items are to be answered.

    Args:
        write: an item's right answer, as a model would write it.
    """

    def answer(items: Sequence[Item]) -> Sequence[str]:
        (text, _), *_ = Counter(map(write, items)).most_common(1)
        return [text] * len(items)

    return Baseline("the commonest answer", "最常见的答案", answer)


def _task(
    name: str,
    english: str,
    chinese: str,
    kind: str,
    ask: Callable[[str], str],
    known: Sequence[str],
    file: str = "classification",
) -> Task:
    """Return a task of one label for each item, out of the known ones."""
    return Task(
        name=name,
        english=english,
        chinese=chinese,
        file=file,
        fields=("input", "gold"),
        ask=lambda item: user(ask(item["input"])),
        metrics=(Accuracy(_one, known), MacroF1(_one, known)),
        max_tokens=24,
        baseline=commonest(lambda item: item["gold"]),
        selects=lambda item: item["task"] == kind,
    )


def _one(item: Item) -> Sequence[str]:
    return [item["gold"]]


def _several(item: Item) -> Sequence[str]:
    """Return an item's labels as an answer is read, for some keywords have "、" within them."""
    return labels.read_labels("、".join(item["gold"]))


def _ask_to_choose(item: Item) -> Sequence[Message]:
    match = _QUESTION.fullmatch(item["input"])
    if not match:
        raise UserError(
            f"item {item['id']}: field input: give four lines: a premise, 最可能的原因是？ or "
            "最可能的结果是？, and the choices after A. and B."
        )
    premise, asked, first, second = match.groups()
    return user(labels.choose(premise, "原因" if asked == "原因" else "结果", first, second))


def _cut_titles(items: Sequence[Item]) -> Sequence[str]:
    """Return the pieces of the papers' titles, which stand after the abstracts."""
    titles = (_END_OF_SENTENCE.split(item["input"])[-1] for item in items)
    return ["、".join(piece for piece in _PARTICLES.split(title) if piece) for title in titles]


def _aspects(item: Item) -> Sequence[str]:
    return [f"{aspect}：{tendency}" for aspect, tendency in item["gold"]]


def _read_aspects(answer: str) -> Sequence[str]:
    return [f"{aspect}：{tendency}" for aspect, tendency in labels.read_aspects(answer)]


def _usual_aspects(items: Sequence[Item]) -> Sequence[str]:
    """Return for every item the pairs that at least a third of the items have."""
    counts = Counter(pair for item in items for pair in _aspects(item))
    usual = [pair for pair, count in counts.most_common() if count * 3 >= len(items)]
    return ["\n".join(usual) or labels.NOTHING] * len(items)


INTENT = Task(
    name="intent",
    english="intents of a service's users",
    chinese="用户意图",
    file="classification",
    fields=("input", "gold"),
    ask=lambda item: user(labels.intent(item["input"])),
    metrics=(SetF1(_several, labels.read_labels), ExactSet(_several, labels.read_labels)),
    max_tokens=48,
    baseline=commonest(lambda item: "、".join(item["gold"])),
    selects=lambda item: item["task"] == "intent",
)

CATEGORY = _task(
    "category",
    "category by a paper's title",
    "论文门类",
    "category",
    labels.category,
    labels.CATEGORIES,
)
DISCIPLINE = _task(
    "discipline",
    "discipline by a paper's abstract",
    "论文学科",
    "discipline",
    labels.discipline,
    labels.DISCIPLINES,
)
TOPIC = _task("topic", "topic of a sentence", "文本主题", "topic", labels.topic, labels.TOPICS)
OFFENCE = _task(
    "offence", "offensive or not", "冒犯性检测", "offensive", labels.offence, labels.OFFENCES
)

SENTIMENT = _task(
    "sentiment",
    "sentiment of a restaurant's review",
    "餐厅评价的情感",
    "review_sentiment",
    labels.sentiment,
    labels.SENTIMENTS,
    file="sentiment",
)
ASPECTS = Task(
    name="aspects",
    english="sentiment of a review's aspects",
    chinese="评价各方面的情感",
    file="sentiment",
    fields=("input", "gold"),
    ask=lambda item: user(labels.aspects(item["input"])),
    metrics=(SetF1(_aspects, _read_aspects),),
    max_tokens=192,
    baseline=Baseline(
        "what at least a third of the reviews have",
        "至少三分之一的评价都有的方面与倾向",
        _usual_aspects,
    ),
    selects=lambda item: item["task"] == "aspect_sentiment",
)

COMMONSENSE = Task(
    name="commonsense",
    english="the likelier cause or result",
    chinese="常识推理",
    file="classification",
    fields=("input", "gold"),
    ask=_ask_to_choose,
    metrics=(Choice(_one, lambda item: read_options(item["input"])),),
    max_tokens=48,
    baseline=commonest(lambda item: item["gold"]),
    selects=lambda item: item["task"] == "commonsense",
)

KEYWORDS = Task(
    name="keywords",
    english="keywords of a paper",
    chinese="论文关键词",
    file="classification",
    fields=("input", "gold"),
    ask=lambda item: user(labels.keywords(item["input"])),
    metrics=(SetF1(_several, labels.read_labels),),
    max_tokens=128,
    baseline=Baseline("the title cut at its particles", "在虚词处切开的题目", _cut_titles),
    selects=lambda item: item["task"] == "keywords",
)

TASKS = (
    INTENT,
    CATEGORY,
    DISCIPLINE,
    TOPIC,
    SENTIMENT,
    ASPECTS,
    OFFENCE,
    COMMONSENSE,
    KEYWORDS,
)
