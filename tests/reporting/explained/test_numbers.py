"""Numbers behind the figures: by hand, against loops over single pairs, and what always holds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.models import ExplainedHistory, Explanation
from hrec_tf.reporting.explained import numbers
from hrec_tf.reporting.explained.numbers import (
    DRIFT,
    EVEN,
    LONGEST_RUN,
    PRODUCT,
    RESET,
    STEP_EDGES,
    STEP_LABELS,
    TIME_EDGES,
    TIME_LABELS,
    Reading,
    Spread,
)
from tests.reference.explained import run_before, weights_by_distance
from tests.reference.made_explanations import made_explanation

HOUR = 3600


def history(item_ids, timestamps, **options):
    inner = vars(made_explanation(item_ids, **options))
    raw_ids = tuple(f"i{item}" for item in item_ids)
    return ExplainedHistory(**inner, raw_ids=raw_ids, timestamps=np.array(timestamps))


# The predicted events 2, 3, 4 of four; α(c) is 1 | 1/3 2/3 | 1/7 2/7 4/7.
FOUR = history([10, 20, 40, 30], [0, 59, 60, 60 + 2 * HOUR])


def test_attention_by_steps_golden_values():
    found = numbers.attention_by_steps(FOUR)
    assert found.pairs.tolist()[:4] == [3, 2, 1, 0]
    means = found.means
    one_back, two_back, three_back = (1 + 2 / 3 + 4 / 7) / 3, (1 / 3 + 2 / 7) / 2, 1 / 7
    wanted = [one_back, two_back, three_back]
    np.testing.assert_allclose(means["context_attention"][:3], wanted)
    even = [(1 + 1 / 2 + 1 / 3) / 3, (1 / 2 + 1 / 3) / 2, 1 / 3]
    np.testing.assert_allclose(means["state_attention"][:3], even)
    np.testing.assert_allclose(means[EVEN][:3], even)
    assert np.isnan(means[EVEN][3:]).all()


def test_attention_by_time_golden_values():
    """0 -> 59 s is below a minute, 0 -> 60 s is not, and the last event is two hours off."""
    found = numbers.attention_by_time(FOUR)
    assert dict(zip(found.labels, found.pairs.tolist(), strict=True)) == {
        **dict.fromkeys(TIME_LABELS, 0),
        "< 1 min": 2,
        "1–10 min": 1,
        "1–6 h": 3,
    }
    means = found.means["context_attention"]
    np.testing.assert_allclose(means[[0, 1, 3]], [(1 + 2 / 3) / 2, 1 / 3, 1 / 3])


@settings(deadline=None, max_examples=30)
@given(gaps=st.lists(st.integers(0, 400 * 86400), min_size=1, max_size=12), seed=st.integers(0, 9))
def test_binning_agrees_with_a_loop_over_pairs(gaps, seed):
    size = len(gaps)
    weights = np.tril(np.random.default_rng(seed).random((size, size)))
    times = np.cumsum(gaps)
    one = ExplainedHistory(
        item_ids=np.arange(1, size + 1),
        attentions={"attention": weights},
        raw_ids=tuple(range(size)),
        timestamps=times,
    )
    for found, distance in (
        (numbers.attention_by_time(one), lambda j, t: times[t] - times[j]),
        (numbers.attention_by_steps(one), lambda j, t: t - j),
    ):
        wanted = weights_by_distance(weights, distance, found.edges)
        assert found.pairs.tolist() == [len(held) for held in wanted]
        assert found.pairs.sum() == size * (size - 1) / 2, "no pair is lost"
        for channel, place in (("attention", 0), (EVEN, 1)):
            totals = [sum(pair[place] for pair in held) for held in wanted]
            np.testing.assert_allclose(found.totals[channel], totals, atol=1e-12)


def test_weights_of_a_prediction_are_all_counted():
    """Degenerate: rows that add up to 1 add up to their number."""
    for found in (numbers.attention_by_time(FOUR), numbers.attention_by_steps(FOUR)):
        for total in found.totals.values():
            assert total.sum() == pytest.approx(3)


def test_histories_are_pooled_pair_by_pair():
    two = history([1, 2], [0, 30])
    pooled = numbers.together(map(numbers.attention_by_steps, (FOUR, two)))
    assert pooled.pairs[:3].tolist() == [4, 2, 1]
    wanted = (1 + 2 / 3 + 4 / 7 + 1) / 4
    assert pooled.means["context_attention"][0] == pytest.approx(wanted)


def test_a_single_event_has_no_pair():
    found = numbers.attention_by_time(history([5], [0]))
    assert found.pairs.sum() == 0 and np.isnan(found.means[EVEN]).all()


@pytest.mark.parametrize(
    ("edges", "labels"), [(TIME_EDGES, TIME_LABELS), (STEP_EDGES, STEP_LABELS)]
)
def test_every_bin_has_a_label(edges, labels):
    assert len(edges) == len(labels) + 1 == len(set(labels)) + 1
    assert sorted(edges) == list(edges) and math.isinf(edges[-1])


def test_gate_means_golden_values():
    """Units i/100 and 3i/100 times 1/2 and 1/4: (i/200 + 3i/400) / 2 = i/160."""
    found = numbers.gate_means(made_explanation([8, 16]))
    np.testing.assert_allclose(found[RESET], [0.16, 0.32])
    np.testing.assert_allclose(found[DRIFT], [0.375, 0.375])
    np.testing.assert_allclose(found[PRODUCT], [8 / 160, 16 / 160])
    # Not the product of the means, which is .06 and .12.
    assert numbers.resetting_gate(found) == PRODUCT


def test_without_a_drift_gate_the_reset_gate_stands_alone():
    found = numbers.gate_means(made_explanation([8], drift=False))
    assert PRODUCT not in found and numbers.resetting_gate(found) == RESET
    assert numbers.resetting_gate({"update": found["update"]}) is None


def test_changes_golden_values():
    """h is (i, -i) and c is (t, 0): both units of h change by the step, one of c by 1."""
    found = numbers.step_changes(made_explanation([10, 13, 11]))
    assert found["h"].tolist() == [3, 2] and found["c"].tolist() == [0.5, 0.5]


def test_spread_golden_values():
    assert numbers.spread(np.array([0.25, 0.75])) == Spread(0.5, pytest.approx(math.sqrt(1 / 8)), 2)
    assert numbers.spread(np.array([0.5])) == Spread(0.5, None, 1)
    assert numbers.spread(np.array([])) is None
    found = numbers.spreads([{"h": np.array([1.0])}, {"h": np.array([2.0, 3.0])}])
    assert found == {"h": Spread(2.0, 1.0, 3)}, "every event counts alike, whosever it is"
    assert numbers.spreads([{"h": np.array([])}]) == {}


A, B, C, NONE = {"a"}, {"b"}, {"c"}, set()


@pytest.mark.parametrize(
    ("categories", "before", "goes_on"),
    [
        ([A, A, A, B, B], [0, 1, 2, 3, 1], "-++-+"),
        ([A, B, C], [0, 1, 1], "---"),
        # A run may drift: each event has something in common with the one before it.
        ([A, A | B, B, B | C, C, A], [0, 1, 2, 3, 4, 5], "-++++-"),
        # Of unknown categories nothing can be said, and a run begins anew after them.
        ([A, A, NONE, A, A], [0, 1, 0, 0, 1], "-+--+"),
        ([A], [0], "-"),
        ([], [], ""),
    ],
)
def test_run_lengths_golden_values(categories, before, goes_on):
    found = numbers.run_lengths(categories)
    assert found[0].tolist() == before
    assert found[1].tolist() == [sign == "+" for sign in goes_on]


@given(st.lists(st.sets(st.sampled_from("abc"), max_size=2), max_size=12))
def test_run_lengths_agree_with_looking_back(categories):
    before, goes_on = numbers.run_lengths(categories)
    for place, held in enumerate(categories):
        assert before[place] == run_before(categories, place)
        assert goes_on[place] == bool(place and held & categories[place - 1])


def test_gate_by_run_golden_values():
    """After a run of 1 .4 goes on, .1 and .7 break; after one of 2 .2 goes on, of 3 .3 breaks."""
    values = [np.array([9, 0.4, 0.2, 0.3]), np.array([9, 0.1, 0.7])]
    found = numbers.by_run_length(values, [[A, A, A, B], [A, B, C]])
    assert found.lengths.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(found.continuing[:3], [0.4, 0.2, np.nan])
    np.testing.assert_allclose(found.breaking[:3], [0.4, np.nan, 0.3])
    assert found.num_continuing.tolist() == [1, 1, 0, 0, 0, 0]
    assert found.num_breaking.tolist() == [2, 0, 1, 0, 0, 0]
    assert found.all_continuing.mean == pytest.approx(0.3) and found.all_continuing.events == 2
    assert found.all_breaking.mean == pytest.approx((0.1 + 0.7 + 0.3) / 3)


def test_long_runs_are_counted_together():
    values = [np.arange(10.0)]
    found = numbers.by_run_length(values, [[A] * 10])
    assert found.num_continuing.tolist() == [1, 1, 1, 1, 1, 4]
    assert found.continuing[LONGEST_RUN - 1] == np.mean([6, 7, 8, 9])
    assert found.all_breaking is None


def test_one_value_for_all_events_is_its_own_mean():
    """Degenerate: nothing depends on runs."""
    found = numbers.by_run_length([np.full(6, 0.3)], [[A, A, B, B, B, C]])
    for means, count in (
        (found.continuing, found.num_continuing),
        (found.breaking, found.num_breaking),
    ):
        np.testing.assert_allclose(means[count > 0], 0.3)


@pytest.mark.parametrize("categories", [[[A]], [[NONE, A, NONE]]])
def test_without_two_known_events_in_a_row_there_are_no_runs(categories):
    assert numbers.by_run_length([np.ones(len(categories[0]))], categories) is None


def test_a_reading_holds_what_the_figures_need():
    found = Reading.of(FOUR)
    assert found.raw_ids == ("i10", "i20", "i40", "i30")
    assert found.by_time.pairs.sum() == found.by_steps.pairs.sum() == 6
    assert len(found.gates[PRODUCT]) == 4 and len(found.changes["h"]) == 3
    assert found.topics.tolist() == found.memory_attention.tolist() == [0.5, 0.25, 0.25]
    assert Reading.of(FOUR, has_times=False).by_time is None


def test_a_model_may_tell_of_nothing_but_its_states():
    bare = Explanation(item_ids=np.array([1, 2]), states={"h": np.array([[0.0], [2.0]])})
    assert numbers.gate_means(bare) == {} and numbers.step_changes(bare)["h"].tolist() == [2]
    assert set(numbers.attention_by_steps(bare).means) == {EVEN}


def test_boundaries_are_held_against_the_sessions():
    """Of events 2 to 6 it says 3 and 5, and sessions begin at 3, 4 and 5; the first counts not."""
    of = {"z": np.array([1.0, 0.2, 0.9, 0.5, 0.6, 0.0])}
    starts = np.array([True, False, True, True, True, False])
    one = ExplainedHistory(
        item_ids=np.arange(1, 7),
        boundaries=of,
        session_start=starts,
        raw_ids=tuple(range(6)),
        timestamps=np.arange(6),
    )
    found = numbers.boundary_agreement(one)["z"]
    assert found == (2, 2, 3)
    assert (found.precision, found.recall) == (1.0, 2 / 3)
    assert found.f1 == pytest.approx(0.8)
    together = numbers.agreements([{"z": found}, {"z": numbers.Agreement(0, 2, 1)}])
    assert together["z"] == (2, 4, 4) and together["z"].f1 == 0.5
    nothing = numbers.Agreement(0, 0, 0)
    assert np.isnan([nothing.precision, nothing.recall, nothing.f1]).all()
    unknown = ExplainedHistory(**{**vars(one), "session_start": None})
    assert numbers.boundary_agreement(unknown) == {}
