"""Grammars: which tokens may come next, so that a text is of the form that was asked for.

llguidance (https://github.com/guidance-ai/llguidance) parses the text as it grows, and says for
each next token whether some text of the grammar goes on with it. `GrammarCompiler.start` gives a
`GrammarState`, which one generation carries along.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from llguidance import LLMatcher, LLParserLimits, grammar_from, regex_to_lark
from llguidance.numpy import fill_next_token_bitmask
from numpy.typing import NDArray

from qingtan.engine.vocabulary import Vocabulary, is_set, mask_words, tokens_of
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer

Kind = Literal["json_object", "json_schema", "regex", "choice", "lark", "gbnf"]
# What stands before the text that the grammar describes: nothing ("continuation"); the space that
# the tokenizer puts before a text ("text"); that after the line of metadata ("answer").
Opening = Literal["continuation", "text", "answer"]

MAX_SOURCE_BYTES = 64 * 1024
# A hostile grammar shall fail, not fill the memory or hold up the others' steps. Against
# llguidance's defaults: a fifth of the work of compiling, half of a step's, and 20,000 states of
# the lexer at about 2 kB instead of 250,000.
_LIMITS = LLParserLimits(
    max_items_in_row=2000,
    initial_lexer_fuel=200_000,
    step_lexer_fuel=100_000,
    step_max_items=20_000,
    max_lexer_states=20_000,
    max_grammar_size=200_000,
    verbose_errors=False,
)
# llguidance compiles recursively, and a stack that overflows ends the process. Each level takes at
# most 20 kB and some bytes of the source; thousands of levels are past a thread's usual 8 MB.
# What is never reached is never taken from the system.
_STACK_BYTES = 256 * 1024 * 1024
_stack_size = threading.Lock()
# Between two parts of JSON: a space, or a line break and a short indentation. Without a bound a
# weak model may write white space for ever, and with a high one it does so for long.
_JSON_STYLE = {"whitespace_pattern": r"\x20|\x0A\x20{0,8}"}
_LARK_LITERALS = re.compile(
    r'"(?:\\.|[^"\\])*+(?:"|\Z)|/(?!/)(?:\\.|[^/\\])*+(?:/|\Z)|(?://|#)[^\n]*', re.DOTALL
)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Grammar:
    """The form that a text is to have.

    Attributes:
        kind: what `source` is.
        source: of "json_object" nothing; of "json_schema" the schema as JSON; of "regex" a
            pattern in the syntax of Rust's regex crate, for the whole text; of "choice" the
            choices as a JSON list; of "lark" a grammar in llguidance's variant of Lark, whose
            text the rule `start` describes; of "gbnf" one of llama.cpp's kind, from the rule
            `root`.

    Raises:
        UserError: the source is too long or not of its kind. What only compiling can show is
            raised by `GrammarCompiler.start`.
    """

    kind: Kind
    source: str = ""

    def __post_init__(self) -> None:
        try:
            size = len(self.source.encode())
        except UnicodeEncodeError:
            raise UserError(f"{self.kind}: half a surrogate pair is no text") from None
        if size > MAX_SOURCE_BYTES:
            raise UserError(f"{self.kind}: {size} bytes; at most {MAX_SOURCE_BYTES} are allowed")
        if not self.source and self.kind != "json_object":
            raise UserError(f"{self.kind}: it is empty")
        self._document()

    @classmethod
    def json_object(cls) -> "Grammar":
        """Any JSON object."""
        return cls("json_object")

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | bool | str) -> "Grammar":
        """JSON by a schema (draft 2020-12), given as an object or as JSON.

        Properties come in the schema's order. A schema that llguidance does not support in full,
        or that refers to another file, is refused. Whole numbers beyond 2^53 are rounded, as JSON's
        readers may do (RFC 8259, section 6).
        """
        return cls("json_schema", schema if isinstance(schema, str) else _dump(schema))

    @classmethod
    def regex(cls, pattern: str) -> "Grammar":
        """A text that the whole pattern matches; there is no looking around."""
        return cls("regex", pattern)

    @classmethod
    def choice(cls, choices: Iterable[str]) -> "Grammar":
        """One of these texts."""
        return cls("choice", _dump(list(choices)))

    @classmethod
    def lark(cls, text: str) -> "Grammar":
        """A text of a Lark grammar."""
        return cls("lark", text)

    @classmethod
    def gbnf(cls, text: str) -> "Grammar":
        """A text of a grammar in llama.cpp's notation."""
        return cls("gbnf", text)

    def _document(self) -> dict[str, Any]:
        """Return the grammar in llguidance's JSON (parser/src/api.rs there, GrammarWithLexer)."""
        if self.kind in ("json_object", "json_schema"):
            return {"json_schema": self._schema()}
        if self.kind == "regex":
            return {"lark_grammar": f"start: /{regex_to_lark(self.source, '')}/"}
        if self.kind == "choice":
            return {"lark_grammar": "start: CHOICE\nCHOICE: " + " | ".join(self._choices())}
        if self.kind not in ("lark", "gbnf"):
            raise UserError(f"kind: {self.kind!r} is no kind of grammar")
        return {"lark_grammar": self._lark()}

    def _schema(self) -> dict[str, Any]:
        schema = self._parse() if self.source else {"type": "object"}
        schema = {} if schema is True else schema
        style = schema.get("x-guidance", {}) if isinstance(schema, dict) else None
        if not isinstance(schema, dict) or not isinstance(style, dict):
            raise UserError(f"{self.kind}: the schema, and x-guidance in it, must be objects")
        return {**schema, "x-guidance": {**_JSON_STYLE, **style}}

    def _choices(self) -> list[str]:
        choices = self._parse()
        if not isinstance(choices, list) or not all(isinstance(c, str) for c in choices):
            raise UserError("choice: give a list of strings")
        if not any(choices):
            raise UserError("choice: give at least one text to choose")
        return [json.dumps(choice) for choice in choices]

    def _lark(self) -> str:
        if self.kind == "gbnf":
            try:
                return grammar_from("gbnf", self.source)
            except ValueError as error:
                raise UserError(f"gbnf: {_shorten(str(error))}") from None
        token = re.search(r"<[^<>\s]+>", _LARK_LITERALS.sub('""', self.source))
        if token:
            raise UserError(f"lark: {token[0]} is a token, which no text can contain; use strings")
        return self.source

    def _parse(self) -> Any:
        try:
            return json.loads(self.source)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.kind}: not JSON: {error}") from None


