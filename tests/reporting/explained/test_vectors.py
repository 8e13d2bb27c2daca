"""Neighbours of global contexts, and the map of both."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrec_tf.reporting.explained import vectors
from hrec_tf.reporting.explained.vectors import groups_of, nearest, places
from tests.reference.explained import nearest_by_cosine

COORDINATES = st.lists(st.integers(-2, 2).map(float), min_size=2, max_size=2)


def test_nearest_golden_values():
    """Of (0, 2): item 3 points the same way, item 2 at 45°, item 1 across, item 4 away."""
    items = np.array([[1, 0], [3, 3], [0, 0.1], [0, -1]])
    ids, cosines = nearest(np.array([[0, 2]]), items, k=4)
    assert ids.tolist() == [[3, 2, 1, 4]]
    np.testing.assert_allclose(cosines, [[1, np.sqrt(0.5), 0, -1]], atol=1e-12)


@given(
    context=COORDINATES, items=st.lists(COORDINATES, min_size=1, max_size=8), k=st.integers(1, 9)
)
def test_nearest_agrees_with_sorting_every_cosine(context, items, k):
    ids, cosines = nearest(np.array([context]), np.array(items), k=k)
    wanted = nearest_by_cosine(context, items, k)
    np.testing.assert_allclose(cosines[0], [cosine for _, cosine in wanted], atol=1e-9)
    by_id = dict(nearest_by_cosine(context, items, len(items)))
    np.testing.assert_allclose([by_id[item] for item in ids[0]], cosines[0], atol=1e-9)


def test_length_counts_for_nothing():
    rng = np.random.default_rng(0)
    contexts, items = rng.normal(size=(3, 4)), rng.normal(size=(9, 4))
    ids, cosines = nearest(contexts, items, k=5)
    again = nearest(contexts * 7, items * rng.uniform(0.1, 9, (9, 1)), k=5)
    assert (again[0] == ids).all()
    np.testing.assert_allclose(again[1], cosines)


def test_a_vector_of_length_0_is_near_to_nobody():
    _, cosines = nearest(np.zeros((1, 2)), np.array([[1.0, 0.0], [0.0, 0.0]]), k=2)
    assert cosines.tolist() == [[0, 0]]


@pytest.fixture(scope="module")
def clusters():
    """30 items around two directions, and a context in the middle of each."""
    rng = np.random.default_rng(1)
    middles = np.array([[5.0, 0, 0, 0], [0, 0, 5.0, 0]])
    items = middles[np.arange(30) % 2] + rng.normal(scale=0.3, size=(30, 4))
    return items, 100 * middles


def test_a_map_keeps_neighbours_together(clusters):
    items, contexts = clusters
    found = places(items, contexts)
    assert found.items.shape == (30, 2) and found.contexts.shape == (2, 2)
    for number, place in enumerate(found.contexts):
        near = np.argsort(np.linalg.norm(found.items - place, axis=1))[:15]
        assert set(near % 2) == {number}, "whatever their lengths, directions decide"


def test_a_map_is_always_the_same(clusters):
    first, second = places(*clusters), places(*clusters)
    np.testing.assert_array_equal(first.items, second.items)
    np.testing.assert_array_equal(first.contexts, second.contexts)


def test_only_the_first_items_are_on_a_map(clusters, monkeypatch):
    monkeypatch.setattr(vectors, "MAX_ITEMS", 12)
    found = places(*clusters)
    assert len(found.items) == 12 and len(found.contexts) == 2


def test_too_few_vectors_for_a_map_are_refused():
    with pytest.raises(ValueError, match=r"are 3 vectors, but a map takes at least 4\. Use"):
        places(np.eye(2), np.ones((1, 2)))


def test_without_scikit_learn_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ImportError, match=r"scikit-learn cannot be imported .*, but it makes the"):
        places(np.eye(4), np.ones((1, 4)))
    with pytest.raises(ImportError, match=r"Run: pip install 'hrec-tf\[explain\]'"):
        vectors.import_tsne()


def test_groups_golden_values():
    held = {1: ("drama", "war"), 2: ("war",), 3: ("drama",), 5: ("noir",), 6: ()}
    found = groups_of([1, 2, 3, 4, 5, 6], held, most=2)
    # War and noir have one item each; of equal ones the alphabet decides.
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "others": [1, 3, 5],
        "drama": [0, 2],
        "noir": [4],
    }
    assert next(iter(found)) == "others", "drawn first, below all others"


def test_items_without_any_category_are_one_group():
    assert {name: len(rows) for name, rows in groups_of([1, 2], {}, most=6).items()} == {"items": 2}
