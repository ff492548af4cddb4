import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.engine.grammar import (
    MAX_SOURCE_BYTES,
    Grammar,
    GrammarCompiler,
    GrammarState,
    Opening,
)
from qingtan.engine.text import TextStream
from qingtan.errors import UserError
from qingtan.glm.conversation import stop_ids
from qingtan.glm.tokenizer import SPECIAL_TOKENS, TOKENIZER_FILE, GLMTokenizer

ROOT = Path(__file__).parents[2]
VOCABULARIES = {
    "qingtan": ROOT / "models" / "qingtan" / TOKENIZER_FILE,
    "chatglm3": ROOT.parent / "shared" / "golden" / "chatglm3_tokenizer.model",
}
OPENINGS: tuple[Opening, ...] = ("continuation", "text", "answer")
PERSON = {
    "type": "object",
    "properties": {
        "姓名": {"type": "string", "minLength": 1, "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["诗", "prose", None, 3.5]}, "maxItems": 3},
    },
    "required": ["姓名", "age"],
    "additionalProperties": False,
}
PATTERNS = [
    r"[一-龥]{2,5}，[一-龥]{2,5}。",
    r"[0-9]{4}-(0[1-9]|1[0-2])-[0-3][0-9]",
    r'\s{0,2}(a/b|"c"|\\){1,3}\n?',
    r" ?(🙂|e\u0301|ab ){0,3}x",
]
CHOICES = ["苹果", "苹果派", " 苹果", "a▁b", '🙂\n"x"', "<|user|>", "apple pie"]


@pytest.fixture(scope="module", params=sorted(VOCABULARIES))
def tokenizer(request: pytest.FixtureRequest) -> GLMTokenizer:
    path = VOCABULARIES[request.param]
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return GLMTokenizer.from_file(path)


@pytest.fixture(scope="module")
def compiler(tokenizer: GLMTokenizer) -> GrammarCompiler:
    return GrammarCompiler(tokenizer, stop_ids(tokenizer))


@pytest.fixture(scope="module")
def tiny(tiny_tokenizer: GLMTokenizer) -> GrammarCompiler:
    return GrammarCompiler(tiny_tokenizer, stop_ids(tiny_tokenizer))


def allowed(state: GrammarState, words: int) -> list[int]:
    row = np.full(words, -1, np.int32)
    state.mask(row)
    return unpack(row)


def unpack(row: np.ndarray) -> list[int]:
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()


def walk(
    state: GrammarState, words: int, ends: tuple[int, ...], rng: np.random.Generator
) -> Iterator[int]:
    """Go on by random tokens until the text ends; yield them, but for the end."""
    for _ in range(300):
        if state.finished:
            return
        tokens = allowed(state, words)
        # All ways to end are there or none is.
        assert set(tokens).isdisjoint(ends) or set(ends) <= set(tokens)
        token = ends[0] if ends[0] in tokens and rng.random() < 0.2 else int(rng.choice(tokens))
        state.accept([token])
        if token in ends:
            assert state.finished
            return
        yield token
    raise AssertionError("the text does not end")


def shown(tokenizer: GLMTokenizer, tokens: list[int], opening: Opening) -> str:
    """Return the text as a client gets it."""
    before = [*tokenizer.prefix, tokenizer.special_id("<|assistant|>")]
    if opening == "continuation":
        before = [*tokenizer.prefix, *tokenizer.encode("次の")]
    stream = TextStream(tokenizer, before)
    text = "".join([*map(stream.feed, tokens), stream.finish()])
    if opening != "answer":
        return text
    assert text.startswith("\n")
    return text.removeprefix("\n").removeprefix(" ")


def write(
    compiler: GrammarCompiler,
    tokenizer: GLMTokenizer,
    grammar: Grammar,
    opening: Opening = "continuation",
    seed: int = 0,
) -> str:
    return next(write_some(compiler, tokenizer, grammar, opening, [seed]))


def write_some(
    compiler: GrammarCompiler,
    tokenizer: GLMTokenizer,
    grammar: Grammar,
    opening: Opening,
    seeds: Iterable[int],
) -> Iterator[str]:
    state = compiler.start(grammar, opening)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        tokens = list(walk(state.fork(), compiler.words, stop_ids(tokenizer), rng))
        assert all(tokenizer.token_bytes(token) for token in tokens)
        yield shown(tokenizer, tokens, opening)


@pytest.mark.parametrize("opening", OPENINGS)
def test_whatever_is_written_is_of_the_schema(
    compiler: GrammarCompiler, tokenizer: GLMTokenizer, opening: Opening
) -> None:
    grammar = Grammar.json_schema(PERSON)
    for text in write_some(compiler, tokenizer, grammar, opening, range(10)):
        jsonschema.validate(json.loads(text), PERSON)
        assert text[0] == "{"
        assert text[-1] == "}"


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_pattern_matches_whatever_is_written(
    compiler: GrammarCompiler, tokenizer: GLMTokenizer, pattern: str, opening: Opening
) -> None:
    for text in write_some(compiler, tokenizer, Grammar.regex(pattern), opening, range(5)):
        assert re.fullmatch(pattern, text), text


@pytest.mark.parametrize("opening", OPENINGS)
def test_each_choice_is_written_and_nothing_else(
    compiler: GrammarCompiler, tokenizer: GLMTokenizer, opening: Opening
) -> None:
    grammar = Grammar.choice(CHOICES)
    assert set(write_some(compiler, tokenizer, grammar, opening, range(300))) == set(CHOICES)


def test_an_object_is_any_json_object(tokenizer: GLMTokenizer, compiler: GrammarCompiler) -> None:
    state = compiler.start(Grammar.json_object())
    for text in ('{"a": [1, {"你": null}],\n    "b": "\\n\\u0000"', "}"):
        assert not state.finished
        state.accept(tokenizer.encode("\n" + text)[len(tokenizer.newline) :])
    assert state.finished
    assert allowed(state, compiler.words) == sorted(stop_ids(tokenizer))


@pytest.mark.parametrize(
    "grammar",
    [
        Grammar.lark('start: "(" start ")" | WORD\nWORD: /[a-z]{1,3}/  // <no token>'),
        Grammar.gbnf('root ::= "(" root ")" | [a-z]{1,3}'),
    ],
)
def test_brackets_of_a_grammar_are_closed(
    compiler: GrammarCompiler, tokenizer: GLMTokenizer, grammar: Grammar
) -> None:
    for text in write_some(compiler, tokenizer, grammar, "answer", range(10)):
        depth = text.count("(")
        assert re.fullmatch(rf"\({{{depth}}}[a-z]{{1,3}}\){{{depth}}}", text), text


# JSON's readers, llguidance among them, know no more digits (RFC 8259, section 6).
EXACT = st.integers(-(2**53) + 1, 2**53 - 1)
SCALARS = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": ["null", "boolean"]}),
    st.builds(
        lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size},
        st.integers(-200, 200),
        st.integers(0, 200),
    ),
    st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 4)),
    st.builds(
        lambda values: {"enum": values},
        st.lists(st.one_of(st.text(max_size=3), EXACT, st.none()), min_size=1, max_size=3),
    ),
)
NAMES = st.text('ab年"\\ ', min_size=1, max_size=3)
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(
            lambda item, n: {"type": "array", "items": item, "maxItems": n},
            inner,
            st.integers(0, 2),
        ),
        st.builds(
            lambda members, needed: {
                "type": "object",
                "properties": members,
                "required": [name for name in members if name in needed],
                "additionalProperties": False,
            },
            st.dictionaries(NAMES, inner, max_size=2),
            st.sets(NAMES),
        ),
    ),
    max_leaves=3,
)


