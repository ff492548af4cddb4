"""Draws a sample of a recipe's records and trains a tokenizer on it."""

import heapq
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from qingtan.corpus.recipe import SampledFile, TokenizerRecipe
from qingtan.corpus.screen import Screen
from qingtan.corpus.summary import print_vocabulary
from qingtan.files import new_folder
from qingtan.glm.tokenizer import TOKENIZER_FILE, train_tokenizer
from qingtan.i18n import tr
from qingtan.provenance import LicenceTable, Provenance, Source, Step, merge

# SentencePiece passes over longer lines than 4,192 bytes; a character has at most 4.
LINE_CHARACTERS = 1000


def train_vocabulary(
    recipe: TokenizerRecipe, threads: int | None = None, force: bool = False
) -> Path:
    """Train the tokenizer of a recipe, and print a summary.

    The sample is drawn from all over each file, by a hash of the text, so it is the same each time.

    Args:
        threads: for training; as many as cores by default.
        force: replace an earlier tokenizer at the recipe's output.

    Returns:
        The SentencePiece file.

    Raises:
        UserError: the output exists, a file is missing or cannot be read, too many records of a
            source cannot be used, or the sample is too small for the vocabulary.
    """
    licences = LicenceTable.read(recipe.licences) if recipe.licences else LicenceTable()
    total_weight = sum(source.weight for source in recipe.source)
    texts: list[str] = []
    origins: list[Provenance] = []
    with new_folder(recipe.output, TOKENIZER_FILE, replace=force) as folder:
        for source in tqdm(recipe.source, unit=tr(" sources", " 个来源"), disable=None):
            size = int(recipe.sample_bytes * source.weight / total_weight)
            for text, origin in draw_sample(recipe, source, size, licences):
                texts.append(text)
                origins.append(Provenance(sources=(origin,)))
        train_tokenizer(cut_lines(texts), recipe.vocab_size, folder / TOKENIZER_FILE, threads)
        step = Step.now("tokenizer", vocab_size=recipe.vocab_size)
        merge(origins).with_step(step).write(folder)
    print_vocabulary(recipe, texts)
    return recipe.output / TOKENIZER_FILE


def draw_sample(
    recipe: TokenizerRecipe, source: SampledFile, size: int, licences: LicenceTable
) -> list[tuple[str, Source]]:
    """Draw documents of a source: those with the smallest hashes, until they reach `size`.

    Args:
        size: UTF-8 bytes; the last document may go over it.

    Returns:
        Each document's text, and its source with the counts of this one document.

    Raises:
        UserError: the file cannot be read, or too many of its records cannot be used.
    """
    screen = Screen(recipe, source)
    # The largest hash on top, to be dropped first; digests differ, so nothing else is compared.
    heap: list[tuple[int, str, Source]] = []
    held = 0
    for usable in screen:
        length = len(usable.text.encode())
        origin = licences.describe(usable.source, usable.licence)
        origin = origin.model_copy(update={"documents": 1, "bytes": length})
        heapq.heappush(heap, (-int.from_bytes(usable.digest, "big"), usable.text, origin))
        held += length
        while held - heap[0][2].bytes >= size:
            held -= heapq.heappop(heap)[2].bytes
    screen.finish()
    return [(text, origin) for _, text, origin in sorted(heap, key=lambda item: -item[0])]


def cut_lines(texts: Iterable[str]) -> Iterator[str]:
    """Yield the lines of texts, the empty ones left out and long ones cut."""
    for text in texts:
        for line in text.split("\n"):
            if line.strip():
                for start in range(0, len(line), LINE_CHARACTERS):
                    yield line[start : start + LINE_CHARACTERS]
