"""Checkpoints: every layout there and back bit for bit, and what is said of damaged ones."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import load_config
from qingtan.glm.tokenizer import GLMTokenizer, load_tokenizer

from .samples import BASE, SHAPES, random_model

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
QKV = "transformer.encoder.layers.1.self_attention.query_key_value.weight"
Q, K = (f"model.layers.1.self_attn.{part}_proj.weight" for part in "qk")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
Change = Callable[[dict[str, Any]], object]


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Read all files of a checkpoint, and check that its index agrees with them."""
    tensors, places = {}, {}
    for path in sorted(folder.glob("*.safetensors")):
        part = load_file(path)
        tensors.update(part)
        places.update(dict.fromkeys(part, path.name))
    if (folder / INDEX).exists():
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        assert index["weight_map"] == places
        assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors.values())
    return tensors


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Compare names, dtypes, and bits."""
    return one.keys() == other.keys() and all(
        tensor.dtype == other[name].dtype and torch.equal(tensor, other[name])
        for name, tensor in one.items()
    )


@pytest.mark.parametrize("max_shard_bytes", [1 << 30, 9000], ids=["single", "sharded"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_chatglm_to_transformers_and_back_is_bit_for_bit(
    config: GLMConfig,
    dtype: torch.dtype,
    max_shard_bytes: int,
    tiny_tokenizer: GLMTokenizer,
    tmp_path: Path,
) -> None:
    model = random_model(config)
    for source, target, layout in (
        (model, "chatglm", "chatglm"),
        ("chatglm", "glm", "glm"),
        ("glm", "again", "chatglm"),
        ("again", "glm again", "glm"),
    ):
        loaded = load_model(tmp_path / source) if isinstance(source, str) else source
        save_model(
            loaded,
            tiny_tokenizer,
            tmp_path / target,
            layout=layout,
            dtype=dtype,
            max_shard_bytes=max_shard_bytes,
        )
        assert (tmp_path / target / INDEX).exists() == (max_shard_bytes == 9000)
    stored = {name: read_tensors(tmp_path / name) for name in ("chatglm", "again", "glm")}
    assert same(stored["chatglm"], stored["again"])
    assert same(stored["glm"], read_tensors(tmp_path / "glm again"))
    assert load_config(tmp_path / "again") == config
    ours = {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}
    assert same(ours, load_model(tmp_path / "again").state_dict())
    # The names and the order of QKV, written out by hand.
    rows = config.num_attention_heads * config.head_dim
    assert torch.equal(stored["glm"][Q], stored["chatglm"][QKV][:rows])
    key = stored["glm"][K]
    assert torch.equal(key, stored["chatglm"][QKV][rows : rows + len(key)])
    assert ("lm_head.weight" in stored["glm"]) != config.tie_word_embeddings


def test_what_is_loaded_can_be_converted_trained_and_left_alone(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    model = random_model(SHAPES["tied"])
    save_model(model, tiny_tokenizer, tmp_path / "m")
    before = (tmp_path / "m" / WEIGHTS).read_bytes()
    half = load_model(tmp_path / "m", dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    loaded = load_model(tmp_path / "m")
    assert loaded.head.weight is loaded.embedding.weight
    assert not loaded.training
    assert load_tokenizer(tmp_path / "m").model == tiny_tokenizer.model
    loaded(torch.tensor([[1, 2, 3]])).logits.sum().backward()
    with torch.no_grad():
        for parameter in loaded.parameters():
            assert parameter.grad is not None
            parameter.add_(1)
    # Weights are mapped from the file, and the file does not change with them.
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == before


@pytest.fixture(params=["chatglm", "glm"])
def folder(request: pytest.FixtureRequest, tiny_tokenizer: GLMTokenizer, tmp_path: Path) -> Path:
    """A checkpoint to damage, of either layout."""
    save_model(random_model(BASE), tiny_tokenizer, tmp_path / "m", layout=request.param)
    return tmp_path / "m"


def change(folder: Path, edit: Change) -> None:
    """Edit the tensors of a checkpoint with one file."""
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)


def set_config(folder: Path, **fields: Any) -> None:
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(values | fields), encoding="utf-8")


def some_names(folder: Path) -> list[str]:
    """Return a few tensors' names: a plain one, a part of QKV, the last norm."""
    is_glm = load_file(folder / WEIGHTS).keys() >= {Q}
    chatglm = ["transformer.embedding.word_embeddings.weight", QKV]
    return ["model.embed_tokens.weight", Q, K, "model.norm.weight"] if is_glm else chatglm


def test_a_missing_tensor_is_named(folder: Path) -> None:
    for name in some_names(folder):
        tensors = load_file(folder / WEIGHTS)
        change(folder, lambda t, name=name: t.pop(name))
        with pytest.raises(UserError, match=f"tensor {name} is missing"):
            load_model(folder)
        save_file(tensors, folder / WEIGHTS)


def test_an_extra_tensor_is_named_and_rotary_frequencies_are_none(folder: Path) -> None:
    frequencies = {"transformer.rotary_pos_emb.inv_freq": torch.ones(2, dtype=torch.float64)}
    change(folder, lambda t: t.update(frequencies))
    load_model(folder)
    change(folder, lambda t: t.update({"model.extra": torch.ones(2)}))
    with pytest.raises(UserError, match=r"tensor model\.extra is not known"):
        load_model(folder)


