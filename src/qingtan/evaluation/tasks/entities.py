"""Tasks that extract parts of a sentence: entities, and the slots of a customer's wishes."""

from collections.abc import Sequence

from qingtan.evaluation.metrics.labels import SetF1
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.task import Task, user
from qingtan.evaluation.tasks.labels import commonest
from qingtan.prompts import labels


def _write_entities(item: Item) -> str:
    return labels.write_entities(tuple(pair) for pair in item["gold"])


def _write_slots(item: Item) -> str:
    return labels.write_slots((s["domain"], s["slot"], s["value"]) for s in item["gold"])


def _read_entities(answer: str) -> Sequence[str]:
    return ["|".join(pair) for pair in labels.read_entities(answer)]


def _read_slots(answer: str) -> Sequence[str]:
    return ["|".join(triple) for triple in labels.read_slots(answer)]


ENTITIES = Task(
    name="entities",
    english="persons, places and organizations",
    chinese="命名实体识别",
    file="ner",
    fields=("input", "gold"),
    ask=lambda item: user(labels.entities(item["input"])),
    metrics=(SetF1(lambda item: ["|".join(pair) for pair in item["gold"]], _read_entities),),
    max_tokens=192,
    baseline=commonest(_write_entities),
    selects=lambda item: item["task"] == "ner",
)

SLOTS = Task(
    name="slots",
    english="what a customer asks for",
    chinese="槽位抽取",
    file="ner",
    fields=("input", "gold"),
    ask=lambda item: user(labels.slots(item["input"])),
    metrics=(
        SetF1(
            lambda item: ["|".join((s["domain"], s["slot"], s["value"])) for s in item["gold"]],
            _read_slots,
        ),
    ),
    max_tokens=96,
    baseline=commonest(_write_slots),
    selects=lambda item: item["task"] == "slot_filling",
)

TASKS = (ENTITIES, SLOTS)