@settings(max_examples=60)
@given(schema=SCHEMAS, seed=st.integers(0, 2**32))
def test_any_small_schema_is_kept_to(
    tiny: GrammarCompiler, tiny_tokenizer: GLMTokenizer, schema: dict[str, object], seed: int
) -> None:
    text = write(tiny, tiny_tokenizer, Grammar.json_schema(schema), "answer", seed)
    jsonschema.validate(json.loads(text), schema)


@settings(max_examples=60)
@given(
    choices=st.sets(st.text("ab你🙂 ", min_size=1, max_size=5), min_size=1, max_size=5),
    seed=st.integers(0, 2**32),
)
def test_a_mask_holds_the_tokens_that_lead_to_a_choice(
    tiny: GrammarCompiler, tiny_tokenizer: GLMTokenizer, choices: set[str], seed: int
) -> None:
    ends = set(stop_ids(tiny_tokenizer))
    wanted = [choice.encode() for choice in choices]
    pieces = [tiny_tokenizer.token_bytes(i) for i in range(tiny_tokenizer.vocab_size)]
    state, rng, written = tiny.start(Grammar.choice(choices)), np.random.default_rng(seed), b""
    while True:
        tokens = set(allowed(state, tiny.words))
        possible = {
            i
            for i, piece in enumerate(pieces)
            if piece and any(choice.startswith(written + piece) for choice in wanted)
        } | (ends if written in wanted else set())
        rest = [c[len(written) :] for c in wanted if c.startswith(written)]
        if len({after[:1] for after in rest}) == 1 and rest[0]:
            # The text goes on with a certain byte; then only the tokenizer's own tokens may stay.
            assert tokens
            assert tokens <= possible
        else:
            assert tokens == possible
        token = int(rng.choice(sorted(tokens)))
        state.accept([token])
        if token in ends:
            return
        written += pieces[token]


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), wrong_at=st.integers(0, 8), asked_before=st.booleans())
def test_drafts_leave_the_state_as_it_was(
    tiny: GrammarCompiler,
    tiny_tokenizer: GLMTokenizer,
    seed: int,
    wrong_at: int,
    asked_before: bool,
) -> None:
    ends, rng = stop_ids(tiny_tokenizer), np.random.default_rng(seed)
    state = tiny.start(Grammar.json_schema(PERSON), "answer")
    for token in walk(state.fork(), tiny.words, ends, rng):
        state.accept([token])
        if rng.random() < 0.1:
            break
    before = allowed(state.fork(), tiny.words)
    if asked_before:
        assert allowed(state, tiny.words) == before
    drafts = list(walk(state.fork(), tiny.words, ends, rng))[:8] if not state.finished else []
    good = len(drafts)
    if wrong_at < good:
        good, drafts[wrong_at] = wrong_at, tiny_tokenizer.special_id("sop")
    rows = np.full((len(drafts) + 1, tiny.words), 7, np.int32)
    assert state.masks(drafts, rows) == good + 1
    step = state.fork()
    for i in range(good + 1):
        assert unpack(rows[i]) == allowed(step, tiny.words)
        if i < good:
            step.accept([drafts[i]])
    assert (rows[good + 1 :] == 7).all()
    assert allowed(state, tiny.words) == before
    state.accept(drafts[:good])


