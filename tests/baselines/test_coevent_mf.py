import numpy as np
import pytest

from hrec_tf.baselines import CoEventMF
from hrec_tf.baselines.coevent_mf import co_occurrences
from hrec_tf.data.histories import Histories

GROUPS = Histories.from_lists(
    [[[1, 2, 3], [2, 1, 3, 1]] * 3, [[4, 5, 6], [6, 5, 4]] * 3, [[3, 4], [7]]]
)


def loss(model, c, x, y):
    total = model.l2 * ((x**2).sum() + (y**2).sum())
    for i in range(len(c)):
        for j in range(len(c)):
            total += (1 + model.confidence * c[i, j]) * (float(c[i, j] > 0) - x[i] @ y[j]) ** 2
    return total


def test_sessions_that_hold_both_items_are_counted_once():
    counts = co_occurrences(Histories.from_lists([[[1, 2, 1], [1, 2], [3, 3]]])).toarray()
    np.testing.assert_array_equal(counts, [[0, 2, 0], [2, 0, 0], [0, 0, 0]])


def test_golden_value_of_one_factor():
    """c_12 = 1, y = (3, 1), α = 2, λ = 1: x_1 = 3 · 1 / (9 + 1 + 1 + 2 · 1) = 3 / 13."""
    model = CoEventMF(factors=1, confidence=2.0, l2=1.0)
    c = co_occurrences(Histories.from_lists([[[1, 2]]]))
    x, y = np.zeros((2, 1)), np.array([[3.0], [1.0]])
    model._solve(x, c, y)
    # Of item 2: (1 + 2) · 3 / (9 + 1 + 1 + 2 · 9).
    np.testing.assert_allclose(x, [[3 / 13], [9 / 29]])


def test_a_sweep_ends_where_the_slope_is_zero():
    """By differences, in every place of x."""
    model = CoEventMF(factors=3, sweeps=2).fit(GROUPS)
    c, x, y = co_occurrences(GROUPS).toarray(), model.query_vectors, model.item_vectors
    sparse = co_occurrences(GROUPS)
    model._solve(x, sparse, y)
    before = loss(model, c, x, y)
    for place in np.ndindex(x.shape):
        held, around = x[place], []
        for offset in (1e-5, -1e-5):
            x[place] = held + offset
            around.append(loss(model, c, x, y))
        x[place] = held
        assert abs(around[0] - around[1]) / 2e-5 < 1e-4
        assert min(around) >= before - 1e-9


def test_every_sweep_lowers_the_loss():
    c = co_occurrences(GROUPS).toarray()
    losses = []
    for sweeps in (1, 2, 5):
        model = CoEventMF(factors=3, sweeps=sweeps).fit(GROUPS)
        losses.append(loss(model, c, model.query_vectors, model.item_vectors))
    assert losses[0] > losses[1] > losses[2]


def test_scores_are_of_the_mean_of_the_session_so_far():
    model = CoEventMF(factors=3).fit(GROUPS)
    asked = Histories.from_lists([[[5], [1, 2, 2, 6]]], num_items=7)
    mean = (model.query_vectors[0] + 2 * model.query_vectors[1]) / 3
    expected = [np.zeros(7), model.item_vectors @ mean]
    np.testing.assert_allclose(model.score(asked, [1, 4]), expected)
    scores = model.score(asked, [2])[0]
    assert scores[[1, 2]].min() > scores[[3, 4, 5, 6]].max()


def test_scores_follow_from_the_seed():
    first, again, other = (CoEventMF(factors=3, seed=seed).fit(GROUPS) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.item_vectors, again.item_vectors)
    assert (first.item_vectors != other.item_vectors).any()


def test_bad_options_are_named_and_mended():
    with pytest.raises(
        ValueError, match=r"`l2` must be a finite number of at least 1e-09.*λ above"
    ):
        CoEventMF(l2=0)
    with pytest.raises(ValueError, match=r"`confidence` must be a finite number"):
        CoEventMF(confidence=float("nan"))
