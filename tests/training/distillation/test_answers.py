"""Answers of teachers: over the API, from a checkpoint, filtered, stopped and gone on with."""

import gzip
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from qingtan.corpus import Corpus, CorpusRecipe, build_corpus
from qingtan.errors import UserError
from qingtan.glm.conversation import Message
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.distillation.answer_filters import AnswerFilters
from qingtan.training.distillation.answers import write_answers
from qingtan.training.distillation.questions import read_questions
from qingtan.training.distillation.teachers import (
    AnswerOptions,
    ApiTeacher,
    Candidate,
    LocalTeacher,
    QuestionRefused,
)
from serving import serve

from ..samples import ANSWERS

ORIGIN = {"source": "teacher", "licence": "CC0-1.0"}


class Book:
    """A teacher that knows its answers by heart, and refuses what it does not know."""

    name = "book"
    concurrency = 3

    def __init__(self, answers: dict[str, list[str]], stop_after: int | None = None) -> None:
        self.answers, self.asked = answers, []
        self._left, self._lock = stop_after, threading.Lock()

    def answer(
        self, messages: Sequence[Message], options: AnswerOptions, seeds: Sequence[int]
    ) -> list[Candidate]:
        question = str(messages[-1]["content"])
        with self._lock:
            if self._left == len(self.asked):
                raise UserError("the server went away")
            self.asked.append((question, tuple(seeds)))
        if question not in self.answers:
            raise QuestionRefused("not in the book")
        assert len(seeds) == options.samples
        return [Candidate(text, "stop") for text in self.answers[question][: len(seeds)]]


def write_lines(path: Path, records: Sequence[Any]) -> Path:
    lines = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def prompts(path: Path, count: int = 0) -> Path:
    extra = [f"第{i}个问题是什么？" for i in range(count)]
    return write_lines(path, [{"prompt": question} for question in [*ANSWERS, *extra]])


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with serve("qingtan") as url:
        yield url + "v1"


@pytest.fixture(scope="module")
def local() -> Iterator[LocalTeacher]:
    with LocalTeacher("qingtan") as teacher:
        yield teacher


def test_the_answers_are_conversations_in_the_order_of_the_questions(tmp_path: Path) -> None:
    system = {"role": "system", "content": "简短地回答。"}
    talk = [system, {"role": "user", "content": "北京是什么？"}]
    records = [
        {"messages": [*talk, {"role": "assistant", "content": "参考答案"}], "id": "a-1"},
        "",
        {"prompt": "谁也不知道的问题"},
        {"messages": talk},
        {"prompt": "上海是什么？"},
    ]
    questions = write_lines(tmp_path / "questions.jsonl", records)
    book = Book({"北京是什么？": ["北京是首都。"], "上海是什么？": ["上海，是什么？"]})
    output = write_answers(book, questions, tmp_path / "out" / "answers.jsonl", **ORIGIN)
    answer = {"role": "assistant", "content": "北京是首都。"}
    origin = {**ORIGIN, "attribution": "answers by book"}
    assert read_lines(output) == [
        {"messages": [*talk, answer], **origin, "id": "a-1"},
        {"messages": [*talk, answer], **origin, "id": "questions-4"},
    ]
    rejected = read_lines(output.with_name("answers.jsonl.rejected.jsonl"))
    assert [(r["id"], r["reason"], r["answer"]) for r in rejected] == [
        ("questions-3", "refused", "not in the book"),
        ("questions-5", "repeats_question", "上海，是什么？"),
    ]
    assert rejected[1]["question"] == [{"role": "user", "content": "上海是什么？"}]
    assert {path.name for path in output.parent.iterdir()} == {
        "answers.jsonl",
        "answers.jsonl.rejected.jsonl",
    }


def test_the_fates_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINGTAN_LANG", "en")
    questions = write_lines(tmp_path / "q.jsonl", [{"prompt": q} for q in ("甲？", "乙？", "丙？")])
    book = Book({"甲？": ["是天干的第一位", "是天干的第一位。", ""], "乙？": ["", "", ""]})
    write_answers(book, questions, tmp_path / "a.jsonl", samples=3, **ORIGIN)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("a.jsonl: answers to 1 of 3 questions")
    counts = {" ".join(words[1:]): int(words[0]) for words in map(str.split, lines[1:])}
    assert counts == {
        "question refused by the teacher": 1,
        "empty": 4,
        "the same as another answer to the question": 1,
    }


