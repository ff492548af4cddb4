"""The requests of the OpenAI API.

A field that would change the answer and that the engine does not honour is refused, by its type
here or as unknown, and never ignored. A null means the same as leaving the field out.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from qingtan.chat import SamplingOptions
from qingtan.engine.sampling import MAX_STOP_STRINGS

MAX_BODY_BYTES = 8 * 1024**2
MAX_MESSAGES = 2048
MAX_TOOLS = 128
MAX_STOP_LENGTH = 256
_INT64 = 2**63


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if value is not None}
        return values


class TextPart(_Body):
    """A part of a message's content; other kinds than text are not supported."""

    type: Literal["text"]
    text: str


class CalledFunction(_Body):
    """What a call in an earlier answer called."""

    name: str = Field(min_length=1, max_length=64)
    arguments: str
    """A JSON object."""


class ToolCallMessage(_Body):
    """A call in an earlier answer."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class ChatMessage(_Body):
    """One message of a conversation."""

    # What clients send back with an answer that they received, such as "refusal", means nothing
    # to the model.
    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[
        list[TextPart], BeforeValidator(_as_parts, json_schema_input_type=str | list[TextPart])
    ] = []
    tool_calls: list[ToolCallMessage] = Field(default=[], max_length=MAX_TOOLS)


class ToolFunction(_Body):
    """A function's name, description and JSON schema, which the model is shown as they are."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1, max_length=64)


class Tool(_Body):
    """A function that the model may call."""

    type: Literal["function"]
    function: ToolFunction


class StreamOptions(_Body):
    """Options of a streamed answer."""

    include_usage: bool = False
    """Send the tokens used in a last chunk."""


class TextFormat(_Body):
    """The form of the answer."""

    type: Literal["text"]


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)]


class _GenerationBody(_Body):
    """What both kinds of request have."""

    model: str
    max_tokens: int | None = Field(default=None, ge=1)
    """The most tokens to generate; by default what is left of the context."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, ge=0.1, le=10)
    seed: int | None = Field(default=None, ge=-_INT64, lt=_INT64)
    stop: Annotated[
        list[StopString],
        BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
    ] = Field(default=[], max_length=MAX_STOP_STRINGS)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    n: Literal[1] = 1
    logit_bias: dict[str, float] = Field(default={}, max_length=0)
    user: str = ""
    """Accepted, and without effect."""

    def sampling(self) -> SamplingOptions:
        """Return the options of the generation."""
        return {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "repetition_penalty": self.repetition_penalty,
            "seed": self.seed,
            "stop": self.stop,
        }


class ChatBody(_GenerationBody):
    """The body of /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    tools: list[Tool] = Field(default=[], max_length=MAX_TOOLS)
    tool_choice: Literal["auto", "none"] = "auto"
    parallel_tool_calls: bool = True
    """An answer holds one call at most, whatever this says."""
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """The newer name of max_tokens."""
    logprobs: Literal[False] = False
    response_format: TextFormat = TextFormat(type="text")
    modalities: list[Literal["text"]] = Field(default=["text"], max_length=1)
    metadata: dict[str, str] = {}
    """Accepted, and without effect."""
    store: Literal[False] = False

    def sampling(self) -> SamplingOptions:
        """Return the options of the generation."""
        return super().sampling() | {"max_tokens": self.max_completion_tokens or self.max_tokens}

    def conversation(self) -> list[dict[str, Any]]:
        """Return the messages as `glm.conversation` takes them."""
        return [message.model_dump() for message in self.messages]

    def offered_tools(self) -> list[dict[str, Any]] | None:
        """Return the tools that the model is to know of."""
        offered = self.tools if self.tool_choice == "auto" else []
        return [tool.model_dump() for tool in offered] or None


def _as_text(prompt: Any) -> Any:
    return prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt


class CompletionBody(_GenerationBody):
    """The body of /v1/completions."""

    prompt: Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | list[str])]
    """One text, alone or as a list of one."""
    suffix: str = ""
    """The text after the blank that follows the prompt, for a model that was trained with blanks;
    empty, the prompt is continued."""
    echo: Literal[False] = False
    best_of: Literal[1] = 1
