from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import concatenated_stream, lane_stream
from hrec_tf.evaluation import rank_model
from hrec_tf.fitting import ready_to_train
from hrec_tf.inference import Inference
from hrec_tf.losses import BinaryCrossEntropy, CrossEntropy
from hrec_tf.models import HiRNN
from hrec_tf.recipe import Recipe
from hrec_tf.schema import (
    CONCATENATED,
    GAP,
    ITEM_IDS,
    NEXT_GAP,
    SESSION_START,
    USER_PARALLEL,
    USER_START,
)
from tests.reference.recurrent import hi_rnn_loop
from tests.reference.weights import fill_distinct

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS = 6
SIZES = {"num_items": NUM_ITEMS, "item_dim": 3, "short_units": 4, "long_units": 2, "time_dim": 2}
MOMENTS = {"gap_mean": 2.0, "gap_sd": 1.5}
MINUTE = 60


def built(**arguments):
    model = HiRNN(**SIZES | arguments)
    fill_distinct(model)
    return model


def timed(users, minutes):
    histories = Histories.from_lists(users, num_items=NUM_ITEMS)
    return replace(histories, timestamps=np.array(minutes) * MINUTE)


HISTORIES = timed([[[1, 2], [3]], [[4, 5, 6]]], [0, 30, 100, 207, 210, 500])


def test_a_stream_tells_the_seconds_since_the_event_before_and_to_the_next():
    """A user's first event has none before it, whatever the lane held; padding has none."""
    stream = lane_stream(
        HISTORIES, layout=CONCATENATED, num_lanes=1, steps=3, order="given", with_gaps=True
    )
    events = [window[0] for window in stream]
    ids, gaps, next_gaps = (
        np.concatenate([event[name].numpy()[0] for event in events])
        for name in (ITEM_IDS, GAP, NEXT_GAP)
    )
    assert ids.tolist() == [1, 2, 4, 5, 0, 0]
    assert (gaps / MINUTE).tolist() == [0, 30, 0, 3, 0, 0]
    assert (next_gaps / MINUTE).tolist() == [30, 70, 3, 290, 0, 0]
    assert not {GAP, NEXT_GAP} & set(next(iter(concatenated_stream(HISTORIES, num_lanes=1)))[0])


def test_no_time_passes_to_an_event_that_is_not_predicted():
    """A session's last event that is read has no next item, nor has one that begins a user."""
    options = {"layout": USER_PARALLEL, "num_lanes": 1, "steps": 5, "order": "given"}
    events, *_ = next(iter(lane_stream(HISTORIES, **options, feed_last_item=True, with_gaps=True)))
    assert events[ITEM_IDS].numpy().tolist() == [[1, 2, 3, 4, 5]]
    assert (events[NEXT_GAP].numpy() / MINUTE).tolist() == [[30, 0, 0, 3, 290]]


@pytest.mark.parametrize("use_query_gap", [False, True])
@pytest.mark.parametrize("segments", ["gap", "session"])
def test_scores_are_the_equations(segments, use_query_gap):
    """equations E.2: δ = log(1 + Δ / 60), g = Δ above an hour, r̂ = ([s; l] ⊙ told) W_o + b_o."""
    arguments = {"segment_minutes": 60.0} if segments == "gap" else {}
    model = built(segments=segments, use_query_gap=use_query_gap, **MOMENTS, **arguments)
    gap = np.array([[0, 3600, 3601, 20, 90_000]])
    next_gap = np.array([[3600, 3601, 20, 90_000, 77]])
    starts = np.array([[True, False, True, False, True]])
    item_ids = np.array([[2, 5, 1, 6, 3]])
    events = {
        ITEM_IDS: tf.constant(item_ids, tf.int32),
        GAP: tf.constant(gap, tf.int32),
        NEXT_GAP: tf.constant(next_gap, tf.int32),
        SESSION_START: tf.constant(starts),
        USER_START: tf.constant([[True, False, False, False, False]]),
    }
    bias, table = (np.asarray(w, np.float64) for w in model.item_scores.weights)
    ends = gap > 3600 if segments == "gap" else starts
    told = np.stack([np.log1p(gap / 60), ends, events[USER_START]], -1)
    cell = model.recurrence.cell
    inputs = np.concatenate([table[item_ids], told], -1)
    states, _, _ = hi_rnn_loop(cell, inputs, np.zeros((1, 4)), np.zeros((1, 2)))
    if use_query_gap:
        standard = (np.log1p(next_gap / 60) - 2.0) / 1.5
        states = states * (1 + standard[..., None] * np.asarray(model.query_kernel, np.float64))
    kernel, output_bias = (np.asarray(w, np.float64) for w in model.output_map.weights)
    expected = (states @ kernel + output_bias) @ table[1:].T + bias.ravel()[1:]
    np.testing.assert_allclose(model.score(model(events)), expected, **FLOAT32_NOISE)


