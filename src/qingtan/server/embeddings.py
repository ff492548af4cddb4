"""/v1/embeddings: a vector for each text."""

import asyncio
import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from qingtan.chat import ChatGLM
from qingtan.server.body import MAX_USER_LENGTH, Body, as_list
from qingtan.server.progress import hung_up_error

MAX_INPUTS = 2048
# A list goes to the engine at most so many texts at a time, nor more than run at once: it must not
# fill the queue, and what is left of it is not computed for a client that has gone.
_TEXTS_AT_ONCE = 16
_THREADS = 4
Vector = NDArray[np.float32]


class EmbeddingBody(Body):
    """The body of /v1/embeddings."""

    model: str
    input: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        BeforeValidator(as_list, json_schema_input_type=str | list[str]),
    ] = Field(min_length=1, max_length=MAX_INPUTS)
    """One text, or a list of them."""
    encoding_format: Literal["float", "base64"] = "float"
    """Lists of numbers, or the bytes of float32, the lowest first, in base64."""
    user: str = Field(default="", max_length=MAX_USER_LENGTH)
    """Whose request it is: the engine divides its time evenly among users."""


class Embedder:
    """Answers /v1/embeddings.

    It waits for the engine on threads of its own, so lists of long texts do not keep others from
    beginning.
    """

    def __init__(self, model: ChatGLM) -> None:
        self._model = model
        self._at_once = min(_TEXTS_AT_ONCE, model.engine.max_running)
        self._threads = ThreadPoolExecutor(_THREADS, "qingtan-embeddings")

    async def answer(self, body: EmbeddingBody, adapter: str | None, request: Request) -> Response:
        """Return the answer.

        Raises:
            ApiError: the client hung up.
            UserError, QueueFull: see `ChatGLM.embed`.
        """
        loop = asyncio.get_running_loop()
        embed = partial(self._model.embed, adapter=adapter, key=body.user)
        vectors: list[Vector] = []
        for start in range(0, len(body.input), self._at_once):
            if await request.is_disconnected():
                raise hung_up_error()
            texts = body.input[start : start + self._at_once]
            vectors.extend(await loop.run_in_executor(self._threads, embed, texts))
        return await loop.run_in_executor(self._threads, self._write, body, vectors)

    def _write(self, body: EmbeddingBody, vectors: Sequence[Vector]) -> Response:
        encode = _encode_base64 if body.encoding_format == "base64" else _encode_floats
        tokens = self._count(body.input)
        data = [
            {"object": "embedding", "index": i, "embedding": encode(vector)}
            for i, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": data, "model": body.model, "usage": usage})

    def _count(self, texts: Sequence[str]) -> int:
        """Return how many tokens were read."""
        tokenizer = self._model.engine.tokenizer
        encoded = tokenizer.encode_batch(texts, threads=1)
        return sum(len(tokenizer.prefix) + len(ids) for ids in encoded)


def _encode_floats(vector: Vector) -> list[float]:
    return [float(value) for value in vector]


def _encode_base64(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
