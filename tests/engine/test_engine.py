import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qingtan.engine.engine import Engine
from qingtan.engine.events import (
    ContextExceeded,
    Delta,
    Encoded,
    EngineClosed,
    Event,
    Failed,
    Finished,
    Scored,
    TokenLogprob,
)
from qingtan.engine.requests import Generation
from qingtan.engine.sampling import SamplingParams
from qingtan.engine.scheduler import QueueFull
from qingtan.engine.torch_runner import TorchRunner
from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import encode_prompt, stop_ids
from qingtan.glm.model import GLM
from qingtan.glm.tokenizer import GLMTokenizer
from scripted import ScriptedRunner, answers

GREEDY = SamplingParams(temperature=0, max_tokens=24)
QUESTIONS = ["你好", "今天天气很好", "Hello world, how are you today?" * 8, "北京"]


class Listener:
    """Submits a prompt and collects its events."""

    def __init__(self, engine: Engine, prompt: list[int], params: SamplingParams) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        stops = stop_ids(engine.tokenizer)
        self.generation: Generation
        (self.generation,) = engine.generate(prompt, params, stops, [self.events.put])

    def wait(self) -> tuple[list[int], str, Event]:
        """Return the tokens and the text, and how they ended."""
        return collect(self.events)


def collect(events: queue.Queue[Event]) -> tuple[list[int], str, Event]:
    """Return a generation's tokens and text, and how it ended."""
    tokens, text = [], ""
    while isinstance(event := events.get(timeout=30), Delta):
        tokens += event.tokens
        text += event.text
    return tokens, text, event


def ask(tokenizer: GLMTokenizer, question: str) -> list[int]:
    return encode_prompt(tokenizer, [{"role": "user", "content": question}])


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> GLM:
    return load_model(tiny_checkpoint)


@pytest.fixture
def engine(model: GLM, tiny_tokenizer: GLMTokenizer) -> Iterator[Engine]:
    engine = Engine(TorchRunner(model), tiny_tokenizer, step_tokens=16)
    yield engine
    engine.close()


@pytest.fixture
def runner(tiny_tokenizer: GLMTokenizer) -> ScriptedRunner:
    return ScriptedRunner(answers(tiny_tokenizer, "床前明月光，疑是地上霜。" * 8))


@pytest.fixture
def scripted(runner: ScriptedRunner, tiny_tokenizer: GLMTokenizer) -> Iterator[Engine]:
    engine = Engine(runner, tiny_tokenizer, max_running=2, max_waiting=2, lookup=False)
    yield engine
    runner.gate.set()
    engine.close()