@pytest.mark.parametrize(
    "reshape",
    [
        lambda t: t[:-1],
        lambda t: torch.cat([t, t[:1]]),
        lambda t: t[None],
        lambda t: t.flatten()[0],
        lambda t: t[..., :-1],
    ],
    ids=["a row less", "a row more", "a dimension more", "a number", "narrower"],
)
def test_a_misshaped_tensor_is_named(folder: Path, reshape: Callable[[Tensor], Tensor]) -> None:
    for name in some_names(folder):
        tensors = load_file(folder / WEIGHTS)
        change(folder, lambda t, name=name: t.update({name: reshape(t[name]).contiguous()}))
        with pytest.raises(UserError, match=f"tensor {name} has shape"):
            load_model(folder)
        save_file(tensors, folder / WEIGHTS)


def test_parts_of_the_right_size_together_but_not_alone_are_refused(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    save_model(random_model(BASE), tiny_tokenizer, tmp_path / "m")

    def shift(t: dict[str, Tensor]) -> None:
        t[Q], t[K] = torch.cat([t[Q], t[K][:1]]), t[K][1:].contiguous()

    change(tmp_path / "m", shift)
    with pytest.raises(UserError, match=f"tensor {Q} has shape"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("asked", [None, torch.float32], ids=["as stored", "converted"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.float64, torch.bfloat16], ids=str)
def test_another_or_mixed_dtypes_are_named(
    folder: Path, dtype: torch.dtype, asked: torch.dtype | None
) -> None:
    name = some_names(folder)[1]
    change(folder, lambda t: t.update({name: t[name].to(dtype)}))
    with pytest.raises(UserError, match=r"tensor \S+ has dtype torch\.") as error:
        load_model(folder, dtype=asked)
    assert str(dtype) in str(error.value)


def test_a_tied_head_may_be_stored_but_not_differ(folder: Path) -> None:
    set_config(folder, tie_word_embeddings=True)
    tensors = load_file(folder / WEIGHTS)
    head = next(name for name in tensors if name.startswith(("lm_head", "transformer.output")))
    embedding = some_names(folder)[0]
    with pytest.raises(UserError, match=f"tensor {head} differs from the embedding"):
        load_model(folder)
    change(folder, lambda t: t.update({head: t[embedding].clone()}))
    model = load_model(folder)
    assert model.head.weight is model.embedding.weight


@pytest.mark.parametrize("text", ["[]", "", "{", '{"model_type": "glm"}', "\x00"])
def test_a_damaged_configuration_is_named(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(folder)


def test_an_empty_or_absent_folder_is_named(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"m: holds no model\.safetensors"):
        load_model(folder)
    with pytest.raises(UserError, match=r"nowhere.config\.json: no such file"):
        load_model(folder / "nowhere")


def pickle_weights(folder: Path, weights: object) -> None:
    """Replace the safetensors of a checkpoint with a pickle."""
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def test_a_pickle_is_read_only_when_asked_for(folder: Path) -> None:
    expected = load_model(folder).state_dict()
    pickle_weights(folder, load_file(folder / WEIGHTS))
    with pytest.raises(UserError, match=r"pytorch_model\.bin: a pickle"):
        load_model(folder)
    assert same(load_model(folder, allow_pickle=True).state_dict(), expected)


def test_pickles_with_an_index(folder: Path) -> None:
    expected = load_model(folder).state_dict()
    tensors = load_file(folder / WEIGHTS)
    pickle_weights(folder, {name: tensors[name] for name in list(tensors)[::2]})
    torch.save({name: tensors[name] for name in list(tensors)[1::2]}, folder / "second.bin")
    names = {name: ("pytorch_model.bin", "second.bin")[i % 2] for i, name in enumerate(tensors)}
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": names}), encoding="utf-8")
    assert same(load_model(folder, allow_pickle=True).state_dict(), expected)
    (folder / "second.bin").unlink()
    with pytest.raises(UserError, match=r"second\.bin: the index names this file"):
        load_model(folder, allow_pickle=True)


def test_a_folder_is_replaced_only_when_asked(
    folder: Path, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = random_model(BASE, seed=5)
    with pytest.raises(UserError, match="m: exists"):
        save_model(other, tiny_tokenizer, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "leftover").touch()
    save_model(other, tiny_tokenizer, folder, replace=True)
    assert same(load_model(folder).state_dict(), other.state_dict())
    assert not (folder / "leftover").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_model_can_be_saved_over_the_folder_it_is_mapped_from(
    folder: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    model = load_model(folder)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_model(model, tiny_tokenizer, folder, replace=True)
    assert same(load_model(folder).state_dict(), expected)
    assert same(dict(model.state_dict()), expected)


@pytest.mark.parametrize("replacing", [False, True])
def test_a_failed_save_leaves_what_was_there(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path, replacing: bool
) -> None:
    target = tmp_path / "m"
    if replacing:
        save_model(random_model(BASE), tiny_tokenizer, target)
    broken = random_model(BASE)
    with torch.device("meta"):
        broken.final_norm.weight = torch.nn.Parameter(torch.ones(32))  # it has no data to write
    with pytest.raises((RuntimeError, NotImplementedError)):
        save_model(broken, tiny_tokenizer, target, replace=replacing)
    with pytest.raises(UserError, match="layout 'gguf' is none of chatglm, glm"):
        save_model(random_model(BASE), tiny_tokenizer, target, layout="gguf", replace=replacing)
    assert [path.name for path in tmp_path.iterdir()] == (["m"] if replacing else [])
    if replacing:
        load_model(target)


def test_a_deeper_configuration_than_the_weights_is_an_error(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    save_model(random_model(BASE), tiny_tokenizer, tmp_path / "m")
    for layers, message in ((3, "layers.2.*is missing"), (1, "layers.1.*is not known")):
        values = replace(BASE, num_hidden_layers=layers).to_transformers()
        (tmp_path / "m" / "config.json").write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(UserError, match=message):
            load_model(tmp_path / "m")
