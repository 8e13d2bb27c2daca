"""The best items of a baseline: those that its scores put first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrec_tf.baselines import ItemKNN, Popularity
from hrec_tf.baselines.baseline import best_places
from hrec_tf.data.histories import Histories

HISTORIES = Histories.from_lists([[[3, 1, 3, 2], [2, 5]], [[4, 2, 4]]], num_items=6)


def test_a_golden_list():
    # Item 3 comes twice, 2 three times, 4 twice; 1 and 5 once. Of equal ones the lower id.
    best = Popularity().fit(HISTORIES).best(HISTORIES, [1, 5], k=4)
    assert best.item_ids.tolist() == [[2, 3, 4, 1]] * 2
    assert best.scores.tolist() == [[3, 2, 2, 1]] * 2


def test_no_targets_give_no_lists():
    best = ItemKNN().fit(HISTORIES).best(HISTORIES, np.zeros(0, int), k=3)
    assert best.item_ids.shape == best.scores.shape == (0, 3)


@given(values=st.lists(st.integers(-2, 2), min_size=1, max_size=9), k=st.integers(1, 12))
def test_places_are_those_of_a_stable_sort(values, k):
    values = np.array(values, float)
    expected = np.argsort(-values, kind="stable")[:k]
    np.testing.assert_array_equal(best_places(values, k), expected)


def test_what_cannot_be_listed_is_refused():
    with pytest.raises(
        ValueError, match=r"`best` was called on a Popularity without counts\. Call"
    ):
        Popularity().best(HISTORIES, [1], k=1)
    with pytest.raises(ValueError, match=r"`k` was 7, but the catalogue has 6 items\. Pass"):
        Popularity().fit(HISTORIES).best(HISTORIES, [1], k=7)
    with pytest.raises(ValueError, match=r"`k` must be .*0"):
        Popularity().fit(HISTORIES).best(HISTORIES, [1], k=0)
    with pytest.raises(ValueError, match=r"`targets` holds 99 \(row 0\)"):
        Popularity().fit(HISTORIES).best(HISTORIES, [99], k=1)
