"""data-juicer's side; runs with an interpreter that has data-juicer, and without Qingtan.

The operators are those of its recipes for web text and for Chinese (modelscope/data-juicer:
configs/data_juicer_recipes/redpajama-cc-*-refine.yaml and alpaca_cot/alpaca-cot-zh-refine.yaml),
as far as they suit Chinese and need no model or word list from a hub: links, Chinese punctuation
and the short lines of verse stay. It has no step that writes tokens.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

CLEANING = [
    {"fix_unicode_mapper": {}},
    {"clean_email_mapper": {}},
    {"alphanumeric_filter": {"tokenization": False, "min_ratio": 0.1}},
    {"average_line_length_filter": {"min_len": 1, "max_len": 1500}},
    {"character_repetition_filter": {"rep_len": 10, "max_ratio": 0.6}},
    {"maximum_line_length_filter": {"min_len": 1, "max_len": 5000}},
    {"special_characters_filter": {"max_ratio": 0.35}},
    {"text_length_filter": {"min_len": 10}},
]
# Its default threshold is 0.7, with 256 permutations; it asks for characters where words are not
# set apart by spaces.
DUPLICATES = [
    {
        "document_minhash_deduplicator": {
            "tokenization": "character",
            "window_size": 5,
            "ignore_pattern": r"\p{P}",
        }
    }
]


def refuse_install(package: str, *_: object) -> None:
    """Stop where a package is missing.

    data-juicer installs what it misses while it runs, in any version: that would change the
    environment, and count as time that it takes.
    """
    message = f"data-juicer lacks {package}: install it into its environment"
    print(message, file=sys.__stderr__, flush=True)  # it takes sys.stderr for its log
    raise SystemExit(1)


def process(source: Path, output: Path, operators: list[dict], workers: int) -> float:
    """Run operators over a file of JSON Lines; return the seconds that it took."""
    from data_juicer.utils.lazy_loader import LazyLoader

    # Before the other imports, which install packages too.
    LazyLoader._install_package = staticmethod(refuse_install)
    from data_juicer.config import init_configs
    from data_juicer.core.executor import DefaultExecutor

    recipe = output.with_suffix(".json")
    settings = {
        "project_name": output.stem,
        "dataset_path": str(source),
        "export_path": str(output),
        "work_dir": str(output.parent / f"{output.stem}-work"),
        "np": workers,
        "use_cache": False,
        "open_tracer": False,
        "process": operators,
    }
    recipe.write_text(json.dumps(settings))
    start = time.perf_counter()
    DefaultExecutor(init_configs(["--config", str(recipe)])).run()
    return time.perf_counter() - start


def build(sample: Path, work: Path, workers: int) -> dict[str, float]:
    """Clean and drop duplicates; return the seconds of each step."""
    cleaned, kept = work / "cleaned.jsonl", work / "kept.jsonl"
    return {
        "clean": process(sample, cleaned, CLEANING, workers),
        "duplicates": process(cleaned, kept, DUPLICATES, workers),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", choices=["build", "duplicates"])
    parser.add_argument("sample", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    # Read when the libraries are imported.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_DATASETS_CACHE"] = str(options.work / "datasets")
    sample, kept = options.sample / "sample.jsonl.zst", options.work / "kept.jsonl"
    if options.task == "build":
        seconds = build(sample, options.work, options.workers)
    else:
        seconds = {"duplicates": process(sample, kept, DUPLICATES, options.workers)}
    with kept.open(encoding="utf-8") as lines:
        ids = [json.loads(line)["id"] for line in lines]
    (options.work / "kept.txt").write_text("\n".join(ids))
    result = {"seconds": seconds, "documents": len(ids), "tokens": None}
    (options.work / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
