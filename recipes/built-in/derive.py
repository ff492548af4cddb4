"""Conversations that the training data lacks, made of it.

In sft/docqa one instruction stands only before questions that the passages do not answer, and
sft/customer_service has such an instruction too. A model would learn to refuse by the instruction
and never look. So here that instruction also stands before questions that have an answer, and
questions are asked of passages and cards from which the answer was taken away.

    python recipes/built-in/derive.py ../shared/data runs/built-in/derived

Nothing is random: what is chosen, and its order, hangs on the records' ids alone.
"""

import argparse
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import zstandard

from qingtan.corpus.documents import content_of, spoken_by
from qingtan.corpus.reading import FormatTable, Rejected, list_files, parse, read_raw
from qingtan.errors import UserError
from qingtan.files import new_folder, write_json
from qingtan.i18n import tr
from qingtan.prompts import answers

MOST_CITED, MOST_ANSWERED = 2500, 1500
# Questions asked elsewhere, of as many as are cited; removed entries, of as many as are answered.
SHARE = 2 / 3
# A passage that has so much of an answer's pairs of characters may say it in other words.
MOST_OVERLAP = 1 / 3
MARKER = "derived.json"
# The corpus leaves the source "cold" out of what is read as text.
MODERATION_SOURCE = "cold-moderation"

_PROMPT = re.compile(r"([^\n]+)\n\n(.+)\n\n问题：(.+)", re.DOTALL)
_CITED = re.compile(r"(.+)\[(\d+)\]()", re.DOTALL)
# The full stop belongs to the form, not to the answer.
_QUOTED = re.compile(r"(.+)。\n依据：\[(\d+)\] (.+)", re.DOTALL)

Record = dict[str, Any]
Kinds = dict[str, list[Record]]
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Asked:
    """A record with its prompt's first line and its question."""

    record: Record
    header: str
    text: str


@dataclass(frozen=True)
class Question(Asked):
    """A question about passages; `passages[number - 1]` holds the answer."""

    passages: tuple[str, ...]
    answer: str
    number: int

    @property
    def document(self) -> str:
        """The document asked about: the id without paragraph and question."""
        return re.sub(r"(_QUERY_\d+|-\d+-\d+)$", "", self.record["id"])


@dataclass(frozen=True)
class Card(Asked):
    """A customer's question about one entry, `asked`, of a merchant's card."""

    entries: Mapping[str, str]
    asked: str


def derive(data: Path, output: Path, force: bool = False) -> dict[str, dict[str, int]]:
    """Write cited, unanswerable, customer and moderation.jsonl.zst, all of them or none.

    Args:
        data: a folder with sft/*.jsonl.zst.
        output: a new folder.
        force: replace what an earlier run has made.

    Returns:
        For each file how many conversations it has of each kind.

    Raises:
        UserError: an input is missing or has nothing of use, or the output exists.
    """
    with new_folder(output, MARKER, replace=force) as folder:
        files = _from_docqa(list(_read(data / "sft" / "docqa.jsonl.zst")))
        files["customer"] = _from_cards(list(_read(data / "sft" / "customer_service.jsonl.zst")))
        files["moderation"] = _moderation(_read(data / "sft" / "classification.jsonl.zst"))
        for name, kinds in files.items():
            records = _interleave(kinds.values())
            lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            (folder / f"{name}.jsonl.zst").write_bytes(zstandard.compress(lines.encode(), 10))
        counts = {name: {k: len(v) for k, v in kinds.items()} for name, kinds in files.items()}
        write_json(folder / MARKER, counts)
    return counts


def _read(path: Path) -> Iterator[Record]:
    table = FormatTable()
    for block in read_raw(list_files(path), table):
        for item in parse(block, table):
            reason = item.reason if isinstance(item, Rejected) else _find_fault(item.value)
            if reason:
                raise UserError(f"{path}: line {item.line}: {reason}")
            if not isinstance(item, Rejected):
                yield item.value


def _find_fault(value: Record) -> str | None:
    for name in ("id", "task", "source", "licence"):
        if not isinstance(value.get(name), str):
            return tr(f"{name} is missing or no text", f"缺少 {name}，或者不是文本")
    try:
        content_of("conversations", value)
    except UserError as error:
        return str(error)
    return None


def _from_docqa(records: Sequence[Record]) -> dict[str, Kinds]:
    questions = _usable(map(_read_question, _of_task(records, "docqa_cited")), "docqa_cited")
    ordered = sorted(questions, key=lambda question: _draw(question.record, "cited"))
    chosen = ordered[:MOST_CITED]
    cited = [
        _make(q, "open", _ask_passages(q, q.passages), answers.cite(q.answer, q.number))
        for q in chosen
    ]
    elsewhere = _first(round(len(chosen) * SHARE), ordered, _Donors(questions).find)
    removed = _first(len(chosen), ordered, _remove_passage)
    unanswerable = {
        kind: [_refuse_question(q, kind, passages) for q, passages in found]
        for kind, found in {"elsewhere": elsewhere, "removed": removed}.items()
    }
    return {"cited": {"cited": cited}, "unanswerable": unanswerable}


