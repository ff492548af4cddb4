"""Sheets and files of frequent questions: which columns are what, by their names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qingtan.i18n import tr
from qingtan.knowledge.documents import Faq
from qingtan.knowledge.reading.draft import Draft, tidy_lines
from qingtan.knowledge.reading.text import clean, one_line

_NAMES: dict[str, tuple[str, ...]] = {
    "question": (
        "问题", "标准问", "标准问题", "主问题", "问", "提问", "问句", "常见问题", "用户问题",
        "question", "questions", "q", "query", "title question", "standard question",
    ),
    "similar": (
        "相似问", "相似问题", "相似问法", "相似问句", "扩展问", "扩展问题", "同义问", "其他问法",
        "similar", "similar questions", "similar question", "alternatives", "variants", "aliases",
    ),
    "answer": (
        "答案", "回答", "标准答案", "答", "回复", "答复", "解答",
        "answer", "answers", "a", "reply", "response",
    ),
    "topic": (
        "分类", "主题", "类别", "类目", "话题", "所属分类", "标签",
        "topic", "category", "class", "tag", "label",
    ),
}  # fmt: skip
_COLUMN = {name: column for column, names in _NAMES.items() for name in names}
_REMARK = re.compile(r"[（(【\[].*?[】）)\]]|[*＊:：]|\d+$")
_SEPARATORS = re.compile(r"[\n;；|｜]+")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold what, from 0; there may be several of other wordings."""

    question: int
    answer: int
    similar: tuple[int, ...] = ()
    topic: int | None = None
    others: tuple[int, ...] = ()


def column_of(name: str) -> str:
    """Return "question", "similar", "answer" or "topic", or nothing for any other name."""
    key = one_line(name).lower().replace("_", " ").replace("-", " ")
    return _COLUMN.get(key) or _COLUMN.get(_REMARK.sub("", key).strip(), "")


def find_columns(header: Sequence[str]) -> Columns | None:
    """Return the columns of a sheet of questions, or None where it is none."""
    kinds = [column_of(name) for name in header]
    if "question" not in kinds or "answer" not in kinds:
        return None
    question, answer = kinds.index("question"), kinds.index("answer")
    similar = [n for n, kind in enumerate(kinds) if kind == "similar"]
    similar += [n for n, kind in enumerate(kinds) if kind == "question" and n != question]
    topic = kinds.index("topic") if "topic" in kinds else None
    used = {question, answer, topic, *similar}
    others = tuple(n for n, name in enumerate(header) if n not in used and name.strip())
    return Columns(question, answer, tuple(similar), topic, others)


def add_rows(
    columns: Columns, header: Sequence[str], rows: Sequence[Sequence[str]], draft: Draft
) -> None:
    """Add the questions of a sheet's rows, without its header.

    A row with no question of its own gives another wording, or more of the answer, to the one
    above it.
    """
    pending: list[list[str]] = []
    for row in rows:
        cells = [row[n] if n < len(row) else "" for n in range(len(header))]
        if not any(cell.strip() for cell in cells):
            continue
        question = cells[columns.question].strip()
        if pending and (not question or question == pending[-1][columns.question].strip()):
            _merge(pending[-1], cells, columns)
        else:
            pending.append(cells)
    for cells in pending:
        _add(cells, columns, draft)
    if columns.others and rows:
        names = ", ".join(one_line(header[n]) for n in columns.others)
        draft.warn(tr(f"columns that were not read: {names}", f"未读取的列：{names}"))


def _merge(above: list[str], cells: list[str], columns: Columns) -> None:
    for number in {columns.answer, *columns.similar}:
        text = cells[number].strip()
        if text and text not in above[number].split("\n"):
            above[number] = f"{above[number]}\n{text}".strip()


def _add(cells: Sequence[str], columns: Columns, draft: Draft) -> None:
    similar = "\n".join(cells[number] for number in columns.similar)
    topic = "" if columns.topic is None else cells[columns.topic]
    add_faq(cells[columns.question], cells[columns.answer], similar, topic, draft)


def add_faq(question: str, answer: str, similar: str, topic: str, draft: Draft) -> None:
    """Add a question; one without words or without an answer becomes a paragraph of what it has."""
    faq = Faq(
        question=one_line(question),
        answer=tidy_lines(answer),
        similar=split_similar(similar, one_line(question)),
        topic=one_line(topic),
    )
    if faq.question and faq.answer:
        draft.faq(faq)
        return
    rest = "\n".join([faq.question, *faq.similar, faq.answer])
    draft.paragraph(rest)
    if rest.strip():
        draft.warn(
            tr(
                "some questions have no answer, or answers no question",
                "有的问题缺少答案，或答案缺少问题",
            )
        )


def split_similar(text: str, question: str) -> tuple[str, ...]:
    """Return other wordings, once each; newlines, semicolons and bars stand between them."""
    parts = (one_line(part) for part in _SEPARATORS.split(clean(text)))
    return tuple(dict.fromkeys(part for part in parts if part and part != question))


def record_columns(record: Mapping[str, object]) -> dict[str, str] | None:
    """Return the keys of a record that hold a question, its answer and so on; None if none do."""
    found: dict[str, str] = {}
    for key in record:
        found.setdefault(column_of(key), key)
    found.pop("", None)
    return found if "question" in found and "answer" in found else None
