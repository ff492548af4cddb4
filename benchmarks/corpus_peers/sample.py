"""The text of the benchmark: Chinese documents, some of them with a changed copy."""

import io
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import sentencepiece
import tokenizers
import zstandard

# Shorter documents have no copy: a changed sentence would make another text of them.
LEAST_CHARACTERS = 200
COPY_SHARE = 0.05
_IDEOGRAPH = re.compile("[一-鿿]")
_SENTENCE = re.compile("[^。！？\n]+[。！？\n]*")


@dataclass(frozen=True)
class Sample:
    """Documents in the order of the file; a document's id is its place.

    Attributes:
        texts: the documents.
        planted: places of an original and of its changed copy.
        size: UTF-8 bytes of all texts.
    """

    texts: list[str]
    planted: list[tuple[int, int]]
    size: int


def draw_sample(folder: Path, megabytes: float, seed: int) -> Sample:
    """Draw about so many megabytes, the same share of every file, and plant the copies."""
    chance = random.Random(seed)
    total = sum(len(text.encode()) for text in read_chinese(folder))
    share = megabytes * 1e6 / max(total, 1)
    drawn = [text for text in read_chinese(folder) if chance.random() < share]
    pairs = {
        place: change(text, chance.choice(drawn), chance) for place, text in _copied(drawn, chance)
    }
    texts = drawn + list(pairs.values())
    # Where each document goes: neither originals nor copies come first.
    places = list(range(len(texts)))
    chance.shuffle(places)
    planted = [(places[o], places[len(drawn) + i]) for i, o in enumerate(pairs)]
    shuffled = [""] * len(texts)
    for place, text in zip(places, texts, strict=True):
        shuffled[place] = text
    return Sample(shuffled, planted, sum(len(text.encode()) for text in texts))


def read_chinese(folder: Path) -> Iterator[str]:
    """Yield the texts of a folder's JSON Lines whose beginning is at least a third ideographs."""
    for path in sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.jsonl.zst")]):
        for line in read_lines(path):
            text = orjson.loads(line)["text"]
            start = text[:1000]
            if start and 3 * len(_IDEOGRAPH.findall(start)) >= len(start):
                yield text


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, plain or .zst."""
    with path.open("rb") as file:
        if path.suffix == ".zst":
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            yield from io.BufferedReader(reader)
        else:
            yield from file


def change(text: str, other: str, chance: random.Random) -> str:
    """Return a near-duplicate of a text.

    Of its characters 1–10% are substituted, deleted or inserted in runs of at most 8; now and
    then a sentence is dropped, and a line is added. What is new comes from another text.
    """
    left = round(len(text) * chance.uniform(0.01, 0.1))
    while left > 0:
        length = min(left, chance.randint(1, 8))
        left -= length
        place = chance.randrange(len(text) - length)
        inserted = chance.choice(("", _excerpt(other, length, chance)))
        deleted = chance.choice((0, length)) if inserted else length
        text = text[:place] + inserted + text[place + deleted :]
    if chance.random() < 0.3:
        text = text.replace(chance.choice(_SENTENCE.findall(text)), "", 1)
    if chance.random() < 0.3:
        text += "\n" + _excerpt(other, chance.randint(10, 40), chance)
    return text


def write_sample(sample: Sample, folder: Path, parts: int) -> None:
    """Write `sample.jsonl.zst`, and the same in so many files below `parts`."""
    lines = [
        orjson.dumps({"id": str(i), "text": text}) + b"\n" for i, text in enumerate(sample.texts)
    ]
    (folder / "parts").mkdir(parents=True)
    (folder / "sample.jsonl.zst").write_bytes(zstandard.compress(b"".join(lines)))
    for part in range(parts):
        data = zstandard.compress(b"".join(lines[part::parts]))
        (folder / "parts" / f"{part}.jsonl.zst").write_bytes(data)


def convert_tokenizer(model: Path, path: Path) -> tokenizers.Tokenizer:
    """Write a SentencePiece BPE as a file of the tokenizers library.

    Pieces are ranked by their ids, so the pairs that make a piece are merged in that order.
    No piece holds a line end; cutting the text there changes no token, and is faster.
    """
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    vocabulary = {pieces.id_to_piece(i): i for i in range(pieces.vocab_size())}
    merges = [
        (piece[:cut], piece[cut:])
        for piece, i in vocabulary.items()
        if not (pieces.is_byte(i) or pieces.is_control(i) or pieces.is_unknown(i))
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    bpe = tokenizers.models.BPE(
        vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    tokenizer = tokenizers.Tokenizer(bpe)
    tokenizer.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Prepend("▁"), tokenizers.normalizers.Replace(" ", "▁")]
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("\n", "isolated")
    tokenizer.save(str(path))
    return tokenizer


def _copied(texts: list[str], chance: random.Random) -> list[tuple[int, str]]:
    long = [(i, text) for i, text in enumerate(texts) if len(text) >= LEAST_CHARACTERS]
    return chance.sample(long, round(len(long) * COPY_SHARE))


def _excerpt(text: str, length: int, chance: random.Random) -> str:
    place = chance.randrange(max(1, len(text) - length))
    return text[place : place + length]
