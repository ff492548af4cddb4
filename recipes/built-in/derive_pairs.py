"""Questions with the passages that answer them, made of the training data for an encoder.

    python recipes/built-in/derive_pairs.py ../shared/data runs/built-in/pairs

Passages that stand beside the one that answers become its negatives. Titles and summaries are
asked of their texts, as if they were questions. Each pair keeps the source and licence of its
record. Nothing is random: what is chosen, and its order, hangs on the records' ids alone.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import zstandard

from qingtan.corpus.documents import spoken_by
from qingtan.errors import UserError
from qingtan.files import new_folder, write_json
from qingtan.i18n import tr
from qingtan.training.pairs import read_records

PAIRS, MARKER = "pairs.jsonl.zst", "pairs.json"
# Of each kind; what is made by templates is worth less than what people asked.
MOST = {
    "cited": 6000,
    "reading": 2000,
    "product": 1500,
    "faq": 4500,
    "law": 1200,
    "card": 800,
    "title": 2500,
    "summary": 2000,
}
# Characters of a passage; an encoder reads no more of it.
LONGEST = 1000
# Characters that a text must have beside its summary.
SHORTEST = 40

_PROMPT = re.compile(r"[^\n]+\n\n(.+)\n\n问题：(.+)", re.DOTALL)
_NUMBERED = re.compile(r"(?:^|\n)\[(\d+)\] ")
_CITED = re.compile(r"\n依据：\[(\d+)\] |\[(\d+)\]$")
# A paragraph, a question, an article or an entry of a document.
_PART = re.compile(r"(_QUERY_\d+|-\d+-\d+|-t|-[^\x00-\x7f]+)$")

Record = Mapping[str, Any]
Pair = dict[str, Any]


def derive(data: Path, output: Path, force: bool = False) -> dict[str, int]:
    """Write the pairs, all or none.

    Args:
        data: a folder with sft/*.jsonl.zst.
        output: a new folder.
        force: replace what an earlier run has made.

    Returns:
        How many pairs there are of each kind.

    Raises:
        UserError: an input is missing or damaged or has nothing of use, or the output exists.
    """
    with new_folder(output, MARKER, replace=force) as folder:
        kinds: dict[str, list[Pair]] = {kind: [] for kind in MOST}
        for name, (kind_of, make) in FILES.items():
            for record in _read(data / "sft" / f"{name}.jsonl.zst"):
                kind = kind_of(record)
                if kind and (pair := make(record)):
                    kinds[kind].append(_with_origin(pair, record))
        chosen = {kind: _choose(pairs, MOST[kind]) for kind, pairs in kinds.items()}
        if missing := [kind for kind, pairs in chosen.items() if not pairs]:
            raise UserError(
                tr(
                    f"{data}: no usable record of the kinds {', '.join(missing)}; is this the "
                    "right folder?",
                    f"{data}：没有可用的 {', '.join(missing)} 记录；请检查文件夹是否正确",
                )
            )
        pairs = _choose([pair for each in chosen.values() for pair in each], sum(MOST.values()))
        lines = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
        (folder / PAIRS).write_bytes(zstandard.compress(lines.encode(), 10))
        counts = {kind: len(each) for kind, each in chosen.items()}
        write_json(folder / MARKER, counts)
    return counts


def _read(path: Path) -> Iterator[Record]:
    for name, record in read_records(path):
        for field in ("id", "task", "source", "licence"):
            if not isinstance(record.get(field), str):
                raise UserError(
                    f"{name}: "
                    + tr(f"{field} is missing or no text", f"缺少 {field}，或者不是文本")
                )
        messages = record.get("messages")
        if not isinstance(messages, list) or len(messages) < 2:
            raise UserError(f"{name}: " + tr("no question and answer", "没有问答"))
        yield record


def _docqa_kind(record: Record) -> str | None:
    kinds = {
        "docqa_cited": "cited",
        "reading_comprehension": "reading",
        "product_docqa_cited": "product",
    }
    return kinds.get(record["task"])


def _law_kind(record: Record) -> str | None:
    # 第八条是如何规定的 does not say of which law.
    says_which = record["task"] == "law_article" or "问题：《" in _asked(record)
    return "law" if says_which else None


def _summary_kind(record: Record) -> str | None:
    return "title" if record["task"] == "title_generation" else "summary"


def _from_docqa(record: Record) -> Pair | None:
    found = _PROMPT.fullmatch(_asked(record))
    if not found or "-{" in found[2]:  # left over from a wiki's markup
        return None
    if record["task"] == "reading_comprehension":
        return {"question": found[2], "passage": found[1]}
    passages, cited = _passages(found[1]), _CITED.search(_answer(record))
    number = int(cited[1] or cited[2]) - 1 if cited else -1
    if not 0 <= number < len(passages):
        return None
    if _draw(record["id"], "around") % 2 and record["task"] == "docqa_cited":
        # Sentences are found alone and among those around them.
        around = passages[max(0, number - 1) : number + 2]
        return {"question": found[2], "passage": "".join(around)}
    others = [*passages[:number], *passages[number + 1 :]]
    return {"question": found[2], "passage": passages[number], "negatives": others}


def _from_faq(record: Record) -> Pair | None:
    return {"question": _asked(record), "passage": _answer(record)}


def _from_law(record: Record) -> Pair | None:
    return _from_faq(record) if record["task"] == "law_article" else _from_docqa(record)


def _from_card(record: Record) -> Pair | None:
    found = _PROMPT.fullmatch(_asked(record))
    return {"question": found[2], "passage": found[1]} if found else None


def _from_summary(record: Record) -> Pair | None:
    summary, text = _answer(record).strip(), _asked(record).partition("\n")[2]
    # What is asked for shall not be found by its words alone.
    rest = text.replace(summary, "").strip()
    return {"question": summary, "passage": rest} if len(rest) >= SHORTEST else None


# How the records of each file are sorted and made into pairs.
FILES: dict[str, tuple[Callable[[Record], str | None], Callable[[Record], Pair | None]]] = {
    "docqa": (_docqa_kind, _from_docqa),
    "faq": (lambda record: "faq", _from_faq),
    "law": (_law_kind, _from_law),
    "customer_service": (
        lambda record: "card" if record["task"] == "kb_faq" else None,
        _from_card,
    ),
    "summarization": (_summary_kind, _from_summary),
}


def _passages(text: str) -> list[str]:
    """Return numbered passages; none where the numbers do not count up from 1."""
    _, *parts = _NUMBERED.split(text)
    numbers, passages = parts[::2], parts[1::2]
    in_order = [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
    return [passage.strip() for passage in passages] if in_order else []


def _with_origin(pair: Pair, record: Record) -> Pair:
    cut = {name: _cut(value) for name, value in pair.items()}
    terms = {name: record[name] for name in ("source", "licence", "attribution") if name in record}
    document = _PART.sub("", record["id"])
    return {"id": record["id"], **cut, "document": document, **terms}


def _cut(value: str | Sequence[str]) -> str | list[str]:
    return value[:LONGEST] if isinstance(value, str) else [text[:LONGEST] for text in value]


def _choose(pairs: Sequence[Pair], most: int) -> list[Pair]:
    return sorted(pairs, key=lambda pair: _draw(pair["id"], "order"))[:most]


def _asked(record: Record) -> str:
    return spoken_by(record["messages"][0])


def _answer(record: Record) -> str:
    return spoken_by(record["messages"][-1])


def _draw(name: str, purpose: str) -> int:
    """Return a number that looks random and is always the same for a record and a purpose."""
    return int.from_bytes(blake2b(f"{purpose}\n{name}".encode(), digest_size=8).digest())


def main() -> None:
    """Read the command line, write the pairs and print how many there are."""
    about = tr(
        "Make pairs of questions and passages of the training data.",
        "由训练数据生成问题与段落对。",
    )
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
    for kind, number in counts.items():
        print(f"{kind:16}{number:>8}")


if __name__ == "__main__":
    main()
