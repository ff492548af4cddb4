"""datatrove's side; runs with an interpreter that has datatrove, and without Qingtan.

Filters and thresholds are those of FineWeb-2 for Chinese (huggingface/fineweb-2:
fineweb-2-pipeline.py and configs/cmn_Hani.yml), with the filters before the duplicates, as in
FineWeb; its language model must be fetched from a hub, so languages are not identified.
"""

import argparse
import json
import time
from contextlib import contextmanager
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import (
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter, SymbolLinesFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter

LANGUAGE = "cmn_Hani"
STOP_WORDS = [
    "的",
    "年",
    "在",
    "月",
    "是",
    "和",
    "日",
    "了",
    "於",
    "·",
    "為",
    "有",
    "被",
    "人",
    "中",
    "为",
    "他",
    "與",
    "後",
    "也",
    "而",
    "由",
]
CONFIG = MinhashConfig()  # 14 buckets of 8 hashes of 5 words


class Pipeline:
    """One run, in a folder of its own.

    Attributes:
        seconds: how long each step took, starting its processes included.
    """

    def __init__(self, work: Path, workers: int) -> None:
        self.work = work
        self.workers = workers
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str):
        """Measure a step."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def execute(self, name: str, steps: list, tasks: int | None = None) -> None:
        """Run steps on all workers, as a task for each of the parts of the text."""
        LocalPipelineExecutor(
            pipeline=steps,
            tasks=tasks or self.workers,
            workers=min(self.workers, tasks or self.workers),
            logging_dir=str(self.work / "logs" / name),
        ).run()

    def clean(self, parts: Path) -> Path:
        """Filter and mend; return the folder of what is left."""
        cleaned = self.work / "cleaned"
        writer = JsonlWriter(str(cleaned), compression=None)
        self.execute("clean", [JsonlReader(str(parts)), *filters(), *formatters(), writer])
        return cleaned

    def find_duplicates(self, texts: Path) -> Path:
        """Return the folder that names the documents to remove."""
        signatures, buckets, removed = (
            str(self.work / name) for name in ("signatures", "buckets", "removed")
        )
        signer = MinhashDedupSignature(signatures, config=CONFIG, language=LANGUAGE)
        self.execute("signatures", [JsonlReader(str(texts)), signer])
        matcher = MinhashDedupBuckets(signatures, buckets, config=CONFIG)
        self.execute("buckets", [matcher], tasks=CONFIG.num_buckets)
        self.execute("cluster", [MinhashDedupCluster(buckets, removed, config=CONFIG)], tasks=1)
        return Path(removed)

    def keep(self, texts: Path, removed: Path, last_step: object) -> None:
        """Hand the documents that stay to a last step."""
        reader, keeper = JsonlReader(str(texts)), MinhashDedupFilter(str(removed))
        self.execute("keep", [reader, keeper, last_step])


def filters() -> list:
    """Return the filters of FineWeb-2 for Chinese."""
    return [
        GopherRepetitionFilter(
            dup_line_frac=0.287,
            dup_para_frac=0,
            dup_line_char_frac=0,
            dup_para_char_frac=0,
            top_n_grams=((2, 0.256), (3, 0.201), (4, 0.171)),
            dup_n_grams=((5, 0.198), (6, 0.182), (7, 0.167), (8, 0.154), (9, 0.14), (10, 0.127)),
            language=LANGUAGE,
        ),
        FineWebQualityFilter(
            line_punct_thr=0.106,
            short_line_thr=999,
            char_duplicates_ratio=0.1,
            new_line_ratio=0.178,
            language=LANGUAGE,
        ),
        GopherQualityFilter(
            min_avg_word_length=1,
            max_avg_word_length=5,
            max_non_alpha_words_ratio=0.735,
            stop_words=STOP_WORDS,
            language=LANGUAGE,
        ),
    ]


def formatters() -> list:
    """Return the last touches of FineWeb-2."""
    return [
        FTFYFormatter(),
        PIIFormatter(),
        SymbolLinesFormatter(symbols_to_remove=["|"], replace_char="\n"),
    ]


def build(pipeline: Pipeline, parts: Path, tokenizer: Path) -> dict[str, int]:
    """Clean, drop duplicates and encode; return how many documents and tokens are left."""
    with pipeline.step("clean"):
        cleaned = pipeline.clean(parts)
    with pipeline.step("duplicates"):
        removed = pipeline.find_duplicates(cleaned)
    with pipeline.step("encode"):
        tokens = pipeline.work / "tokens"
        # In the order of the text: shuffling would be more work than the others do.
        encoder = DocumentTokenizer(
            str(tokens), str(tokenizer), eos_token="</s>", shuffle_documents=False
        )
        pipeline.keep(cleaned, removed, encoder)
    # A uint64 for each document, and a uint16 for each token of a vocabulary as small as this.
    documents = sum(path.stat().st_size // 8 for path in tokens.glob("*.index"))
    return {
        "documents": documents,
        "tokens": sum(f.stat().st_size // 2 for f in tokens.glob("*.ds")),
    }


def drop_duplicates(pipeline: Pipeline, parts: Path) -> dict[str, int | None]:
    """Drop duplicates only; write the ids of what is left into `kept.txt`."""
    with pipeline.step("duplicates"):
        kept = pipeline.work / "kept"
        removed = pipeline.find_duplicates(parts)
        pipeline.keep(parts, removed, JsonlWriter(str(kept), compression=None))
    ids = []
    for path in kept.glob("*.jsonl"):
        with path.open(encoding="utf-8") as lines:
            ids += [json.loads(line)["id"] for line in lines]
    (pipeline.work / "kept.txt").write_text("\n".join(ids))
    return {"documents": len(ids), "tokens": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", choices=["build", "duplicates"])
    parser.add_argument("sample", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    pipeline = Pipeline(options.work, options.workers)
    parts = options.sample / "parts"
    if options.task == "build":
        left = build(pipeline, parts, options.sample / "tokenizer.json")
    else:
        left = drop_duplicates(pipeline, parts)
    result = {"seconds": pipeline.seconds, **left}
    (options.work / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
