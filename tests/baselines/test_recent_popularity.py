"""Recent POP: what counts how much, from when one looks back, and that nothing later is read."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf import registry
from hrec_tf.baselines import Popularity, RecentPopularity
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation import rank_baseline
from tests.reference import baseline_scores as slow

HOUR = 3_600


def at_hours(users, hours, num_items=4):
    """Histories with their times, in hours, one for each event."""
    histories = Histories.from_lists(users, num_items=num_items)
    return replace(histories, timestamps=np.array(hours, np.int64) * HOUR)


# Item 1 at hours 0, 1 and 2; item 2 at 8 and 10; item 3 at 9. Training ends at hour 10.
TRAINING = at_hours([[[1, 1, 1], [2, 2]], [[3]]], [0, 1, 2, 8, 10, 9])
# The first user's past, then two sessions of the test; the second user is new.
EVALUATION = at_hours([[[2, 2], [3, 1, 4]], [[4, 3]]], [8, 10, 12, 13, 15, 11, 14])


def test_golden_values_at_the_end_of_training():
    """models G.13, as for all here."""
    scores = RecentPopularity(hours=2).fit(TRAINING).score(EVALUATION, np.array([3, 6]))
    # 2^-5 + 2^-4.5 + 2^-4, 2^-1 + 1 and 2^-0.5.
    row = [1 / 32 + 2**-4.5 + 1 / 16, 1.5, 2**-0.5, 0]
    np.testing.assert_allclose(scores, [row, row], rtol=1e-15)
    window = RecentPopularity(hours=2, form="window").fit(TRAINING)
    # From 8 hours and a second on: the click at 8 is a second too old.
    assert window.score(EVALUATION, np.array([3])).tolist() == [[0, 1, 1, 0]]


def test_golden_values_that_roll_on():
    """Target 3 looks back from 12, target 4 from 13, target 6 from 11; 5 is its user's first."""
    targets = np.array([4, 3, 6, 5])
    window = RecentPopularity(hours=4, form="window", rolling=True).fit(TRAINING)
    assert window.score(EVALUATION, targets).tolist() == [
        [0, 1, 2, 1],  # 9 <= time < 13: 10, then 9 and 12, then 11
        [0, 2, 1, 1],  # 8 <= time < 12
        [0, 2, 1, 0],  # 7 <= time < 11
        [0, 2, 1, 0],
    ]
    decayed = RecentPopularity(hours=1, rolling=True).fit(TRAINING).score(EVALUATION, targets)
    np.testing.assert_allclose(decayed[:, 2], [0.5 + 4, 0.5, 0.5, 0.5])  # 9, and 12 two after 10
    np.testing.assert_allclose(decayed[:, 3], [2, 2, 0, 0])


def test_with_an_endless_half_life_or_window_it_is_popularity():
    expected = Popularity().fit(TRAINING).score(EVALUATION, [3, 6])
    for form in ("half_life", "window"):
        endless = RecentPopularity(hours=float("inf"), form=form).fit(TRAINING)
        np.testing.assert_array_equal(endless.score(EVALUATION, [3, 6]), expected)
    rolling = RecentPopularity(hours=float("inf"), rolling=True).fit(TRAINING)
    # The past of the first user is in training: it counts once.
    assert rolling.score(EVALUATION, [6]).tolist() == [[3, 2, 1, 0]]


events = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(0, 30)), min_size=1, max_size=25
)


def histories_of(events):
    """One session per user, in order of time; times in half hours."""
    users = sorted({user for user, *_ in events})
    held = [sorted((time, item) for u, item, time in events if u == user) for user in users]
    histories = Histories.from_lists([[[item for _, item in of]] for of in held], num_items=4)
    return replace(histories, timestamps=np.array([t for of in held for t, _ in of]) * 1_800)


@settings(deadline=None, max_examples=25)
@given(
    training=events,
    test=events,
    form=st.sampled_from(["half_life", "window"]),
    rolling=st.booleans(),
    hours=st.sampled_from([0.5, 2.0, 7.0, float("inf")]),
)
def test_it_equals_the_slow_loop(training, test, form, rolling, hours):
    training, histories = histories_of(training), histories_of(test)
    how = {"hours": hours, "form": form, "rolling": rolling}
    found = RecentPopularity(**how).fit(training)
    targets = np.arange(histories.num_events)[::-1]
    expected = [slow.recent_popularity(training, histories, target, **how) for target in targets]
    np.testing.assert_allclose(found.score(histories, targets), expected, rtol=1e-12)
    # Blocks change nothing, to the last bit.
    parts = [found.score(histories, targets[row : row + 1])[0] for row in range(len(targets))]
    np.testing.assert_array_equal(parts, found.score(histories, targets))


@settings(deadline=None, max_examples=25)
@given(training=events, test=events, data=st.data())
def test_nothing_from_the_moment_on_is_read(training, test, data):
    """pitfalls 2: with all later events of all users changed, the scores stay the same."""
    training, histories = histories_of(training), histories_of(test)
    target = data.draw(st.integers(0, histories.num_events - 1))
    later = histories.timestamps >= histories.timestamps[target]
    changed = replace(
        histories, item_ids=np.where(later, 5 - histories.item_ids, histories.item_ids)
    )
    for form in ("half_life", "window"):
        rolling = RecentPopularity(hours=3, form=form, rolling=True).fit(training)
        np.testing.assert_array_equal(
            rolling.score(histories, [target]), rolling.score(changed, [target])
        )


def test_overlapping_sessions_do_not_show_the_target():
    """The first session ends at 9, after the target of the second at 7 came."""
    training = at_hours([[[1]]], [0])
    overlapping = at_hours([[[2, 3], [4, 2]]], [5, 9, 6, 7])
    rolling = RecentPopularity(hours=9, form="window", rolling=True).fit(training)
    assert rolling.score(overlapping, [2]).tolist() == [[1, 1, 0, 0]]


def test_ranks_are_of_events_of_all_users():
    """evaluation 1.4: the ranking hands over the sessions of all test users, not only one's own."""
    weights = np.array([0, 0, 0, 1, 1, 0, 1], np.float32)
    histories = replace(EVALUATION, target_weights=weights)
    rolling = RecentPopularity(hours=1, rolling=True).fit(TRAINING)
    # Target 4 is item 4, which nobody but the second user took, at 11.
    ranks = rank_baseline(rolling, histories, block=1)
    assert ranks.target.tolist() == [3, 4, 6]
    assert ranks.greater[1] == 1 and ranks.equal[1] == 0


def test_it_can_be_built_by_name():
    built = registry.entry("recent-pop").build(num_items=4, hours=6.0, form="window")
    assert isinstance(built, RecentPopularity) and built.hours == 6.0


def test_bad_input_is_named_and_mended():
    for hours in (0, -1, float("nan"), "24", True):
        with pytest.raises(ValueError, match=r"`hours` was .* but must be a number above 0.* Pass"):
            RecentPopularity(hours=hours)
    with pytest.raises(ValueError, match=r"`form` was 'windows'.*Did you mean 'window'"):
        RecentPopularity(form="windows")
    late = at_hours([[[1, 2]]], [2_000, 3_000])
    short = RecentPopularity(hours=1, rolling=True).fit(TRAINING)
    with pytest.raises(ValueError, match=r"`histories` go on for 2,990 half-lives .* Pass more"):
        short.score(late, [1])
