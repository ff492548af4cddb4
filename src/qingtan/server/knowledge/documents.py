"""/v1/knowledge/bases/{base}/documents: files and pages go in, and are looked at."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from qingtan.errors import NotFound
from qingtan.i18n import tr
from qingtan.knowledge.service import Knowledge
from qingtan.knowledge.shown import block_json, chunk_json, document_json, job_json, list_json
from qingtan.server.knowledge.bodies import AddressesBody
from qingtan.server.knowledge.tenant import Tenant
from qingtan.server.knowledge.threads import Threads
from qingtan.server.knowledge.uploads import receive

Json = dict[str, Any]
Topic = Annotated[str, Query(max_length=200)]
Width = Annotated[int, Query(ge=100, le=2000)]
# A page that takes long to draw keeps others waiting for their pages alone.
_DRAWING_THREADS = 2
# A new version of a document has a new id, so that a page's picture never changes.
_DRAWN = {"Cache-Control": "private, max-age=3600"}


def document_routes(knowledge: Knowledge, threads: Threads) -> APIRouter:
    """Return the routes of one base's documents."""
    router = APIRouter(prefix="/bases/{base}")
    drawing = Threads(_DRAWING_THREADS)

    @router.get("/documents")
    @threads.route()
    def list_documents(base: str, tenant: Tenant) -> Json:
        """List what is in a base, by name."""
        found = knowledge.of(tenant).documents(base)
        return list_json([document_json(document, base) for document in found])

    @router.put("/documents/{name:path}", status_code=202)
    async def put_document(
        base: str, name: str, request: Request, tenant: Tenant, topic: Topic = ""
    ) -> Json:
        """Take a file, the request's body, and return the job that reads it.

        The name may have folders; a zip archive is unpacked.
        """
        own = knowledge.of(tenant)
        await threads.run(own.base, base)  # before the body is taken
        upload = await receive(knowledge.uploads, name, request.stream())
        try:
            job = await threads.run(
                own.submit_upload, base, upload.folder, upload.name, topic=topic
            )
        except BaseException:
            upload.remove()
            raise
        return job_json(job)

    @router.post("/addresses", status_code=202)
    @threads.route(202)
    def add_addresses(base: str, body: AddressesBody, tenant: Tenant) -> Json:
        """Fetch web pages, and return the job that does."""
        return job_json(knowledge.of(tenant).submit_addresses(base, body.urls, topic=body.topic))

    @router.get("/documents/{id}")
    @threads.route()
    def get_document(base: str, id: str, tenant: Tenant) -> Json:
        """Return what is known of a document."""
        return document_json(knowledge.of(tenant).document(base, id), base)

    @router.delete("/documents/{id}", status_code=204)
    @threads.route(204)
    def remove_document(base: str, id: str, tenant: Tenant) -> Response:
        """Remove a document with all its chunks."""
        knowledge.of(tenant).remove(base, id)
        return Response(status_code=204)

    @router.get("/documents/{id}/blocks")
    @threads.route()
    def list_blocks(base: str, id: str, tenant: Tenant) -> Json:
        """List a document's blocks in reading order."""
        blocks = knowledge.of(tenant).blocks(base, id)
        return list_json([block_json(i, block) for i, block in enumerate(blocks, start=1)])

    @router.get("/documents/{id}/chunks")
    @threads.route()
    def list_chunks(base: str, id: str, tenant: Tenant) -> Json:
        """List the chunks that a document was cut into."""
        found = knowledge.of(tenant).chunks(base, id)
        return list_json([chunk_json(each.id, each.chunk) for each in found])

    @router.get("/documents/{id}/original")
    @threads.route()
    def get_original(base: str, id: str, tenant: Tenant) -> Response:
        """Return the file, to be saved and never to be shown: it may hold scripts."""
        own = knowledge.of(tenant)
        document, data = own.document(base, id), own.original(base, id)
        if data is None:
            raise NotFound(tr("the file itself was not kept", "没有保存原文件"))
        return Response(data, media_type="application/octet-stream", headers=_saved(document.name))

    @router.get("/documents/{id}/pages/{page}")
    @drawing.route()
    def get_page(base: str, id: str, page: int, tenant: Tenant, width: Width = 1000) -> Response:
        """Return a page of a PDF file, from 1, as a picture of so many dots across."""
        picture = knowledge.of(tenant).page(base, id, page, width=width)
        return Response(picture, media_type="image/webp", headers=_DRAWN)

    return router


def _saved(name: str) -> dict[str, str]:
    """Return the header by which browsers save a file under its own name (RFC 6266)."""
    file = name.rpartition("/")[2] or "document"
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file, safe='')}"}
