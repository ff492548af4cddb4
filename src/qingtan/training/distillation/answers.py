"""Sequence-level distillation (1606.07947): a teacher's filtered answers, to be learnt from.

The student needs neither the teacher's tokenizer nor its weights: `qingtan corpus build` reads the
answers as conversations.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.training.distillation.answer_filters import REASONS, AnswerFilters, agreements, fold
from qingtan.training.distillation.journal import Answered, Journal
from qingtan.training.distillation.questions import Question, read_questions
from qingtan.training.distillation.teachers import (
    AnsweringTeacher,
    AnswerOptions,
    Candidate,
    QuestionRefused,
)

KEPT = "kept"
# Questions that are asked or wait to be, for each thread: none idles, and few are lost.
_WAITING = 2


def write_answers(
    teacher: AnsweringTeacher,
    questions: Path,
    output: Path,
    *,
    source: str,
    licence: str,
    samples: int = 1,
    temperature: float = 0.7,
    top_p: float = 1.0,
    max_tokens: int = 512,
    seed: int = 0,
    filters: AnswerFilters | None = None,
) -> Path:
    """Ask a teacher, and write what is worth learning from, one conversation a question at most.

    Beside the output, `<output>.rejected.jsonl` holds the other answers, each with its reason.
    Until both are written, `<output>.partial` holds all answers; a stopped call goes on from it
    when it is made again. The filters may be others then: they see the answers at the end.

    Args:
        questions: see `read_questions`.
        output: a .jsonl file; {"messages", "source", "licence", "attribution", "id"} a line, in
            the order of the questions.
        source: what the answers are called in the corpus.
        licence: theirs: an SPDX expression or `LicenseRef-…`; see the terms of the teacher.
        samples: answers to each question, of which the one that agrees best with the others of
            those that pass the filters is kept (`answer_filters.agreements`).
        seed: for the seeds that the teacher is given, one an answer.

    Returns:
        The output.

    Raises:
        UserError: a question is malformed, the output exists, an argument is out of range, or the
            teacher cannot be asked.
    """
    options = AnswerOptions(samples, temperature, top_p, max_tokens)
    chosen = filters or AnswerFilters()
    _check(output, chosen, samples)
    total = sum(1 for _ in read_questions(questions))
    settings = {
        "teacher": teacher.name,
        "questions": hashlib.sha256(questions.read_bytes()).hexdigest(),
        **asdict(options),
        "seed": seed,
    }
    journal = Journal(output.with_name(f"{output.name}.partial"), settings)
    missing = (q for q in read_questions(questions) if q.index not in journal)
    with tqdm(total=total, initial=len(journal), unit="question", disable=None) as bar:
        for answered in _ask_all(teacher, missing, options, seed):
            journal.add(answered)
            bar.update()
    origin = {"source": source, "licence": licence, "attribution": f"answers by {teacher.name}"}
    counts = _write(output, read_questions(questions), journal, chosen, origin)
    journal.remove()
    _print_counts(output, total, counts)
    return output


def _check(output: Path, filters: AnswerFilters, samples: int) -> None:
    if output.suffix != ".jsonl":
        raise UserError(f"{output}: name a .jsonl file")
    if output.exists():
        raise UserError(f"{output}: exists; name another file, or remove it")
    if filters.min_agreement and samples < 2:
        raise UserError("min_agreement: needs samples of 2 or more, which can agree")


def _ask_all(
    teacher: AnsweringTeacher, questions: Iterator[Question], options: AnswerOptions, seed: int
) -> Iterator[Answered]:
    """Ask from several threads, and yield the answers as they come."""
    running: set[Future[Answered]] = set()
    with ThreadPoolExecutor(teacher.concurrency) as pool:
        try:
            for question in questions:
                running.add(pool.submit(_ask, teacher, question, options, seed))
                if len(running) >= _WAITING * teacher.concurrency:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from [future.result() for future in done]
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from [future.result() for future in done]
        finally:
            for future in running:
                future.cancel()


def _ask(
    teacher: AnsweringTeacher, question: Question, options: AnswerOptions, seed: int
) -> Answered:
    seeds = np.random.SeedSequence([seed, question.index]).generate_state(options.samples)
    try:
        # Below 2**31: some servers keep seeds in 32 bits with a sign.
        candidates = teacher.answer(question.messages, options, (seeds >> 1).tolist())
    except QuestionRefused as error:
        return Answered(question.index, (), str(error))
    return Answered(question.index, tuple(candidates))


def judge(
    question: str, candidates: Sequence[Candidate], filters: AnswerFilters
) -> tuple[int | None, list[str]]:
    """Choose among the answers to a question.

    Returns:
        The number of the best answer, None where none is good enough; and for each answer the
        reason why it is not kept, or "kept".
    """
    reasons = [filters.reason(question, candidate) or "" for candidate in candidates]
    passed = [i for i, reason in enumerate(reasons) if not reason]
    if not passed:
        return None, reasons
    # Equal answers count: that several samples say the same speaks for it.
    scores = agreements([candidates[i].text for i in passed])
    best = passed[int(np.argmax(scores))]
    if len(candidates) > 1 and max(scores) < filters.min_agreement:
        return None, [reason or "low_agreement" for reason in reasons]
    seen = {fold(candidates[best].text)}
    for i in passed:
        folded = fold(candidates[i].text)
        reasons[i] = "duplicate" if folded in seen else "not_chosen"
        seen.add(folded)
    reasons[best] = KEPT
    return best, reasons


def _write(
    output: Path,
    questions: Iterator[Question],
    journal: Journal,
    filters: AnswerFilters,
    origin: dict[str, str],
) -> Counter[str]:
    """Write both files, the rejected answers first; return how many answers have which fate."""
    counts: Counter[str] = Counter()
    rejected = output.with_name(f"{output.name}.rejected.jsonl")
    with _new_file(output) as kept, _new_file(rejected) as others:
        for question in questions:
            answered = journal.read(question.index)
            messages = list(question.messages)
            best, reasons = judge(question.text, answered.candidates, filters)
            for candidate, reason in zip(answered.candidates, reasons, strict=True):
                if reason != KEPT:
                    others.write(_rejected(question, reason, candidate.text))
            if answered.refused is not None:
                reasons = ["refused"]
                others.write(_rejected(question, "refused", answered.refused))
            if best is not None:
                answer = {"role": "assistant", "content": answered.candidates[best].text}
                record = {"messages": [*messages, answer], **origin, "id": question.id}
                kept.write(_line(record))
            counts.update(reasons)
    return counts


def _rejected(question: Question, reason: str, answer: str) -> bytes:
    # Not as "messages": a folder that holds this file may be built into a corpus.
    record = {"id": question.id, "reason": reason, "answer": answer}
    return _line({**record, "question": list(question.messages)})


def _line(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "replace")


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write; it becomes `path` when the block ends without an exception."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _print_counts(output: Path, questions: int, counts: Counter[str]) -> None:
    kept = counts[KEPT]
    rows = [
        tr(
            f"{output}: answers to {kept:,} of {questions:,} questions",
            f"{output}：{questions:,} 个问题中 {kept:,} 个有了回答",
        )
    ]
    rows += [
        f"  {counts[name]:>8,}  {tr(*texts)}" for name, texts in REASONS.items() if counts[name]
    ]
    print("\n".join(rows))