def plain_loop(model: GLM, tokenizer: GLMTokenizer, prompt: list[int], count: int) -> list[int]:
    """Generate greedily, each token by a pass over all before it."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + count:
        with torch.inference_mode():
            logits = model(torch.tensor([tokens])).logits[0, -1, : tokenizer.vocab_size]
        tokens.append(int(logits.argmax()))
        if tokens[-1] in stop_ids(tokenizer):
            return tokens[len(prompt) : -1]
    return tokens[len(prompt) :]


def test_greedy_output_is_that_of_a_plain_loop(
    engine: Engine, model: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    prompts = [ask(tiny_tokenizer, question) for question in QUESTIONS]
    together = [Listener(engine, prompt, GREEDY) for prompt in prompts]
    for prompt, listener in zip(prompts, together, strict=True):
        tokens, text, end = listener.wait()
        assert tokens == plain_loop(model, tiny_tokenizer, prompt, 24)
        assert text == tiny_tokenizer.decode(tokens)
        assert isinstance(end, Finished)
        assert end.usage.prompt_tokens == len(prompt)


def test_a_seed_gives_the_same_alone_and_in_company(
    engine: Engine, tiny_tokenizer: GLMTokenizer
) -> None:
    params = SamplingParams(temperature=1, top_p=0.9, seed=7, max_tokens=24)
    prompt = ask(tiny_tokenizer, "你好")
    alone = Listener(engine, prompt, params).wait()
    others = [
        Listener(engine, ask(tiny_tokenizer, q), SamplingParams(max_tokens=40)) for q in QUESTIONS
    ]
    again = Listener(engine, prompt, params).wait()
    assert again == alone
    assert all(isinstance(other.wait()[2], Finished) for other in others)


def test_conversations_run_side_by_side(
    scripted: Engine, runner: ScriptedRunner, tiny_tokenizer: GLMTokenizer
) -> None:
    runner.gate.clear()
    listeners = [Listener(scripted, ask(tiny_tokenizer, "你好"), GREEDY) for _ in range(2)]
    runner.gate.set()
    assert all(isinstance(listener.wait()[2], Finished) for listener in listeners)
    assert sum(len(step) == 2 for step in runner.steps) >= 20


def test_long_prompts_come_in_pieces(runner: ScriptedRunner, tiny_tokenizer: GLMTokenizer) -> None:
    engine = Engine(runner, tiny_tokenizer, step_tokens=20, lookup=False)
    Listener(engine, ask(tiny_tokenizer, "天" * 30), GREEDY).wait()
    engine.close()
    assert max(sum(len(chunk.tokens) for chunk in step) for step in runner.steps) == 20


def test_padding_is_never_sampled(engine: Engine, tiny_tokenizer: GLMTokenizer) -> None:
    # 509 tokens in 1,024 rows: at this temperature half of the tokens would be padding.
    assert tiny_tokenizer.vocab_size < 600
    params = SamplingParams(temperature=2, top_p=1, seed=1, max_tokens=200)
    tokens, _, _ = Listener(engine, ask(tiny_tokenizer, "你好"), params).wait()
    assert tokens
    assert max(tokens) < tiny_tokenizer.vocab_size


def test_what_ends_a_generation(
    scripted: Engine, runner: ScriptedRunner, tiny_tokenizer: GLMTokenizer
) -> None:
    prompt = ask(tiny_tokenizer, "你好")

    def end(params: SamplingParams) -> tuple[str, str, int]:
        tokens, text, event = Listener(scripted, prompt, params).wait()
        assert isinstance(event, Finished)
        return text.strip(), event.reason, event.usage.completion_tokens - len(tokens)

    whole = "床前明月光，疑是地上霜。" * 8
    assert end(SamplingParams(temperature=0)) == (whole, "stop", 1)
    assert end(SamplingParams(temperature=0, stop=("疑是", "x"))) == ("床前明月光，", "stop", 0)
    assert end(SamplingParams(temperature=0, max_tokens=1))[1:] == ("length", 0)
    runner.context = len(prompt) + 5
    text, reason, _ = end(SamplingParams(temperature=0, max_tokens=50))
    assert reason == "length"
    assert whole.startswith(text)


def test_a_prompt_that_is_too_long_says_both_numbers(
    engine: Engine, tiny_tokenizer: GLMTokenizer
) -> None:
    with pytest.raises(ContextExceeded, match=r"1024 tokens, .*1024 tokens"):
        Listener(engine, [5] * 1024, GREEDY)
    _, _, end = Listener(engine, [5] * 1023, GREEDY).wait()
    assert isinstance(end, Finished)
    assert end.usage.completion_tokens == 1
    with pytest.raises(UserError, match="empty"):
        Listener(engine, [], GREEDY)


def test_cancelling_frees_the_slot_and_the_queue(
    scripted: Engine, runner: ScriptedRunner, tiny_tokenizer: GLMTokenizer
) -> None:
    runner.gate.clear()
    prompt = ask(tiny_tokenizer, "你好")
    listeners = [Listener(scripted, prompt, SamplingParams(temperature=0)) for _ in range(4)]
    with pytest.raises(QueueFull):
        Listener(scripted, prompt, GREEDY)
    for listener in listeners:
        listener.generation.cancel()
        listener.generation.cancel()
    runner.gate.set()
    ends = [listener.wait()[2] for listener in listeners]
    assert all(isinstance(end, Finished) and end.reason == "cancelled" for end in ends)
    assert scripted.wait_idle(10)
    assert scripted.running == scripted.waiting == 0
    assert isinstance(Listener(scripted, prompt, GREEDY).wait()[2], Finished)


def test_a_step_that_fails_ends_its_requests_only(
    scripted: Engine, runner: ScriptedRunner, tiny_tokenizer: GLMTokenizer
) -> None:
    prompt, working = ask(tiny_tokenizer, "你好"), runner.next_token
    runner.next_token = lambda tokens: 1 // 0
    end = Listener(scripted, prompt, GREEDY).wait()[2]
    assert isinstance(end, Failed)
    assert isinstance(end.error, ZeroDivisionError)
    runner.next_token = working
    assert isinstance(Listener(scripted, prompt, GREEDY).wait()[2], Finished)


def test_logits_that_are_no_numbers_fail_their_request_only(
    tiny_tokenizer: GLMTokenizer,
) -> None:
    prompts = [ask(tiny_tokenizer, "你好"), ask(tiny_tokenizer, "北京")]

    class Broken(ScriptedRunner):
        def _row(self, tokens):
            row = super()._row(tokens)
            return row * np.nan if tokens[: len(prompts[0])] == prompts[0] else row

    engine = Engine(Broken(answers(tiny_tokenizer, "你好")), tiny_tokenizer)
    broken, whole = (Listener(engine, prompt, GREEDY).wait()[2] for prompt in prompts)
    engine.close()
    assert isinstance(broken, Failed)
    assert isinstance(whole, Finished)


def test_a_listener_that_fails_is_cancelled(scripted: Engine, tiny_tokenizer: GLMTokenizer) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError("nobody listens")

    prompt = ask(tiny_tokenizer, "你好")
    scripted.generate(prompt, SamplingParams(temperature=0), stop_ids(tiny_tokenizer), [fail])
    assert scripted.wait_idle(10)
    tokens, _, end = Listener(scripted, prompt, GREEDY).wait()
    assert len(tokens) == 24
    assert isinstance(end, Finished)


def test_closing_fails_what_is_left(
    scripted: Engine, runner: ScriptedRunner, tiny_tokenizer: GLMTokenizer
) -> None:
    runner.gate.clear()
    prompt = ask(tiny_tokenizer, "你好")
    listeners = [Listener(scripted, prompt, SamplingParams(temperature=0)) for _ in range(3)]
    closing = threading.Thread(target=scripted.close)
    closing.start()
    runner.gate.set()
    closing.join(10)
    for listener in listeners:
        end = listener.wait()[2]
        assert isinstance(end, Failed)
        assert isinstance(end.error, EngineClosed)
    with pytest.raises(EngineClosed):
        Listener(scripted, prompt, GREEDY)
    assert runner.closed


def test_a_tokenizer_of_another_model_is_refused(tiny_tokenizer: GLMTokenizer) -> None:
    small = GLMConfig.named("tiny", vocab_size=400)
    with pytest.raises(UserError, match="do not belong together"):
        Engine(ScriptedRunner(lambda tokens: 0, config=small), tiny_tokenizer)


def test_several_texts_share_the_reading_of_their_prompt(
    engine: Engine, model: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    prompt = ask(tiny_tokenizer, "今天天气很好")
    params = SamplingParams(temperature=1, top_p=1, seed=5, max_tokens=12)
    together = [queue.Queue[Event]() for _ in range(3)]
    stops = stop_ids(tiny_tokenizer)
    engine.generate(prompt, params, stops, [events.put for events in together])
    texts = [collect(events) for events in together]
    alone = [Listener(engine, prompt, replace(params, seed=5 + i)).wait() for i in range(3)]
    assert [tokens for tokens, _, _ in texts] == [tokens for tokens, _, _ in alone]
    assert len({tuple(tokens) for tokens, _, _ in texts}) == 3
    ends = [end for _, _, end in texts]
    assert all(isinstance(end, Finished) for end in ends)


def test_siblings_outlive_a_cancelled_first(
    scripted: Engine, runner: ScriptedRunner, tiny_tokenizer: GLMTokenizer
) -> None:
    runner.gate.clear()
    prompt = ask(tiny_tokenizer, "你好")
    events = [queue.Queue[Event]() for _ in range(2)]
    first, _ = scripted.generate(
        prompt, GREEDY, stop_ids(tiny_tokenizer), [each.put for each in events]
    )
    first.cancel()
    runner.gate.set()
    ends = [collect(each)[2] for each in events]
    assert [end.reason for end in ends if isinstance(end, Finished)] == ["cancelled", "length"]


def test_a_prompt_that_was_read_before_is_not_read_again(
    engine: Engine, tiny_tokenizer: GLMTokenizer
) -> None:
    prompt = ask(tiny_tokenizer, "今天天气很好。" * 20)
    first = Listener(engine, prompt, GREEDY).wait()
    again = Listener(engine, prompt, GREEDY).wait()
    assert again[:2] == first[:2]
    assert isinstance(first[2], Finished)
    assert isinstance(again[2], Finished)
    assert first[2].usage.cached_tokens == 0
    assert len(prompt) - 17 <= again[2].usage.cached_tokens < len(prompt)


@pytest.mark.parametrize("params", [GREEDY, SamplingParams(temperature=1, seed=3, max_tokens=60)])
def test_guessing_changes_no_text(
    model: GLM, tiny_tokenizer: GLMTokenizer, params: SamplingParams
) -> None:
    texts = []
    for lookup in (False, True):
        engine = Engine(TorchRunner(model), tiny_tokenizer, lookup=lookup)
        texts.append([Listener(engine, ask(tiny_tokenizer, q), params).wait() for q in QUESTIONS])
        engine.close()
    assert texts[0] == texts[1]


def test_guessing_saves_steps_where_a_text_repeats(tiny_tokenizer: GLMTokenizer) -> None:
    steps = []
    for lookup in (False, True):
        runner = ScriptedRunner(answers(tiny_tokenizer, "床前明月光，疑是地上霜。" * 8))
        engine = Engine(runner, tiny_tokenizer, lookup=lookup)
        _, text, _ = Listener(
            engine, ask(tiny_tokenizer, "床前明月光，疑是地上霜。"), SamplingParams(temperature=0)
        ).wait()
        engine.close()
        assert text.strip() == "床前明月光，疑是地上霜。" * 8
        steps.append(len(runner.steps))
    assert steps[1] < steps[0] / 2


def test_logprobs_are_those_of_the_model(
    engine: Engine, model: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    prompt = ask(tiny_tokenizer, "你好")
    params = replace(GREEDY, max_tokens=4, logprobs=2)
    events = queue.Queue[Event]()
    engine.generate(prompt, params, (), [events.put])
    told: list[TokenLogprob] = []
    while isinstance(event := events.get(timeout=30), Delta):
        told += event.logprobs
    tokens = [each.token for each in told]
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1]
    # Of the tokens that exist: the rest of the rows is padding.
    expected = logits[:, : tiny_tokenizer.vocab_size].double().log_softmax(-1)
    for each, row in zip(told, expected, strict=True):
        assert each.logprob == pytest.approx(float(row[each.token]), abs=1e-4)
        assert [token for token, _ in each.top] == row.topk(2).indices.tolist()
        assert [value for _, value in each.top] == pytest.approx(
            row.topk(2).values.tolist(), abs=1e-4
        )


def test_scores_are_those_of_the_model(
    engine: Engine, model: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    tokens = ask(tiny_tokenizer, "今天天气很好。" * 10)
    events = queue.Queue[Event]()
    engine.score(tokens, 20, events.put)
    end = events.get(timeout=30)
    assert isinstance(end, Scored)
    with torch.inference_mode():
        logits = model(torch.tensor([tokens])).logits[0, :, : tiny_tokenizer.vocab_size]
    expected = logits.double().log_softmax(-1)[range(19, len(tokens) - 1), tokens[20:]]
    assert end.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
    with pytest.raises(UserError, match="first"):
        engine.score(tokens, 0, events.put)


def test_an_encoding_is_the_mean_of_the_hidden_states(
    engine: Engine, model: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    tokens = ask(tiny_tokenizer, "今天天气很好。" * 10)
    events = queue.Queue[Event]()
    for _ in range(2):  # the second time the cache knows the text
        engine.encode(tokens, events.put)
        end = events.get(timeout=30)
        assert isinstance(end, Encoded)
        with torch.inference_mode():
            hidden = model(torch.tensor([tokens])).hidden[0].mean(0)
        np.testing.assert_allclose(end.vector, hidden, atol=1e-4)
