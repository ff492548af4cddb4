"""Every error that the API answers, in OpenAI's form."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from qingtan.engine.events import ContextExceeded, EngineClosed
from qingtan.engine.scheduler import QueueFull
from qingtan.errors import NotFound, UserError
from qingtan.knowledge.store.errors import Unavailable

# Seconds that a client is told to wait when the queue is full.
RETRY_AFTER = 1
# What older clients call it, and what it is called now.
_INSTEAD = {
    "guided_json": "structured_outputs.json",
    "guided_regex": "structured_outputs.regex",
    "guided_choice": "structured_outputs.choice",
    "guided_grammar": "structured_outputs.grammar",
    "functions": "tools",
    "function_call": "tool_choice",
}


class ApiError(Exception):
    """An error to answer.

    Attributes:
        status: the HTTP status.
        message: for people; says what to do.
        param: the field of the request that is wrong.
        code: for programs.
        headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = headers

    def body(self) -> dict[str, Any]:
        """Return OpenAI's form of it."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        if self.status == 429:
            kind = "rate_limit_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> Response:
        """Return the answer."""
        # In ASCII: what the client sent, and this quotes, may be no Unicode.
        content = json.dumps(self.body())
        return Response(content, self.status, self.headers, media_type="application/json")


def to_api_error(error: Exception) -> ApiError:
    """Return what to answer; nothing of an unexpected error's insides gets out."""
    match error:
        case ApiError():
            return error
        case ContextExceeded():
            return ApiError(400, str(error), code="context_length_exceeded")
        case Unavailable():
            headers = {"Retry-After": str(RETRY_AFTER)}
            # Its own message names a file of this machine.
            message = "the knowledge store is out of reach; try again later"
            return ApiError(503, message, code="unavailable", headers=headers)
        case NotFound():
            return ApiError(404, str(error), code="not_found")
        case UserError():
            return ApiError(400, str(error), param=_named_field(str(error)), code="invalid_value")
        case QueueFull():
            headers = {"Retry-After": str(RETRY_AFTER)}
            message = "too many requests are waiting; try again later"
            return ApiError(429, message, code="queue_full", headers=headers)
        case EngineClosed():
            return ApiError(503, "the server is shutting down", code="shutting_down")
        case RequestValidationError():
            return _of_validation(error.errors())
        case HTTPException():
            return _of_http(error)
        case _:
            message = "the server failed at this request; its log says why"
            return ApiError(500, message, code="internal_error")


def install_error_handlers(app: FastAPI) -> None:
    """Make the app answer all errors in OpenAI's form."""

    async def answer(_: Request, error: Exception) -> Response:
        return to_api_error(error).response()

    known = (ApiError, UserError, QueueFull, EngineClosed, RequestValidationError, HTTPException)
    for kind in (*known, Exception):
        app.add_exception_handler(kind, answer)


def _of_http(error: HTTPException) -> ApiError:
    messages = {
        404: ("there is nothing at this address", "not_found"),
        405: ("this address does not take this method", "method_not_allowed"),
        413: ("the request is too large", "request_too_large"),
    }
    message, code = messages.get(error.status_code, (str(error.detail), None))
    return ApiError(error.status_code, message, code=code, headers=error.headers)


def _of_validation(problems: Sequence[Any]) -> ApiError:
    """Tell of the first problem: the others often follow from it."""
    problem = problems[0]
    # Of fields that do not go together, the error names the one to change.
    named = problem["ctx"]["field"] if problem["type"] == "conflict" else None
    field = named or _field_name(problem["loc"])
    if problem["type"] == "json_invalid":
        message = f"the body is not JSON: {problem['ctx']['error']}"
        return ApiError(400, message, code="invalid_json")
    if not field:
        message = "send a JSON object, with Content-Type: application/json"
        return ApiError(400, message, code="invalid_body")
    if problem["type"] == "extra_forbidden":
        instead = _INSTEAD.get(field)
        message = f"{field}: this parameter is not supported"
        message += f"; use {instead}" if instead else ""
        return ApiError(400, message, param=field, code="unsupported_parameter")
    return ApiError(400, f"{field}: {problem['msg']}", param=field, code="invalid_value")


def _field_name(location: Sequence[str | int]) -> str:
    """("body", "messages", 0, "role") → "messages[0].role"."""
    # Pydantic says "[key]" after a key that is itself wrong.
    path = location[1:-1] if location[-1] == "[key]" else location[1:]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def _named_field(message: str) -> str | None:
    """Return the field that a UserError's message begins with, if it does."""
    field, colon, _ = message.partition(": ")
    return field if colon and " " not in field else None
