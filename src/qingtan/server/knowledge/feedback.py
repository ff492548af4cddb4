"""/v1/knowledge/feedback: what people say of answers and passages, for a person to review."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from qingtan.knowledge.service import Knowledge
from qingtan.knowledge.shown import feedback_json, list_json
from qingtan.knowledge.store.feedback import Opinion
from qingtan.server.knowledge.bodies import MAX_NAME, FeedbackBody
from qingtan.server.knowledge.tenant import Tenant
from qingtan.server.knowledge.threads import Threads

Json = dict[str, Any]


def feedback_routes(knowledge: Knowledge, threads: Threads) -> APIRouter:
    """Return the routes of feedback."""
    router = APIRouter(prefix="/feedback")

    @router.post("", status_code=201)
    @threads.route(201)
    def give_feedback(body: FeedbackBody, tenant: Tenant) -> Json:
        """Store a thumb up or down; of an answer from several bases, with the first."""
        opinion = Opinion(
            body.vote, body.answer, body.chunk, body.question, body.text, body.comment
        )
        return feedback_json(knowledge.of(tenant).give_feedback(body.bases[0], opinion))

    @router.get("")
    @threads.route()
    def list_feedback(
        tenant: Tenant,
        base: Annotated[str | None, Query(max_length=MAX_NAME)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Json:
        """List what was said, of one base or of all, the latest first."""
        found = knowledge.of(tenant).feedback(base, limit=limit)
        return list_json([feedback_json(each) for each in found])

    return router
