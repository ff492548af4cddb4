"""Near-duplicates against the exact similarity of all pairs, gone through in order."""

import multiprocessing
import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qingtan.corpus.duplicates import NearDuplicatesTable, Signer, find_near, near, partitions
from qingtan.errors import UserError

from .samples import changed, grams_of, jaccard, random_text
from .test_exact import write_split

TABLE = NearDuplicatesTable()


def find(
    signatures: NDArray[np.uint32], table: NearDuplicatesTable = TABLE, cuts: tuple[int, ...] = ()
) -> list[int]:
    with tempfile.TemporaryDirectory() as name:
        paths = write_split(Path(name), signatures, list(cuts))
        return find_near(paths, table, Path(name) / "work").tolist()


def with_duplicates(rng: random.Random, originals: int, copies: int) -> list[str]:
    """Return texts of which some are changed copies of others, and of changed copies."""
    texts = [random_text(rng, rng.randrange(60, 600)) for _ in range(originals)]
    for _ in range(copies):
        text = rng.choice(texts)
        texts.append(changed(rng, text, rng.randrange(1 + len(text) // 25)))
    rng.shuffle(texts)
    return texts


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 15), st.integers(0, 25), st.data())
def test_only_what_is_alike_is_dropped_and_for_a_kept_document(
    seed: int, originals: int, copies: int, data: st.DataObject
) -> None:
    rng = random.Random(seed)
    texts = with_duplicates(rng, originals, copies)
    cuts = data.draw(st.lists(st.integers(0, len(texts)), max_size=3))
    kept_as = find(Signer(TABLE).sign(texts), cuts=tuple(cuts))
    for document, kept in enumerate(kept_as):
        if kept >= 0:
            assert kept < document
            assert kept_as[kept] == -1
            grams = (grams_of(texts[i], TABLE.gram) for i in (document, kept))
            assert jaccard(*grams) > TABLE.threshold - 0.15


def test_what_is_clearly_alike_is_found() -> None:
    missed = clear = 0
    for seed in range(12):
        texts = with_duplicates(random.Random(seed), 10, 30)
        kept_as = find(Signer(TABLE).sign(texts))
        sets = [grams_of(text, TABLE.gram) for text in texts]
        for document, grams in enumerate(sets):
            earlier = (sets[k] for k in range(document) if kept_as[k] < 0)
            likest = max((jaccard(grams, other) for other in earlier), default=0)
            if likest > TABLE.threshold + 0.1:
                clear += 1
                missed += kept_as[document] < 0
    assert clear > 80
    assert missed == 0


def greedy(signatures: NDArray[np.uint32], threshold: float) -> list[int]:
    """Go through the documents in order, comparing each with all that are kept."""
    result: list[int] = []
    kept: list[int] = []
    for document, row in enumerate(signatures):
        alike = (k for k in kept if np.mean(signatures[k] == row) >= threshold)
        result.append(next(alike, -1))
        if result[-1] < 0:
            kept.append(document)
    return result


def mixed_signatures(seed: int, documents: int, agreement: float) -> NDArray[np.uint32]:
    """Return signatures that agree with one of three templates in about that share."""
    rng = np.random.default_rng(seed)
    templates = rng.integers(0, 2**32 - 1, (3, 128), dtype=np.uint32)
    own = rng.integers(0, 2**32 - 1, (documents, 128), dtype=np.uint32)
    chosen = templates[rng.integers(0, 3, documents)]
    return np.where(rng.random((documents, 128)) < agreement, chosen, own)


@pytest.mark.parametrize("agreement", [0.5, 0.7, 0.96, 1.0])
def test_small_buckets_are_compared_in_full(agreement: float) -> None:
    """With one number a band, each bucket of nine documents compares all with all."""
    table = NearDuplicatesTable(bands=128, rows=1)
    for seed in range(10):
        signatures = mixed_signatures(seed, 9, agreement)
        assert find(signatures, table) == greedy(signatures, 0.8)


@pytest.mark.parametrize("agreement", [0.85, 0.9, 0.95, 1.0])
def test_templates_of_many_documents_lose_next_to_nothing(agreement: float) -> None:
    signatures = mixed_signatures(1, 500, agreement)
    found, expected = np.array(find(signatures)), np.array(greedy(signatures, 0.8))
    kept = np.flatnonzero(found < 0)
    for document in np.flatnonzero(found >= 0):
        # A byte of each number is compared, so that a few agree by chance.
        assert (signatures[found[document]] == signatures[document]).mean() >= 0.8 - 3 / 128
        assert found[document] in kept
    assert len(kept) <= 1.15 * np.count_nonzero(expected < 0) + 2


def test_of_three_in_a_row_only_the_second_is_dropped() -> None:
    rng = np.random.default_rng(0)
    signatures = np.repeat(rng.integers(0, 2**32, (1, 128), dtype=np.uint32), 3, axis=0)
    signatures[1, :20] += 1
    signatures[2, :40] += 2  # agrees with the second in numbers 40 to 127 only
    signatures[2, :20] = signatures[1, :20]
    assert find(signatures) == [-1, 0, -1]


@pytest.mark.parametrize("agreement", [0.8, 0.9, 1.0])
def test_the_result_depends_on_no_partition_split_or_order(
    agreement: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures = mixed_signatures(2, 400, agreement)
    expected = find(signatures)
    assert any(other >= 0 for other in expected) == (agreement > 0.85)
    monkeypatch.setattr(near, "_RANGE_BITS", 5)
    for records in (100, 700, 3000):
        monkeypatch.setattr(partitions, "PARTITION_RECORDS", records)
        assert find(signatures, cuts=(1, 1, 150, 400)) == expected
    paths = write_split(tmp_path, signatures, [33])
    backwards = find_near(
        paths, TABLE, tmp_path, run_map=lambda f, names: map(f, reversed(list(names)))
    )
    assert backwards.tolist() == expected


def test_partitions_can_be_matched_by_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures = mixed_signatures(3, 300, 0.95)
    monkeypatch.setattr(partitions, "PARTITION_RECORDS", 1000)
    paths = write_split(tmp_path, signatures, [])
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = find_near(paths, TABLE, tmp_path / "work", run_map=pool.imap_unordered)
    assert found.tolist() == find(signatures)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["near-duplicates.npy"]


def test_only_candidates_and_only_within_groups(tmp_path: Path) -> None:
    signatures = np.repeat(mixed_signatures(4, 1, 1.0), 6, axis=0)
    paths = write_split(tmp_path, signatures, [4])
    candidates = np.array([False, True, True, True, True, True])
    groups = np.array([0, 0, 1, 0, 1, 2])
    assert find_near(paths, TABLE, tmp_path, candidates=candidates).tolist() == [-1, -1, 1, 1, 1, 1]
    assert find_near(paths, TABLE, tmp_path, groups=groups).tolist() == [-1, 0, -1, 0, 2, -1]


def test_short_texts_are_never_near_duplicates() -> None:
    assert find(Signer(TABLE).sign(["天地玄黄", "天地玄黄", "", ""])) == [-1, -1, -1, -1]


def test_nothing_to_compare(tmp_path: Path) -> None:
    assert find_near([], TABLE, tmp_path).tolist() == []
    assert find(np.zeros((0, 128), np.uint32)) == []


def test_signatures_of_other_settings_are_named(tmp_path: Path) -> None:
    paths = write_split(tmp_path, np.zeros((3, 64), np.uint32), [])
    with pytest.raises(UserError, match=r"0\.npy: uint32 \(3, 64\).*other settings"):
        find_near(paths, TABLE, tmp_path)
