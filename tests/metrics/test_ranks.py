import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.metrics import mrr_at, rank_counts, rank_from_counts, recall_at


def counts(logits, ids):
    return [count.numpy() for count in rank_counts(tf.constant(logits), tf.constant(ids))]


@settings(deadline=None, max_examples=30)
@given(data=st.data(), num_items=st.integers(1, 9), num_rows=st.integers(1, 5))
def test_counts_are_those_of_the_loop(data, num_items, num_rows):
    scores = st.lists(st.integers(-2, 2), min_size=num_items, max_size=num_items)
    logits = np.array([data.draw(scores) for _ in range(num_rows)], np.float32)
    ids = np.array([data.draw(st.integers(1, num_items)) for _ in range(num_rows)])
    greater, equal, nonfinite = counts(logits, ids)
    for row, item in enumerate(ids):
        others = [score for column, score in enumerate(logits[row]) if column != item - 1]
        assert greater[row] == sum(score > logits[row][item - 1] for score in others)
        assert equal[row] == sum(score == logits[row][item - 1] for score in others)
    assert not nonfinite.any()


def test_counts_golden():
    # Item 3 scores 1: item 2 is above it, items 1 and 5 are equal to it.
    greater, equal, _ = counts([[1.0, 4.0, 1.0, -2.0, 1.0]], [3])
    assert (greater, equal) == (1, 2)
    assert rank_from_counts(greater, equal, "standard") == 2
    assert rank_from_counts(greater, equal, "conservative") == 4
    assert rank_from_counts(greater, equal, "median") == 3


def test_windows_and_xla():
    logits = np.sin(np.arange(2 * 3 * 8.0)).reshape(2, 3, 8)
    ids = np.array([[1, 8, 3], [2, 0, 5]])
    expected = counts(logits.reshape(6, 8), ids.reshape(6))
    compiled = tf.function(rank_counts, jit_compile=True)(tf.constant(logits), tf.constant(ids))
    for got, flat in zip(compiled, expected, strict=True):
        np.testing.assert_array_equal(got, flat.reshape(2, 3))
        assert got.dtype == tf.int32


def test_constant_scores():
    """Evaluation 1.3: N = 100, Recall@5 is 1, 0, 0 and about 5/100."""
    rows = 4000
    greater, equal, _ = counts(np.zeros((rows, 100), np.float32), np.arange(rows) % 100 + 1)
    recall = {
        ties: recall_at(rank_from_counts(greater, equal, ties), 5).mean()
        for ties in ("standard", "conservative", "median")
    }
    assert recall == {"standard": 1.0, "conservative": 0.0, "median": 0.0}
    assert (rank_from_counts(greater, equal, "median") == 50.5).all()

    drawn = rank_from_counts(greater, equal, "random", rng=np.random.default_rng(5))
    assert drawn.min() == 1
    assert drawn.max() == 100
    assert recall_at(drawn, 5).mean() == pytest.approx(0.05, abs=0.015)
    again = rank_from_counts(greater, equal, "random", rng=np.random.default_rng(5))
    np.testing.assert_array_equal(drawn, again)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9))
def test_modes_agree_without_ties_and_are_ordered_with_them(pairs):
    greater, equal = np.array(pairs).T
    standard, median, conservative = (
        rank_from_counts(greater, equal, ties) for ties in ("standard", "median", "conservative")
    )
    drawn = rank_from_counts(greater, equal, "random", rng=np.random.default_rng(0))
    assert (standard <= median).all()
    assert (median <= conservative).all()
    assert ((standard <= drawn) & (drawn <= conservative)).all()
    np.testing.assert_array_equal(standard[equal == 0], conservative[equal == 0])
    for ties, ranks in (("standard", standard), ("median", median)):
        tensor = rank_from_counts(tf.constant(greater), tf.constant(equal), ties)
        np.testing.assert_array_equal(tensor, ranks)
        assert tensor.dtype == tf.float32


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 3])
@pytest.mark.parametrize("ties", ["standard", "conservative", "median"])
def test_scores_that_are_not_finite_are_never_hits_and_are_counted(broken, column, ties):
    """Evaluation 1.3 and pitfalls 2: no rank 1, no rank 0, no hit worth 1/0."""
    logits = np.array([[0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1]], np.float32)
    logits[0, column] = broken
    greater, equal, nonfinite = counts(logits, [1, 1])
    np.testing.assert_array_equal(nonfinite, [1, 0])
    ranks = rank_from_counts(greater, equal, ties)
    np.testing.assert_array_equal(ranks, [4, 1])
    np.testing.assert_array_equal(mrr_at(ranks, 3), [0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rank_from_counts([0], [0], "optimistic"), "`ties` was 'optimistic'"),
        (lambda: rank_from_counts([0], [0], "random"), "needed there"),
        (
            lambda: rank_from_counts([0], [0], "median", rng=np.random.default_rng(0)),
            "is for ties='random'",
        ),
        (
            lambda: rank_from_counts(
                tf.constant([0]), tf.constant([0]), "random", rng=np.random.default_rng(0)
            ),
            "drawn with NumPy",
        ),
    ],
)
def test_bad_arguments_name_the_cure(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_items", [2047, 2048, 2049, 5000])
@pytest.mark.parametrize("most_blocks", [64, 1], ids=["in one pass", "in three"])
def test_large_catalogues_are_counted_exactly(monkeypatch, num_items, dtype, most_blocks):
    monkeypatch.setattr("hrec_tf.metrics.ranks.MOST_BLOCKS", most_blocks)
    rng = np.random.default_rng(num_items)
    logits = np.stack(
        [
            rng.integers(0, 3, num_items).astype(dtype),
            np.zeros(num_items, dtype),
            np.arange(num_items, dtype=dtype),
            # Their difference is lost in float32 alone.
            1.0 + np.arange(num_items) * dtype(1e-12),
        ]
    )
    ids = np.array([num_items, 7, 1, 1])
    greater, equal, nonfinite = counts(logits, ids)
    own = logits[np.arange(4), ids - 1][:, None]
    np.testing.assert_array_equal(greater, (logits > own).sum(1))
    np.testing.assert_array_equal(equal, (logits == own).sum(1) - 1)
    assert not nonfinite.any()
    logits[0, -1], logits[2, 5] = np.nan, np.inf
    greater, equal, nonfinite = counts(logits, ids)
    assert (nonfinite > 0).tolist() == [True, False, True, False]
    assert greater[[0, 2]].tolist() == [num_items - 1, num_items - 1]
