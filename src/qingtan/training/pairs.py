"""Pairs of a better and a worse answer to the same question, read from a file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from qingtan.corpus.documents import digest_of, dump_conversation, share_of, spoken_by
from qingtan.corpus.reading import FormatTable, Rejected, list_files, parse, read_raw
from qingtan.errors import UserError
from qingtan.glm.conversation import encode_conversation, encode_prompt
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.batches import Batch, Skipped, Written, make_batch
from qingtan.training.tables import PreferenceTable

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Pair:
    """A question with two answers; both sequences begin with the question's same tokens.

    Attributes:
        name: file and line.
        chosen, rejected: question and answer; to be predicted is the answer, with what ends it.
        place: of the question in [0, 1), evenly distributed, the same in every run.
    """

    name: str
    chosen: Written
    rejected: Written
    place: float


class PreferencePairs:
    """The pairs of a run, as a source of batches.

    Attributes:
        documents: the pairs that are trained on.
        skipped: pairs that cannot be: an empty answer, two equal ones, or one longer than a row.
        train, validation: no question is in both.

    Args:
        pairs: of at least two questions.
        validation_share: kept out of training, at least one question, and not all.
        length: T, the tokens of a row that predict; a row holds one more, to be predicted.
        seed: gives the order of each epoch.

    Raises:
        UserError: there are fewer than two questions.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        skipped: Sequence[Skipped],
        validation_share: float,
        length: int,
        seed: int,
    ) -> None:
        places = sorted({pair.place for pair in pairs})
        if len(places) < 2:
            raise UserError(
                f"preference.pairs: {len(places)} questions are left and {len(skipped)} pairs are "
                "skipped, but it takes two questions, one to learn from and one to measure on"
                + (f"; the first: {skipped[0].name}: {skipped[0].reason}" if skipped else "")
            )
        cut = min(max(validation_share, places[1]), places[-1])
        self.train = [pair for pair in pairs if pair.place >= cut]
        self.validation = [pair for pair in pairs if pair.place < cut]
        self.documents = len(self.train)
        self.skipped = list(skipped)
        self._length = length
        self._seed = seed

    @classmethod
    def open(
        cls, table: PreferenceTable, tokenizer: GLMTokenizer, length: int, seed: int
    ) -> "PreferencePairs":
        """Read and encode all pairs into memory: nine bytes a token.

        A record has the question as `messages` (OpenAI's) or `prompt` (TRL's: a text, or messages),
        the answers `chosen` and `rejected`, each a text, a message or messages, and perhaps
        `tools`.

        Args:
            length: tokens of a row; see PreferencePairs.
            seed: gives the order of each epoch.

        Raises:
            UserError: a file cannot be read, or a record is malformed; the message names its line.
        """
        pairs: list[Pair] = []
        skipped: list[Skipped] = []
        for name, record in read_records(table.pairs):
            pair = _encode(name, record, tokenizer)
            problem = pair if isinstance(pair, Skipped) else _too_long(pair, length)
            if problem:
                skipped.append(problem)
            elif isinstance(pair, Pair):
                pairs.append(pair)
        return cls(pairs, skipped, table.validation_share, length, seed)

    def batches(self, rows: int, skip: int = 0) -> Iterator[Batch]:
        """Yield batches for ever; `skip` starts after so many of them.

        Args:
            rows: an even number. Row 2i holds a chosen and row 2i + 1 its rejected answer.
        """
        order = self._order(skip * (rows // 2))
        while True:
            pairs = list(islice(order, rows // 2))
            sides = [[side] for pair in pairs for side in (pair.chosen, pair.rejected)]
            yield make_batch(sides, self._length)

    def _order(self, skip: int) -> Iterator[Pair]:
        epoch, skip = divmod(skip, len(self.train))
        while True:
            order = np.random.default_rng([self._seed, epoch]).permutation(len(self.train))
            yield from (self.train[i] for i in order[skip:])
            epoch, skip = epoch + 1, 0


def read_records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each record of a file, or of the files of a folder, with its file and line.

    Raises:
        UserError: a file cannot be read, or a line is no record; the message names it.
    """
    table = FormatTable()
    for block in read_raw(list_files(path), table):
        for item in parse(block, table):
            file = path / item.file if path.is_dir() else path
            name = f"{file}:{item.line}"
            if isinstance(item, Rejected):
                raise UserError(f"{name}: {item.reason}")
            yield name, item.value


def _encode(name: str, record: Mapping[str, Any], tokenizer: GLMTokenizer) -> Pair | Skipped:
    try:
        question, tools = _question(record), record.get("tools")
        if tools is not None and not isinstance(tools, list):
            raise UserError('field "tools": give a list of functions')
        shared = len(encode_prompt(tokenizer, question, tools))
        answers = {side: _answer(side, record) for side in ("chosen", "rejected")}
        for side, answer in answers.items():
            if not any(spoken_by(message).strip() or _calls(message) for message in answer):
                return Skipped(name, 0, f"{side} is empty")
        sides = [
            _write(f"{name}, {side}", tokenizer, [*question, *answer], tools, shared)
            for side, answer in answers.items()
        ]
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    chosen, rejected = sides
    if np.array_equal(chosen.ids, rejected.ids):
        return Skipped(name, chosen.length, "chosen and rejected are equal")
    digest = digest_of(dump_conversation({"messages": question, "tools": tools}))
    place = share_of(np.frombuffer(digest, np.uint8)[None])
    return Pair(name, chosen, rejected, float(place[0]))


def _question(record: Mapping[str, Any]) -> Messages:
    fields = [name for name in ("messages", "prompt") if record.get(name)]
    if not fields:
        raise UserError('no question: give "messages", or "prompt"')
    if len(fields) > 1:
        raise UserError('both "messages" and "prompt"; give the question once')
    (field,) = fields
    value = record[field]
    if field == "prompt" and isinstance(value, str):
        return [{"role": "user", "content": value}]
    messages = _messages(field, value)
    if messages[-1].get("role") == "assistant":
        raise UserError(
            f'field "{field}": it ends with a message of the assistant, so there is no question; '
            'the answers belong into "chosen" and "rejected"'
        )
    return messages


def _answer(field: str, record: Mapping[str, Any]) -> Messages:
    value = record.get(field)
    if value is None:
        raise UserError(f'no field "{field}"')
    if isinstance(value, str):
        return [{"role": "assistant", "content": value}]
    if value == []:
        return []
    messages = _messages(field, [value] if isinstance(value, dict) else value)
    if not messages[0].get("role") == messages[-1].get("role") == "assistant":
        raise UserError(
            f'field "{field}": an answer begins and ends with a message of the assistant; leave '
            "the question out of it"
        )
    return messages


def _messages(field: str, value: Any) -> Messages:
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise UserError(f'field "{field}": give a text, or a list of messages')
    return value


def _calls(message: Mapping[str, Any]) -> bool:
    return bool(message.get("tool_calls"))


def _write(
    name: str, tokenizer: GLMTokenizer, messages: Messages, tools: Any, shared: int
) -> Written:
    ids, mask = encode_conversation(tokenizer, messages, tools)
    # Earlier answers are a part of the question, and equally likely on both sides.
    trained = np.asarray(mask) & (np.arange(len(ids)) >= shared)
    return Written(name, np.asarray(ids, np.int64), trained)


def _too_long(pair: Pair, length: int) -> Skipped | None:
    longest = max(pair.chosen.length, pair.rejected.length)
    if longest <= length + 1:
        return None
    return Skipped(pair.name, longest, f"longer than a row of {length}")