def test_the_query_gap_golden_value():
    """Of l = (1, 2) an hour makes (1 + q / 2) + 2 (1 + q / 4) = 3 + q, q = (log 61 - 2) / 1.5."""
    model = HiRNN(**SIZES | {"item_dim": 1}, use_query_gap=True, **MOMENTS)
    for weight in model.weights:
        weight.assign(tf.zeros_like(weight))
    model.query_kernel.assign([0, 0, 0, 0, 0.5, 0.25])
    model.output_map.kernel.assign([[0], [0], [0], [0], [1], [1]])
    model.item_scores.weights[1][2, 0].assign(1.0)
    no, states = tf.constant([False]), [tf.zeros((1, 4)), tf.constant([[1.0, 2.0]])]
    told = {"gap": tf.constant([0]), "next_gap": tf.constant([3600])}
    hidden, _ = model.step(tf.constant([1]), no, no, states, **told)
    expected = [0, 3 + (np.log(61) - 2.0) / 1.5, 0, 0, 0, 0]
    np.testing.assert_allclose(model.score(hidden)[0], expected, **FLOAT32_NOISE)


def test_before_training_a_query_gap_changes_nothing():
    told, plain = HiRNN(**SIZES, use_query_gap=True, seed=1), HiRNN(**SIZES, seed=1)
    stream = lane_stream(HISTORIES, layout=CONCATENATED, num_lanes=2, steps=2, with_gaps=True)
    for events, *_ in stream:
        np.testing.assert_array_equal(told(events), plain(events))


