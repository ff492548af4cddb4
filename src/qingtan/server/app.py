"""The server's application: the OpenAI API, and the console's page."""

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Scope

from qingtan.chat import ChatGLM
from qingtan.engine.requests import Generation
from qingtan.errors import UserError
from qingtan.knowledge.service import Knowledge
from qingtan.server.answers import ChatForm, Form, TextForm, Tokens
from qingtan.server.embeddings import Embedder, EmbeddingBody
from qingtan.server.errors import ApiError, install_error_handlers
from qingtan.server.guard import LOOPBACK_HOSTS, Guard
from qingtan.server.knowledge.routes import PREFIX as KNOWLEDGE
from qingtan.server.knowledge.routes import knowledge_routes
from qingtan.server.knowledge.uploads import MAX_UPLOAD_BYTES
from qingtan.server.progress import EventStream, begin, finish
from qingtan.server.schemas import MAX_BODY_BYTES, ChatBody, CompletionBody

Start = Callable[..., list[Generation]]
STATIC_FOLDER = Path(__file__).parent / "static"
_NO_CONSOLE = """<!doctype html><meta charset="utf-8"><title>清谈 Qingtan</title>
<p>The console is not built: run <code>npm ci &amp;&amp; npm run build</code> in
<code>console/</code>. The API is at <code>/v1</code>.
<p>网页界面尚未构建：请在 <code>console/</code> 中运行上面的命令。API 位于 <code>/v1</code>。
"""


def create_app(
    model: ChatGLM,
    name: str,
    *,
    knowledge: Knowledge | None = None,
    hosts: Collection[str] = LOOPBACK_HOSTS,
    static_folder: Path = STATIC_FOLDER,
) -> FastAPI:
    """Return the application.

    Args:
        model: answers the requests; the caller closes it. Each of its adapters is a model of its
            own in the API, by the adapter's name.
        name: the model's name in the API; it answers without an adapter.
        knowledge: the bases that are served; the caller closes them.
        hosts: names, without a port, that clients may call this server by.
        static_folder: the console's bundle; without one a page says how to build it.

    Raises:
        UserError: an adapter has the model's name.
    """
    app = _GuardedApp(hosts)
    install_error_handlers(app)
    app.include_router(_health(model))
    app.include_router(_api(model, name), prefix="/v1")
    if knowledge is not None:
        app.include_router(knowledge_routes(knowledge, model, name))
    if (static_folder / "index.html").exists():
        app.frontend("/", directory=static_folder, fallback=None)
    else:
        app.add_api_route("/", _say_no_console, include_in_schema=False)
    return app


class _GuardedApp(FastAPI):
    """FastAPI inside the guard, which so has a hand in every answer, a failure's too."""

    def __init__(self, hosts: Collection[str]) -> None:
        # FastAPI's own pages of documentation load scripts from elsewhere.
        super().__init__(title="Qingtan", docs_url=None, redoc_url=None)
        self._hosts = hosts

    def build_middleware_stack(self) -> ASGIApp:
        return Guard(super().build_middleware_stack(), self._hosts, _max_body)


def _max_body(scope: Scope) -> int:
    """Return the most bytes of a request's body: files may be larger than questions."""
    is_file = scope["method"] == "PUT" and scope["path"].startswith(f"{KNOWLEDGE}/")
    return MAX_UPLOAD_BYTES if is_file else MAX_BODY_BYTES


def _health(model: ChatGLM) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> Response:
        """Say whether the engine runs, and what it has to do."""
        engine = model.engine
        state = {
            "status": "closed" if engine.closed else "ok",
            "running": engine.running,
            "waiting": engine.waiting,
            "slots": engine.max_running,
        }
        return JSONResponse(state, 503 if engine.closed else 200)

    return router


def _api(model: ChatGLM, name: str) -> APIRouter:
    router = APIRouter()
    cards = _cards(name, model.engine.runner.adapters)
    embedder = Embedder(model)

    def adapter_of(asked: str) -> str | None:
        """Return the adapter that a model's name means; None for the model itself."""
        _check_model(asked, cards)
        return None if asked == name else asked

    @router.get("/models")
    async def list_models() -> dict[str, Any]:
        """List the models: the one that was loaded, and one for each of its adapters."""
        return {"object": "list", "data": list(cards.values())}

    @router.get("/models/{model_id:path}")
    async def get_model(model_id: str) -> dict[str, Any]:
        """Return one model."""
        _check_model(model_id, cards)
        return cards[model_id]

    @router.post("/chat/completions")
    async def chat(body: ChatBody, request: Request) -> Response:
        """Answer a conversation, with text or with calls of tools."""
        start = partial(
            model.start_chat,
            body.conversation(),
            tools=body.offered_tools(),
            adapter=adapter_of(body.model),
        )
        form = ChatForm(body.model, _tokens(model, body))
        return await _respond(start, form, body, request)

    @router.post("/completions")
    async def complete(body: CompletionBody, request: Request) -> Response:
        """Continue a text, or fill a blank in it."""
        start = partial(
            model.start_generate, body.prompt, suffix=body.suffix, adapter=adapter_of(body.model)
        )
        # Only at the start of a text is the space before it the tokenizer's.
        trim = str if body.prompt else _without_space
        form = TextForm(body.model, _tokens(model, body, trim))
        return await _respond(start, form, body, request)

    @router.post("/embeddings")
    async def embed(body: EmbeddingBody, request: Request) -> Response:
        """Return a vector of length 1 for each text."""
        return await embedder.answer(body, adapter_of(body.model), request)

    return router


async def _respond(
    start: Start, form: Form, body: ChatBody | CompletionBody, request: Request
) -> Response:
    live = await begin(
        lambda listeners: body.start(lambda options: start(listeners, **options)), body.n
    )
    if body.stream:
        return EventStream(live, form, body.stream_options.include_usage)
    return JSONResponse(form.whole(await finish(live, request)))


def _tokens(
    model: ChatGLM, body: ChatBody | CompletionBody, trim: Callable[[str], str] = str.lstrip
) -> Tokens:
    return Tokens(model.engine.tokenizer, 0 if body.reported() is None else body.n, trim)


def _without_space(text: str) -> str:
    return text.removeprefix(" ")


def _cards(name: str, adapters: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what /v1/models tells of the model and of each adapter, whose `parent` it is."""
    if name in adapters:
        raise UserError(f"an adapter and the model are both named {name!r}; rename the adapter")
    card = {"object": "model", "created": int(time.time()), "owned_by": "qingtan"}
    of_adapters = {adapter: {"id": adapter, **card, "parent": name} for adapter in adapters}
    return {name: {"id": name, **card}} | of_adapters


def _check_model(asked: str, known: Collection[str]) -> None:
    if asked not in known:
        has = ", ".join(map(repr, known))
        message = f"there is no model {asked!r} here; this server has {has}"
        raise ApiError(404, message, param="model", code="model_not_found")


async def _say_no_console() -> Response:
    return HTMLResponse(_NO_CONSOLE)
