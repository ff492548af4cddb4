"""What makes the vectors of knowledge bases, by one name for people."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from qingtan.chat import ChatGLM
from qingtan.glm.catalogue import find_model
from qingtan.glm.digests import digest_weights
from qingtan.knowledge.encoders import Encoder, GLMEncoder, RemoteEncoder

KEY_VARIABLE = "QINGTAN_EMBEDDINGS_KEY"
# Vectors are made of short texts, and nothing of them is kept.
_CACHE_BYTES = 64 << 20


@contextmanager
def open_encoder(which: str | None) -> Iterator[Encoder | None]:
    """Within it an encoder may be used; None gives none.

    Args:
        which: a model, by name or folder; or MODEL@ADDRESS, such as
            "bge-m3@http://127.0.0.1:9000/v1", of a server with OpenAI's `/v1/embeddings`, whose
            key stands in $QINGTAN_EMBEDDINGS_KEY where it wants one.

    Raises:
        UserError: there is no such model.
    """
    model, _, address = (which or "").partition("@")
    if not which:
        yield None
    elif address.startswith(("http://", "https://")):
        remote = RemoteEncoder(address, model, os.environ.get(KEY_VARIABLE))
        try:
            yield remote
        finally:
            remote.close()
    else:
        folder = find_model(which)
        with ChatGLM.from_pretrained(which, cache_bytes=_CACHE_BYTES) as encoder:
            # A base holds the vectors of one: other weights are another encoder.
            yield GLMEncoder(encoder.embed, f"{folder.name}-{digest_weights(folder)[:12]}")
