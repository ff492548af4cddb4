"""Documents for tests of knowledge."""

from qingtan.knowledge.documents import Block, Document, Faq


def document(*blocks: Block | str, name: str = "文档.txt", title: str = "") -> Document:
    """Return a document; a text is a paragraph, and "# 标题" a heading of its level."""
    return Document(name, title or name, "text/plain", tuple(map(_block, blocks)))


def table(*rows: tuple[str, ...], header_rows: int = 1) -> Block:
    text = "\n".join(" | ".join(row) for row in rows)
    return Block("table", text, rows=rows, header_rows=header_rows)


def faq(question: str, answer: str, *similar: str, topic: str = "") -> Block:
    return Block("faq", f"{question}\n{answer}", faq=Faq(question, answer, similar, topic))


def _block(block: Block | str) -> Block:
    if isinstance(block, Block):
        return block
    signs = len(block) - len(block.lstrip("#"))
    if signs and block[signs : signs + 1] == " ":
        return Block("heading", block[signs + 1 :], level=signs)
    return Block("paragraph", block)
