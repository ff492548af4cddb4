"""Packed checkpoints: what is written, what goes along, and what is said of damaged ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open

from qingtan.engine.comparison import Passage, predict
from qingtan.engine.convert import convert
from qingtan.engine.weights import load_weights
from qingtan.errors import UserError
from qingtan.files import read_json, write_json
from qingtan.glm.checkpoint import load_model
from qingtan.glm.digests import digest_weights
from qingtan.glm.packed import cut_off, unpack
from qingtan.glm.stored import open_stored
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.native import Matrix, Pool
from qingtan.provenance import Provenance, Step

from .test_weights import BASE, TIED, by_name, make_checkpoint

POOL = Pool(1)


@pytest.fixture
def source(tiny_tokenizer: GLMTokenizer, tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "source", tiny_tokenizer)


ODD = replace(BASE, intermediate_size=89)


@pytest.mark.parametrize("config", [BASE, TIED, ODD], ids=["untied", "tied", "odd"])
@pytest.mark.parametrize(
    ("precision", "head"), [("int4", None), ("int8", "int4"), ("bf16", None), ("float32", None)]
)
def test_the_same_weights_come_back_mapped(
    config: Any, precision: Any, head: Any, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / "source", tiny_tokenizer, config)
    made = convert(folder, tmp_path / "m", precision, head=head)
    expected = dict(by_name(load_weights(folder, precision, POOL, head=head)))
    assert made.bytes_before == sum(t.nbytes for t in open_stored(folder).values())
    state = load_model(made.folder).state_dict()
    for name, tensor in by_name(load_weights(made.folder)):
        if isinstance(tensor, Matrix):
            assert bytes(tensor.data) == bytes(expected[name].data)
            assert tensor.format == expected[name].format
            own = cut_off(name, unpack(tensor, POOL), tuple(state[name].shape))
            assert np.array_equal(own, state[name].numpy())
        else:
            assert np.array_equal(tensor, expected[name])
            assert np.array_equal(tensor, state[name].numpy())


def test_a_filled_up_model_computes_what_torch_does_without_the_filling(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / "source", tiny_tokenizer, ODD)
    made = convert(folder, tmp_path / "m", "bf16", head="bf16").folder
    assert read_json(made / "config.json")["ffn_hidden_size"] == 89
    tokens = list(range(5, 45))
    with torch.no_grad():
        expected = load_model(made)(torch.tensor([tokens])).logits[0].log_softmax(-1)
    found = predict(made, [Passage(tokens, None, 40)])
    nats = -expected[range(39), tokens[1:]].sum().item()
    assert found.nats == pytest.approx(nats, rel=1e-3)
    assert np.mean(found.likeliest == expected[:-1].argmax(-1).numpy()) > 0.9


def test_passages_are_scored_as_torch_scores_them(source: Path) -> None:
    rng = np.random.default_rng(0)
    long, short = ([int(x) for x in rng.integers(0, 160, n)] for n in (150, 20))
    scored = [place >= 12 for place in range(20)]
    passages = [
        Passage(long, None, 300),
        Passage(short, scored, 8),
        Passage(long, [True] * 150, 1000),  # a conversation longer than the context
        Passage([7], None, 1),
    ]
    found = predict(source, passages)
    model, nats, likeliest = load_model(source), 0.0, []
    # The context is 64: pieces that overlap by one token.
    pieces = [(long[begin : begin + 65], 1) for begin in (0, 64, 128)] + [(short, 12)]
    for tokens, first in pieces:
        with torch.no_grad():
            logits = model(torch.tensor([tokens[:-1]])).logits[0][first - 1 :]
        wanted = torch.tensor(tokens[first:])
        nats += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
        likeliest += logits.argmax(-1).tolist()
    assert found.nats == pytest.approx(nats, rel=1e-3)
    assert len(found.likeliest) == 149 + 8
    assert np.mean(found.likeliest == likeliest) > 0.98
    assert found.perplexity == pytest.approx(np.exp(nats / 157), rel=1e-3)
    assert found.bits_per_byte == pytest.approx(nats / np.log(2) / 308, rel=1e-3)
    assert found.agreement(found) == 1
    for nothing in ([], [Passage([7], None, 1)], [Passage(short, [False] * 20, 5)]):
        with pytest.raises(UserError, match="nothing to predict"):
            predict(source, nothing)


def test_the_file_is_a_safetensors_file_whose_matrices_are_aligned(
    source: Path, tmp_path: Path
) -> None:
    convert(source, tmp_path / "m", "int4")
    with safe_open(tmp_path / "m" / "model.safetensors", framework="np") as file:
        theirs = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, tensor in open_stored(tmp_path / "m").items():
        assert np.array_equal(tensor.map(), theirs[name])
        assert tensor.dtype == "F32" or (tensor.offset % 64 == 0 and tensor.nbytes % 64 == 0)


def test_what_belongs_to_the_model_goes_along_and_says_what_was_done(
    source: Path, tmp_path: Path
) -> None:
    Provenance(steps=(Step.now("train"),)).write(source)
    for name in ("LICENSE", "README.md", "README.zh-CN.md", "evaluation.json", "modeling_x.py"):
        (source / name).write_text("what it is\n")
    made = convert(source, tmp_path / "m", "int4", head="int8").folder
    names = {path.name for path in made.iterdir()}
    assert names == {path.name for path in source.iterdir()} - {"modeling_x.py"}
    for name in ("LICENSE", "tokenizer.model", "generation_config.json", "evaluation.json"):
        assert (made / name).read_bytes() == (source / name).read_bytes()
    steps = Provenance.read(made).steps
    digest = digest_weights(source)
    assert [step.name for step in steps] == ["train", "convert"]
    assert steps[1].details == {
        "precision": "int4",
        "head": "int8",
        "source_weights_sha256": digest,
    }
    for name, title in (("README.md", "## Conversion"), ("README.zh-CN.md", "## 转换")):
        card = (made / name).read_text(encoding="utf-8")
        assert card.startswith("what it is\n\n" + title)
        assert digest in card


def test_what_is_there_is_replaced_only_when_asked(source: Path, tmp_path: Path) -> None:
    made = convert(source, tmp_path / "m", "int4").folder
    before = digest_weights(made)
    with pytest.raises(UserError, match="m: exists"):
        convert(source, made, "int8")
    with pytest.raises(UserError, match="is packed already"):
        convert(made, tmp_path / "other", "int8")
    assert digest_weights(made) == before
    convert(source, made, "int8", replace=True)
    assert digest_weights(made) != before
    assert {path.name for path in tmp_path.iterdir()} == {"source", "m"}


def test_a_failure_leaves_nothing(source: Path, tmp_path: Path) -> None:
    weights = source / "model.safetensors"
    data = bytearray(weights.read_bytes())
    name = next(n for n in open_stored(source) if "down_proj" in n)
    at = open_stored(source)[name].offset
    data[at : at + 4] = np.float32(np.nan).tobytes()
    weights.write_bytes(data)
    with pytest.raises(UserError, match=r"mlp\.down\.weight: .*not finite"):
        convert(source, tmp_path / "m", "int8")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", 2, "only format 'qingtan', version 1 is known"),
        ("format", "gguf", "only format 'qingtan'"),
        ("precision", "int3", "precision is 'int3', none of"),
        ("head", None, "head is None, none of"),
        ("precision", "int8", "has shape"),
    ],
)
def test_a_field_that_does_not_fit_is_named(
    field: str, value: Any, message: str, source: Path, tmp_path: Path
) -> None:
    made = convert(source, tmp_path / "m", "int4").folder
    config = read_json(made / "config.json")
    config["quantization"][field] = value
    write_json(made / "config.json", config)
    for load in (load_weights, load_model):
        with pytest.raises(UserError, match=message):
            load(made)  # type: ignore[operator]


def test_a_packed_checkpoint_has_one_precision(source: Path, tmp_path: Path) -> None:
    made = convert(source, tmp_path / "m", "int4").folder
    load_weights(made, "int4", head="int8")
    for asked in ({"precision": "int8"}, {"precision": "bf16"}, {"head": "bf16"}):
        with pytest.raises(UserError, match="is quantized already"):
            load_weights(made, **asked)  # type: ignore[arg-type]


def test_a_truncated_file_is_named(source: Path, tmp_path: Path) -> None:
    weights = convert(source, tmp_path / "m", "int4").folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-64])
    with pytest.raises(UserError, match=r"model\.safetensors: damaged or truncated"):
        load_weights(tmp_path / "m")


def test_transformers_does_not_take_it_for_its_own(source: Path, tmp_path: Path) -> None:
    made = convert(source, tmp_path / "m", "int4").folder
    with pytest.raises((ValueError, KeyError), match="chatglm"):
        transformers.AutoModelForCausalLM.from_pretrained(made)
    assert json.loads((made / "config.json").read_text())["quantization"]["head"] == "int8"
    assert load_model(made, dtype=torch.bfloat16).head.weight.dtype == torch.bfloat16
