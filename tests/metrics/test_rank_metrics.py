import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.metrics import MRR, NDCG, Precision, Recall, mrr_at, ndcg_at, precision_at, recall_at

RANKS = np.array([1, 3, 4.5, 5, 6, 21, 2], np.float64)
FORMULAS = {Recall: recall_at, Precision: precision_at, MRR: mrr_at, NDCG: ndcg_at}
each_metric = pytest.mark.parametrize(
    ("metric_class", "formula"), FORMULAS.items(), ids=[m.__name__ for m in FORMULAS]
)


@each_metric
def test_a_metric_is_the_mean_of_its_formula_over_points_not_batches(metric_class, formula):
    """Pitfalls 1.11: batches of 5 and 2 points weigh 5 and 2."""
    metric = metric_class(5)
    metric.update_state(RANKS[:5])
    metric.update_state(tf.constant(RANKS[5:]))
    np.testing.assert_allclose(metric.result(), formula(RANKS, 5).mean(), rtol=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0.0


@each_metric
def test_points_of_weight_zero_are_ignored(metric_class, formula):
    weights = np.array([1, 0, 1, 1, 0, 1, 1.0])
    metric = metric_class(5)
    ranks = np.where(weights > 0, RANKS, np.nan)
    metric.update_state(ranks, sample_weight=weights)
    np.testing.assert_allclose(metric.result(), formula(RANKS[weights > 0], 5).mean(), rtol=1e-6)


@each_metric
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_metric_runs_compiled(metric_class, formula, jit_compile):
    metric = metric_class(5)

    @tf.function(jit_compile=jit_compile)
    def update(ranks):
        metric.update_state(ranks)
        return metric.result()

    result = update(tf.constant(RANKS, tf.float32))
    np.testing.assert_allclose(result, formula(RANKS, 5).mean(), rtol=1e-6)


def test_names_carry_the_list_length():
    names = [m.name for m in (Recall(20), MRR(5), Precision(3), NDCG(10), MRR(None))]
    assert names == ["recall@20", "mrr@5", "precision@3", "ndcg@10", "mrr"]
    assert Recall(5, name="hits").name == "hits"


def test_mrr_without_a_limit():
    metric = MRR(None)
    metric.update_state(RANKS)
    np.testing.assert_allclose(metric.result(), (1 / RANKS).mean(), rtol=1e-6)


def test_many_points_do_not_drown_the_next_one():
    """In float32 the count would stop growing at 2^24 points."""
    metric = Recall(1)
    metric.update_state([1.0], sample_weight=[2.0**25])
    for _ in range(3):
        metric.update_state([2.0])
    assert float(metric.count) == 2.0**25 + 3


@each_metric
def test_configuration_round_trip(metric_class, formula):
    metric = metric_class(7)
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is metric_class
    assert again.get_config() == metric.get_config()


def test_a_list_has_a_length():
    with pytest.raises(ValueError, match="`k` must be a positive int, but was 0"):
        Recall(0)
    with pytest.raises(ValueError, match="`k` must be a positive int, but was None"):
        Recall(None)
