"""Guesses of a draft model: they change no text, and come true as often as they can."""

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qingtan.chat import ChatGLM
from qingtan.engine.drafting import DraftModel
from qingtan.engine.engine import Engine
from qingtan.engine.events import Delta, Event, Finished
from qingtan.engine.grammar import Grammar
from qingtan.engine.native_runner import NativeRunner
from qingtan.engine.requests import Generation, Terms
from qingtan.engine.runner import Chunk, Runner, StepResult
from qingtan.engine.sampling import SamplingParams, new_sampler
from qingtan.engine.text import TextStream
from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import encode_prompt, stop_ids
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import GLMTokenizer, train_tokenizer
from scripted import ScriptedRunner, answers
from texts import TEXT

QUESTIONS = ["你好", "今天天气很好", "Hello world, how are you today?" * 4, "北京"]
GREEDY = SamplingParams(temperature=0, max_tokens=24)
SAMPLED = SamplingParams(temperature=1, top_p=0.95, seed=3, max_tokens=24)
PENALIZED = SamplingParams(
    temperature=0.9,
    top_k=40,
    seed=-5,
    max_tokens=24,
    repetition_penalty=1.3,
    frequency_penalty=0.5,
    logit_bias=((7, 3.0), (8, -100.0)),
)
CACHE = 16 * 1024**2


class Slow:
    """A runner that takes its time, as a model does that is larger than its draft model."""

    def __init__(self, runner: Runner, seconds: float = 0.01) -> None:
        self._runner, self._seconds = runner, seconds
        self.steps = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._runner, name)

    def forward(
        self, chunks: Sequence[Chunk], copies: Sequence[tuple[int, int]] = ()
    ) -> StepResult:
        self.steps += 1
        time.sleep(self._seconds)
        return self._runner.forward(chunks, copies)


@pytest.fixture(scope="module")
def drafts(
    tiny_checkpoint: Path, tiny_tokenizer: GLMTokenizer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The model itself, one that is near it, and one that is not."""
    folder = tmp_path_factory.mktemp("drafts")
    torch.manual_seed(1)
    near = load_model(tiny_checkpoint)
    with torch.no_grad():
        for weight in near.parameters():
            weight += 0.03 * weight.std(correction=0) * torch.randn_like(weight)
    save_model(near, tiny_tokenizer, folder / "near")
    other = initialize(GLM(GLMConfig.named("tiny")), seed=1)
    save_model(other, tiny_tokenizer, folder / "other")
    return {"itself": tiny_checkpoint, "near": folder / "near", "other": folder / "other"}


def open_native(folder: Path, **options: object) -> NativeRunner:
    return NativeRunner.open(folder, threads=1, **{"cache_bytes": CACHE, **options})


@pytest.fixture
def start(tiny_checkpoint: Path, tiny_tokenizer: GLMTokenizer) -> Iterator[Callable[..., Engine]]:
    """Start engines of the model, each with a draft model's runner or without."""
    engines: list[Engine] = []

    def begin(draft: Runner | None = None, **options: object) -> Engine:
        runner = Slow(open_native(tiny_checkpoint), 0.01 if draft else 0)
        engines.append(Engine(runner, tiny_tokenizer, draft=draft, **options))
        return engines[-1]

    yield begin
    for engine in engines:
        engine.close()


def ask(tokenizer: GLMTokenizer, question: str) -> list[int]:
    return encode_prompt(tokenizer, [{"role": "user", "content": question}])


def submit(
    engine: Engine, prompt: list[int], params: SamplingParams, **options: object
) -> tuple[Generation, queue.Queue[Event]]:
    events = queue.Queue[Event]()
    stops = stop_ids(engine.tokenizer)
    (generation,) = engine.generate(prompt, params, stops, [events.put], **options)
    return generation, events


def collect(events: queue.Queue[Event]) -> tuple[list[int], str, str, int]:
    """Return a text's tokens, the text, why it ended, and how many tokens were counted."""
    tokens, text = [], ""
    while isinstance(event := events.get(timeout=60), Delta):
        tokens += event.tokens
        text += event.text
    assert isinstance(event, Finished), event
    return tokens, text, event.reason, event.usage.completion_tokens


def write(engine: Engine, params: SamplingParams, **options: object) -> list[object]:
    """Let the engine answer all questions at once."""
    prompts = [ask(engine.tokenizer, question) for question in QUESTIONS]
    asked = [submit(engine, prompt, params, **options)[1] for prompt in prompts]
    return [collect(events) for events in asked]


@pytest.mark.parametrize("params", [GREEDY, SAMPLED, PENALIZED], ids=["greedy", "sampled", "pen"])
@pytest.mark.parametrize("name", ["itself", "near", "other"])
def test_a_draft_model_changes_no_text(
    start: Callable[..., Engine], drafts: dict[str, Path], name: str, params: SamplingParams
) -> None:
    drafted = start(open_native(drafts[name]))
    assert write(drafted, params) == write(start(lookup=False), params)
    assert drafted.guesses["draft"].guessed > 0


@pytest.mark.parametrize("params", [GREEDY, SAMPLED, PENALIZED], ids=["greedy", "sampled", "pen"])
def test_all_that_the_model_guesses_for_itself_comes_true(
    start: Callable[..., Engine], tiny_checkpoint: Path, params: SamplingParams
) -> None:
    engine = start(open_native(tiny_checkpoint), lookup=False)
    texts = write(engine, params)
    count = engine.guesses["draft"]
    assert count.accepted == count.guessed > 24
    assert engine.runner.steps < max(len(tokens) for tokens, *_ in texts)
    assert engine.guesses["lookup"].guessed == 0


def test_a_near_model_guesses_better_than_another(
    start: Callable[..., Engine], drafts: dict[str, Path]
) -> None:
    shares = {}
    for name in ("near", "other"):
        engine = start(open_native(drafts[name]), lookup=False)
        write(engine, replace(GREEDY, max_tokens=40))
        count = engine.guesses["draft"]
        shares[name] = count.accepted / count.guessed
    assert shares["near"] > shares["other"] + 0.2


def test_who_guesses_better_guesses_more(
    start: Callable[..., Engine], drafts: dict[str, Path]
) -> None:
    # Of two tokens a lookup guesses the right one every other time, and the model itself always.
    sampled = replace(SAMPLED, max_tokens=60, logit_bias=((7, 100.0), (8, 100.0)))
    engine = start(open_native(drafts["itself"]))
    write(engine, sampled)
    before = engine.guesses
    write(engine, sampled)
    guessed = {name: engine.guesses[name].guessed - before[name].guessed for name in before}
    assert guessed["draft"] > 4 * guessed["lookup"]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 13])
