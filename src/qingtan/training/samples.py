"""What the model writes while it learns: the same prompts, always continued by the likeliest."""

from collections.abc import Sequence

import torch

from qingtan.glm.conversation import encode_prompt, parse_reply, stop_ids
from qingtan.glm.generation import generate
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.evaluation import evaluating
from qingtan.training.subject import Subject
from qingtan.training.tables import SamplesTable


def take_samples(
    subject: Subject, tokenizer: GLMTokenizer, table: SamplesTable, as_conversation: bool
) -> list[str]:
    """Return what the subject writes after each of the table's prompts.

    Args:
        as_conversation: take the prompts for a user's questions, else for beginnings of texts.
    """
    prompts = [_encode(tokenizer, prompt, as_conversation) for prompt in table.prompts]
    with evaluating(subject), torch.no_grad():
        written = generate(
            subject.model,
            prompts,
            max_tokens=table.tokens,
            stop_ids=stop_ids(tokenizer),
            vocab_size=tokenizer.vocab_size,
            prefix=None if subject.prefix is None else subject.prefix(),
        )
    return [_read(tokenizer, ids, as_conversation) for ids in written]


def _encode(tokenizer: GLMTokenizer, prompt: str, as_conversation: bool) -> list[int]:
    if as_conversation:
        return encode_prompt(tokenizer, [{"role": "user", "content": prompt}])
    return [*tokenizer.prefix, *tokenizer.encode(prompt)]


def _read(tokenizer: GLMTokenizer, ids: Sequence[int], as_conversation: bool) -> str:
    text = tokenizer.decode(ids)
    if not as_conversation:
        return text
    reply = parse_reply(text)
    # A call is shown as it was written.
    return text.strip() if reply.tool_calls else reply.content
