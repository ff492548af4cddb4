"""The requests for texts: chat and completions."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from qingtan.chat import Options
from qingtan.engine.sampling import MAX_BIAS, MAX_LOGPROBS, MAX_NGRAM, MAX_STOP_STRINGS
from qingtan.errors import UserError
from qingtan.server.body import MAX_USER_LENGTH, Body, as_list
from qingtan.server.formats import Constraint, ResponseFormat, StructuredOutputs

MAX_BODY_BYTES = 8 * 1024**2
MAX_MESSAGES = 2048
MAX_TOOLS = 128
MAX_STOP_LENGTH = 256
MAX_CHOICES = 16
MAX_BIASES = 1024
_INT64 = 2**63
_T = TypeVar("_T")


class TextPart(Body):
    """A part of a message's content; other kinds than text are not supported."""

    type: Literal["text"]
    text: str


class CalledFunction(Body):
    """What a call in an earlier answer called."""

    name: str = Field(min_length=1, max_length=64)
    arguments: str
    """A JSON object."""


class ToolCallMessage(Body):
    """A call in an earlier answer."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class ChatMessage(Body):
    """One message of a conversation."""

    # What clients send back with an answer that they received, such as "refusal", means nothing
    # to the model.
    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[
        list[TextPart], BeforeValidator(_as_parts, json_schema_input_type=str | list[TextPart])
    ] = Field(default=[])
    tool_calls: list[ToolCallMessage] = Field(default=[], max_length=MAX_TOOLS)


class ToolFunction(Body):
    """A function's name, description and JSON schema, which the model is shown as they are."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1, max_length=64)


class Tool(Body):
    """A function that the model may call."""

    type: Literal["function"]
    function: ToolFunction


class StreamOptions(Body):
    """Options of a streamed answer."""

    include_usage: bool = False
    """Send the tokens used in a last chunk."""


StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)]
TokenId = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})$")]
Bias = Annotated[float, Field(ge=-MAX_BIAS, le=MAX_BIAS)]


class GenerationBody(Body, ABC):
    """What both kinds of request have."""

    model: str
    max_tokens: int | None = Field(default=None, ge=1)
    """The most tokens to generate; by default what is left of the context."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    min_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, ge=0.1, le=10)
    no_repeat_ngram_size: int | None = Field(default=None, ge=0, le=MAX_NGRAM)
    """No run of so many tokens stands in the answer twice; the prompt does not count."""
    seed: int | None = Field(default=None, ge=-_INT64, lt=_INT64)
    stop: Annotated[
        list[StopString],
        BeforeValidator(as_list, json_schema_input_type=str | list[str]),
    ] = Field(default=[], max_length=MAX_STOP_STRINGS)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    n: int = Field(default=1, ge=1, le=MAX_CHOICES)
    """How many answers; the one of index i has the seed `seed` + i."""
    logit_bias: dict[TokenId, Bias] = Field(default={}, max_length=MAX_BIASES)
    """What is added to the logits of tokens, by their ids."""
    structured_outputs: StructuredOutputs | None = None
    priority: int = Field(default=0, ge=-_INT64, lt=_INT64)
    """Of two requests that of the lower priority goes first, whoever asks."""
    user: str = Field(default="", max_length=MAX_USER_LENGTH)
    """Whose request it is: the engine divides its time evenly among users."""

    def options(self) -> Options:
        """Return the options of the generation, but for the adapter and the grammar."""
        return {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "repetition_penalty": self.repetition_penalty,
            "no_repeat_ngram_size": self.no_repeat_ngram_size,
            "logit_bias": {int(token): bias for token, bias in self.logit_bias.items()},
            "logprobs": self.reported(),
            "seed": self.seed,
            "stop": self.stop,
            "key": self.user,
            "priority": self.priority,
        }

    @abstractmethod
    def reported(self) -> int | None:
        """Return how many likeliest tokens are reported for each; None to report nothing."""

    def constraint(self) -> Constraint | None:
        """Return the form that the answer is to have."""
        asked = self.structured_outputs
        return None if asked is None else asked.constraint()

    def start(self, begin: Callable[[Options], _T]) -> _T:
        """Call `begin` with the options, the grammar among them; this may take a while.

        Raises:
            ApiError: the form of the answer is wrong; the error names its field.
            Exception: what `begin` raises.
        """
        constraint = self.constraint()
        if constraint is None:
            return begin(self.options())
        try:
            return begin(self.options() | {"grammar": constraint.grammar()})
        except UserError as error:
            raise constraint.explain(error) from None


class ChatBody(GenerationBody):
    """The body of /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    tools: list[Tool] = Field(default=[], max_length=MAX_TOOLS)
    tool_choice: Literal["auto", "none"] = "auto"
    parallel_tool_calls: bool = True
    """An answer holds one call at most, whatever this says."""
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """The newer name of max_tokens."""
    logprobs: bool = False
    """Report how likely the model, at temperature 1, found each token of the answer."""
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)
    """How many of the likeliest tokens to report beside each; needs `logprobs`."""
    response_format: ResponseFormat = ResponseFormat(type="text")
    modalities: list[Literal["text"]] = Field(default=["text"], max_length=1)
    metadata: dict[str, str] = Field(default={})
    """Accepted, and without effect."""
    store: Literal[False] = False

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise _conflict("top_logprobs", "say also logprobs: true")
        if self.structured_outputs and self.response_format.constraint():
            raise _conflict("structured_outputs", "response_format asks for a form already")
        constraint = self.constraint()
        if constraint and self.offered_tools():
            message = 'it leaves no room for calls; leave out tools, or say tool_choice: "none"'
            raise _conflict(constraint.field, message)
        return self

    def options(self) -> Options:
        """See `GenerationBody`."""
        return super().options() | {"max_tokens": self.max_completion_tokens or self.max_tokens}

    def reported(self) -> int | None:
        """See `GenerationBody`."""
        return (self.top_logprobs or 0) if self.logprobs else None

    def constraint(self) -> Constraint | None:
        """See `GenerationBody`."""
        return super().constraint() or self.response_format.constraint()

    def conversation(self) -> list[dict[str, Any]]:
        """Return the messages as `glm.conversation` takes them."""
        return [message.model_dump() for message in self.messages]

    def offered_tools(self) -> list[dict[str, Any]] | None:
        """Return the tools that the model is to know of."""
        offered = self.tools if self.tool_choice == "auto" else []
        return [tool.model_dump() for tool in offered] or None


def _as_text(prompt: Any) -> Any:
    return prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt


class CompletionBody(GenerationBody):
    """The body of /v1/completions."""

    prompt: Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | list[str])]
    """One text, alone or as a list of one."""
    suffix: str = ""
    """The text after the blank that follows the prompt, for a model that was trained with blanks;
    empty, the prompt is continued."""
    echo: Literal[False] = False
    best_of: Literal[1] = 1
    logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)
    """Report how likely the model, at temperature 1, found each token, and so many others."""

    def reported(self) -> int | None:
        """See `GenerationBody`."""
        return self.logprobs


def _conflict(field: str, message: str) -> PydanticCustomError:
    """Return an error of a field that does not go with the others; see `errors.to_api_error`."""
    return PydanticCustomError("conflict", "{message}", {"field": field, "message": message})
