import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.baselines import Popularity
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation import (
    Ranks,
    bootstrap_interval,
    compare_sessions,
    confidence_intervals,
    evaluate,
    paired_wilcoxon,
    rank_baseline,
    summarise,
)
from hrec_tf.schema import SESSION_PARALLEL
from tests.reference.counting_model import CountingModel

# Points are events 1, 2 (a session), 4 (a session) of the first user, 6 of the second.
HISTORIES = Histories.from_lists([[[1, 2, 3], [4, 5]], [[1, 2]]], num_items=5)
POINTS = np.array([1, 2, 4, 6])


def ranks_at(*places, histories=HISTORIES, points=POINTS):
    """Ranks without ties."""
    greater = np.array(places) - 1
    return Ranks(points, greater, np.zeros_like(greater), histories.num_items)


def test_golden_metrics_of_four_points():
    """evaluation 1.2: ranks 1, 3, 2 and 6, worked out by hand."""
    found = summarise(ranks_at(1, 3, 2, 6), HISTORIES, ks=[1, 5])
    expected = {
        "Recall@1": 1 / 4,
        "MRR@1": 1 / 4,
        "Precision@1": 1 / 4,
        "NDCG@1": 1 / 4,
        "Recall@5": 3 / 4,
        "MRR@5": (1 + 1 / 3 + 1 / 2) / 4,
        "Precision@5": 3 / 4 / 5,
        "NDCG@5": (1 + 1 / math.log2(4) + 1 / math.log2(3)) / 4,
    }
    assert found.metrics == pytest.approx(expected)
    assert (found.num_points, found.num_sessions) == (4, 3)


def test_averages_over_points_sessions_and_users():
    """Hits at 1 per point: 1, 0 | 1 || 0. Sessions: 1/2, 1, 0. Users: 2/3, 0."""
    ranks = ranks_at(1, 3, 1, 2)
    found = {
        average: summarise(ranks, HISTORIES, ks=[1], average=average).metrics["Recall@1"]
        for average in ("micro", "session", "user")
    }
    assert found == pytest.approx({"micro": 2 / 4, "session": 1.5 / 3, "user": (2 / 3) / 2})
    per_session = summarise(ranks, HISTORIES, ks=[1]).per_session["Recall@1"]
    assert per_session.tolist() == [0.5, 1.0, 0.0]


def test_sessions_are_weighed_alike_only_when_asked():
    ranks = ranks_at(1, 1, 2, 2)
    micro = summarise(ranks, HISTORIES, ks=[1]).metrics["Recall@1"]
    by_session = summarise(ranks, HISTORIES, ks=[1], average="session").metrics["Recall@1"]
    assert (micro, by_session) == (0.5, pytest.approx(1 / 3))


@settings(deadline=None, max_examples=50)
@given(
    places=st.lists(st.integers(1, 40), min_size=4, max_size=4),
    small=st.integers(1, 20),
    more=st.integers(0, 20),
    average=st.sampled_from(["micro", "session", "user"]),
)
def test_identities_between_metrics(places, small, more, average):
    """evaluation 1.2."""
    large = small + more
    found = summarise(ranks_at(*places), HISTORIES, ks=[1, small, large], average=average).metrics
    assert found["NDCG@1"] == found["MRR@1"] == found["Recall@1"]
    for k in (small, large):
        assert found[f"Precision@{k}"] == pytest.approx(found[f"Recall@{k}"] / k)
    gained = found[f"Recall@{large}"] - found[f"Recall@{small}"]
    assert gained >= -1e-12
    assert found[f"MRR@{large}"] - found[f"MRR@{small}"] <= gained / (small + 1) + 1e-12


def test_constant_scores_and_the_tie_share_in_a_report():
    """evaluation 1.3: the tie mode decides everything, so the report names it."""
    histories = Histories.from_lists([[[1, 2]], [[3, 100]]], num_items=100)
    training = Histories.from_lists([[[item] for item in range(1, 101)]])
    popularity = Popularity().fit(training)
    recall = {
        ties: evaluate(popularity, histories, ties=ties).metrics["Recall@5"]
        for ties in ("standard", "conservative", "median")
    }
    assert recall == {"standard": 1.0, "conservative": 0.0, "median": 0.0}
    summary = evaluate(popularity, histories, ties="standard").summary()
    assert summary["ties"] == "standard" and summary["tie_share"] == 1.0
    assert summary["candidates"] == "full" and summary["num_candidates"] == 100
    assert summary["num_points"] == 2 and summary["average"] == "micro"


