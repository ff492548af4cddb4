"""As many texts at once as the processor's cache holds the arrays of."""

from collections.abc import Iterator, Sequence

BATCH_CHARACTERS = 1 << 17


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the texts in order, in batches that end with the text that fills them."""
    begin, size = 0, 0
    for i, text in enumerate(texts):
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield texts[begin : i + 1]
            begin, size = i + 1, 0
    if begin < len(texts):
        yield texts[begin:]
