"""Shares of what was taken of late: only what came before a moment counts, the later the more."""

from dataclasses import replace

import numpy as np
import pytest

from hrec_tf.data import recent_counts
from hrec_tf.data.histories import Histories
from hrec_tf.data.recent_counts import num_moments, recent_shares, step_minutes

NUM_ITEMS = 6


def drawn(seed=0, users=12, events=9, span=40_000):
    """Users with a session each, at random times from a minute that is no round one on."""
    draw = np.random.default_rng(seed)
    items = draw.integers(1, NUM_ITEMS + 1, (users, events)).tolist()
    histories = Histories.from_lists([[row] for row in items], num_items=NUM_ITEMS)
    times = np.sort(draw.integers(0, span, (users, events)), axis=1).ravel() + 1_700_000_017
    return replace(histories, timestamps=times)


def by_loop(histories, size, hours):
    """Moment by moment over all events, in float64."""
    step, minutes = step_minutes(hours), histories.timestamps // 60
    rows = []
    for moment in range(num_moments(histories, hours)):
        now, counts = minutes.min() + moment * step, np.zeros(NUM_ITEMS + 1)
        for item, minute in zip(histories.item_ids, minutes, strict=True):
            if minute < now:
                counts[item] += 2.0 ** (-(now - minute) / (60 * hours))
        best = sorted((i for i in range(1, NUM_ITEMS + 1) if counts[i]), key=lambda i: -counts[i])
        rows.append({i: counts[i] / counts.sum() for i in best[:size]})
    return rows


def test_golden_value():
    """Items 1, 2 at minute 0, item 2 at minute 10: at 20 (τ 1 h, Δ 10 min) they are 2^(-1/3) old
    and 2^(-1/6): p_2 = (2^(-1/3) + 2^(-1/6)) / (2 · 2^(-1/3) + 2^(-1/6))."""
    histories = replace(
        Histories.from_lists([[[1, 2, 2]]], num_items=3), timestamps=np.array([0, 59, 600])
    )
    found = recent_shares(histories, size=2, hours=1.0)
    assert (found.first_minute, found.item_ids.tolist()) == (0, [[0, 0], [1, 2], [2, 1]])
    old, new = 2 ** (-1 / 3), 2 ** (-1 / 6)
    expected = [[0, 0], [0.5, 0.5], [(old + new) / (2 * old + new), old / (2 * old + new)]]
    np.testing.assert_allclose(found.shares, expected, rtol=1e-6)


@pytest.mark.parametrize(("size", "hours"), [(3, 0.5), (6, 2.0), (9, 0.07)])
def test_it_is_the_loop_over_moments_and_events(size, hours):
    """Also of more items than there are, and of half-lives of a few minutes."""
    histories = drawn()
    found, expected = (
        recent_shares(histories, size=size, hours=hours),
        by_loop(drawn(), size, hours),
    )
    assert found.item_ids.shape == found.shares.shape == (len(expected), size)
    for ids, shares, row in zip(found.item_ids, found.shares, expected, strict=True):
        held = {int(i): share for i, share in zip(ids, shares, strict=True) if i}
        assert held == pytest.approx(row, rel=1e-5)
        assert np.all(np.diff(shares) <= 0) and not np.any(shares[ids == 0])


def test_a_moment_knows_nothing_of_what_comes_at_it_or_later():
    """Events of the last hours are exchanged: no moment before them changes."""
    histories, hours = drawn(), 0.5
    late = histories.timestamps > 1_700_000_017 + 20_000
    other = np.where(late, histories.item_ids % NUM_ITEMS + 1, histories.item_ids)
    before, after = (
        recent_shares(h, size=3, hours=hours)
        for h in (histories, replace(histories, item_ids=other.astype(np.int32)))
    )
    first_late = histories.timestamps[late].min() // 60 - before.first_minute
    known = first_late // step_minutes(hours) + 1
    np.testing.assert_array_equal(before.item_ids[:known], after.item_ids[:known])
    np.testing.assert_array_equal(before.shares[:known], after.shares[:known])
    assert np.any(before.item_ids[known:] != after.item_ids[known:])


def test_many_moments_are_refused_before_they_are_counted(monkeypatch):
    monkeypatch.setattr(recent_counts, "MAX_CELLS", 100)
    with pytest.raises(ValueError, match=r"`popular_hours` was 0\.5, .* may hold 100\. Pass more"):
        recent_shares(drawn(), size=3, hours=0.5)
    with pytest.raises(ValueError, match=r"`popular_hours` was 0\.0, but must be above 0\. Pass"):
        step_minutes(0.0)