def test_the_query_gap_changes_what_is_asked_and_nothing_that_is_remembered():
    model = built(use_query_gap=True)
    events, *_ = next(
        iter(lane_stream(HISTORIES, layout=CONCATENATED, num_lanes=2, steps=2, with_gaps=True))
    )
    later = events | {NEXT_GAP: events[NEXT_GAP] + tf.constant([[0, 900], [0, 0]])}
    hidden, states = model.encode(events, model.initial_states(2))
    other, same = model.encode(later, model.initial_states(2))
    assert ((hidden != other).numpy().any(-1) == [[False, True], [False, False]]).all()
    for mine, theirs in zip(states, same, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("use_query_gap", [False, True])
def test_step_by_step_it_is_told_the_gaps_too(use_query_gap):
    model = built(segment_minutes=60.0, use_query_gap=use_query_gap)
    gaps, next_gaps, ids = [0, 40, 4000, 7], [40, 4000, 7, 500], [1, 4, 2, 2]
    no, first = tf.constant([False]), tf.constant([True])
    states, hidden = model.step_states(1), []
    for place, item in enumerate(ids):
        start = first if place == 0 else no
        told = {"gap": tf.constant(gaps[place : place + 1])}
        if use_query_gap:
            told["next_gap"] = tf.constant(next_gaps[place : place + 1])
        one, states = model.step(tf.constant([item]), start, start, states, **told)
        hidden.append(one[0])
    events = {
        ITEM_IDS: tf.constant([ids]),
        GAP: tf.constant([gaps]),
        NEXT_GAP: tf.constant([next_gaps]),
        SESSION_START: tf.constant([[True, False, False, False]]),
        USER_START: tf.constant([[True, False, False, False]]),
    }
    np.testing.assert_allclose(hidden, model(events)[0], **FLOAT32_NOISE)


@pytest.mark.parametrize("use_query_gap", [False, True])
def test_ranks_follow_from_the_gaps_of_the_log(use_query_gap):
    """Other times, other ranks: evaluation tells the gaps, too."""
    model = built(segment_minutes=60.0, use_query_gap=use_query_gap)
    slow, fast = HISTORIES, replace(HISTORIES, timestamps=np.arange(6))
    hidden = []
    for histories in (slow, fast):
        stream = lane_stream(
            histories, layout=CONCATENATED, num_lanes=2, order="given", with_gaps=True, steps=2
        )
        events, *_ = next(iter(stream))
        scores = model.score(model(events)).numpy()
        own = scores[[0, 0, 1, 1], [0, 1, 0, 1], np.array([2, 3, 5, 6]) - 1]
        above = (scores.reshape(4, -1) > own[:, None]).sum(1)
        ranks = rank_model(model, histories, session_starts=True, num_lanes=1, steps=3)
        assert ranks.greater.tolist() == above.tolist()
        hidden.append(scores)
    assert np.abs(hidden[0] - hidden[1]).max() > 1e-3


def test_a_stream_without_gaps_is_refused():
    model = built()
    model.compile(loss=CrossEntropy())
    with pytest.raises(ValueError, match="reads_gaps=False, but the model with reads_gaps=True"):
        model.fit(concatenated_stream(HISTORIES, num_lanes=2), verbose=0)


def test_one_that_is_told_when_it_is_asked_is_not_served_and_says_so():
    with pytest.raises(ValueError, match=r"`model` is a HiRNN that is told how.*use_query_gap=Fal"):
        Inference(built(use_query_gap=True), np.ones(NUM_ITEMS))


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`use_query_gap` was True with time_dim=0.*time_dim, e"):
        HiRNN(**SIZES | {"time_dim": 0}, use_query_gap=True)
    with pytest.raises(ValueError, match=r"`segment_minutes` was 5.* with segments='session'"):
        HiRNN(**SIZES, segments="session", segment_minutes=5.0)
    with pytest.raises(ValueError, match=r"`segments` was 'gaps'.*Did you mean 'gap'"):
        HiRNN(**SIZES, segments="gaps")


def recipe_of(**arguments):
    return Recipe.from_dict(
        {
            "model": "hi-rnn",
            "arguments": {"item_dim": 3, "short_units": 4, "long_units": 2} | arguments,
            "optimizer": {"name": "adam"},
            "loss": {"name": "binary_cross_entropy", "normalise": "valid"},
            "negatives": {"name": "per_target"},
            "stream": {"num_lanes": 2},
            "epochs": 1,
        }
    )


def test_a_recipe_takes_a_quantile_of_the_gaps_in_training():
    """Minutes between a user's events: 30, 70, 3 and 290, whose median is 50."""
    fitted = recipe_of(segment_minutes="log:0.5", gap_mean="log").fitted_to(None, HISTORIES)
    assert fitted.arguments["segment_minutes"] == 50.0
    assert fitted.arguments["gap_mean"] > 0
    model, _ = ready_to_train(fitted, HISTORIES, seed=0)
    assert model.segment_minutes == 50.0
    assert isinstance(model.sampled_loss, BinaryCrossEntropy)
    assert model.negatives.get_config() == {"number": 1, "seed": 0}
    assert recipe_of(segment_minutes=5).fitted_to(None, HISTORIES).arguments["segment_minutes"] == 5
    assert recipe_of().fitted_to(None, HISTORIES).complete().arguments["segment_minutes"] is None


@pytest.mark.parametrize("text", ["log", "log:1.5", "log:nan", "median", "lag:0.5"])
def test_a_quantile_that_there_is_not_is_refused_before_anything_is_read(text):
    with pytest.raises(ValueError, match=rf"`segment_minutes` was '{text}'.*or e.g. 'log:0.9'"):
        recipe_of(segment_minutes=text)


def test_a_gap_as_long_as_segment_minutes_does_not_end_a_segment():
    """60 * (123 / 60) is below 123 in floating point, which no gap of 123 seconds may feel."""
    first, later = tf.constant([True]), tf.constant([False])
    hidden = {}
    for seconds in (123, 124):
        for minutes in (123 / 60, 1440.0):
            model = built(segment_minutes=minutes)
            _, states = model.step(
                tf.constant([1]), first, first, model.step_states(1), gap=tf.constant([0])
            )
            one, _ = model.step(tf.constant([2]), later, later, states, gap=tf.constant([seconds]))
            hidden[seconds, minutes] = one.numpy()
    np.testing.assert_array_equal(hidden[123, 123 / 60], hidden[123, 1440.0])
    assert np.abs(hidden[124, 123 / 60] - hidden[124, 1440.0]).max() > 1e-3


def test_without_a_shortest_gap_every_event_begins_a_segment():
    """E-T2: τ_seg = 0 and all gaps above it are sessions of one event each."""
    alone = timed([[[item] for item in (1, 2, 3, 4, 5, 6)]], [0, 1, 100, 107, 210, 500])
    outputs = []
    for arguments in ({"segment_minutes": 0.0}, {"segments": "session"}):
        model = built(**MOMENTS, **arguments)
        (events, *_), *more = lane_stream(
            alone, layout=CONCATENATED, num_lanes=1, steps=6, order="given", with_gaps=True
        )
        assert not more
        outputs.append(model(events).numpy())
    np.testing.assert_array_equal(*outputs)
    apart = built(**MOMENTS, segment_minutes=5_000.0)(events).numpy()
    assert (apart != outputs[0])[:, 1:].any()