def _read_question(record: Record) -> Question | None:
    """Return the question, or none where the answer does not surely stand in the passage."""
    found, answer = _PROMPT.fullmatch(spoken_by(record["messages"][0])), _answer(record)
    cited = _QUOTED.fullmatch(answer) or _CITED.fullmatch(answer)
    if not found or not cited or "-{" in found[3] + cited[1]:  # left over from a wiki's markup
        return None
    lines = enumerate(found[2].split("\n"), start=1)
    passages = tuple(line.removeprefix(f"[{number}] ") for number, line in lines)
    number = int(cited[2])
    if _numbered(passages) != found[2] or not 0 < number <= len(passages):
        return None
    if cited[1] not in (cited[3] or cited[1]) or cited[1] not in passages[number - 1]:
        return None
    return Question(record, found[1], found[3], passages, cited[1], number)


class _Donors:
    """Passages of other documents, for questions that these do not answer."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._groups: dict[Hashable, list[Question]] = {}
        self._of_document: dict[str, set[str]] = {}
        for question in sorted(questions, key=lambda each: _draw(each.record, "donor")):
            self._group(question).append(question)
            self._of_document.setdefault(question.document, set()).update(question.passages)

    def _group(self, question: Question) -> list[Question]:
        """Return the questions on the same terms, whose passages may stand in one conversation."""
        terms = (question.record.get(name) for name in ("source", "licence", "attribution"))
        return self._groups.setdefault(tuple(terms), [])

    def find(self, question: Question) -> tuple[str, ...] | None:
        """Return passages that neither answer the question nor belong to its document."""
        group, own = self._group(question), self._of_document[question.document]
        # What it is about; without this, 他是哪一年出生的 would be asked of any other life.
        about = _pairs(question.text) & _pairs("".join(question.passages))
        start = _draw(question.record, "elsewhere")
        for step in range(len(group) if about else 0):
            passages = group[(start + step) % len(group)].passages
            foreign = own.isdisjoint(passages) and (
                _overlap(about, "".join(passages)) < MOST_OVERLAP
            )
            if foreign and not _may_answer(question.answer, passages):
                return passages
        return None


def _remove_passage(question: Question) -> tuple[str, ...] | None:
    """Return the passages without the one that answers, or none where another may answer too."""
    rest = question.passages[: question.number - 1] + question.passages[question.number :]
    return None if len(rest) < 2 or _may_answer(question.answer, rest) else rest


def _may_answer(answer: str, passages: Iterable[str]) -> bool:
    letters, pairs = _letters(answer), _pairs(answer)
    # Of an answer of one character nothing can be said.
    return not pairs or any(
        letters in _letters(passage) or _overlap(pairs, passage) >= MOST_OVERLAP
        for passage in passages
    )


def _overlap(pairs: frozenset[str], text: str) -> float:
    return len(pairs & _pairs(text)) / len(pairs)


@cache
def _pairs(text: str) -> frozenset[str]:
    letters = _letters(text)
    return frozenset(letters[i : i + 2] for i in range(len(letters) - 1))


@cache
def _letters(text: str) -> str:
    """Return a text without punctuation and blanks, and without differences of width and case."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).lower()))


def _refuse_question(question: Question, kind: str, passages: Sequence[str]) -> Record:
    prompt = _ask_passages(question, passages)
    if _keeps_header(question, kind):
        prompt = f"{question.header}\n\n{_numbered(passages)}\n\n问题：{question.text}"
    number = _draw(question.record, f"{kind} refusal") % len(answers.REFUSALS)
    refused = _make(question, kind, prompt, answers.REFUSALS[number])
    return refused | {"task": "docqa_unanswerable"}


def _ask_passages(question: Question, passages: Sequence[str]) -> str:
    """Ask with the instruction that foresees a question without an answer."""
    return answers.answer_from_passages(question.text, passages)


def _numbered(passages: Iterable[str]) -> str:
    return "\n".join(f"[{number}] {text}" for number, text in enumerate(passages, start=1))


def _from_cards(records: Sequence[Record]) -> Kinds:
    cards = _usable(map(_read_card, _of_task(records, "kb_faq")), "kb_faq")
    chosen = sorted(cards, key=lambda card: _draw(card.record, "answered"))[:MOST_ANSWERED]
    ordered = sorted(cards, key=lambda card: _draw(card.record, "removed"))
    removed = _first(round(len(chosen) * SHARE), ordered, _remove_entry)
    return {
        "answered": [_make(c, "open", _ask_card(c, c.entries), _answer(c.record)) for c in chosen],
        "removed": [_refuse_customer(card, rest) for card, rest in removed],
    }


