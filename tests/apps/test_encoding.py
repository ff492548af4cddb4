"""What makes vectors, by name: a model in this process, or a server with `/v1/embeddings`."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn

from qingtan.apps.encoding import open_encoder
from qingtan.chat import ChatGLM
from qingtan.errors import UserError
from qingtan.server.app import create_app

TEXTS = ["客服电话是多少", "怎么退货"]


@contextmanager
def served(model: ChatGLM) -> Iterator[str]:
    """The address of a server's API with the model."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(model, "qingtan"), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()


def test_a_model_and_a_server_with_it_give_the_same_vectors() -> None:
    with ChatGLM.from_pretrained("qingtan") as model, open_encoder("qingtan") as here:
        assert here is not None
        vectors = here.encode(TEXTS)
        assert vectors.shape == (2, here.dimensions)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(vectors, model.embed(TEXTS), atol=1e-5)
        with served(model) as address, open_encoder(f"qingtan@{address}") as there:
            assert there is not None
            np.testing.assert_allclose(there.encode(TEXTS), vectors, atol=1e-5)
        # A base holds the vectors of one: its name tells other weights apart.
        assert here.name.startswith("qingtan-")
        assert here.name != there.name


def test_without_a_name_there_is_none() -> None:
    with open_encoder(None) as none, open_encoder("") as empty:
        assert none is None
        assert empty is None


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="nowhere"), open_encoder("nowhere"):
        pass
