"""What is found and cited: a part of a document that can be read alone."""

from dataclasses import dataclass
from typing import Literal

ChunkKind = Literal["text", "article", "faq", "table", "code"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document.

    Attributes:
        kind: an `article` is one of a law's, a `table` some rows with their header, a `faq` one
            question with its answer.
        text: the passage as it is shown, quoted and given to the model; headings are not in it,
            but for those of tiny sections that share a passage.
        headings: the titles above it, highest first.
        label: what it is called where it has a name of its own: "第三条", "3.2".
        page: the first block's, where there are pages.
        first_block, last_block: numbers of the document's blocks, from 1, both included.
        questions: of a `faq`, the question and its other wordings; they are searched, too.
        answer: of a `faq`.
        topic: of a `faq`, or the file's; for filters.
        tokens: length of `text` in the model's tokens.
    """

    kind: ChunkKind
    text: str
    headings: tuple[str, ...] = ()
    label: str = ""
    page: int | None = None
    first_block: int = 1
    last_block: int = 1
    questions: tuple[str, ...] = ()
    answer: str = ""
    topic: str = ""
    tokens: int = 0

    @property
    def searched(self) -> str:
        """The text that is indexed: headings, label, questions and the passage."""
        parts = (*self.headings, self.label, *self.questions, self.text)
        return "\n".join(part for part in parts if part)
