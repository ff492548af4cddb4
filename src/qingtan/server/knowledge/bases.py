"""/v1/knowledge/bases."""

from typing import Any

from fastapi import APIRouter, Response

from qingtan.knowledge.reading import Limits
from qingtan.knowledge.service import Knowledge
from qingtan.knowledge.shown import base_json, list_json
from qingtan.server.knowledge.bodies import BaseBody
from qingtan.server.knowledge.tenant import Tenant
from qingtan.server.knowledge.threads import Threads

Json = dict[str, Any]


def base_routes(knowledge: Knowledge, threads: Threads) -> APIRouter:
    """Return the routes of bases."""
    router = APIRouter()

    @router.get("")
    async def tell() -> Json:
        """Say what is taken."""
        return {"max_upload_bytes": Limits().file_bytes}

    @router.get("/bases")
    @threads.route()
    def list_bases(tenant: Tenant) -> Json:
        """List the bases."""
        return list_json([base_json(base) for base in knowledge.of(tenant).bases()])

    @router.post("/bases", status_code=201)
    @threads.route(201)
    def create_base(body: BaseBody, tenant: Tenant) -> Json:
        """Make a base."""
        made = knowledge.of(tenant).create(body.name, about=body.about, words=body.words)
        return base_json(made)

    @router.get("/bases/{base}")
    @threads.route()
    def get_base(base: str, tenant: Tenant) -> Json:
        """Return a base."""
        return base_json(knowledge.of(tenant).base(base))

    @router.delete("/bases/{base}", status_code=204)
    @threads.route(204)
    def remove_base(base: str, tenant: Tenant) -> Response:
        """Remove a base with everything in it."""
        knowledge.of(tenant).remove(base)
        return Response(status_code=204)

    return router
