"""Histograms, against numpy's."""

from dataclasses import fields

import numpy as np
import pytest

from qingtan.corpus.quality import HISTOGRAMS, Measures, histogram


def measures_from(values: np.ndarray) -> Measures:
    return Measures(**{field.name: values for field in fields(Measures)})


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_counts_equal_numpys_with_outer_values_in_the_outer_bins(name: str) -> None:
    _, edges = HISTOGRAMS[name]
    assert list(edges) == sorted(set(edges))
    generator = np.random.default_rng(0)
    low, high = edges[0], edges[-1]
    inside = low + (high - low) * generator.random(1000) ** 3
    values = np.concatenate([inside, edges, [low - 1, high + 1, high * 10]])
    counts = histogram(measures_from(values), name)
    expected, _ = np.histogram(np.clip(values, low, high), np.array(edges))
    assert counts.tolist() == expected.tolist()
    assert counts.sum() == len(values)
