"""Qingtan (清谈): a Chinese language-model system in the mould of ChatGLM3."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qingtan.chat import ChatGLM

__all__ = ["ChatGLM"]


def __getattr__(name: str) -> Any:
    # On first use: the command line and the corpus tools need none of what this imports.
    if name == "ChatGLM":
        from qingtan.chat import ChatGLM

        return ChatGLM
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
