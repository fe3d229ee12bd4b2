"""Random sets: of the right size, equally likely for every item, in proportion where they are stratified."""

from __future__ import annotations

import numpy as np
import pytest

from mixedfx.subsample.random_levels import CLASSES, random_sets


def one(n_items: int, n: int, seed: int, counts: np.ndarray | None) -> np.ndarray:
    (chosen,) = random_sets(n_items, n, np.random.default_rng(seed), counts=counts)
    return chosen


@pytest.mark.parametrize(("n_items", "n"), [(7, 3), (100, 1), (101, 33), (100, 100), (5, 5), (1000, 999)])
def test_stratified_sets_have_distinct_items_and_the_size_asked_for(n_items: int, n: int) -> None:
    counts = np.random.default_rng(0).integers(1, 6, n_items)
    for seed in range(20):
        chosen = one(n_items, n, seed, counts)
        assert len(np.unique(chosen)) == n
        assert chosen.min() >= 0
        assert chosen.max() < n_items


def test_each_class_gives_its_share() -> None:
    counts = np.random.default_rng(1).permutation(1000)  # classes are known: hundreds of the counts
    for seed in range(20):
        sizes = np.bincount(counts[one(1000, 55, seed, counts)] // 100, minlength=CLASSES)
        assert set(sizes) <= {5, 6}


def test_each_item_is_equally_likely() -> None:
    """Also where classes do not divide evenly and many counts are equal."""
    counts = np.repeat([1, 2, 50], [20, 10, 7])
    drawn = np.zeros(37)
    for seed in range(4000):
        drawn[one(37, 8, seed, counts)] += 1
    # Binomial(4000, 8/37): 865 with standard deviation 26; 4.5 of them for the largest of 37.
    assert np.abs(drawn - 4000 * 8 / 37).max() < 4.5 * 26


def test_replicates_start_over_only_when_too_few_are_left() -> None:
    sets = list(random_sets(10, 4, np.random.default_rng(0), replicates=3))
    assert not set(sets[0]) & set(sets[1])
    assert all(len(set(s)) == 4 for s in sets)
    everything = list(random_sets(4, 4, np.random.default_rng(0), replicates=2))
    assert [sorted(s) for s in everything] == [[0, 1, 2, 3]] * 2
