"""Blank infilling: that nothing is lost, what is predicted, how much, and how long it gets."""

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qingtan.corpus.shards import Shard
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.batches import IGNORED, PackedRows
from qingtan.training.infilling import SHORTEST, Infiller
from qingtan.training.tables import InfillingTable

from .samples import POEM

quick = settings(max_examples=60)
KINDS = ("[MASK]", "[sMASK]", "[gMASK]")
tables = st.builds(
    InfillingTable,
    mask=st.floats(0.1, 3),
    smask=st.floats(0, 3),
    gmask=st.floats(0, 3),
    masked_share=st.floats(0.02, 0.98),
    mean_span=st.floats(1, 10),
)


def encode(tokenizer: GLMTokenizer, text: str) -> NDArray[np.int64]:
    return np.asarray([*tokenizer.prefix, *tokenizer.encode(text), tokenizer.eos_id])


def only(kind: str, **changes: float) -> InfillingTable:
    weights = {name.strip("[]").lower(): float(name == kind) for name in KINDS}
    return InfillingTable.model_validate(weights | changes)


def read_back(
    tokenizer: GLMTokenizer, blanked: NDArray[np.int64], trained: NDArray[np.bool_]
) -> tuple[str, list[int], list[list[int]], list[bool]]:
    """Return the kind, part A, the spans, and which tokens should be predicted.

    Every mask token of A, which is what stands before the first `sop` behind a mask token, has a
    span behind it.
    """
    ids = blanked.tolist()
    sop, eop = tokenizer.special_id("sop"), tokenizer.special_id("eop")
    names = {tokenizer.special_id(name): name for name in KINDS}
    first = 2 if ids[:2] == tokenizer.prefix else 0
    start = ids.index(sop, first)
    part_a = ids[first:start]
    spans: list[list[int]] = []
    expected = [False] * start
    for token in ids[start:]:
        expected.append(token != sop)
        if token == sop:
            spans.append([])
        elif token != eop:
            spans[-1].append(token)
    assert ids.count(eop) == len(spans)
    assert ids[-1] == eop
    kinds = {names[token] for token in part_a if token in names}
    assert len(kinds) == 1
    return kinds.pop(), part_a, spans, expected


@quick
@given(
    table=tables,
    body=st.lists(st.integers(259, 499), min_size=0, max_size=300),
    cut=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 2**32),
)
def test_filling_the_blanks_gives_the_text(
    tiny_tokenizer: GLMTokenizer,
    table: InfillingTable,
    body: list[int],
    cut: tuple[bool, bool],
    seed: int,
) -> None:
    prefix = [] if cut[0] else tiny_tokenizer.prefix
    eos = [] if cut[1] else [tiny_tokenizer.eos_id]
    tokens = np.asarray([*prefix, *body, *eos], np.int64)
    infiller = Infiller(table, tiny_tokenizer)
    blanked, trained = infiller.blank_out(tokens, np.random.default_rng(seed))
    assert len(blanked) == len(trained)
    if len(body) < SHORTEST:
        assert np.array_equal(blanked, tokens)
        assert trained.tolist() == [i > 0 for i in range(len(tokens))]
        return
    kind, part_a, spans, expected = read_back(tiny_tokenizer, blanked, trained)
    mask = tiny_tokenizer.special_id(kind)
    left = iter(spans)
    filled = [t for token in part_a for t in (next(left) if token == mask else [token])]
    assert filled == body
    assert next(left, None) is None
    assert blanked[: len(prefix)].tolist() == prefix
    # The end of a long span that was cut is not the text's.
    expected[-1] = kind != "[gMASK]" or not cut[1]
    assert trained.tolist() == expected
    assert all(spans)
    if kind == "[MASK]":  # no two blanks touch
        assert not any(a == b == mask for a, b in pairwise(part_a))
    if kind == "[gMASK]":
        assert len(spans) == 1
        assert part_a[-1] == mask
        assert len(spans[0]) >= len(body) / 2


@quick
@given(table=tables, limit=st.integers(9, 2000), seed=st.integers(0, 2**32))
def test_the_longest_text_fits(
    tiny_tokenizer: GLMTokenizer, table: InfillingTable, limit: int, seed: int
) -> None:
    infiller = Infiller(table, tiny_tokenizer)
    longest = infiller.longest(limit)
    assert 2 <= longest <= limit
    rng = np.random.default_rng(seed)
    # Sentences of one token are the most spans.
    for tokens in (rng.integers(259, 499, longest), encode(tiny_tokenizer, "。春" * longest)):
        blanked, _ = infiller.blank_out(tokens[:longest], rng)
        assert len(blanked) <= limit
    assert [infiller.longest(n) for n in range(limit, limit + 9)] == sorted(
        infiller.longest(n) for n in range(limit, limit + 9)
    )


def test_by_default_a_row_holds_most_of_a_rows_text(tiny_tokenizer: GLMTokenizer) -> None:
    # n tokens have at most ⌈0.15·n/3⌉ spans, each of which adds 3: 891 + 3·45 = 1026.
    assert Infiller(InfillingTable(), tiny_tokenizer).longest(1026) == 891
    assert Infiller(InfillingTable(), tiny_tokenizer).longest(1025) == 890


