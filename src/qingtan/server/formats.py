"""The forms that an answer may be asked to have: OpenAI's response_format, structured_outputs.

structured_outputs is vLLM's since 0.12, where it took the place of guided_json and its like
(https://docs.vllm.ai/en/latest/features/structured_outputs/).
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from qingtan.engine.grammar import Grammar
from qingtan.errors import UserError
from qingtan.server.body import Body
from qingtan.server.errors import ApiError

MAX_TEXTS = 1024
# The rule that every grammar of llama.cpp's notation has; in Lark it is `start`.
_GBNF_ROOT = re.compile(r"^\s*root\s*::=", re.MULTILINE)


@dataclass(frozen=True)
class Constraint:
    """A form, not yet looked into.

    Attributes:
        field: the request's field that it comes from.
        kind, source: see `Grammar`.
    """

    field: str
    kind: Literal["json_object", "json_schema", "regex", "choice", "grammar"]
    source: Any = None

    def grammar(self) -> Grammar:
        """Return it as the engine takes it; this may take a while.

        Raises:
            UserError: it is wrong; the message begins with its kind.
        """
        if self.kind == "json_object":
            return Grammar.json_object()
        if self.kind == "grammar":
            make = Grammar.gbnf if _GBNF_ROOT.search(self.source) else Grammar.lark
            return make(self.source)
        makers = {
            "json_schema": Grammar.json_schema,
            "regex": Grammar.regex,
            "choice": Grammar.choice,
        }
        return makers[self.kind](self.source)

    def explain(self, error: UserError) -> Exception:
        """Return what to answer when an error is this form's fault: one that names its field."""
        kind, colon, reason = str(error).partition(": ")
        kinds = ("lark", "gbnf") if self.kind == "grammar" else (self.kind,)
        if not colon or kind not in (*kinds, "grammar"):
            return error
        message = f"{self.field}: {reason}"
        return ApiError(400, message, param=self.field, code="invalid_value")


def _is_schema(value: Any) -> Any:
    if not isinstance(value, dict | str):
        raise PydanticCustomError("schema", "give a JSON schema, as an object or as text")
    return value


class JsonSchema(Body):
    """A JSON schema that the answer keeps to, whether `strict` or not."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str = ""
    """Accepted, and without effect: tell the model in a message."""
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool = True


class ResponseFormat(Body):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _check_schema(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            message = 'json_schema goes with the type "json_schema", and with no other'
            raise PydanticCustomError("response_format", message)
        return self

    def constraint(self) -> Constraint | None:
        """Return the form; None for any text."""
        if self.json_schema is not None:
            field = "response_format.json_schema.schema"
            return Constraint(field, "json_schema", self.json_schema.schema_)
        if self.type == "json_object":
            return Constraint("response_format", "json_object")
        return None


class StructuredOutputs(Body):
    """The form of the answer, in one of these ways."""

    json_: Annotated[Any, AfterValidator(_is_schema)] = Field(default=None, alias="json")
    """A JSON schema, as an object or as text."""
    json_object: Literal[True] | None = None
    """Any JSON object."""
    regex: str | None = None
    """A pattern for the whole text, in the syntax of Rust's regex crate."""
    choice: list[str] | None = Field(default=None, min_length=1, max_length=MAX_TEXTS)
    """One of these texts."""
    grammar: str | None = None
    """A grammar: of llama.cpp's kind with a rule `root ::=`, else Lark with a rule `start:`."""

    @model_validator(mode="after")
    def _check_one(self) -> "StructuredOutputs":
        if len(self.model_fields_set) != 1:
            message = "give exactly one of json, json_object, regex, choice, grammar"
            raise PydanticCustomError("structured_outputs", message)
        return self

    def constraint(self) -> Constraint:
        """Return the form."""
        if self.json_ is not None:
            return Constraint("structured_outputs.json", "json_schema", self.json_)
        if self.json_object is not None:
            return Constraint("structured_outputs.json_object", "json_object")
        if self.regex is not None:
            return Constraint("structured_outputs.regex", "regex", self.regex)
        if self.choice is not None:
            return Constraint("structured_outputs.choice", "choice", self.choice)
        return Constraint("structured_outputs.grammar", "grammar", self.grammar)
