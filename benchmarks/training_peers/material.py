"""What the work is done on: a corpus of real or made-up documents, and models of random weights."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from sentencepiece import sentencepiece_model_pb2

from qingtan.corpus.documents import Document
from qingtan.corpus.encoded import Encoded, token_type
from qingtan.corpus.recipe import Kind
from qingtan.corpus.shards import INDEX_FILE, CorpusIndex, ShardEntry, SourceEntry, Split
from qingtan.corpus.writer import ShardWriter
from qingtan.files import write_text
from qingtan.glm.checkpoint import save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import encode_conversations, stop_ids
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import SPECIAL_TOKENS, GLMTokenizer
from qingtan.provenance import Provenance, Source
from training_peers.work import CORPUS, MODEL, TEACHER, Work

TOKENIZER = Path(__file__).resolve().parents[2] / "models/qingtan/tokenizer.model"
# The teacher's size; its vocabulary is its student's.
TEACHER_SIZE = "mid"
# Documents that are drawn, enough that a run sees few of them twice.
DRAWN: dict[Kind, int] = {"text": 400, "conversations": 2000}
FILES: dict[Kind, str] = {
    "text": "pretrain/articles.jsonl.zst",
    "conversations": "sft/dialogue.jsonl.zst",
}
# Log-normal lengths of made-up documents in tokens: the median, the logarithm's deviation.
LENGTHS: dict[Kind, tuple[float, float]] = {"text": (600, 0.8), "conversations": (60, 0.7)}
ORIGIN = Source(name="benchmark", licence="LicenseRef-benchmark")


def prepare(work: Work, folder: Path, data: Path) -> None:
    """Make the folder of a run.

    Args:
        data: a folder that has FILES; documents of random tokens are made up for a missing one.
    """
    folder.mkdir(parents=True)
    work.write(folder)
    tokenizer = widen_tokenizer(GLMConfig.named(work.size).vocab_size)
    kind: Kind = "conversations" if work.task == "fine-tuning" else "text"
    rng = np.random.default_rng(work.seed)
    path = data / FILES[kind]
    if path.is_file():
        documents = encode_records(tokenizer, kind, draw_records(path, DRAWN[kind], rng))
    else:
        documents = list(make_documents(tokenizer, kind, rng))
    # A conversation that fits no row is left out by Qingtan, so here for all.
    fitting = [d for d in documents if kind == "text" or len(d.tokens) <= work.length + 1]
    write_corpus(folder / CORPUS, tokenizer, kind, fitting)
    write_model(folder / MODEL, work.size, tokenizer, work.seed)
    if work.task == "distillation":
        write_model(folder / TEACHER, TEACHER_SIZE, tokenizer, work.seed + 1)


def widen_tokenizer(vocab_size: int) -> GLMTokenizer:
    """Return the built-in model's tokenizer with pieces added, that no text has, to a size."""
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(TOKENIZER.read_bytes())
    for i in range(len(model.pieces), vocab_size - len(SPECIAL_TOKENS)):
        model.pieces.add(piece=f"<unused {i}>", type=model.SentencePiece.UNUSED)
    return GLMTokenizer(model.SerializeToString())


def draw_records(path: Path, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return some records of a compressed file of JSON Lines, in a random order."""
    with path.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file)
        lines = list(io.TextIOWrapper(stream, encoding="utf-8"))
    return [json.loads(lines[i]) for i in rng.permutation(len(lines))[:count]]


def encode_records(
    tokenizer: GLMTokenizer, kind: Kind, records: Sequence[dict[str, Any]]
) -> list[Document]:
    """Return records as they stand in a corpus."""
    if kind == "text":
        texts = tokenizer.encode_batch([record["text"] for record in records])
        return [Document([*tokenizer.prefix, *i, tokenizer.eos_id], None, 1) for i in texts]
    conversations = [(record["messages"], record.get("tools")) for record in records]
    encoded = encode_conversations(tokenizer, conversations)
    return [Document(*each, 1) for each in encoded if isinstance(each, tuple)]


def make_documents(
    tokenizer: GLMTokenizer, kind: Kind, rng: np.random.Generator
) -> Iterator[Document]:
    """Yield documents of random tokens; a conversation's second half is its answer."""
    median, deviation = LENGTHS[kind]
    lengths = rng.lognormal(np.log(median), deviation, DRAWN[kind]).astype(int).clip(8)
    for length in lengths.tolist():
        tokens = rng.integers(3, tokenizer.vocab_size, length).tolist()
        answer = [i >= length // 2 for i in range(length)]
        yield Document(tokens, answer if kind == "conversations" else None, 1)


def write_corpus(
    folder: Path, tokenizer: GLMTokenizer, kind: Kind, documents: Sequence[Document]
) -> None:
    """Write shards: one document for validation, the others for training."""
    folder.mkdir()
    tokenizer.save(folder)
    Provenance(sources=(ORIGIN,)).write(folder)
    dtype = token_type(tokenizer.vocab_size)
    splits: dict[Split, Sequence[Document]] = {"train": documents[1:], "valid": documents[:1]}
    shards: list[ShardEntry] = []
    for split, chosen in splits.items():
        writer = ShardWriter(folder, ORIGIN.name, split, kind, 1 << 40, lambda _: (ORIGIN,))
        writer.add(Encoded.of(chosen, [1] * len(chosen), [0] * len(chosen), dtype))
        writer.close()
        shards += writer.entries
    tokens = sum(shard.tokens for shard in shards)
    source = SourceEntry(
        name=ORIGIN.name,
        kind=kind,
        documents=len(documents),
        characters=0,
        bytes=len(documents),
        tokens=tokens,
        trained_tokens=sum(sum(d.trained) if d.trained else len(d.tokens) for d in documents),
        origins=(ORIGIN,),
    )
    index = CorpusIndex(
        tokenizer_sha256=hashlib.sha256(tokenizer.model).hexdigest(),
        vocab_size=tokenizer.vocab_size,
        dtype=dtype,
        shards=tuple(shards),
        sources=(source,),
    )
    write_text(folder / INDEX_FILE, index.model_dump_json())


def write_model(folder: Path, size: str, tokenizer: GLMTokenizer, seed: int) -> None:
    """Write a new model of a named size, with the tokenizer's vocabulary."""
    rows = -(-tokenizer.vocab_size // 64) * 64
    config = GLMConfig.named(size, vocab_size=rows, eos_token_id=stop_ids(tokenizer))
    save_model(initialize(GLM(config), seed), tokenizer, folder)
    Provenance(sources=(ORIGIN,)).write(folder)