@pytest.mark.parametrize(("share", "mean"), [(0.15, 3.0), (0.3, 1.0), (0.5, 6.5)])
def test_short_spans_have_the_share_and_the_lengths_that_were_asked_for(
    tiny_tokenizer: GLMTokenizer, share: float, mean: float
) -> None:
    infiller = Infiller(only("[MASK]", masked_share=share, mean_span=mean), tiny_tokenizer)
    rng = np.random.default_rng(0)
    tokens = rng.integers(259, 499, 400)
    lengths, places = [], np.zeros(400)
    for _ in range(400):
        blanked, trained = infiller.blank_out(tokens, rng)
        _, part_a, spans, _ = read_back(tiny_tokenizer, blanked, trained)
        lengths += [len(span) for span in spans]
        place, left = 0, iter(spans)
        for token in part_a:
            size = len(next(left)) if token == tiny_tokenizer.special_id("[MASK]") else 0
            places[place : place + size] += 1
            place += size or 1
    assert sum(lengths) / (400 * 400) == pytest.approx(share, rel=0.03)
    # Poisson, with 0 counted as 1.
    assert np.mean(lengths) == pytest.approx(mean + np.exp(-mean), rel=0.04)
    assert np.mean(np.asarray(lengths) == 1) == pytest.approx(np.exp(-mean) * (1 + mean), abs=0.02)
    # No part of a text is left out: every tenth is masked as often, but for chance.
    assert places.reshape(10, 40).mean(1) / 400 == pytest.approx(np.full(10, share), rel=0.15)


def test_sentences_are_whole_and_have_the_share(tiny_tokenizer: GLMTokenizer) -> None:
    sentences = [
        "春眠不觉晓，处处闻啼鸟。",
        '他说："你好！"',
        "Pi is 3.14 today.\n",
        "花落知多少？！",
    ]
    rng = np.random.default_rng(1)
    text = "".join(sentences[i] for i in rng.integers(0, 4, 60))
    tokens = encode(tiny_tokenizer, text)
    infiller = Infiller(only("[sMASK]"), tiny_tokenizer)
    masked, seen = 0, set()
    for _ in range(100):
        blanked, trained = infiller.blank_out(tokens, rng)
        kind, _, spans, _ = read_back(tiny_tokenizer, blanked, trained)
        assert kind == "[sMASK]"
        masked += sum(map(len, spans))
        seen.update(tiny_tokenizer.decode(span).strip() for span in spans)
    assert seen == {sentence.strip() for sentence in sentences}
    assert masked / (100 * (len(tokens) - 3)) == pytest.approx(0.15, rel=0.1)


@pytest.mark.parametrize(
    ("text", "cut", "kind"),
    [
        ("春眠不觉晓，处处闻啼鸟，夜来风雨声。", False, "[MASK]"),  # one sentence
        ("春眠不觉晓。夜来风雨声，花落知多少", False, "[sMASK]"),
        ("春眠不觉晓。夜来风雨声，花落知多少", True, "[MASK]"),  # neither end is a sentence's
        ("春眠不觉晓。床前明月光。举头望明月。夜来风雨声，花落知多少", True, "[sMASK]"),
    ],
)
def test_without_two_whole_sentences_spans_are_short(
    tiny_tokenizer: GLMTokenizer, text: str, cut: bool, kind: str
) -> None:
    tokens = encode(tiny_tokenizer, text)
    tokens = tokens[2:-1] if cut else tokens
    infiller = Infiller(only("[sMASK]"), tiny_tokenizer)
    for seed in range(20):
        blanked, trained = infiller.blank_out(tokens, np.random.default_rng(seed))
        found, _, spans, _ = read_back(tiny_tokenizer, blanked, trained)
        assert found == kind
        if cut and kind == "[sMASK]":
            texts = {tiny_tokenizer.decode(span).strip() for span in spans}
            assert texts <= {"床前明月光。", "举头望明月。"}


def test_kinds_are_drawn_by_weight_and_documents_by_share(tiny_tokenizer: GLMTokenizer) -> None:
    infiller = Infiller(InfillingTable(share=0.3, mask=1, smask=2, gmask=5), tiny_tokenizer)
    rng = np.random.default_rng(2)
    tokens = encode(tiny_tokenizer, POEM * 2)
    kinds = [read_back(tiny_tokenizer, *infiller.blank_out(tokens, rng))[0] for _ in range(2000)]
    shares = [kinds.count(kind) / 2000 for kind in KINDS]
    assert shares == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.04)
    assert np.mean([infiller.draws(rng) for _ in range(2000)]) == pytest.approx(0.3, abs=0.04)


def poems(tokenizer: GLMTokenizer) -> Shard:
    documents = [encode(tokenizer, f"{i}：{POEM * (1 + i % 4)}") for i in range(40)]
    starts = np.cumsum([0, *map(len, documents)])
    sizes = np.ones(len(documents), np.uint32)
    tokens = np.concatenate(documents).astype(np.uint16)
    return Shard("text", "train", tokens, starts, sizes, None)


def test_rows_hold_texts_with_blanks_that_the_seed_repeats(tiny_tokenizer: GLMTokenizer) -> None:
    shard = poems(tiny_tokenizer)
    blanks = Infiller(InfillingTable(share=1), tiny_tokenizer)

    def rows(seed: int, infiller: Infiller | None = blanks) -> list[tuple[list[int], list[int]]]:
        source = PackedRows([shard], {"text": 1.0}, 64, seed, infiller)
        batches = islice(source.batches(1), 400)
        return [(batch.tokens[0].tolist(), batch.labels[0].tolist()) for batch in batches]

    first = rows(0)
    assert rows(0) == first != rows(1)
    # Some epochs of one poem: from left to right they are the same few rows again and again.
    assert len({str(row) for row in first}) > 2 * len({str(row) for row in rows(0, None)})
    labels = {label for _, row in first for label in row}
    tokens = {token for row, _ in first for token in row}
    masks = {tiny_tokenizer.special_id(name) for name in KINDS}
    assert masks <= tokens
    assert not masks & labels
    assert {tiny_tokenizer.special_id("eop"), IGNORED} <= labels