@pytest.mark.parametrize("after", [0, 1, 5, 17])
def test_a_stopped_run_goes_on_to_the_same_file(after: int, tmp_path: Path) -> None:
    questions = prompts(tmp_path / "q.jsonl", 20)
    known = {
        record["prompt"]: [f"答：{record['prompt']}答案是{i}"]
        for i, record in enumerate(read_lines(questions))
    }
    whole = Book(known)
    expected = write_answers(whole, questions, tmp_path / "whole.jsonl", **ORIGIN).read_bytes()
    stopped = Book(known, stop_after=after)
    with pytest.raises(UserError, match="the server went away"):
        write_answers(stopped, questions, tmp_path / "a.jsonl", **ORIGIN)
    journal = tmp_path / "a.jsonl.partial"
    done = len(read_lines(journal)) - 1
    assert done <= after
    # As a process that was killed in the middle of a line leaves it.
    with journal.open("ab") as file:
        file.write(b'{"index": 19, "candi')
    again = Book(known)
    output = write_answers(again, questions, tmp_path / "a.jsonl", **ORIGIN)
    assert output.read_bytes() == expected
    assert len(again.asked) == len(known) - done
    assert set(again.asked) <= set(whole.asked)  # with the same seeds
    assert len({seed for _, (seed,) in whole.asked}) == len(known)
    assert not journal.exists()


def test_a_run_with_other_settings_does_not_go_on(tmp_path: Path) -> None:
    questions = prompts(tmp_path / "q.jsonl")
    with pytest.raises(UserError, match="went away"):
        write_answers(Book({}, stop_after=2), questions, tmp_path / "a.jsonl", **ORIGIN)
    before = (tmp_path / "a.jsonl.partial").read_bytes()
    with pytest.raises(
        UserError, match=r"a\.jsonl\.partial: .*\(temperature 0.7, not 1.0; seed 0,"
    ):
        write_answers(Book({}), questions, tmp_path / "a.jsonl", temperature=1.0, seed=1, **ORIGIN)
    prompts(questions, 1)
    with pytest.raises(UserError, match=r"begun with other settings \(questions "):
        write_answers(Book({}), questions, tmp_path / "a.jsonl", **ORIGIN)
    assert (tmp_path / "a.jsonl.partial").read_bytes() == before


def test_what_is_in_the_way_or_out_of_range_is_refused(tmp_path: Path) -> None:
    questions = prompts(tmp_path / "q.jsonl")
    (tmp_path / "there.jsonl").write_text("mine")
    for name, options, message in (
        ("there.jsonl", {}, r"there\.jsonl: exists"),
        ("a.jsonl.zst", {}, r"name a \.jsonl file"),
        ("a.jsonl", {"samples": 0}, "samples: 0 is less than 1"),
        ("a.jsonl", {"temperature": 3.0}, "temperature: 3.0 is not between 0 and 2"),
        ("a.jsonl", {"max_tokens": 0}, "max_tokens: 0 is not at least 1"),
        ("a.jsonl", {"filters": AnswerFilters(min_agreement=0.5)}, "samples of 2 or more"),
    ):
        with pytest.raises(UserError, match=message):
            write_answers(Book({}), questions, tmp_path / name, **ORIGIN, **options)
    assert (tmp_path / "there.jsonl").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ({"text": "…"}, 'no "messages"'),
        ({"prompt": " "}, '"prompt" is empty'),
        ({"prompt": 3}, "not a string"),
        ({"messages": []}, 'no "messages"'),
        ({"messages": [{"role": "teacher", "content": "…"}]}, r"messages\[0\].role: 'teacher'"),
        ({"messages": [{"role": "assistant", "content": "…"}]}, "no question of the user"),
        ({"messages": [{"role": "user", "content": "?"}], "tools": [{"name": "f"}]}, '"tools"'),
    ],
)
def test_a_bad_question_is_named_before_anything_is_asked(
    line: Any, message: str, tmp_path: Path
) -> None:
    questions = write_lines(tmp_path / "q.jsonl", [{"prompt": "一"}, line])
    book = Book({"一": ["二"]})
    with pytest.raises(UserError, match=rf"q\.jsonl:2: .*{message}"):
        write_answers(book, questions, tmp_path / "a.jsonl", **ORIGIN)
    assert not book.asked
    assert [path.name for path in tmp_path.iterdir()] == ["q.jsonl"]


