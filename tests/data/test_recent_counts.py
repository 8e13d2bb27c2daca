"""Shares of what was taken of late: only what came before a moment counts, the later the more."""

import itertools
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


def test_counting_goes_on_from_the_event_after_the_last():
    """Golden: items 1, 2 at minute 0 and item 2 at minute 10, counted in two goes. At T = 600 s
    n_1 = 2^(-1/6), n_2 = 1 + 2^(-1/6); an event at 600 s was counted, one at 601 s was not."""
    histories = replace(
        Histories.from_lists([[[1, 2, 2]]], num_items=3), timestamps=np.array([0, 59, 600])
    )
    found = recent_shares(histories, size=2, hours=1.0)
    sixth = 2 ** (-1 / 6)
    np.testing.assert_allclose(found.counts, [0, sixth, 1 + sixth, 0], rtol=1e-12)
    assert found.last_time == 600
    later = replace(Histories.from_lists([[[3, 3]]], num_items=3), timestamps=np.array([600, 601]))
    on = recent_shares(later, size=2, hours=1.0, after=found)
    np.testing.assert_allclose(on.counts, [0, sixth, 1 + sixth, 1], rtol=1e-12)
    assert (on.last_time, on.item_ids.tolist()) == (601, [[0, 0], [1, 2], [2, 3]])
    assert recent_shares(later, size=2, hours=1.0, after=on) is on


@pytest.mark.parametrize("moments", [None, 3, 40, 5_000])
@pytest.mark.parametrize("cuts", [(0.5,), (0.2, 0.21, 0.9)])
def test_what_is_counted_piece_by_piece_is_what_is_counted_whole(moments, cuts):
    """Whatever is kept: few moments, the same number, more than the log has."""
    histories, how = drawn(), {"size": 4, "hours": 0.5}
    whole = recent_shares(histories, moments=moments, **how)
    times = histories.timestamps
    edges = [-1, *(int(np.quantile(times, cut)) for cut in cuts), int(times.max())]
    found = None
    for first, last in itertools.pairwise(edges):
        some = (times > first) & (times <= last)
        ids = histories.item_ids[some]
        part = Histories.from_lists([[ids.tolist()]], num_items=NUM_ITEMS)
        part = replace(part, timestamps=times[some])
        if found is None:
            # The grid of moments begins with the first event, here as there.
            found = recent_shares(part, moments=moments, **how)
        else:
            found = recent_shares(part, moments=moments, after=found, **how)
    assert (found.first_minute, found.last_time) == (whole.first_minute, whole.last_time)
    np.testing.assert_allclose(found.counts, whole.counts, rtol=1e-9)
    np.testing.assert_allclose(found.shares, whole.shares, rtol=1e-6, atol=1e-9)
    assert np.mean(found.item_ids == whole.item_ids) > 0.99  # equal shares may change places


def test_the_last_moments_are_kept_and_before_the_log_there_is_nothing():
    histories, how = drawn(), {"size": 4, "hours": 0.5}
    whole = recent_shares(histories, **how)
    few, many = (recent_shares(histories, moments=n, **how) for n in (7, len(whole.shares) + 2))
    np.testing.assert_allclose(few.shares[1:], whole.shares[-6:], rtol=1e-6)
    step = step_minutes(0.5)
    assert few.first_minute == whole.first_minute + (len(whole.shares) - 7) * step
    assert many.first_minute == whole.first_minute - 2 * step and not many.shares[:2].any()
    np.testing.assert_array_equal(many.shares[2:], whole.shares)
    # What was before the first moment is told of that one: it knows nothing.
    assert whole.shares[-7].any() and not few.shares[0].any() and not few.item_ids[0].any()


def test_many_moments_are_refused_before_they_are_counted(monkeypatch):
    monkeypatch.setattr(recent_counts, "MAX_CELLS", 100)
    with pytest.raises(ValueError, match=r"`popular_hours` was 0\.5, .* may hold 100\. Pass more"):
        recent_shares(drawn(), size=3, hours=0.5)
    with pytest.raises(ValueError, match=r"`popular_hours` was 0\.01, but must be a minute"):
        step_minutes(0.01)
