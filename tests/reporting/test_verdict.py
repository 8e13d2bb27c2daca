"""What a comparison says in one sentence, whoever wins."""

import pytest

from hrec_tf.reporting.comparison import Comparison
from hrec_tf.reporting.verdict import verdict
from tests.reference.made_results import evaluation, prepared_ring, result

PREPARED = prepared_ring(num_users=20)


def says(*results, metric="Recall@1"):
    return verdict(Comparison(results, metric, (0,)))


def made(name, *greater):
    return result(name, evaluation(PREPARED, greater))


def test_a_trained_model_that_wins():
    found = says(made("pop", 9), made("item-knn", 0, 9), made("hrnn-init", 0))
    assert found == (
        "HRNN Init is best: Recall@1 1.0000, which is .5000 (100.0%) above Item-KNN, the best "
        "baseline (.5000); the difference is significant (paired Wilcoxon test over 20 sessions, "
        "Holm-corrected p\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}.001)."
    )


def test_a_baseline_that_wins_is_said_to_win():
    found = says(made("item-knn", 0), made("hrnn-init", 0, 9), made("gru4rec", 9))
    assert found.startswith(
        "Item-KNN, a counted baseline, is best: Recall@1 1.0000. The best trained model, HRNN Init "
        "(.5000), is .5000 (50.0%) below it; the difference is significant"
    )


def test_a_difference_that_may_be_chance_is_not_called_significant():
    better_in_one_session = [1] * 79 + [0]
    found = says(made("item-knn", 1), made("hrnn-init", *better_in_one_session))
    assert "HRNN Init is best: Recall@1 .0125, which is .0125 above Item-KNN" in found
    assert "the difference is not significant" in found
    assert "p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}" in found


def test_methods_that_are_level():
    found = says(made("item-knn", 0, 9), made("hrnn-init", 0, 9))
    assert "and Item-KNN, the best baseline, are level: Recall@1 .5000" in found


def test_an_average_by_session_that_points_the_other_way_is_told():
    # One long session that the model wins, and many short ones that it loses.
    prepared = prepared_ring(num_users=20, num_sessions=2, length=5)
    model, baseline = evaluation(prepared, 0), evaluation(prepared, 0)
    sessions = len(model.per_session["Recall@1"])
    model.per_session["Recall@1"][:] = 0.0
    model.per_session["Recall@1"][0] = 1.0
    baseline.per_session["Recall@1"][:] = 1.0
    baseline.metrics["Recall@1"] = 0.4
    found = says(result("item-knn", baseline), result("hrnn-init", model))
    assert "HRNN Init is best: Recall@1 1.0000" in found
    assert (
        "but averaged by session instead of by point the difference is "
        f"{-(sessions - 1) / sessions:+.4f}, and significant" in found
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["hrnn-init"], "HRNN Init reaches Recall@1 .5000. It was run alone"),
        (["pop", "ppop"], "POP is the best of 2 counted methods, with Recall@1 .5000. No trained"),
        (["gru4rec", "hrnn-init"], "GRU4Rec is the best of 2 trained models"),
    ],
)
def test_without_the_other_kind_it_says_so(names, expected):
    assert says(*(made(name, 0, 9) for name in names)).startswith(expected)