def test_questions_may_be_compressed(tmp_path: Path) -> None:
    plain = prompts(tmp_path / "q.jsonl")
    data = plain.read_bytes()
    (tmp_path / "q.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "q.jsonl.zst").write_bytes(zstandard.compress(data))
    expected = list(read_questions(plain))
    assert [question.text for question in expected] == list(ANSWERS)
    assert list(read_questions(tmp_path / "q.jsonl.gz")) == expected
    assert list(read_questions(tmp_path / "q.jsonl.zst")) == expected
    for name, message in (("none.jsonl", "no such file"), (".", "a folder")):
        with pytest.raises(UserError, match=message):
            list(read_questions(tmp_path / name))


def test_a_server_and_the_model_itself_answer_alike(
    served: str, local: LocalTeacher, tmp_path: Path
) -> None:
    questions = prompts(tmp_path / "q.jsonl")
    options = {"samples": 2, "max_tokens": 40, "seed": 3, **ORIGIN}
    api = ApiTeacher(served, "qingtan")
    first = write_answers(api, questions, tmp_path / "api.jsonl", **options)
    second = write_answers(local, questions, tmp_path / "local.jsonl", **options)
    assert first.read_bytes() == second.read_bytes()
    names = [path.with_name(path.name + ".rejected.jsonl") for path in (first, second)]
    assert names[0].read_bytes() == names[1].read_bytes()
    kept = read_lines(first)
    assert kept
    assert {record["attribution"] for record in kept} == {"answers by qingtan"}
    hot = AnswerOptions(3, temperature=1.5, max_tokens=30)
    candidates = local.answer([{"role": "user", "content": "你好"}], hot, [1, 2, 1])
    assert candidates[0] == candidates[2] != candidates[1]


def test_a_question_that_is_too_long_is_refused_alone(
    served: str, local: LocalTeacher, tmp_path: Path
) -> None:
    records = [{"prompt": "今天天气很好。" * 5000}, {"prompt": "你好，你叫什么名字？"}]
    questions = write_lines(tmp_path / "q.jsonl", records)
    for name, teacher in (("api", ApiTeacher(served, "qingtan")), ("local", local)):
        output = tmp_path / f"{name}.jsonl"
        write_answers(teacher, questions, output, max_tokens=20, **ORIGIN)
        rejected = read_lines(output.with_name(f"{name}.jsonl.rejected.jsonl"))
        assert (rejected[0]["id"], rejected[0]["reason"]) == ("q-1", "refused")
        assert "context" in rejected[0]["answer"]
        assert all(record["reason"] != "refused" for record in rejected[1:])


def test_answers_that_max_tokens_cut_off_are_rejected(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    questions = prompts(tmp_path / "q.jsonl")
    with LocalTeacher(tiny_checkpoint) as teacher:
        output = write_answers(teacher, questions, tmp_path / "a.jsonl", max_tokens=3, **ORIGIN)
    rejected = read_lines(output.with_name("a.jsonl.rejected.jsonl"))
    assert {record["reason"] for record in rejected} <= {"cut_off", "empty"}
    assert len(rejected) == len(ANSWERS)
    assert "cut_off" in {record["reason"] for record in rejected}


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    teacher = ApiTeacher(address, "qingtan", max_retries=0)
    with pytest.raises(UserError, match=rf"{address}: cannot be reached .*start the server"):
        write_answers(teacher, prompts(tmp_path / "q.jsonl"), tmp_path / "a.jsonl", **ORIGIN)


def test_what_is_wrong_at_the_server_is_told(served: str, tmp_path: Path) -> None:
    questions = prompts(tmp_path / "q.jsonl")
    with pytest.raises(UserError, match=rf"{served}: .*other"):
        write_answers(ApiTeacher(served, "other"), questions, tmp_path / "a.jsonl", **ORIGIN)
    page = served.removesuffix("/v1") + "/nowhere"
    with pytest.raises(UserError, match=page):
        write_answers(ApiTeacher(page, "qingtan"), questions, tmp_path / "b.jsonl", **ORIGIN)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(UserError, match="pip install openai"):
        ApiTeacher("http://127.0.0.1/v1", "qingtan")


def test_the_answers_build_into_a_corpus(tiny_tokenizer: GLMTokenizer, tmp_path: Path) -> None:
    questions = prompts(tmp_path / "q.jsonl", 30)
    texts = [record["prompt"] for record in read_lines(questions)]
    book = Book({text: [f"答案是{i * 7}和{i}。", "不知道"] for i, text in enumerate(texts)})
    write_answers(book, questions, tmp_path / "data" / "a.jsonl", **ORIGIN)
    tiny_tokenizer.save(tmp_path)
    values = {
        "output": tmp_path / "corpus",
        "tokenizer": tmp_path / "tokenizer.model",
        "root": tmp_path,
        "source": [{"name": "answers", "path": "data/a.jsonl", "kind": "conversations"}],
    }
    corpus = Corpus.open(build_corpus(CorpusRecipe.model_validate(values), workers=1))
    assert corpus.index.sources[0].documents == len(texts)
    (origin,) = corpus.provenance.sources
    assert (origin.name, origin.licence) == ("teacher", "CC0-1.0")
    assert set().union(*corpus.provenance.attributions.values()) == {"answers by book"}
    shard = corpus.select("train")[0]
    text = tiny_tokenizer.decode(shard.document(0).tolist())
    assert "答案是" in text
