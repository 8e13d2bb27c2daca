import numpy as np
import pytest

from hrec_tf import registry
from hrec_tf.baselines import Popularity
from hrec_tf.evaluation import best_items, coverage, evaluate, rank_baseline, rank_model
from tests.reference.drawn_histories import drawn_histories, with_own_weights

NUM_ITEMS = 30
NETWORKS = {
    "gru4rec": {"units": 8},
    "hrnn-all": {"session_units": 8, "user_units": 6},
    "rnn-concat": {"units": 8},
    "gru4rec-prefix": {"units": 8, "item_dim": 7},
    "stacked-gru": {"units": 8, "item_dim": 8},
}


@pytest.fixture(scope="module")
def histories():
    return drawn_histories(NUM_ITEMS, seed=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_target_stands_in_its_list_where_its_rank_says(name, histories):
    """The list and the rank are of one pass each, and must tell the same of every point."""
    model = with_own_weights(
        registry.entry(name).build(num_items=NUM_ITEMS, seed=1, **NETWORKS[name])
    )
    ranks = rank_model(model, histories)
    lists = best_items(model, histories, k=NUM_ITEMS)
    assert lists.shape == (ranks.num_points, NUM_ITEMS)
    assert np.all(ranks.equal == 0)
    targets = histories.item_ids[ranks.target]
    np.testing.assert_array_equal(np.argmax(lists == targets[:, None], axis=1), ranks.greater)
    assert np.all(np.sort(lists, axis=1) == np.arange(1, NUM_ITEMS + 1))
    np.testing.assert_array_equal(best_items(model, histories, k=3), lists[:, :3])


def test_lists_of_a_baseline_follow_its_ranks(histories):
    """Equal counts stand in the order of their ids."""
    baseline = Popularity().fit(histories)
    ranks, lists = rank_baseline(baseline, histories), best_items(baseline, histories, k=NUM_ITEMS)
    place = np.argmax(lists == histories.item_ids[ranks.target][:, None], axis=1)
    assert np.all((ranks.greater <= place) & (place <= ranks.greater + ranks.equal))
    supports = histories.item_supports()
    assert lists[0].tolist() == sorted(range(1, NUM_ITEMS + 1), key=lambda i: (-supports[i - 1], i))


def test_golden_coverage():
    """evaluation 1.5: {1, 2} and {2, 3} are three of four items."""
    assert coverage(np.array([[1, 2], [2, 3]]), num_items=4) == 3 / 4


def test_coverage_of_popularity_is_the_length_of_its_list(histories):
    """evaluation 1.5: one list for all points; longer lists never cover less; all cover all."""
    found = evaluate(
        Popularity().fit(histories), histories, ks=[1, 5, NUM_ITEMS], coverage=True
    ).metrics
    assert [found[f"Coverage@{k}"] for k in (1, 5, NUM_ITEMS)] == [1 / 30, 5 / 30, 1.0]


def test_coverage_counts_points_alone(histories):
    """A session that is played, but holds no point, shows nobody a list."""
    model = with_own_weights(registry.entry("hrnn-all").build(num_items=NUM_ITEMS, seed=1))
    lists = best_items(model, histories, k=2)
    found = evaluate(model, histories, ks=[1, 2], coverage=True).metrics
    assert found["Coverage@2"] == len(set(lists.ravel().tolist())) / NUM_ITEMS
    assert found["Coverage@1"] == len(set(lists[:, 0].tolist())) / NUM_ITEMS
    assert "Coverage@2" not in evaluate(model, histories, ks=[2]).metrics


def test_only_what_can_be_listed_is(histories):
    baseline = Popularity().fit(histories)
    with pytest.raises(ValueError, match=r"`k` was 31, but the catalogue has 30 items\. Pass"):
        best_items(baseline, histories, k=31)
    with pytest.raises(ValueError, match=r"go from 0 to 4, but the catalogue has the items 1 to 4"):
        coverage(np.array([[0, 4]]), num_items=4)
    model = registry.entry("gru4rec").build(num_items=NUM_ITEMS, seed=1)
    with pytest.raises(ValueError, match=r"starts every session from nothing\. Leave it out"):
        best_items(model, histories, bootstrap_sessions=2)