def test_drafts_stop_at_the_end(tiny: GrammarCompiler, tiny_tokenizer: GLMTokenizer) -> None:
    end, other = stop_ids(tiny_tokenizer)[0], tiny_tokenizer.encode("\na")[-1]
    state = tiny.start(Grammar.regex("a{1,3}"))
    rows = np.zeros((4, tiny.words), np.int32)
    assert state.masks([other, end, other], rows) == 2
    assert end in unpack(rows[1])
    state.accept([other, end])
    assert state.finished
    assert state.masks([other, end, other], rows) == 1
    assert unpack(rows[0]) == sorted(stop_ids(tiny_tokenizer))
    with pytest.raises(ValueError, match="not allowed"):
        state.accept([other])


def test_what_is_certain_is_offered_as_drafts(
    compiler: GrammarCompiler, tokenizer: GLMTokenizer
) -> None:
    schema = {"type": "object", "properties": {"名字": {"const": "清谈模型"}}, "required": ["名字"]}
    state = compiler.start(Grammar.json_schema(schema), "answer")
    assert state.forced()[:2] == tokenizer.newline
    drafts = state.forced()
    assert state.masks(drafts, np.empty((len(drafts) + 1, compiler.words), np.int32)) > len(drafts)
    state.accept(drafts)
    text = "春眠不觉晓，" * 400 + "a▁b" * 300
    state, tokens = compiler.start(Grammar.choice([text])), []
    while not state.finished:
        tokens += state.forced() or [allowed(state, compiler.words)[0]]
        state.accept(tokens[-1:] if not state.forced() else state.forced())
    assert b"".join(map(tokenizer.token_bytes, tokens)).decode() == text
    assert state.forced() == []
    # As the tokenizer itself writes it, as far as it can.
    poem = tokenizer.encode("\n" + "春眠不觉晓，" * 300)[len(tokenizer.newline) :]
    assert tokens[: len(poem) - 8] == poem[:-8]


