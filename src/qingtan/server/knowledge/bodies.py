"""The requests of /v1/knowledge."""

from typing import Annotated, Any, Literal

from pydantic import Field

from qingtan.knowledge.store.interface import Filter
from qingtan.server.body import MAX_USER_LENGTH, Body

MAX_NAME = 64
MAX_BASES = 32
MAX_QUERY = 2000
MAX_TURNS = 64
MAX_TEXT = 20_000
MAX_LIMIT = 50
MAX_ADDRESSES = 100

BaseName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Short = Annotated[str, Field(max_length=200)]
Date = Annotated[str, Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")]


class BaseBody(Body):
    """A base to be made."""

    name: BaseName
    about: Annotated[str, Field(max_length=2000)] = ""
    words: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default=[], max_length=10_000
    )
    """The trade's own words, which are kept whole when text is cut into words."""


class AddressesBody(Body):
    """Web pages to be fetched into a base."""

    urls: list[Annotated[str, Field(min_length=1, max_length=2000)]] = Field(
        min_length=1, max_length=MAX_ADDRESSES
    )
    topic: Short = ""


class Turn(Body):
    """A message before the question, so that it can be understood as a follow-up."""

    role: Literal["user", "assistant"]
    content: Annotated[str, Field(max_length=MAX_TEXT)]


class QuestionBody(Body):
    """What search and answers have in common."""

    bases: list[BaseName] = Field(min_length=1, max_length=MAX_BASES)
    topics: list[Short] = Field(default=[], max_length=64)
    documents: list[Annotated[str, Field(max_length=64)]] = Field(default=[], max_length=256)
    """Ids; empty, all documents are searched."""
    since: Date | None = None
    until: Date | None = None
    history: list[Turn] = Field(default=[], max_length=MAX_TURNS)

    def where(self) -> Filter:
        """Return which documents are searched."""
        return Filter(tuple(self.topics), tuple(self.documents), self.since, self.until)

    def turns(self) -> list[dict[str, str]]:
        """Return the conversation in OpenAI's messages."""
        return [{"role": turn.role, "content": turn.content} for turn in self.history]


class SearchBody(QuestionBody):
    """The body of /v1/knowledge/search."""

    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY)]
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT)


class AskBody(QuestionBody):
    """The body of /v1/knowledge/ask."""

    question: Annotated[str, Field(min_length=1, max_length=MAX_QUERY)]
    mode: Literal["search", "tutor", "law", "medicine"] = "search"
    retrieval_only: bool = False
    """Return the passages alone."""
    written: bool = False
    """Let the model write; each sentence is checked against the passages. By default the answer is
    the sentence of a passage."""
    model: str | None = None
    """The model or the adapter that writes; by default the model that was loaded."""
    user: Annotated[str, Field(max_length=MAX_USER_LENGTH)] = ""
    """Whose request it is: the engine divides its time evenly among users."""


class TeachBody(Body):
    """The body of /v1/knowledge/teach."""

    bases: list[BaseName] = Field(min_length=1, max_length=MAX_BASES)
    said: Annotated[str, Field(min_length=1, max_length=MAX_QUERY)]
    """The question of a new exercise, or what the learner says to the one that is open."""
    state: dict[str, Any] = Field(default={})
    """What the last lesson had; empty to begin."""


class FeedbackBody(Body):
    """A thumb up or down, on an answer or on a passage."""

    bases: list[BaseName] = Field(min_length=1, max_length=MAX_BASES)
    vote: Literal["up", "down"]
    answer: Short = ""
    """The answer's id, where the passage was found for one."""
    chunk: Short = ""
    """The passage's id; empty, the vote is on the answer as a whole."""
    question: Annotated[str, Field(max_length=MAX_QUERY)] = ""
    text: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    """The answer or the passage as it was shown."""
    comment: Annotated[str, Field(max_length=2000)] = ""
