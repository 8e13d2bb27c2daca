"""The simulations against what they say of themselves, and their bounds against counting."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from hrec_tf.data.simulations import (
    bets_bound,
    blind_bound,
    gamblers_bets,
    hierarchical_sessions,
    session_openings,
)


def sessions_by_user(histories):
    """Item ids in lists of sessions in lists of users."""
    users = []
    for begin, end in itertools.pairwise(histories.user_offsets):
        first, last = np.searchsorted(histories.session_offsets, [begin, end])
        cuts = histories.session_offsets[first : last + 1]
        users.append([histories.item_ids[a:b].tolist() for a, b in itertools.pairwise(cuts)])
    return users


def test_sessions_are_runs_of_one_item_that_rises():
    histories = hierarchical_sessions(3_000, seed=1)
    users = sessions_by_user(histories)
    assert all(
        session == [number + 1] * len(session)
        for user in users
        for number, session in enumerate(user)
    )
    assert {len(user) for user in users} == {1, 2, 3, 4, 5}
    assert len(users) == pytest.approx(3_000 * 5 / 6, rel=0.03)
    lengths = Counter(len(session) for user in users for session in user)
    assert set(lengths) == {1, 2, 3, 4, 5}
    for count in lengths.values():
        assert count == pytest.approx(histories.num_sessions / 5, rel=0.06)


def test_time_passes_between_sessions_and_hardly_inside():
    histories = hierarchical_sessions(50, seed=2)
    gaps = np.diff(histories.timestamps)
    opens = histories.session_starts[1:]
    assert set(gaps[opens]) == {86_400} and set(gaps[~opens]) == {30}


@pytest.mark.parametrize("ends_are_known", [True, False])
def test_the_blind_bound_is_what_counting_gives(ends_are_known):
    """Counts, over many users, how often a session opened after c events of session m."""
    users = sessions_by_user(hierarchical_sessions(40_000, seed=3))
    opened, went_on, at_opening = Counter(), Counter(), Counter()
    for user in users:
        for number, session in enumerate(user, start=1):
            for count in range(1, len(session)):
                went_on[number, count] += 1
            if number < len(user):
                opened[number, len(session)] += 1
                at_opening[number, len(session)] += 1
    if not ends_are_known:
        # Endless histories: a session goes on or a new one opens, whatever its number.
        length_of = Counter(len(s) for user in users for s in user)
        opened = Counter({(0, c): n for c, n in length_of.items()})
        at_opening = opened
        went_on = Counter(
            {(0, c): sum(n for size, n in length_of.items() if size > c) for c in length_of}
        )
    logs = {key: -math.log(n / (n + went_on[key])) for key, n in opened.items()}
    mean = sum(n * logs[key] for key, n in at_opening.items()) / sum(at_opening.values())
    assert math.exp(mean) == pytest.approx(blind_bound(ends_are_known=ends_are_known), rel=0.015)


def test_bounds_of_the_specification():
    """models D.8, D.9."""
    for arguments, expected in (
        ({}, 3.14),
        ({"max_len_exclusive": 5}, 2.61),
        ({"ends_are_known": False}, 2.61),
        ({"max_len_exclusive": 5, "ends_are_known": False}, 2.21),
    ):
        assert round(blind_bound(**arguments), 2) == expected
    for arguments, expected in (
        ({"sequence": False}, 101.0),
        ({"sequence": False, "parity": True}, 53.9),
        ({}, 2.91),
        ({"user": True}, 1.87),
        ({"feedback": True}, 1.55),
        ({"user": True, "feedback": True}, 1.0),
    ):
        assert bets_bound(**arguments) == pytest.approx(expected, abs=0.05)


def test_openings_are_the_first_events_of_later_sessions():
    histories = hierarchical_sessions(20, seed=4)
    marked = np.flatnonzero(session_openings(histories)).tolist()
    expected, event = [], 0
    for user in sessions_by_user(histories):
        for number, session in enumerate(user):
            if number:
                expected.append(event)
            event += len(session)
    assert marked == expected


def test_copies_bring_an_earlier_item_back():
    histories = hierarchical_sessions(500, copies=10, seed=5)
    inside = Counter()
    for user in sessions_by_user(histories):
        for before, after in itertools.pairwise(user):
            assert after[0] == before[min(1, len(before) - 1)]
            inside.update(after[1:])
    assert set(inside) == set(range(1, 11))
    assert max(inside.values()) < 1.4 * min(inside.values())


def test_bets_follow_their_outcomes():
    bets = gamblers_bets(1_500, seed=6)
    histories = bets.histories
    assert histories.num_users == pytest.approx(1_500 * 20 / 21, rel=0.02)
    for user, (begin, end) in enumerate(itertools.pairwise(histories.user_offsets)):
        bet = histories.item_ids[begin:end] - 1
        assert bet.min() >= 0 and bet.max() <= 100
        won = histories.feedback[begin:end, 1] == 1
        step = np.where(won[:-1], 1, -1)
        step[bet[:-1] == 0], step[bet[:-1] == 100] = 1, -1
        np.testing.assert_array_equal(np.diff(bet), step)
        assert histories.user_features[user].argmax() == bet[0]
    np.testing.assert_array_equal(histories.feedback.sum(axis=1), 1)
    assert histories.feedback.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.02)
    lengths = np.diff(histories.user_offsets)
    assert (lengths.min(), lengths.max()) == (1, 20)
    assert bets.item_features[:4].tolist() == [[0, 0], [1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: hierarchical_sessions(0), "`num_users`"),
        (lambda: hierarchical_sessions(5, max_len_exclusive=1), "`max_len_exclusive`"),
        (lambda: hierarchical_sessions(5, copies=0), "`copies`"),
        (lambda: [hierarchical_sessions(1, max_sessions=1, seed=s) for s in range(9)], "a session"),
        (lambda: gamblers_bets(5, num_items=1), "`num_items`"),
        (lambda: bets_bound(parity=True), "no use for one of them"),
        (lambda: bets_bound(sequence=False, user=True), "no use for one of them"),
    ],
)
def test_bad_arguments_are_refused(act, message):
    with pytest.raises(ValueError, match=r".") as error:
        act()
    assert message in str(error.value)