def test_forks_go_their_own_ways(tiny: GrammarCompiler, tiny_tokenizer: GLMTokenizer) -> None:
    first = tiny.start(Grammar.regex("(ab|cd)x"))
    second = first.fork()
    first.accept(tiny_tokenizer.encode("\nab")[2:])
    second.accept(tiny_tokenizer.encode("\ncdx")[2:])
    assert not first.finished
    assert second.finished
    assert second.fork().finished
    first.accept(tiny_tokenizer.encode("\nx")[2:])
    assert first.finished


@pytest.mark.parametrize("opening", ["text", "answer"])
def test_a_text_may_begin_with_the_tokenizers_space_or_without(
    compiler: GrammarCompiler, tokenizer: GLMTokenizer, opening: Opening
) -> None:
    with_space = tokenizer.encode('{"a": 1}')
    without = tokenizer.encode('\n{"a": 1}')[len(tokenizer.newline) :]
    assert with_space != without
    for tokens in (with_space, without):
        state = compiler.start(Grammar.json_object(), opening)
        if opening == "answer":
            for token in tokenizer.newline:
                assert allowed(state, compiler.words) == [token]
                state.accept([token])
        state.accept(tokens)
        assert state.finished


def test_the_tokens_that_end_a_text_can_be_others(
    tiny: GrammarCompiler, tiny_tokenizer: GLMTokenizer
) -> None:
    end, beyond = tiny_tokenizer.special_id("eop"), tiny_tokenizer.vocab_size
    state = tiny.start(Grammar.regex("a?"), stop_ids=[end, beyond])
    tokens = allowed(state, tiny.words)
    assert end in tokens
    assert not set(tokens) & set(stop_ids(tiny_tokenizer))
    state.accept([end])
    assert state.finished


def test_a_special_token_is_never_text(compiler: GrammarCompiler, tokenizer: GLMTokenizer) -> None:
    special = {tokenizer.special_id(name) for name in SPECIAL_TOKENS}
    state = compiler.start(Grammar.choice([*SPECIAL_TOKENS, "</s>", "<unk>"]))
    assert not set(allowed(state, compiler.words)) & (special | {0, tokenizer.bos_id})
    with pytest.raises(ValueError, match="not allowed"):
        state.accept([tokenizer.special_id("sop")])


# Of 2³⁰ letters, in 30 lines.
DOUBLING = "start: R0\n" + "".join(f"R{i}: R{i + 1} R{i + 1}\n" for i in range(30)) + 'R30: "a"'


