from dataclasses import replace

import numpy as np
import pytest

from hrec_tf.data.histories import Histories
from hrec_tf.evaluation import (
    Ranks,
    by_history_length,
    by_item_age,
    by_position,
    summarise,
)


def ranked(histories, places):
    """One place per event; points are the events that follow another in their session."""
    points = np.flatnonzero(~histories.session_starts)
    greater = np.asarray(places)[points] - 1
    return Ranks(points, greater, np.zeros_like(greater), histories.num_items)


def test_history_is_short_up_to_six_sessions():
    """evaluation 5.1: the session with six before it is short, the one with seven long."""
    one_user = [[1]] * 5 + [[1, 2], [1, 3, 2], [1, 2]]  # with 5, 6 and 7 sessions before
    histories = Histories.from_lists([one_user, [[2, 1]]])
    places = np.zeros(histories.num_events, int)
    places[[6, 8, 9, 11, 13]] = [1, 1, 9, 2, 9]
    found = by_history_length(ranked(histories, places), histories, ks=[5])
    assert found["short"].ranks.target.tolist() == [6, 8, 9, 13]
    assert found["long"].ranks.target.tolist() == [11]
    # Sessions weigh alike: 1, (1 + 0) / 2 and 0.
    assert found["short"].metrics["Recall@5"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert found["long"].metrics["MRR@5"] == pytest.approx(1 / 2)
    found = by_history_length(ranked(histories, places), histories, threshold=5, ks=[5])
    assert found["long"].ranks.target.tolist() == [8, 9, 11]


def test_position_of_the_target_in_longer_sessions():
    """evaluation 5.1: target 2 | targets 3 and 4 | targets from 5; shorter sessions left out."""
    histories = Histories.from_lists([[[1, 2, 3, 4, 1, 2], [1, 2, 3, 4]], [[1, 2, 3, 4, 1]]])
    places = np.arange(histories.num_events) % 7 + 1
    found = by_position(ranked(histories, places), histories, ks=[3])
    targets = {name: group.ranks.target.tolist() for name, group in found.items()}
    assert targets == {"beginning": [1, 11], "middle": [2, 3, 12, 13], "end": [4, 5, 14]}
    # Ranks of targets 4, 5 are 5, 6 and of 14 is 1: sessions' means 0 and 1.
    assert found["end"].metrics["Recall@3"] == pytest.approx(0.5)


def test_position_of_the_input_is_one_less():
    histories = Histories.from_lists([[[1, 2, 3, 4, 1, 2]]])
    found = by_position(ranked(histories, np.ones(6, int)), histories, by="input")
    targets = {name: group.ranks.target.tolist() for name, group in found.items()}
    assert targets == {"beginning": [1, 2], "middle": [3, 4], "end": [5]}


def test_groups_hold_every_point_once():
    histories = Histories.from_lists([[[1, 2, 3]] * length for length in (2, 8, 9)])
    ranks = ranked(histories, np.ones(histories.num_events, int))
    found = by_history_length(ranks, histories, average="micro")
    joined = np.concatenate([group.ranks.target for group in found.values()])
    assert sorted(joined) == ranks.target.tolist()
    whole = summarise(ranks, histories)
    assert sum(group.num_points for group in found.values()) == whole.num_points


def test_an_empty_group_has_no_metric():
    histories = Histories.from_lists([[[1, 2, 3]]])
    found = by_position(ranked(histories, np.ones(3, int)), histories)
    assert [group.num_points for group in found.values()] == [0, 0, 0]
    assert np.isnan(found["end"].metrics["Recall@5"])


def test_bad_input_is_named_and_mended():
    histories = Histories.from_lists([[[1, 2, 3]]])
    ranks = ranked(histories, np.ones(3, int))
    with pytest.raises(ValueError, match=r"`by` was 'outputs', but must be one of 'target'"):
        by_position(ranks, histories, by="outputs")
    with pytest.raises(ValueError, match=r"`threshold` must be an int of at least 0"):
        by_history_length(ranks, histories, threshold=-1)


def test_item_age_is_counted_from_the_end_of_training():
    """evaluation 5.3: first seen 1 h, 1 h and 1 s, 24 h, 168 h, and 168 h and 1 s before it."""
    ages = np.array([604_801, 604_800, 86_400, 3_601, 3_600, 0])
    training = Histories.from_lists([[[1, 2, 3, 4, 5, 1]]])  # item 1 comes again: its first counts
    training = replace(training, timestamps=1_000_000 - ages)
    histories = Histories.from_lists([[[1, 1, 2, 3, 4, 5]], [[1, 5]]], num_items=5)
    found = by_item_age(ranked(histories, [0, 1, 9, 2, 9, 4, 0, 9]), histories, training, ks=[5])
    targets = {name: group.ranks.target.tolist() for name, group in found.items()}
    assert targets == {"hour": [5, 7], "day": [3, 4], "week": [2], "older": [1]}
    assert found["hour"].metrics["Recall@5"] == 0.5
    assert found["day"].metrics["MRR@5"] == 0.25
    assert found["week"].metrics["Recall@5"] == 0.0


def test_an_item_without_a_training_event_has_no_age():
    histories = Histories.from_lists([[[1, 2]]])
    training = Histories.from_lists([[[1]]], num_items=2)
    with pytest.raises(ValueError, match=r"`training` has no event of item 2, .*event 1.* Pass"):
        by_item_age(ranked(histories, [1, 1]), histories, training)
    with pytest.raises(ValueError, match=r"`training` has num_items 3, but .* Encode both"):
        by_item_age(ranked(histories, [1, 1]), histories, Histories.from_lists([[[3]]]))