class GrammarCompiler:
    """Makes grammars ready for generating with one tokenizer; from any thread.

    The tokenizer's vocabulary is prepared with the first grammar (about a second for ChatGLM3's),
    and only once.

    Args:
        tokenizer: whose tokens are generated.
        stop_ids: the tokens that end a text, where `start` is not given others.

    Attributes:
        words: the length of a mask, ceil(tokenizer.vocab_size / 32).
    """

    def __init__(self, tokenizer: GLMTokenizer, stop_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = tuple(stop_ids)
        self.words = mask_words(tokenizer)

    def start(
        self,
        grammar: Grammar,
        opening: Opening = "continuation",
        stop_ids: Sequence[int] | None = None,
    ) -> "GrammarState":
        """Compile a grammar; this may take seconds for a hostile one, else milliseconds.

        Args:
            opening: where the text stands. An "answer" opens with the tokens of the empty line of
                metadata (`GLMTokenizer.newline`). Then, and in a "text" after no other, there may
                be the space that the tokenizer puts before a text. It must be there when the
                grammar's texts may begin with a space themselves. So the text that the grammar
                describes is exactly what is left when the line break and one space are taken
                away; `StreamDecoder` takes away the space at the start of a text.
            stop_ids: the tokens that end this text; by default the compiler's.

        Raises:
            UserError: the grammar is wrong, not supported or too complex, or no text is of it.
        """
        vocabulary = self._vocabulary
        ends = self._stop_ids if stop_ids is None else stop_ids
        end = vocabulary.bits(i for i in ends if 0 <= i < self._tokenizer.vocab_size)
        document = {**grammar._document(), "name": "text"}
        state = GrammarState(self._compile(grammar, document), grammar.kind, vocabulary, end)
        first = self._try_out(state)
        if opening == "continuation":
            return state
        rules = self._opening_rules(opening, bool((first & vocabulary.spaced).any()))
        opened = self._compile(grammar, {"lark_grammar": rules}, document)
        return GrammarState(opened, grammar.kind, vocabulary, end)

    def _opening_rules(self, opening: Opening, space_needed: bool) -> str:
        newline = b"".join(map(self._tokenizer.token_bytes, self._tokenizer.newline)).decode()
        metadata = json.dumps(newline) if opening == "answer" else ""
        return f'start: {metadata} {"SPACE" if space_needed else "SPACE?"} @text\nSPACE: " "'

    def _try_out(self, state: "GrammarState") -> NDArray[np.int32]:
        """Take a step and take it back, which not every Lark grammar allows; return its mask."""
        row = np.empty(self.words, np.int32)
        state.mask(row)
        drafts = tokens_of(row & self._vocabulary.text)[:1]
        state.fork().masks(drafts, np.empty((len(drafts) + 1, self.words), np.int32))
        return row

    def _compile(self, grammar: Grammar, *documents: Mapping[str, Any]) -> LLMatcher:
        text, vocabulary = _dump({"grammars": documents}), self._vocabulary
        matcher = _on_deep_stack(
            lambda: LLMatcher(vocabulary.tokenizer, text, log_level=0, limits=_LIMITS)
        )
        _check(matcher, grammar.kind)
        return matcher

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._tokenizer)


