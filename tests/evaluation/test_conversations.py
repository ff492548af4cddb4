"""The conversations of a newcomer, held with a model that says what is known."""

from pathlib import Path

from qingtan.chat import ChatGLM
from qingtan.engine.engine import Engine
from qingtan.evaluation.conversations import CONVERSATIONS, MAX_TOKENS, hold_conversations
from qingtan.glm.tokenizer import GLMTokenizer
from scripted import ScriptedRunner, answers


def test_there_are_ten_and_one_goes_on() -> None:
    assert len(CONVERSATIONS) == len(set(CONVERSATIONS)) == 10
    assert max(len(said) for said in CONVERSATIONS) == 2
    assert all(text.strip() for said in CONVERSATIONS for text in said)


def test_every_question_is_answered_in_its_turn(tiny_tokenizer: GLMTokenizer) -> None:
    runner = ScriptedRunner(answers(tiny_tokenizer, "你好！"), context=2000)
    with ChatGLM(Engine(runner, tiny_tokenizer)) as model:
        held = hold_conversations(model, 0)
    for said, conversation in zip(CONVERSATIONS, held, strict=True):
        expected = []
        for text in said:
            expected += [("user", text), ("assistant", "你好！")]
        assert [(m["role"], m["content"]) for m in conversation.messages] == expected
        assert conversation.ended


def test_without_room_a_question_stays_without_an_answer(tiny_tokenizer: GLMTokenizer) -> None:
    shortest = min(range(10), key=lambda i: len(CONVERSATIONS[i][0]))
    runner = ScriptedRunner(answers(tiny_tokenizer, "好" * 500), context=40)
    with ChatGLM(Engine(runner, tiny_tokenizer)) as model:
        held = hold_conversations(model, 0)
    assert not any(conversation.ended for conversation in held)
    answered = [i for i, c in enumerate(held) if c.messages[-1]["role"] == "assistant"]
    assert shortest in answered
    assert len(answered) < 10


def test_the_seed_alone_decides_what_is_said(tiny_checkpoint: Path) -> None:
    def hold(slots: int, seed: int) -> list[str]:
        with ChatGLM.from_pretrained(tiny_checkpoint, max_running=slots, context=140) as model:
            held = hold_conversations(model, seed)
        return [m["content"] for conversation in held for m in conversation.messages]

    assert MAX_TOKENS > 140
    first = hold(2, 0)
    assert first == hold(7, 0)
    assert first != hold(2, 1)
