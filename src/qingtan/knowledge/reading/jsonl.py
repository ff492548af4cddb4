"""JSON Lines: records with "text" (and "title", "date", "topic"), or questions with answers."""

import json
from collections.abc import Iterator, Mapping

from qingtan.i18n import tr
from qingtan.knowledge.reading import faq
from qingtan.knowledge.reading.draft import Draft, iso_date
from qingtan.knowledge.reading.limits import Unreadable
from qingtan.knowledge.reading.plain import add_text
from qingtan.knowledge.reading.text import clean, decode

_TEXT = ("text", "content", "body", "正文", "内容")
_TITLE = ("title", "标题")
_DATE = ("date", "日期")
_TOPIC = ("topic", "主题", "分类")


def read_jsonl(data: bytes, draft: Draft) -> None:
    """Read records; a line that is none costs a warning."""
    count, broken = 0, []
    values: dict[str, set[str]] = {"date": set(), "topic": set()}
    for number, record in _records(decode(data)):
        if record is None or not _add(record, draft):
            broken.append(number)
            continue
        count += 1
        values["date"].add(iso_date(_field(record, _DATE)) or "")
        values["topic"].add(_field(record, _TOPIC))
    if not count:
        raise Unreadable(
            tr(
                'holds no record with "text", or with "question" and "answer"',
                "没有包含“text”的记录，也没有包含“question”与“answer”的记录",
            )
        )
    if broken:
        lines = ", ".join(map(str, broken[:5])) + (" …" if len(broken) > 5 else "")
        draft.warn(
            tr(
                f"{len(broken)} lines hold no record: {lines}",
                f"{len(broken)}行不是有效记录：{lines}",
            )
        )
    # What all records share is said of the document.
    date, topic = values["date"], values["topic"]
    draft.date = date.pop() if len(date) == 1 else ""
    if len(topic) == 1 and (shared := topic.pop()):
        draft.facts["topic"] = shared


def _records(text: str) -> Iterator[tuple[int, Mapping[str, object] | None]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        yield number, value if isinstance(value, dict) else None


def _add(record: Mapping[str, object], draft: Draft) -> bool:
    """Add a record; return whether there was anything in it."""
    columns = faq.record_columns(record)
    if columns:
        question, answer, similar, topic = (
            _text(record.get(columns.get(name, "")))
            for name in ("question", "answer", "similar", "topic")
        )
        faq.add_faq(question, answer, similar, topic, draft)
        return bool((question + answer + similar).strip())
    title, text = _field(record, _TITLE), _field(record, _TEXT)
    if not text.strip():
        return False
    if title.strip():
        draft.heading(title)
    add_text(clean(text), draft, level=2)
    return True


def _field(record: Mapping[str, object], names: tuple[str, ...]) -> str:
    return next((_text(record[name]) for name in names if name in record), "")


def _text(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(str(each) for each in value if isinstance(each, (str, int, float)))
    return str(value) if isinstance(value, (str, int, float)) else ""
