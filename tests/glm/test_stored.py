"""Safetensors without torch: as the library reads them, and nothing damaged gets further."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from qingtan.errors import UserError
from qingtan.glm.stored import open_stored

FILE = "model.safetensors"
TENSORS = {
    "a": torch.randn(3, 5),
    "b": torch.randn(7).half(),
    "c": torch.randn(2, 2).bfloat16(),
    "d": torch.randint(-128, 128, (3,), dtype=torch.int8),
    "e": torch.randint(0, 256, (2, 3), dtype=torch.uint8),
    "none": torch.empty(0, 4),
}


def write(folder: Path, entries: dict[str, Any], data: bytes = bytes(8)) -> None:
    header = json.dumps(entries).encode()
    (folder / FILE).write_bytes(len(header).to_bytes(8, "little") + header + data)


def entry(dtype: Any = "F32", shape: Any = (2,), place: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": place}


def test_every_type_is_read_as_the_library_does(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / FILE, metadata={"format": "pt"})
    stored = open_stored(tmp_path)
    assert stored.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        array = stored[name].map()
        bits = tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor
        assert np.array_equal(array, bits.numpy())
        assert stored[name].nbytes == tensor.nbytes
        if tensor.is_floating_point():
            assert np.array_equal(stored[name].floats(), tensor.float().numpy())


def test_a_tensor_at_an_odd_place_is_aligned(tmp_path: Path) -> None:
    entries = {"a": entry("U8", [1], [0, 1]), "b": entry("F32", [1], [1, 5])}
    write(tmp_path, entries, bytes(1) + np.float32(2.5).tobytes())
    array = open_stored(tmp_path)["b"].map()
    assert array.flags.aligned
    assert array[0] == 2.5


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"x": entry("F64", [1])}, "tensor x has dtype F64; known are"),
        ({"x": entry(8)}, "tensor x has dtype 8"),
        ({"x": entry(shape=[3])}, "F32 of shape \\[3\\] takes 12 bytes, not 8"),
        ({"x": entry(shape=[2**62, 2**62])}, "takes .* bytes, not 8"),
        ({"x": entry(shape=[-2])}, r"shape \[-2\]"),
        ({"x": entry(shape=[True, 2])}, "damaged: shape"),
        ({"x": entry(shape=None)}, "damaged: shape None"),
        ({"x": entry(place=[8, 0])}, "not -8"),
        ({"x": entry(place=[0])}, "data_offsets"),
        ({"x": entry(place=[8, 16])}, "tensor x: damaged: begins at byte"),
        ({"x": entry(), "y": entry()}, "tensor y: damaged: begins at byte"),
        ({"x": entry("F16", [2], [0, 4])}, "its tensors end at byte"),
        ({"x": []}, "tensor x: damaged: its entry is no JSON object"),
        ({"__metadata__": 1}, "__metadata__ is no JSON object"),
    ],
)
def test_what_is_wrong_with_a_header_is_named(
    tmp_path: Path, entries: dict[str, Any], message: str
) -> None:
    write(tmp_path, entries)
    with pytest.raises(UserError, match=rf"model\.safetensors: .*{message}"):
        open_stored(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged or truncated"),
        (b"\xff" * 8, "its header would have"),
        ((2).to_bytes(8, "little") + b"[]", "no JSON object"),
        ((2).to_bytes(8, "little") + b"{]", "not JSON"),
        ((20).to_bytes(8, "little") + b'{"x": 1,     "x": 2}', "x stands there twice"),
        ((40000).to_bytes(8, "little") + b'{"":' * 10000, "not JSON"),
    ],
)
def test_what_is_no_header_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(UserError, match=rf"model\.safetensors: .*{message}"):
        open_stored(tmp_path)


def test_files_with_an_index_are_one(tmp_path: Path) -> None:
    names = {}
    for i, (name, tensor) in enumerate(TENSORS.items()):
        names[name] = f"part{i}.safetensors"
        save_file({name: tensor}, tmp_path / names[name])
    (tmp_path / f"{FILE}.index.json").write_text(json.dumps({"weight_map": names}))
    assert open_stored(tmp_path).keys() == TENSORS.keys()
    save_file({"a": TENSORS["a"]}, tmp_path / "part1.safetensors")
    with pytest.raises(UserError, match=r"part1\.safetensors: tensor a stands in part0"):
        open_stored(tmp_path)
    (tmp_path / "part1.safetensors").unlink()
    with pytest.raises(UserError, match=r"part1\.safetensors: the index names this file"):
        open_stored(tmp_path)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no model\.safetensors, whole or with an index$"):
        open_stored(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(UserError, match=r"pytorch_model\.bin is a pickle.*allow_pickle=True"):
        open_stored(tmp_path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mangled_bytes_are_refused_or_mean_what_the_library_reads(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / FILE
    save_file(TENSORS, path)
    mangled = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(mangled[: data.draw(st.integers(0, len(mangled)))] if data.draw(
        st.booleans()) else mangled)  # fmt: skip
    try:
        stored = open_stored(tmp_path)
    except UserError:
        return
    try:
        with safe_open(path, framework="pt") as file:
            theirs = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise AssertionError("the library refuses what was read") from error
    assert stored.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert (
            stored[name].map().tobytes() == tensor.contiguous().view(torch.uint8).numpy().tobytes()
        )
