"""Qingtan (清谈): a Chinese language-model system in the mould of ChatGLM3."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qingtan.chat import ChatGLM
    from qingtan.knowledge.service import Knowledge

__all__ = ["ChatGLM", "Knowledge"]


def __getattr__(name: str) -> Any:
    # On first use: the command line and the corpus tools need none of what this imports.
    if name == "ChatGLM":
        from qingtan.chat import ChatGLM

        return ChatGLM
    if name == "Knowledge":
        from qingtan.knowledge.service import Knowledge

        return Knowledge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