@pytest.mark.parametrize(
    ("kind", "source", "message"),
    [
        ("xml", "a", "kind: 'xml'"),
        ("regex", "", "regex: it is empty"),
        ("regex", "a" * (MAX_SOURCE_BYTES + 1), "regex: 65537 bytes"),
        ("regex", "(a", "regex: .*unclosed group"),
        ("regex", "a(?=b)", "regex: .*look-around"),
        ("regex", "\ud800", "regex: half a surrogate pair"),
        ("regex", "((a{1,9}){1,9}|b)*" * 2000, "regex: "),
        ("choice", "[]", "choice: give at least one"),
        ("choice", '[""]', "choice: give at least one"),
        ("choice", '["a", 1]', "choice: give a list of strings"),
        ("choice", '"a"', "choice: give a list of strings"),
        ("json_schema", "{", "json_schema: not JSON"),
        ("json_schema", "[" * 60000, "json_schema: not JSON"),
        ("json_schema", "false", "json_schema: the schema, .* must be objects"),
        ("json_schema", '{"x-guidance": 1}', "json_schema: the schema, and x-guidance"),
        ("json_schema", '{"type": "text"}', "json_schema: Invalid type: text"),
        ("json_schema", '{"$ref": "https://example.org/a.json"}', "json_schema: .*not fetch"),
        ("json_schema", '{"$ref": "file:///etc/hostname"}', "json_schema: .*not fetch"),
        ("json_schema", '{"$ref": "#"}', "json_schema: the grammar leads nowhere"),
        ("json_schema", '{"not": {}}', "json_schema: .*not"),
        ("json_schema", '{"allOf":[' * 100 + "{}" + "]}" * 100, "json_schema: recursion limit"),
        ("lark", "rule: /a/", "lark: no start rule"),
        ("lark", "start: a", "lark: .*unknown name"),
        ("lark", "start: <|user|>", r"lark: <\|user\|> is a token"),
        ("lark", 'start: "a" <[2]>', r"lark: <\[2\]> is a token"),
        ("lark", "start: a\na[max_tokens=3]: /b*/", "lark: rollback not supported"),
        ("lark", "start: " + "(" * 20000 + '"a"' + ")" * 20000, "lark: .*too deeply nested"),
        ("lark", DOUBLING, "lark: .*too big"),
        ("lark", '{"grammars": [{"regex": "a"}]}', "lark: .*expecting rule"),
        ("gbnf", "root ::= (", "gbnf: .*Expected"),
        ("gbnf", "root ::= " + "(" * 30000, "gbnf: "),
    ],
)
def test_what_is_wrong_with_a_grammar_is_said(
    tiny: GrammarCompiler, kind: str, source: str, message: str
) -> None:
    with pytest.raises(UserError, match=re.compile(message, re.DOTALL)) as caught:
        tiny.start(Grammar(kind, source))  # type: ignore[arg-type]
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": {1, 2}}])
def test_a_schema_that_is_no_json_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(UserError, match="cannot be written as JSON"):
        Grammar.json_schema(value)


def chain(length: int, link: str, end: str) -> str:
    return "\n".join([*(link.format(i, i + 1) for i in range(length)), end.format(length)])


@pytest.mark.parametrize(
    ("kind", "source", "good"),
    [
        (
            "json_schema",
            json.dumps(
                {
                    "$defs": {
                        str(i): {"items": {"$ref": f"#/$defs/{i + 1}"}, "type": "array"}
                        for i in range(900)
                    }
                    | {"900": {"type": "null"}},
                    "$ref": "#/$defs/0",
                }
            ),
            "[" * 900 + "null" + "]" * 900,
        ),
        ("lark", "start: r0\n" + chain(4000, "r{}: r{}", 'r{}: "x"'), "x"),
        (
            "lark",
            "start: R0\n" + chain(1000, "R{}: " + "(" * 20 + "R{}" + ")" * 20, 'R{}: "x"'),
            "x",
        ),
    ],
)
def test_deep_grammars_do_not_end_the_process(
    tiny: GrammarCompiler, tiny_tokenizer: GLMTokenizer, kind: str, source: str, good: str
) -> None:
    state = tiny.start(Grammar(kind, source))  # type: ignore[arg-type]
    state.accept(tiny_tokenizer.encode("\n" + good)[len(tiny_tokenizer.newline) :])
    assert state.finished
