"""How fast a checkpoint loads, and how much memory that takes, beside transformers.

Makes a checkpoint of about the given size in a temporary folder, in both layouts, and loads it
several times in processes of their own, ours and transformers' in turn. A measurement starts after
the imports and ends when every weight has been read once. Needs Linux, for the peak of memory.

    python benchmarks/loading.py 1000
    python benchmarks/loading.py --size chatglm3-6b --dtype float16 --runs 1
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM
from qingtan.glm.tokenizer import GLMTokenizer, train_tokenizer

# Who loads which layout.
LOADERS = {
    "qingtan, ChatGLM3's layout": "chatglm",
    "qingtan, transformers' layout": "glm",
    "transformers": "glm",
}


def main() -> None:
    """Read the command line and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("megabytes", nargs="?", type=int, default=500, help="about that size")
    parser.add_argument("--size", help="a named size instead, such as chatglm3-6b")
    parser.add_argument("--runs", type=int, default=5, help="of each, the median is printed")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    parser.add_argument("--measure", nargs=2, metavar=("LOADER", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dtype = getattr(torch, options.dtype)
        size = options.megabytes * 1_000_000
        config = GLMConfig.named(options.size) if options.size else config_of(size, dtype)
        make_checkpoints(folder, config, dtype)
        print_table(folder, options.runs)


def config_of(size: int, dtype: torch.dtype) -> GLMConfig:
    """Return a model of about `size` bytes, with as many keys and values as queries: the most that
    a layout can split in three."""
    width, vocabulary = 1024, 8192
    layer = width * (4 * width + 3 * 2816)
    layers = max(1, round((size / dtype.itemsize - 2 * vocabulary * width) / layer))
    return GLMConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=16,
        head_dim=64,
        intermediate_size=2816,
        max_position_embeddings=1024,
    )


def make_checkpoints(folder: Path, config: GLMConfig, dtype: torch.dtype) -> None:
    """Write a model in each layout; what its weights are makes no difference here."""
    with torch.device("meta"):
        model = GLM(config).to(dtype)
    model = model.to_empty(device="cpu").requires_grad_(False)
    for parameter in model.parameters():
        parameter.fill_(0.01)
    train_tokenizer(["abc def"], 270, folder / "tokenizer.model")
    tokenizer = GLMTokenizer.from_file(folder / "tokenizer.model")
    for layout in ("chatglm", "glm"):
        save_model(model, tokenizer, folder / layout, layout=layout)


def measure(loader: str, folder: str) -> dict[str, float]:
    """Load once; return seconds, and the peak of memory over what was used before, in bytes."""
    if loader == "transformers":
        from transformers import GlmForCausalLM

        def load() -> torch.nn.Module:
            model: torch.nn.Module = GlmForCausalLM.from_pretrained(folder, dtype="auto")
            return model
    else:

        def load() -> torch.nn.Module:
            return load_model(folder)

    before = read_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start = time.perf_counter()
    model = load()
    for parameter in model.parameters():
        parameter.detach().view(-1).max()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": read_memory("VmHWM") - before}


def read_memory(name: str) -> int:
    """Return a line of this process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def print_table(folder: Path, runs: int) -> None:
    """Measure all loaders in turn and print the medians."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in LOADERS}
    for _ in range(runs):
        for name, layout in LOADERS.items():
            command = [sys.executable, __file__, "--measure", name, str(folder / layout)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
    size = sum(path.stat().st_size for path in (folder / "glm").glob("*.safetensors"))
    print(f"{size / 1e6:.0f} MB, medians of {runs}, {torch.get_num_threads()} threads")
    print(f"{'':32}{'seconds':>10}{'peak / size':>14}")
    for name, values in results.items():
        seconds = statistics.median(value["seconds"] for value in values)
        ratio = statistics.median(value["bytes"] for value in values) / size
        print(f"{name:32}{seconds:>10.2f}{ratio:>14.2f}")


if __name__ == "__main__":
    main()
