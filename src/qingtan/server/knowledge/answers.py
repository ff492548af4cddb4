"""/v1/knowledge/search, ask and teach: passages, answers that cite them, and lessons from them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Request

from qingtan.apps.answering import Answerer
from qingtan.apps.shown import answered_json, lesson_json
from qingtan.chat import ChatGLM
from qingtan.engine.scheduler import QueueFull
from qingtan.knowledge.service import Knowledge
from qingtan.knowledge.shown import hit_json, list_json
from qingtan.server.errors import ApiError
from qingtan.server.knowledge.bodies import AskBody, SearchBody, TeachBody
from qingtan.server.knowledge.tenant import Tenant
from qingtan.server.knowledge.threads import Threads
from qingtan.server.progress import hung_up_error

Json = dict[str, Any]
# Answers that are worked on at once, each on a thread of its own, and those that may wait for one.
_ANSWERING, _WAITING = 4, 32


def answer_routes(knowledge: Knowledge, threads: Threads, model: ChatGLM, name: str) -> APIRouter:
    """Return the routes of search and answers.

    Args:
        name: the model's in the API.
    """
    router = APIRouter()
    answering, room = Threads(_ANSWERING), _Room(_ANSWERING + _WAITING)

    @router.post("/search")
    @threads.route()
    def search(body: SearchBody, tenant: Tenant) -> Json:
        """Find passages, best first, with their scores."""
        hits = knowledge.of(tenant).search(
            body.bases, body.query, limit=body.limit, where=body.where(), history=body.turns()
        )
        return list_json([hit_json(hit) for hit in hits])

    @router.post("/ask")
    async def ask(body: AskBody, request: Request, tenant: Tenant) -> Json:
        """Answer from the bases, with citations; or say that nothing was found."""
        adapter = _adapter(body.model, name, model)
        answerer = Answerer(
            model,
            knowledge.retriever,
            written=body.written,
            adapter=adapter,
            key=f"{tenant}/{body.user}",
        )

        def answer() -> Json:
            bases = knowledge.of(tenant).named(body.bases)
            history, where = body.turns(), body.where()
            if body.retrieval_only:
                return answered_json(answerer.search(bases, body.question, history, where=where))
            return answered_json(
                answerer.answer(bases, body.question, history, body.mode, where=where)
            )

        with room.taken():
            if await request.is_disconnected():
                raise hung_up_error()
            return await answering.run(answer)

    return router


def teach_routes(knowledge: Knowledge, threads: Threads) -> APIRouter:
    """Return the route of lessons."""
    router = APIRouter()
    answerer = Answerer(None, knowledge.retriever)

    @router.post("/teach")
    @threads.route()
    def teach(body: TeachBody, tenant: Tenant) -> Json:
        """Lead a learner to an answer: ask back, give hints, judge replies, tell at last."""
        bases = knowledge.of(tenant).named(body.bases)
        return lesson_json(answerer.teach(bases, body.said, body.state))

    return router


class _Room:
    """So many may be in it at once; the next one is refused."""

    def __init__(self, places: int) -> None:
        self._places = threading.Semaphore(places)

    @contextmanager
    def taken(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise QueueFull("too many questions are waiting")
        try:
            yield
        finally:
            self._places.release()


def _adapter(asked: str | None, name: str, model: ChatGLM) -> str | None:
    """Return the adapter that a model's name means; None for the model itself."""
    if asked is None or asked == name:
        return None
    if asked in model.engine.runner.adapters:
        return asked
    message = f"there is no model {asked!r} here"
    raise ApiError(404, message, param="model", code="model_not_found")
