"""Practices that mislead are told with their number, and nothing is told without cause."""

import numpy as np
import polars as pl
import pytest

from hrec_tf.data import filters, sessions, splits
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.evaluation import Ranks
from hrec_tf.evaluation.points import evaluation_points
from hrec_tf.reporting.cautions import FEW_SESSIONS, cautions
from hrec_tf.reporting.comparison import Comparison
from tests.reference.made_results import (
    ROUND,
    START,
    evaluation,
    prepared_ring,
    result,
    ring_log,
)

SOURCE = LogSource("online-retail")
PREPARED = prepared_ring(num_users=FEW_SESSIONS, num_sessions=3, length=2)


def said(*results, prepared=PREPARED, seeds=(0, 1, 2), source=SOURCE):
    return cautions(Comparison(results, "Recall@1", seeds), prepared, source)


def knn(prepared=PREPARED, **options):
    return result("item-knn", *[evaluation(prepared, 0, **options)] * 3)


def sampled(number, sampling="strict"):
    points = evaluation_points(PREPARED.test)
    few = Ranks(points, np.zeros(len(points)), np.zeros(len(points)), PREPARED.train.num_items)
    return knn(num_candidates=number, candidates=f"sampled={number}, {sampling}", full=few)


def hrnn(prepared=PREPARED, seeds=3, **options):
    return result("hrnn-init", *[evaluation(prepared, 0)] * seeds, **options)


def test_a_careful_comparison_has_none():
    assert said(knn(), hrnn()) == []


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (
            lambda: [knn(num_candidates=7, candidates="top_pop=7")],
            "ranked among the 7 most frequent items only (top_pop=7), not among all",
        ),
        (
            lambda: [sampled(100)],
            "ranked among 100 items drawn for each (sampled=100, strict): metrics are far higher",
        ),
        (
            lambda: [sampled(100, "sasrec")],
            "drawn with replacement, so that an item may stand among them twice, and the target",
        ),
        (
            lambda: [knn(ties="standard", equal=2)],
            "settled in the target's favour (standard ties): 100.0% of the points of Item-KNN",
        ),
        (
            lambda: [knn(ties="standard"), hrnn()],
            "measured in 2 different ways (conservative ties, micro average, full candidates; "
            "standard ties",
        ),
        (
            lambda: [hrnn(epochs=3), knn()],
            "HRNN Init trained for 3 epochs, where the recipe for this log has 10: more training "
            "may raise it.",
        ),
        (lambda: [hrnn()], "No counted baseline stands beside 1 trained model"),
        (
            lambda: [hrnn(), result("pop", evaluation(PREPARED, 0))],
            "Item-KNN is not among the 2 methods",
        ),
        (
            lambda: [knn(), hrnn(history={"loss": [1.0], "val_recall@20": [0.5]})],
            f"{FEW_SESSIONS} sessions of training, the last of each user, were held back",
        ),
        (
            lambda: [
                knn(),
                hrnn(patience=3, history={"loss": [1.0], "val_recall@20": [0.5]}),
            ],
            "for validation, so HRNN Init knew fewer events than methods without a patience.",
        ),
    ],
)
def test_what_the_methods_show(results, expected):
    (found,) = [sentence for sentence in said(*results()) if expected in sentence]
    assert found.endswith(".")


def test_earlier_sessions_that_are_not_played():
    short = knn()
    recipe = short.recipe.with_changes({"bootstrap_sessions": 3})
    (found,) = said(type(short)(recipe, short.evaluations, short.seconds))
    assert found.startswith("At most 3 earlier sessions of a user were played")


def test_few_seeds_and_few_sessions():
    few = prepared_ring(num_users=12)
    first, second = said(knn(few), hrnn(few, seeds=1), prepared=few, seeds=(0,))
    assert first.startswith("Training was done with 1 seed: how much")
    assert second.startswith(f"The test has 12 sessions, fewer than {FEW_SESSIONS}")
    found = said(knn(), hrnn(seeds=2), seeds=(0, 1))
    assert found == ["Training was done with 2 seeds, too few for a dependable deviation."]
    assert said(knn(), seeds=(0,)) == []  # counting has no seed


def of_split(split, source=SOURCE):
    prepared = PreparedLog(split)
    found = said(knn(prepared), prepared=prepared, source=source)
    return [sentence for sentence in found if not sentence.startswith("The test has")]


def test_what_the_preparation_removed():
    log = filters.first_users(ring_log(num_users=20), 5)
    assert of_split(splits.last_session_out(log)) == [
        "The preparation removed 75.0% of the events and 75.0% of the users: the results hold for "
        "the users that were left, not for all."
    ]


def test_test_events_of_unknown_items():
    last_round = pl.col("timestamp") >= START + 5 * ROUND
    odd_user = pl.col("user") % 2 == 1
    item = pl.when(last_round & odd_user).then(pl.col("item") + 1000).otherwise(pl.col("item"))
    found = of_split(splits.last_session_out(ring_log(num_users=20, item=item)))
    (dropped,) = [s for s in found if s.startswith("50.0% of the test events were dropped, bec")]
    assert dropped.endswith("50.0% of the targets were of such items.")


def test_a_split_that_lets_training_know_the_future(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n1,1,1\n")
    source = LogSource(str(path), split={"name": "by_users", "fractions": (0.5, 0.5)})
    log = ring_log(num_users=20)
    (found,) = of_split(splits.by_users(log, (0.5, 0.5)), source)
    assert found.startswith("Training knows some of the future: on average ")
    assert "since the split 'by_users' does not cut all users at one time" in found
    # Half of the training events lie after a test event, as users do the same at the same time.
    share = float(found.split("average ")[1].split("%")[0])
    assert share == pytest.approx(50, abs=5)
    assert of_split(splits.temporal(log, at=START + 5 * ROUND)) == []


def test_the_temporal_split_holds_back_its_last_period():
    prepared = PreparedLog(splits.temporal(ring_log(num_users=FEW_SESSIONS), share=0.5))
    history = {"loss": [1.0], "val_recall@20": [0.5]}
    found = said(knn(prepared), hrnn(prepared, history=history), prepared=prepared)
    (sentence,) = [one for one in found if "held back" in one]
    # Half of 3 000 sessions is training, half of that is held back.
    assert sentence.startswith("750 sessions of training, those that start last, were held back")


def test_a_log_without_times():
    log = ring_log(num_users=20)
    ordered = type(log)(log.frame, has_times=False, sessionised=True)
    (found,) = of_split(splits.last_session_out(ordered))
    assert found.startswith("The log of 500 training events has no times, so whether")


def test_ratings_and_single_sessions_told_as_sequences():
    log = ring_log(num_users=20, rating=pl.lit(4.0))
    found = of_split(splits.leave_one_out(log))
    assert any(s.startswith("The 560 training events are ratings") for s in found)
    assert any(s.startswith("Each of the 20 users has one session, so") for s in found)


def test_events_at_one_time():
    log = ring_log(num_users=20, timestamp=pl.col("timestamp").first().over("session"))
    (found,) = of_split(splits.last_session_out(sessions.given(log)))
    assert found.startswith("80.0% of the training events have the time of the user's event before")
