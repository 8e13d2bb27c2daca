from dataclasses import replace

import numpy as np
import pytest

from hrec_tf.data.histories import Histories
from hrec_tf.evaluation.points import evaluation_points, sessions_to_play

# Sessions: 0-1, 2-4, 5-6, 7 of the first user; 8-9, 10 of the second.
HISTORIES = Histories.from_lists([[[1, 2], [3, 4, 5], [1, 2], [3]], [[4, 5], [1]]])


def weighted(*events):
    weights = np.zeros(HISTORIES.num_events, np.float32)
    weights[list(events)] = 1
    return replace(HISTORIES, target_weights=weights)


def test_points_have_weight_and_something_before_them():
    """evaluation 2: the first event of a test session is never a target."""
    assert evaluation_points(HISTORIES).tolist() == [1, 3, 4, 6, 9]
    assert evaluation_points(weighted(2, 3, 7)).tolist() == [3]
    assert evaluation_points(weighted(0, 2, 3, 7), session_starts=True).tolist() == [2, 3, 7]


def test_only_needed_sessions_are_played():
    histories, points = weighted(6), np.array([6])
    marked = sessions_to_play(histories, points)
    assert np.flatnonzero(marked).tolist() == [0, 1, 2, 3, 4, 5, 6]
    marked = sessions_to_play(histories, points, bootstrap_sessions=1)
    assert np.flatnonzero(marked).tolist() == [2, 3, 4, 5, 6]
    marked = sessions_to_play(histories, points, bootstrap_sessions=0)
    assert np.flatnonzero(marked).tolist() == [5, 6]


def test_the_next_user_brings_no_session_along():
    marked = sessions_to_play(HISTORIES, np.array([9]))
    assert np.flatnonzero(marked).tolist() == [8, 9]


def test_bad_input_is_named_and_mended():
    with pytest.raises(ValueError, match=r"11 events in 6 sessions, but none with.*Check the"):
        evaluation_points(weighted(0, 7))
    with pytest.raises(ValueError, match=r"`bootstrap_sessions` must be an int of at least -1"):
        sessions_to_play(HISTORIES, np.array([1]), bootstrap_sessions=-2)