def _read_card(record: Record) -> Card | None:
    found = _PROMPT.fullmatch(spoken_by(record["messages"][0]))
    if not found:
        return None
    # What has no name is the rest of a value of several lines.
    pairs = [entry.partition("：") for entry in re.split(r"\n(?=[^\s：]+：)", found[2])]
    entries = {name: value for name, _, value in pairs}
    asked = record["id"].rpartition("-")[2]
    whole = asked in entries and _listed(entries) == found[2]
    return Card(record, found[1], found[3], entries, asked) if whole else None


def _remove_entry(card: Card) -> dict[str, str] | None:
    """Return the card without what is asked for, or none where it also stands elsewhere."""
    rest = {name: value for name, value in card.entries.items() if name != card.asked}
    for value in re.split(r"[,;，；]", card.entries[card.asked]):
        # 40 does not stand in 010-64010040, nor 4 in 4.5.
        alone = rf"(?<![\d.]){re.escape(value.strip())}(?![\d.])"
        if re.search(alone, f"{_listed(rest)}\n{card.text}"):
            return None
    return rest


def _refuse_customer(card: Card, rest: Mapping[str, str]) -> Record:
    prompt = _ask_card(card, rest)
    if _keeps_header(card, "removed"):
        prompt = f"{card.header}\n\n{_listed(rest)}\n\n问题：{card.text}"
    # As in the data, half of them name the number, if there is one.
    phone = rest.get("电话") if _draw(card.record, "removed refusal") % 2 else None
    refused = _make(card, "removed", prompt, answers.refuse_customer(phone))
    return refused | {"task": "kb_unanswerable"}


def _ask_card(card: Card, entries: Mapping[str, str]) -> str:
    """Ask with the instruction that foresees a question without an answer."""
    return answers.answer_customer(card.text, _listed(entries))


def _listed(entries: Mapping[str, str]) -> str:
    return "\n".join(f"{name}：{value}" for name, value in entries.items())


def _moderation(records: Iterable[Record]) -> Kinds:
    """Take the insults for questions, under a name that the corpus does not leave out."""
    cold = _usable((record for record in records if record["source"] == "cold"), "cold")
    answers = sorted(set(map(_answer, cold)))
    return {
        answer: [{**r, "source": MODERATION_SOURCE} for r in cold if _answer(r) == answer]
        for answer in answers
    }


def _of_task(records: Iterable[Record], task: str) -> Iterator[Record]:
    return (record for record in records if record["task"] == task)


def _usable(items: Iterable[T | None], name: str) -> list[T]:
    found = [item for item in items if item is not None]
    if not found:
        raise UserError(
            tr(
                f"the data have no usable record of {name}; is this the right folder?",
                f"数据中没有可用的 {name} 记录；请检查文件夹是否正确",
            )
        )
    return found


def _first(count: int, items: Iterable[T], make: Callable[[T], U | None]) -> list[tuple[T, U]]:
    """Return the first so many of which something can be made, with what was made."""
    made = ((item, made) for item in items if (made := make(item)) is not None)
    return list(islice(made, count))


def _answer(record: Record) -> str:
    return spoken_by(record["messages"][-1])


def _keeps_header(asked: Asked, kind: str) -> bool:
    """Return true for half, so that no instruction tells whether there is an answer."""
    return _draw(asked.record, f"{kind} header") % 2 == 1


def _make(asked: Asked, suffix: str, prompt: str, answer: str) -> Record:
    messages = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": answer},
    ]
    return asked.record | {"messages": messages, "id": f"{asked.record['id']}-{suffix}"}


def _draw(record: Record, purpose: str) -> int:
    """Return a number that looks random and is always the same for a record and a purpose."""
    return int.from_bytes(blake2b(f"{purpose}\n{record['id']}".encode(), digest_size=8).digest())


def _interleave(kinds: Iterable[list[Record]]) -> list[Record]:
    """Shuffle each kind, and spread each evenly over the whole."""
    places: list[tuple[float, int, Record]] = []
    for kind, records in enumerate(kinds):
        shuffled = sorted(records, key=lambda record: _draw(record, "order"))
        places += [((i + 0.5) / len(records), kind, r) for i, r in enumerate(shuffled)]
    return [record for _, _, record in sorted(places, key=lambda place: place[:2])]


def main() -> None:
    """Read the command line, write the files and print what they hold."""
    about = tr("Make of the training data what it lacks.", "由训练数据生成其中缺少的对话。")
    parser = argparse.ArgumentParser(description=about)
    data_help = tr("the corpus's folder, with sft in it", "语料文件夹，其中有 sft")
    parser.add_argument("data", type=Path, help=data_help)
    parser.add_argument("output", type=Path, help=tr("a new folder", "新文件夹"))
    force_help = tr("replace what an earlier run has made", "替换以前的结果")
    parser.add_argument("--force", action="store_true", help=force_help)
    options = parser.parse_args()
    try:
        counts = derive(options.data, options.output, options.force)
    except UserError as error:
        print(tr("Error: ", "错误：") + str(error), file=sys.stderr)
        sys.exit(2)
    for name, kinds in counts.items():
        for kind, count in kinds.items():
            print(f"{name:16}{count:>8}  {kind}")


if __name__ == "__main__":
    main()