def test_models_and_baselines_are_measured_on_the_same_points():
    popularity = evaluate(Popularity().fit(HISTORIES), HISTORIES, ks=[2], top_pop=3)
    model = evaluate(
        CountingModel(num_items=5, layout=SESSION_PARALLEL), HISTORIES, ks=[2], num_lanes=2
    )
    assert popularity.ranks.target.tolist() == model.ranks.target.tolist() == POINTS.tolist()
    assert popularity.ranks.candidates == "top_pop=3"
    assert sorted(model.metrics) == ["MRR@2", "NDCG@2", "Precision@2", "Recall@2"]


def test_methods_are_compared_over_sessions_with_seeds_averaged():
    """evaluation 5.2: the paired unit is the test session's mean."""
    first = [summarise(ranks_at(*places), HISTORIES) for places in ((1, 3, 2, 6), (1, 1, 9, 2))]
    second = [summarise(ranks_at(4, 3, 9, 9), HISTORIES)]
    found = compare_sessions(first, second, metric="MRR@5")
    means = [
        [(1 + 1 / 3) / 2, 1 / 2, 0],  # the first seed's sessions
        [(1 + 1) / 2, 0, 1 / 2],
    ]
    expected = paired_wilcoxon(np.mean(means, axis=0), [(1 / 4 + 1 / 3) / 2, 0, 0])
    assert found == expected


@pytest.mark.parametrize(
    ("average", "values", "weights"),
    [
        # Recall@1 of each session, the mean of both seeds; 2, 1 and 1 points.
        ("micro", [0.75, 0.5, 0.0], [2.0, 1.0, 1.0]),
        ("session", [0.75, 0.5, 0.0], None),
        ("user", [(2 * 0.75 + 0.5) / 3, 0.0], None),
    ],
)
def test_intervals_draw_what_the_metric_averages_over(average, values, weights):
    seeds = [
        summarise(ranks_at(*places), HISTORIES, ks=[1], average=average)
        for places in ((1, 3, 1, 2), (1, 1, 2, 2))
    ]
    other = [summarise(ranks_at(1, 1, 1, 1), HISTORIES, ks=[1], average=average)]
    found = confidence_intervals([seeds, other], HISTORIES, confidence=0.5, seed=3)
    low, high = bootstrap_interval(
        values, weights=None if weights is None else np.array(weights), confidence=0.5, seed=3
    )
    assert (found[0]["Recall@1"].low, found[0]["Recall@1"].high) == pytest.approx((low, high))
    mean = np.mean([seed.metrics["Recall@1"] for seed in seeds])
    assert mean == pytest.approx(np.average(values, weights=weights))
    assert (found[1]["MRR@1"].low, found[1]["MRR@1"].high) == (1.0, 1.0)


def test_intervals_need_evaluations_alike():
    micro = summarise(ranks_at(1, 1, 2, 2), HISTORIES)
    session = summarise(ranks_at(1, 1, 2, 2), HISTORIES, average="session")
    with pytest.raises(ValueError, match=r"`methods\[1\]` holds a 'session' average, but"):
        confidence_intervals([[micro], [session]], HISTORIES)
    with pytest.raises(ValueError, match=r"`methods\[1\]` holds no evaluation"):
        confidence_intervals([[micro], []], HISTORIES)


def test_a_list_longer_than_the_catalogue_holds_every_item():
    """pitfalls 4: k larger than the catalogue."""
    metrics = summarise(ranks_at(1, 5, 2, 4), HISTORIES, ks=[5, 90]).metrics
    assert metrics["Recall@90"] == metrics["Recall@5"] == 1.0
    assert metrics["MRR@90"] == metrics["MRR@5"]


def test_bad_input_is_named_and_mended():
    ranks = rank_baseline(Popularity().fit(HISTORIES), HISTORIES)
    with pytest.raises(ValueError, match=r"`ks` must be a positive int, but was 0\. Pass"):
        summarise(ranks, HISTORIES, ks=[5, 0])
    with pytest.raises(ValueError, match=r"`ks` was empty"):
        summarise(ranks, HISTORIES, ks=[])
    with pytest.raises(TypeError, match=r"`ks` was 5, but must be several list lengths\. Pass"):
        summarise(ranks, HISTORIES, ks=5)
    with pytest.raises(ValueError, match=r"`average` was 'macro', but must be one of 'micro'"):
        evaluate(Popularity().fit(HISTORIES), HISTORIES, average="macro")
    whole = summarise(ranks, HISTORIES)
    part = summarise(ranks.select(np.array([True, True, False, True])), HISTORIES)
    with pytest.raises(ValueError, match=r"`second` \(row 0\) ranked 3 points.*the 4 of the first"):
        compare_sessions([whole], [part], metric="MRR@5")
    with pytest.raises(ValueError, match=r"`metric` was 'MRR@9'.*Did you mean 'MRR@5'"):
        compare_sessions([whole], [whole], metric="MRR@9")
