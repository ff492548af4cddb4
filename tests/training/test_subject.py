"""How a batch is read: documents hidden from each other, prefixes, and the base underneath."""

import pytest
import torch

from qingtan.glm.config import GLMConfig
from qingtan.glm.lora import LoRAConfig, add_lora
from qingtan.glm.model import GLM, initialize
from qingtan.glm.prefix import PrefixEncoder
from qingtan.training.batches import Batch, cut, make_batch
from qingtan.training.subject import Subject

from .samples import text_shard

LENGTH = 20


@pytest.fixture
def model() -> GLM:
    return initialize(GLM(GLMConfig.named("tiny")), 3)


def new_prefix(model: GLM) -> PrefixEncoder:
    prefix = PrefixEncoder(model.config, 5).eval()
    torch.nn.init.normal_(prefix.embedding.weight, generator=torch.Generator().manual_seed(0))
    return prefix


def pack_rows(*rows: list[int]) -> Batch:
    """Return rows of documents of these lengths."""
    shard = text_shard([length for row in rows for length in row])
    pieces = iter([next(cut(shard, i, LENGTH)) for i in range(len(shard))])
    return make_batch([[next(pieces) for _ in row] for row in rows], LENGTH)


@pytest.mark.parametrize("with_prefix", [False, True])
def test_hidden_documents_are_read_as_if_alone(model: GLM, with_prefix: bool) -> None:
    prefix = new_prefix(model) if with_prefix else None
    packed, alone = pack_rows([7, 9, 4], [12, 3]), pack_rows([7], [9], [4], [12], [3])
    ours = Subject(model, prefix, mask_documents=True).eval()(packed).logits
    expected = Subject(model, prefix).eval()(alone).logits
    torch.testing.assert_close(ours, expected, atol=2e-5, rtol=0)
    if not with_prefix:  # with one they are apart always
        seeing = Subject(model).eval()(packed).logits
        assert (seeing - expected).abs().max() > 1e-3


def test_only_what_is_asked_for_is_computed(model: GLM) -> None:
    batch = pack_rows([7, 9], [12])
    output = Subject(model)(batch, want_layers=True)
    assert output.logits.shape == (batch.labelled, model.config.vocab_size)
    assert [layer.shape for layer in output.layers] == [(2, LENGTH, 64)] * 2
    torch.testing.assert_close(model.final_norm(output.layers[-1]), output.hidden)
    whole = Subject(model)(batch, logits_at=slice(None)).logits
    assert torch.equal(whole[batch.kept], output.logits)


def test_without_its_adapter_a_subject_is_its_base(model: GLM) -> None:
    batch = pack_rows([7, 9], [12])
    base = Subject(model)(batch).logits
    add_lora(model, "one", LoRAConfig(rank=4, alpha=8))
    for name, parameter in model.named_parameters():
        if ".up." in name:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    subject = Subject(model, new_prefix(model))
    with subject.without_adapter():
        assert torch.equal(subject(batch).logits, base)
    assert (subject(batch).logits - base).abs().max() > 1e-3


def test_checkpointed_activations_give_the_same_gradients(model: GLM) -> None:
    batch, subject = pack_rows([7, 9], [12]), Subject(model).train()
    gradients = []
    for checkpointed in (False, True):
        model.activation_checkpointing = checkpointed
        subject.zero_grad()
        subject(batch).logits.square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)
