"""Ranks are kept whole, and methods are compared user by user."""

import numpy as np
import pytest

from benchmarks import paired
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation import Ranks, holm, summarise

# Targets 1 and 2 of the first user, 5 of the second, 8 of the third, who came twice before.
HISTORIES = Histories.from_lists([[[1, 2, 3]], [[1], [2, 3]], [[1], [4], [2, 3]]], num_items=40)
TARGETS = np.array([1, 2, 5, 9])


def ranks_at(*places):
    above = np.array(places) - 1
    return Ranks(TARGETS, above, np.zeros_like(above), 40)


def test_a_user_counts_once_whatever_the_number_of_targets():
    """Reciprocal ranks 1 and 0 (21st of a list of 20), 1/2, 1/4; the means of each user."""
    found = paired.by_user([ranks_at(1, 21, 2, 4), ranks_at(2, 4, 1, 1)], HISTORIES, "MRR@20")
    assert found.tolist() == [[1 / 2, 1 / 2, 1 / 4], [3 / 8, 1.0, 1.0]]


def test_ranks_come_back_as_they_were_kept(tmp_path):
    place = ("online-retail", "temporal(days=1), full ranking, conservative ties", "stan-tuned")
    for seed, places in enumerate([(1, 21, 2, 4), (2, 4, 1, 1)]):
        paired.keep(tmp_path, place, seed, summarise(ranks_at(*places), HISTORIES))
    first, second = paired.load(tmp_path, place)
    assert first.greater.tolist() == [0, 20, 1, 3] and second.greater.tolist() == [1, 3, 0, 0]
    assert first.target.tolist() == TARGETS.tolist() and first.num_candidates == 40
    assert paired.load(tmp_path, (place[0], "last_session_out, full", place[2])) == []


def test_tests_are_corrected_for_all_that_were_made():
    """Each against every rival that is there, on both metrics, and against nobody else."""
    held = {
        "hrnn+-tuned": [ranks_at(1, 1, 1, 1)],
        "stan-tuned": [ranks_at(3, 25, 2, 30)],
        "item-knn-tuned": [ranks_at(30, 30, 30, 30)],
        "hrnn-all": [ranks_at(40, 40, 40, 40)],
    }
    found = paired.tests_of(held, HISTORIES, {"dataset": "online-retail"})
    made = [(r["recipe"], r["against"], r["metric"]) for r in found]
    assert made == [
        ("hrnn+-tuned", rival, metric)
        for rival in ("item-knn-tuned", "stan-tuned")
        for metric in ("Recall@20", "MRR@20")
    ]
    assert [r["p_holm"] for r in found] == pytest.approx(holm([r["p"] for r in found]), abs=1e-3)
    # Recall of STAN: 1/2, 1, 0 of the users, so that 1/2, 0, 1 are missing.
    assert found[2]["difference"] == pytest.approx(1 / 2, abs=1e-6)
    assert found[2]["users"] == 3
    assert (found[2]["better"], found[2]["worse"], found[2]["seeds"]) == (2, 0, [1, 1])


def test_seeds_that_ranked_other_targets_are_refused():
    others = Ranks(TARGETS + 1, np.zeros(4, int), np.zeros(4, int), 40)
    with pytest.raises(ValueError, match="Ranks of 2 seeds are of other targets each"):
        paired.by_user([ranks_at(1, 1, 1, 1), others], HISTORIES, "MRR@20")


def test_the_user_level_is_told_of_all_users_and_by_what_they_had_before():
    """The first user, with one session, lost by it; the second, with eight, won by it."""
    users = [[[1], [2, 3]], [[1]] * 7 + [[1, 2]], [[1], [2, 3]]]
    histories = Histories.from_lists(users, num_items=40)
    targets = histories.user_offsets[1:] - 1

    def ranked(*places):
        return [Ranks(targets, np.array(places) - 1, np.zeros(3, int), 40)] * 2

    held = {"hrnn+-network-same": ranked(2, 1, 1), "gru4rec+-same": ranked(1, 4, 1)}
    found = paired.user_level_of(held, histories, {"split": "x"})
    rows = {(r["group"], r["metric"]): r for r in found}
    assert [r["p_holm"] for r in found] == pytest.approx(holm([r["p"] for r in found]), abs=1e-3)
    for group, users, change, better, worse in (
        ("all", 3, 0.25 / 3, 1, 1),
        ("short", 2, -0.25, 0, 1),
        ("long", 1, 0.75, 1, 0),
    ):
        row = rows[group, "MRR@20"]
        assert row["difference"] == pytest.approx(change, abs=1e-6)
        assert (row["users"], row["better"], row["worse"]) == (users, better, worse)
        assert rows[group, "Recall@20"]["difference"] == 0 and row["seeds"] == [2, 2]
    assert paired.user_level_of({"gru4rec+-same": []}, histories, {}) == []


def test_long_histories_have_a_row_of_their_own():
    users = [[[1, 2]], [[3], [1], [1], [1], [1], [1], [1], [1, 2]]]
    histories = Histories.from_lists(users, num_items=40)
    ranks = Ranks(np.array([1, 10]), np.array([0, 20]), np.zeros(2, int), 40)
    found = paired.lengths_of({"stan-tuned": [ranks, ranks]}, histories, {})
    rows = {(r["group"], r["metric"]): (r["mean"], r["sd"], r["sessions"]) for r in found}
    assert rows["short", "Recall@20"] == (1.0, 0.0, 1)
    assert rows["long", "Recall@20"] == (0.0, 0.0, 1)
