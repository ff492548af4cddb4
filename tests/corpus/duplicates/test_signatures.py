"""Signatures against the exact similarity of sets of n-grams."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qingtan.corpus.duplicates import NearDuplicatesTable, Signer, is_signed
from qingtan.corpus.duplicates.settings import proposal_rate

from .samples import changed, grams_of, jaccard, random_text

TABLE = NearDuplicatesTable()


@pytest.mark.parametrize("length", [30, 60, 200, 800, 3000])
def test_signatures_estimate_the_jaccard_similarity_without_bias(length: int) -> None:
    rng = random.Random(length)
    pairs = []
    for i in range(100):
        text = random_text(rng, length)
        # Half of it stands twice in some: sets do not count how often.
        text += text[: length // 2] * (i % 2)
        pairs.append((text, changed(rng, text, rng.randrange(1 + length // 8))))
    signatures = Signer(TABLE).sign([text for pair in pairs for text in pair])
    estimates = (signatures[0::2] == signatures[1::2]).mean(axis=1)
    exact = np.array([jaccard(*(grams_of(t, TABLE.gram) for t in pair)) for pair in pairs])
    errors = estimates - exact
    deviation = np.sqrt((exact * (1 - exact)).mean() / TABLE.permutations)
    assert exact.min() < 0.45
    assert exact.max() > 0.95
    assert abs(errors.mean()) < 4 * deviation / np.sqrt(len(pairs))
    assert np.sqrt((errors**2).mean()) < 1.3 * deviation


@settings(max_examples=30)
@given(st.lists(st.text(min_size=0, max_size=80), max_size=12), st.data())
def test_a_signature_does_not_depend_on_its_batch(texts: list[str], data: st.DataObject) -> None:
    signer = Signer(NearDuplicatesTable(min_grams=3, gram=2))
    cut = data.draw(st.integers(0, len(texts)))
    whole = signer.sign(texts)
    assert whole.shape == (len(texts), 128)
    assert np.concatenate([signer.sign(texts[:cut]), signer.sign(texts[cut:])]).tolist() == (
        whole.tolist()
    )


def test_large_batches_are_signed_text_by_text() -> None:
    rng = random.Random(0)
    texts = [random_text(rng, rng.choice([10, 100, 3000, 150_000])) for _ in range(40)]
    signer = Signer(TABLE)
    assert np.array_equal(signer.sign(texts), np.concatenate([signer.sign([t]) for t in texts]))


def test_texts_that_fold_to_the_same_are_signed_the_same() -> None:
    first, second = Signer(TABLE).sign(["Hello, 世界！" * 9, "hello世界" * 9])
    assert first.tolist() == second.tolist()


def test_short_texts_are_not_signed() -> None:
    texts = [LONG_ENOUGH[:23], LONG_ENOUGH, "", LONG_ENOUGH[:23] + "，。"]
    assert is_signed(Signer(TABLE).sign(texts)).tolist() == [False, True, False, False]


LONG_ENOUGH = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥天地"  # 24 characters: 20 n-grams of 5

DIGEST_SCRIPT = """\
import hashlib
from qingtan.corpus.duplicates import NearDuplicatesTable, Signer
texts = ["".join(chr(0x4E00 + i * i % 997) for i in range(k, k + 11 * k)) for k in range(3, 120)]
signatures = Signer(NearDuplicatesTable()).sign(texts)
print(hashlib.sha256(signatures.astype("<u4").tobytes()).hexdigest())
"""


@pytest.mark.parametrize("threads", ["1", "4"])
def test_signatures_are_the_same_on_every_machine_and_for_any_threads(threads: str) -> None:
    """A digest that changes means that stored signatures cannot be compared with new ones."""
    done = subprocess.run(
        [sys.executable, "-c", DIGEST_SCRIPT],
        env={**os.environ, "RAYON_NUM_THREADS": threads},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == SIGNATURES_SHA256


SIGNATURES_SHA256 = "d34126de119cc239f1dfdd777307dd1601a66e37592f2f5a8f5820b69589b33e"


def test_the_default_bands_propose_nine_of_ten_pairs_at_the_threshold() -> None:
    for threshold in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0):
        for permutations in (16, 64, 100, 128, 256):
            table = NearDuplicatesTable(threshold=threshold, permutations=permutations)
            bands, rows = table.banding
            assert bands * rows <= permutations
            assert proposal_rate(threshold, bands, rows) >= 0.9
            if rows < permutations:
                assert proposal_rate(threshold, permutations // (rows + 1), rows + 1) < 0.9
    assert NearDuplicatesTable().banding == (16, 8)


def test_the_proposal_rate_is_what_drawing_gives() -> None:
    rng = np.random.default_rng(0)
    equal = rng.random((20_000, 16, 8)) < 0.8
    share = equal.all(axis=2).any(axis=1).mean()
    assert share == pytest.approx(proposal_rate(0.8, 16, 8), abs=0.006)


def test_given_bands_are_taken_and_checked() -> None:
    assert NearDuplicatesTable(bands=20, rows=5).banding == (20, 5)
    with pytest.raises(ValidationError, match="both bands and rows"):
        NearDuplicatesTable(bands=20)
    with pytest.raises(ValidationError, match="may not exceed permutations"):
        NearDuplicatesTable(bands=20, rows=7)