def test_the_last_token_may_come_amid_guesses(
    start: Callable[..., Engine], tiny_checkpoint: Path, most: int
) -> None:
    params = replace(SAMPLED, max_tokens=most)
    texts = write(start(open_native(tiny_checkpoint)), params)
    assert texts == write(start(lookup=False), params)
    assert all(count <= most for *_, count in texts)


def test_a_stop_string_may_come_amid_guesses(
    start: Callable[..., Engine], tiny_checkpoint: Path
) -> None:
    plain, drafted = start(lookup=False), start(open_native(tiny_checkpoint))
    whole = [text for _, text, *_ in write(plain, SAMPLED)]
    params = replace(SAMPLED, stop=tuple(text[len(text) // 2 :][:2] for text in whole if text))
    texts = write(drafted, params)
    assert texts == write(plain, params)
    assert any(reason == "stop" for _, _, reason, _ in texts)


def test_what_is_cancelled_frees_the_draft_models_cache(
    start: Callable[..., Engine], tiny_checkpoint: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    # Blocks for one context of 64 tokens: a single generation that kept its own would be missed.
    draft = open_native(tiny_checkpoint, context=64, cache_bytes=least_cache(64))
    engine = start(draft, lookup=False)
    prompt = ask(tiny_tokenizer, "你好")
    for _ in range(6):
        generation, events = submit(engine, prompt, replace(SAMPLED, max_tokens=400))
        assert isinstance(events.get(timeout=30), Delta)
        generation.cancel()
        assert collect(events)[2] == "cancelled"
        before = engine.guesses["draft"].guessed
        collect(submit(engine, prompt, SAMPLED)[1])
        assert engine.guesses["draft"].guessed > before


def least_cache(tokens: int) -> int:
    config = GLMConfig.named("tiny")
    shape = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
    from qingtan import native

    return tokens // 16 * native.Cache.block_bytes(*shape, 16)


def test_a_full_cache_and_a_short_context_only_mean_no_guesses(
    start: Callable[..., Engine], tiny_checkpoint: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    draft = open_native(tiny_checkpoint, context=48, cache_bytes=least_cache(48))
    engine, plain = start(draft, lookup=False), start(lookup=False)
    long = ask(tiny_tokenizer, "今天天气很好。" * 30)
    assert len(long) > 48
    texts = [collect(submit(each, long, SAMPLED)[1]) for each in (engine, plain)]
    assert texts[0] == texts[1]
    assert engine.guesses["draft"].guessed == 0
    params = replace(SAMPLED, max_tokens=100)
    assert write(engine, params) == write(plain, params)
    assert engine.guesses["draft"].guessed > 0


def test_a_draft_model_that_fails_is_left_out(
    start: Callable[..., Engine], tiny_tokenizer: GLMTokenizer
) -> None:
    failing = ScriptedRunner(lambda tokens: 1 // 0)
    engine = start(failing, lookup=False)
    assert write(engine, SAMPLED) == write(start(lookup=False), SAMPLED)
    assert failing.closed
    assert len(failing.steps) == 1
    assert engine.guesses["draft"].guessed == 0


def test_a_draft_model_is_closed_with_its_engine(start: Callable[..., Engine]) -> None:
    draft = ScriptedRunner(lambda tokens: 5)
    start(draft).close()
    assert draft.closed


def test_a_draft_model_of_too_few_tokens_is_refused(start: Callable[..., Engine]) -> None:
    small = ScriptedRunner(lambda tokens: 0, config=GLMConfig.named("tiny", vocab_size=400))
    with pytest.raises(UserError, match=r"draft: .* 400 tokens.* 509"):
        start(small)


def test_a_draft_model_of_another_tokenizer_is_refused(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    train_tokenizer(TEXT.splitlines()[::-2] * 3, 450, tmp_path / "tokenizer.model")
    other = tmp_path / "other"
    tokenizer = GLMTokenizer.from_file(tmp_path / "tokenizer.model")
    save_model(initialize(GLM(GLMConfig.named("tiny"))), tokenizer, other)
    with pytest.raises(UserError) as caught:
        ChatGLM.from_pretrained(tiny_checkpoint, draft=other)
    assert str(other) in str(caught.value)
    assert str(tiny_checkpoint) in str(caught.value)


def test_a_model_is_opened_with_its_draft_model(
    tiny_checkpoint: Path, drafts: dict[str, Path]
) -> None:
    options = {"seed": 3, "max_tokens": 30}
    with ChatGLM.from_pretrained(tiny_checkpoint, lookup=False) as plain:
        text = plain.chat("你好", **options)
        assert plain.engine.guesses["lookup"].guessed == 0
    with ChatGLM.from_pretrained(tiny_checkpoint, draft=drafts["near"]) as drafted:
        assert drafted.chat("你好", **options) == text
        assert drafted.engine.guesses["draft"].guessed > 0


def test_a_grammar_bounds_the_guesses(
    start: Callable[..., Engine], drafts: dict[str, Path]
) -> None:
    grammar = Grammar.regex("(good|bad) (morning|evening), [a-z]{3,12} and [0-9]{4}")
    engine, plain = start(open_native(drafts["near"])), start(lookup=False)
    params = replace(SAMPLED, max_tokens=60)
    texts = write(engine, params, grammar=grammar)
    assert texts == write(plain, params, grammar=grammar)
    assert all(reason == "stop" for _, _, reason, _ in texts)
    assert engine.guesses["draft"].guessed > 0


def test_what_a_grammar_leaves_no_choice_about_comes_in_one_step(
    start: Callable[..., Engine], tiny_tokenizer: GLMTokenizer
) -> None:
    engine = start(lookup=False)
    said = "床前明月光，疑是地上霜。"
    prompt = ask(tiny_tokenizer, "你好")
    _, events = submit(engine, prompt, GREEDY, grammar=Grammar.choice([said]))
    tokens, text, reason, _ = collect(events)
    count = engine.guesses["grammar"]
    assert (text.strip(), reason) == (said, "stop")
    assert count.accepted == count.guessed >= len(tokens) - 3
    assert engine.runner.steps <= 4


def test_siblings_may_begin_beside_guesses(tiny_tokenizer: GLMTokenizer) -> None:
    # One token of the prompt is left when it comes again, and what it repeats is guessed.
    runner = ScriptedRunner(answers(tiny_tokenizer, "床前明月光"), block_tokens=1)
    engine = Engine(runner, tiny_tokenizer)
    prompt = ask(tiny_tokenizer, "床前明月光" * 3) * 2
    for _ in range(2):
        listening = [queue.Queue[Event]() for _ in range(3)]
        engine.generate(prompt, GREEDY, stop_ids(tiny_tokenizer), [q.put for q in listening])
        assert {collect(events)[1].strip() for events in listening} == {"床前明月光"}
    engine.close()


def follow(tokenizer: GLMTokenizer, prompt: list[int], params: SamplingParams) -> Generation:
    sampler = new_sampler(params, tokenizer.vocab_size, prompt)
    text, terms = TextStream(tokenizer, prompt), Terms(answer=200)
    return Generation(prompt, params, sampler, (), text, lambda event: None, terms)


@pytest.mark.parametrize("params", [GREEDY, SAMPLED, PENALIZED], ids=["greedy", "sampled", "pen"])
def test_guesses_are_what_the_draft_model_would_say(
    start: Callable[..., Engine],
    tiny_checkpoint: Path,
    tiny_tokenizer: GLMTokenizer,
    params: SamplingParams,
) -> None:
    """Whatever came true of the guesses before, and however they were asked for."""
    engine, draft = (
        start(lookup=False),
        DraftModel(open_native(tiny_checkpoint), tiny_tokenizer.vocab_size),
    )
    prompts = [ask(tiny_tokenizer, question) for question in QUESTIONS]
    streams = []
    for prompt in prompts:
        events = queue.Queue[Event]()
        engine.generate(prompt, replace(params, max_tokens=40), (), [events.put])
        streams.append((follow(tiny_tokenizer, prompt, params), collect(events)[0]))
    dice = np.random.default_rng(0)
    while any(len(said) > 8 for _, said in streams):
        asks = [(generation, int(dice.integers(1, 7))) for generation, _ in streams]
        for (generation, said), (_, count), guesses in zip(
            streams, asks, draft.propose(asks), strict=True
        ):
            if len(said) <= 8 or draft.unread(generation) > 1:  # over, or its prompt is still read
                continue
            assert guesses == said[:count]
            # As though so many were accepted, and one more drawn.
            taken = int(dice.integers(0, count + 1)) + 1
            for token in said[:taken]:
                draw_certainly(generation, token)
            del said[:taken]
    assert draft.blocks_held > 0
    for generation, _ in streams:
        draft.forget(generation)
        draft.forget(generation)
    assert draft.blocks_held == 0
    draft.close()


def draw_certainly(generation: Generation, token: int) -> None:
    """Let a generation go on with a token, and its sampler count it."""
    logits = np.full((1, 1024), -1e9, np.float32)
    logits[0, token] = 1e9
    assert generation.sampler.draw(logits, np.zeros(0, np.int32)) == [token]
    generation.tokens.append(token)


def test_a_long_prompt_is_read_in_several_calls(tiny_tokenizer: GLMTokenizer) -> None:
    runner = ScriptedRunner(lambda tokens: 5)
    draft = DraftModel(runner, tiny_tokenizer.vocab_size, step_tokens=32)
    generation = follow(tiny_tokenizer, [7] * 100, GREEDY)
    assert draft.unread(generation) == 100
    proposed = [draft.propose([(generation, 2)])[0] for _ in range(4)]
    assert proposed == [[], [], [], [5, 5]]
    assert [len(step[0].tokens) for step in runner.steps] == [32, 32, 32, 4, 1]
    again = follow(tiny_tokenizer, [7] * 100, GREEDY)
    assert draft.propose([(again, 1)]) == [[5]]  # the cache knows all but its end
    assert len(runner.steps[-1][0].tokens) <= 4


def test_the_second_tokens_distribution_is_the_exact_product(
    start: Callable[..., Engine], drafts: dict[str, Path], tiny_tokenizer: GLMTokenizer
) -> None:
    texts, first = 1500, 5
    params = SamplingParams(temperature=1, top_p=1, top_k=first, max_tokens=3)
    engine = start(open_native(drafts["near"]), lookup=False, max_waiting=texts)
    prompt = ask(tiny_tokenizer, "你好")
    asked = []
    for seed in range(texts):
        events = queue.Queue[Event]()
        engine.generate(prompt, replace(params, seed=seed), (), [events.put])
        asked.append(events)
    seen = Counter(tuple(collect(events)[0][:2]) for events in asked)
    assert engine.guesses["draft"].guessed > texts / 4
    expected = products(load_model(drafts["itself"]), prompt, first, tiny_tokenizer.vocab_size)
    assert set(seen) <= set(expected)
    # Pearson's statistic has a mean of 24 and a standard deviation of 7.
    statistic = sum((seen[pair] - texts * p) ** 2 / (texts * p) for pair, p in expected.items())
    assert statistic < 24 + 4 * np.sqrt(48)


def products(model: GLM, prompt: list[int], top: int, vocab: int) -> dict[tuple[int, int], float]:
    """Return the probability of each pair of next tokens, in float64."""

    def following(tokens: list[int]) -> dict[int, float]:
        with torch.inference_mode():
            logits = model(torch.tensor([tokens])).logits[0, -1, :vocab].double()
        values, ids = logits.topk(top)
        return dict(zip(ids.tolist(), values.softmax(0).tolist(), strict=True))

    return {
        (a, b): p * q
        for a, p in following(prompt).items()
        for b, q in following([*prompt, a]).items()
    }
