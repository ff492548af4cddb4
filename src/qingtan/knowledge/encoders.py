"""From texts to vectors: behind one small protocol, by a server or by an engine in this process.

A base needs none: words alone find passages well. What an encoder adds depends on the encoder, and
`qingtan evaluate knowledge` measures it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol

import httpx
import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.i18n import tr

Vectors = NDArray[np.float32]

_PROBE = "清谈"
# Texts that an engine is asked for at once: more could fill its queue.
_TOGETHER = 32
_TRIES = 4
_FIRST_WAIT = 0.5  # seconds; each next one is twice as long
_LONGEST_WAIT = 20.0
_AGAIN = (408, 429, 500, 502, 503, 504)


class Encoder(Protocol):
    """Makes vectors of texts.

    Attributes:
        name: says which one it is; a base holds the vectors of one.
        dimensions: of its vectors.
    """

    @property
    def name(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return vectors of length 1, (texts, dimensions).

        Raises:
            UserError: a text cannot be encoded, or what encodes cannot be reached.
        """


class GLMEncoder:
    """Encodes with a model that runs in this process: the mean of its last hidden states.

    Args:
        embed: gives vectors (texts, dimensions), such as `ChatGLM.embed`.
        name: of the model, with what tells its weights apart from others.
    """

    def __init__(self, embed: Callable[[Sequence[str]], Vectors], name: str) -> None:
        self.name = name
        self._embed = embed

    @cached_property
    def dimensions(self) -> int:
        """Of its vectors; the first use asks the model."""
        return int(self.encode([_PROBE]).shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        parts = [
            np.asarray(self._embed(texts[i : i + _TOGETHER]), np.float32)
            for i in range(0, len(texts), _TOGETHER)
        ]
        return _normalized(np.concatenate(parts), self.name)


class RemoteEncoder:
    """Encodes over `/v1/embeddings`, OpenAI's: other servers' encoders, and Qingtan's own.

    Args:
        url: of the API, as "http://127.0.0.1:8000/v1".
        model: its name there, which is this encoder's name, too.
        key: sent as a bearer token; errors never show it.
        batch: the most texts of a request.
        timeout: seconds that a request may take.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        *,
        batch: int = 32,
        timeout: float = 60.0,
    ) -> None:
        self.name = model
        self._url = url.rstrip("/") + "/embeddings"
        self._batch = batch
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # What is asked for is never sent on to another address.
        self._client = httpx.Client(headers=headers, timeout=timeout, follow_redirects=False)

    @cached_property
    def dimensions(self) -> int:
        """Of its vectors; the first use asks the server."""
        return int(self._ask([_PROBE]).shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`. Requests that fail for a while are tried again, four times in all."""
        parts = [self._ask(texts[i : i + self._batch]) for i in range(0, len(texts), self._batch)]
        widths = {part.shape[1] for part in parts}
        if len(widths) > 1:
            raise UserError(self._says(f"gave vectors of {sorted(widths)} dimensions", "维数不一"))
        return np.concatenate(parts) if parts else np.zeros((0, self.dimensions), np.float32)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, texts: Sequence[str]) -> Vectors:
        body = {"model": self.name, "input": list(texts), "encoding_format": "float"}
        problem = ""
        for wait in _waits():
            try:
                answer = self._client.post(self._url, json=body)
            except httpx.TransportError as error:
                problem = str(error) or type(error).__name__
                time.sleep(wait)
                continue
            if answer.status_code not in _AGAIN:
                return self._read(answer, len(texts))
            problem = _reason(answer)
            time.sleep(max(wait, _asked_wait(answer)) if wait else 0)
        raise UserError(self._says(f"does not answer: {problem}", f"没有回应：{problem}"))

    def _read(self, answer: httpx.Response, count: int) -> Vectors:
        if answer.status_code != 200:
            reason = _reason(answer)
            raise UserError(self._says(f"refused the texts: {reason}", f"拒绝了请求：{reason}"))
        try:
            data = sorted(answer.json()["data"], key=lambda each: each["index"])
            vectors = np.array([each["embedding"] for each in data], np.float32)
        except (ValueError, KeyError, TypeError):
            raise UserError(self._says("sent no list of vectors", "返回的不是向量")) from None
        if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
            message = f"sent vectors of shape {vectors.shape} for {count} texts"
            raise UserError(self._says(message, f"对 {count} 个文本返回形状 {vectors.shape}"))
        return _normalized(vectors, self.name)

    def _says(self, english: str, chinese: str) -> str:
        english, chinese = f"the encoder {self.name} {english}", f"编码器 {self.name} {chinese}"
        return f"{self._url}: {tr(english, chinese)}"


def _waits() -> Iterator[float]:
    """Yield the seconds to wait after each try; 0 after the last."""
    wait = _FIRST_WAIT
    for _ in range(_TRIES - 1):
        yield wait
        wait *= 2
    yield 0.0


def _asked_wait(answer: httpx.Response) -> float:
    try:
        return min(float(answer.headers.get("Retry-After", "0")), _LONGEST_WAIT)
    except ValueError:
        return 0.0


def _reason(answer: httpx.Response) -> str:
    """Return the status, and the message where the answer has OpenAI's form of one."""
    try:
        body: Any = answer.json()
        message = str(body["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.reason_phrase
    return f"{answer.status_code} {message}"


def _normalized(vectors: Vectors, name: str) -> Vectors:
    if not np.isfinite(vectors).all():
        english = f"the encoder {name} gave a vector that is not finite"
        raise UserError(tr(english, f"编码器 {name} 给出了非有限的向量"))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normal: Vectors = vectors / np.maximum(lengths, 1e-12)
    return normal
