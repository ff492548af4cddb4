"""Answers over one's own documents: cited, or none.

By default the answer is quoted: the sentence of the found passages that most likely answers. On
held-out questions the built-in model's own sentences are right far more rarely (`qingtan evaluate
knowledge --written-by qingtan` prints both). A better model writes with `written=True`; each of its
sentences is checked against the passages, and where nothing is left of them the answer is quoted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qingtan.apps.modes import MODES, ModeName, asks_for_diagnosis
from qingtan.apps.tutoring import Lesson, teach
from qingtan.chat import ChatGLM
from qingtan.engine.events import ContextExceeded
from qingtan.errors import UserError
from qingtan.knowledge.answers import NOTHING_FOUND, Answered, answer, suspicious_of
from qingtan.knowledge.retrieval import Retriever
from qingtan.knowledge.rewriting import Turns
from qingtan.knowledge.store.interface import Base, Filter
from qingtan.knowledge.sufficiency import LEAST_EVIDENCE

PASSAGES = 5
_ANSWER_TOKENS = 256


class Answerer:
    """Answers questions from bases.

    Args:
        model: writes answers where `written` asks for it; None where there is none.
        retriever: finds passages.
        written: a model's own words, checked, go before a quotation.
        passages: the most that an answer is made of.
        least: of evidence, see `sufficiency.evidence`; with less nothing is answered.
        adapter, key: see `qingtan.chat.Options`.

    Raises:
        UserError: answers should be written without a model.
    """

    def __init__(
        self,
        model: ChatGLM | None,
        retriever: Retriever,
        *,
        written: bool = False,
        passages: int = PASSAGES,
        least: float = LEAST_EVIDENCE,
        adapter: str | None = None,
        key: str = "",
    ) -> None:
        if written and model is None:
            raise UserError("written: needs a model; leave it out, and answers are quoted")
        self.retriever = retriever
        self._model = model if written else None
        self._passages = passages
        self._least = least
        self._adapter = adapter
        self._key = key

    def answer(
        self,
        bases: Sequence[Base],
        question: str,
        history: Turns = (),
        mode: ModeName = "search",
        *,
        where: Filter | None = None,
    ) -> Answered:
        """Answer a question, or say that nothing was found and what came nearest.

        Args:
            bases: of one tenant.
            history: OpenAI's messages before the question.
            mode: "law" names articles, "medicine" does not diagnose. In "tutor" this is the answer
                itself; `teach` leads to it.
            where: which documents are searched.

        Raises:
            UserError: there is no such mode, or the encoder or the model refuses.
        """
        if mode not in MODES:
            raise UserError(f"mode: there is no {mode!r}; there are {', '.join(MODES)}")
        chosen = MODES[mode]
        whole = self.retriever.whole(question, history)
        hits = self.retriever.find(bases, whole, self._passages, where)
        # What somebody should do about an illness is never written by a model.
        quoted = mode == "medicine" and asks_for_diagnosis(question)
        answered = answer(
            whole,
            hits,
            write=None if quoted or self._model is None else self._write,
            ask=chosen.ask,
            show=chosen.show,
            least=self._least,
        )
        before, after = chosen.frame(question, answered)
        return replace(answered, text=before + answered.text + after)

    def search(
        self,
        bases: Sequence[Base],
        question: str,
        history: Turns = (),
        *,
        limit: int = PASSAGES,
        where: Filter | None = None,
    ) -> Answered:
        """Return passages alone; the text is empty, or NOTHING_FOUND where there is none."""
        whole = self.retriever.whole(question, history)
        hits = tuple(self.retriever.find(bases, whole, limit, where))
        text = "" if hits else NOTHING_FOUND
        return Answered(
            text, whole, passages=hits, refused=not hits, suspicious=suspicious_of(hits)
        )

    def teach(
        self,
        bases: Sequence[Base],
        said: str,
        state: Mapping[str, Any] | None = None,
        *,
        where: Filter | None = None,
    ) -> Lesson:
        """Lead a learner to an answer: ask back, give hints, and remember what was wrong.

        Args:
            said: the question of a new exercise, or what the learner says to the one that is open.
            state: what the last `Lesson` had; plain data, which may be kept as JSON.

        Raises:
            UserError: the state is not a lesson's.
        """
        return teach(said, state or {}, lambda question: self.answer(bases, question, where=where))

    def _write(self, prompt: str) -> str:
        assert self._model is not None
        try:
            return self._model.chat(
                prompt,
                temperature=0.0,
                max_tokens=_ANSWER_TOKENS,
                adapter=self._adapter,
                key=self._key,
            )
        except ContextExceeded:
            return ""  # and so it is quoted