class GrammarState:
    """How far one text of a grammar has come; of one thread at a time. See `GrammarCompiler`."""

    def __init__(
        self, matcher: LLMatcher, kind: Kind, vocabulary: Vocabulary, end: NDArray[np.int32]
    ) -> None:
        self._matcher = matcher
        self._kind = kind
        self._vocabulary = vocabulary
        self._end = end
        self._ended = False

    @property
    def finished(self) -> bool:
        """Whether the text is complete and cannot go on, as the tokens accepted so far show."""
        return self._ended or self._matcher.is_stopped()

    def mask(self, row: NDArray[np.int32]) -> None:
        """Write which tokens may come next.

        Where the text is certain, that is the one token that the tokenizer writes it with.

        Args:
            row: int32 (words), contiguous. Bit i % 32 of word i // 32 becomes 1 where token i is
                allowed. Tokens that end the text are where it is complete.

        Raises:
            UserError: the grammar is too complex to go on, or leads to where no text goes on.
        """
        row[:] = 0
        if not self._ended:
            fill_next_token_bitmask(self._matcher, row[None])
            _check(self._matcher, self._kind)
            # Lark grammars might name special tokens by number; they are no text.
            row &= self._vocabulary.text
        if self._complete:
            row |= self._end
        elif not row.any():
            raise UserError(f"{self._kind}: the grammar leaves no token that could come next")

    def masks(self, drafts: Sequence[int], rows: NDArray[np.int32]) -> int:
        """Write which tokens may come after each beginning of a draft; the state stays as it is.

        Args:
            drafts: tokens that might come next.
            rows: int32 (len(drafts) + 1, words), contiguous; row i is for the token after the
                first i drafts.

        Returns:
            How many rows were written: up to the first draft that is not allowed or that ends the
            text. The others stay what they were.

        Raises:
            UserError: see `mask`; then the text cannot go on.
        """
        self.mask(rows[0])
        taken = 0
        if not self._ended:
            for draft, row in zip(drafts, rows[1:], strict=True):
                if not self._take(draft):
                    break
                taken += 1
                self.mask(row)
        if taken and not self._matcher.rollback(taken):
            _check(self._matcher, self._kind)
        return taken + 1

    def accept(self, tokens: Sequence[int]) -> None:
        """Go on by these tokens.

        Raises:
            ValueError: a token is not allowed there; those before it are accepted.
        """
        for token in tokens:
            if self._is_end(token) and self._complete:
                self._ended = True
            elif self._ended or not self._take(token):
                raise ValueError(f"token {token} is not allowed by the grammar")

    def forced(self) -> list[int]:
        """Return the next tokens where the text leaves no choice, as drafts; perhaps none."""
        if self.finished:
            return []
        tokens = self._matcher.compute_ff_tokens()
        textual = self._vocabulary.is_text
        stop = next((i for i, token in enumerate(tokens) if not textual(token)), len(tokens))
        return tokens[:stop]

    def fork(self) -> "GrammarState":
        """Return a state that goes on from here on its own, on the same thread."""
        copy = GrammarState(self._matcher.deep_copy(), self._kind, self._vocabulary, self._end)
        copy._ended = self._ended
        return copy

    @property
    def _complete(self) -> bool:
        return self._ended or self._matcher.is_stopped() or self._matcher.is_accepting()

    def _is_end(self, token: int) -> bool:
        return is_set(self._end, token)

    def _take(self, token: int) -> bool:
        return self._vocabulary.is_text(token) and self._matcher.try_consume_tokens([token]) == 1


def _on_deep_stack(function: Callable[[], _T]) -> _T:
    with ThreadPoolExecutor(1) as pool:
        with _stack_size:
            usual = threading.stack_size(_STACK_BYTES)
            future = pool.submit(function)  # the thread starts here
            threading.stack_size(usual)
        return future.result()


def _check(matcher: LLMatcher, kind: Kind) -> None:
    if matcher.is_error():
        message = _shorten(matcher.get_error())
        # llguidance's name for a grammar that no token goes on with, nor the end.
        dead = message == "NoExtensionBias"
        raise UserError(f"{kind}: {'the grammar leads nowhere' if dead else message}")


def _shorten(message: str) -> str:
    """Return llguidance's message without the state and backtraces that follow it."""
    message = message.partition("\n<")[0].strip()
    return message if len(message) <= 500 else message[:500] + "…"


def _dump(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"grammar: it cannot be written as JSON: {error}") from None
