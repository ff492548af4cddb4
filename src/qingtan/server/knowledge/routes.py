"""The routes of /v1/knowledge, together."""

from fastapi import APIRouter

from qingtan.chat import ChatGLM
from qingtan.knowledge.service import Knowledge
from qingtan.server.knowledge.answers import answer_routes, teach_routes
from qingtan.server.knowledge.bases import base_routes
from qingtan.server.knowledge.documents import document_routes
from qingtan.server.knowledge.feedback import feedback_routes
from qingtan.server.knowledge.jobs import job_routes
from qingtan.server.knowledge.threads import Threads

PREFIX = "/v1/knowledge"


def knowledge_routes(knowledge: Knowledge, model: ChatGLM, name: str) -> APIRouter:
    """Return the routes.

    Args:
        name: the model's in the API.
    """
    threads = Threads()
    together = APIRouter()
    for router in (
        base_routes(knowledge, threads),
        document_routes(knowledge, threads),
        job_routes(knowledge, threads),
        answer_routes(knowledge, threads, model, name),
        teach_routes(knowledge, threads),
        feedback_routes(knowledge, threads),
    ):
        together.include_router(router, prefix=PREFIX)
    return together
