"""Teaching from documents: the learner is asked first, helped in steps, and told at last.

A lesson's state is plain data that the caller keeps: the open exercise, how many hints it took, and
what the learner got wrong, for later.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from qingtan.errors import UserError
from qingtan.knowledge.answers import Answered, passage_of
from qingtan.knowledge.claims import amounts, features, names
from qingtan.knowledge.evidence import check

_HELP = re.compile(
    r"(?:我?(?:不知道|不会|不懂|不清楚|不明白|想不出来?|忘了)|提示|给点提示|帮帮我)[了吧。！!]*"
)
_TELL = re.compile(r"(?:直接)?(?:告诉我|公布|看)?(?:答案|正确答案)(?:吧|是什么)?[。！!？?]*")
_LAST_HINT = 2
# Of the answer's words that the question has not, what a right reply has to say.
_LEAST_NEW = 0.5
_GAP = "____"


class Mistake(BaseModel):
    """What a learner got wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    said: str
    right: str


class State(BaseModel):
    """A lesson so far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str = ""
    """Of the open exercise; empty where none is open."""
    right: str = ""
    """The sentence that answers it."""
    source: str = ""
    """Where it stands, for people."""
    passage: str = ""
    """What replies are checked against."""
    hints: int = 0
    mistakes: tuple[Mistake, ...] = ()


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the tutor says, and what the caller keeps.

    Attributes:
        done: the exercise is closed.
        right: the learner's reply was; None where it was none.
        answered: what the exercise was made of; None where one was open already.
        state: for the next call, plain data.
    """

    text: str
    done: bool
    right: bool | None
    answered: Answered | None
    state: dict[str, Any]


def teach(said: str, state: Mapping[str, Any], find: Callable[[str], Answered]) -> Lesson:
    """Go on with a lesson.

    Args:
        find: answers a question from the documents.

    Raises:
        UserError: the state is not a lesson's.
    """
    try:
        known = State.model_validate(state)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"state: {place}: {first['msg']}; give what the last lesson had") from None
    return _judge(said, known) if known.question else _begin(said, known, find)


def _begin(question: str, state: State, find: Callable[[str], Answered]) -> Lesson:
    answered = find(question)
    sentence = next((each for each in answered.sentences if each.supported), None)
    if answered.refused or sentence is None or sentence.passage is None:
        return Lesson(answered.text, True, None, answered, state.model_dump())
    passage = passage_of(answered.passages[sentence.passage - 1])
    source = " › ".join(filter(None, (*passage.chunk.headings, passage.chunk.label)))
    opened = state.model_copy(
        update={
            "question": question,
            "right": sentence.text,
            "source": source or answered.passages[sentence.passage - 1].chunk.document.title,
            "passage": passage.read,
            "hints": 0,
        }
    )
    text = f"先自己想一想：{question}\n你认为答案是什么？不确定时可以说“提示”。"
    return Lesson(text, False, None, answered, opened.model_dump())


def _judge(said: str, state: State) -> Lesson:
    if _TELL.fullmatch(said.strip()):
        return _close(f"答案是：{state.right}", None, state)
    if _HELP.fullmatch(said.strip()):
        return _hint("", None, state)
    if _is_right(said, state):
        return _close(f"对了。资料里是这样说的：{state.right}", True, state)
    mistake = Mistake(question=state.question, said=said, right=state.right)
    noted = state.model_copy(update={"mistakes": (*state.mistakes, mistake)})
    return _hint("还不对。", False, noted)


def _is_right(said: str, state: State) -> bool:
    """Whether a reply is supported, and says enough of what the question does not say itself."""
    checked = check(said, [state.passage], question=state.question)
    if not checked.sentences or not all(each.supported for each in checked.sentences):
        return False
    new = _new(state)
    reply = features(said)
    told = sum(weight for feature, weight in new.items() if feature in reply)
    if new and told >= _LEAST_NEW * sum(new.values()):
        return True
    # A number or a name alone may be the whole answer.
    asked = amounts(state.question)
    given = [each for each in amounts(said) if not any(each.agrees(other) for other in asked)]
    named = names(said) - names(state.question)
    return any(a.agrees(b) for a in given for b in amounts(state.right)) or bool(
        named & names(state.right)
    )


def _new(state: State) -> dict[str, float]:
    asked = features(state.question)
    return {each: weight for each, weight in features(state.right).items() if each not in asked}


def _hint(before: str, right: bool | None, state: State) -> Lesson:
    """Give the next hint: where it stands, then with what is missing, then the answer."""
    if state.hints >= _LAST_HINT:
        return _close(f"{before}答案是：{state.right}", right, state)
    hints = (f"提示：答案在“{state.source}”里。", f"提示：{masked(state.right, state.question)}")
    text = f"{before}{hints[state.hints]}再想一想。"
    going = state.model_copy(update={"hints": state.hints + 1})
    return Lesson(text, False, right, None, going.model_dump())


def _close(text: str, right: bool | None, state: State) -> Lesson:
    left = State(mistakes=state.mistakes)
    return Lesson(text, True, right, None, left.model_dump())


def masked(sentence: str, question: str) -> str:
    """Return a sentence with gaps for what it says beyond a question: amounts and names, or words.

    Without amounts and names, its second half is the gap.
    """
    asked = amounts(question)
    hidden = [a.text for a in amounts(sentence) if not any(a.agrees(b) for b in asked)]
    hidden += sorted(names(sentence) - names(question), key=len, reverse=True)
    text = sentence
    for each in hidden:
        text = re.sub(re.escape(each), _GAP, text, flags=re.IGNORECASE)
    if text == sentence:
        half = len(sentence) // 2
        text = sentence[:half] + _GAP
    return re.sub(rf"(?:{_GAP}\s*){{2,}}", _GAP, text)
