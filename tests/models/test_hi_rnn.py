from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import concatenated_stream, lane_stream
from hrec_tf.evaluation import rank_model
from hrec_tf.losses import BinaryCrossEntropy, CrossEntropy
from hrec_tf.models import HiRNN
from hrec_tf.recipe import Recipe, ready_to_train
from hrec_tf.schema import CONCATENATED, GAP, ITEM_IDS, SESSION_START, USER_START
from tests.reference.recurrent import hi_rnn_loop
from tests.reference.weights import fill_distinct

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS = 6
SIZES = {"num_items": NUM_ITEMS, "item_dim": 3, "short_units": 4, "long_units": 2, "time_dim": 2}
MINUTE = 60


def built(**arguments):
    model = HiRNN(**SIZES | arguments)
    fill_distinct(model)
    return model


def timed(users, minutes):
    histories = Histories.from_lists(users, num_items=NUM_ITEMS)
    return replace(histories, timestamps=np.array(minutes) * MINUTE)


HISTORIES = timed([[[1, 2], [3]], [[4, 5, 6]]], [0, 30, 100, 207, 210, 500])


def test_a_stream_tells_the_seconds_since_the_event_before():
    """A user's first event has none before it, whatever the lane held."""
    stream = lane_stream(
        HISTORIES, layout=CONCATENATED, num_lanes=1, steps=2, order="given", with_gaps=True
    )
    events = [window[0] for window in stream]
    ids = np.concatenate([event[ITEM_IDS].numpy()[0] for event in events])
    gaps = np.concatenate([event[GAP].numpy()[0] for event in events])
    assert ids.tolist() == [1, 2, 4, 5]
    assert (gaps / MINUTE).tolist() == [0, 30, 0, 3]
    assert GAP not in next(iter(concatenated_stream(HISTORIES, num_lanes=1)))[0]


@pytest.mark.parametrize("segments", ["gap", "session"])
def test_scores_are_the_equations(segments):
    """equations E.2: δ = log(1 + Δ / 60), g = Δ above an hour, r̂ = [s; l] W_o + b_o."""
    arguments = {"segment_minutes": 60.0} if segments == "gap" else {}
    model = built(segments=segments, **arguments)
    gap = np.array([[0, 3600, 3601, 20, 90_000]])
    starts = np.array([[True, False, True, False, True]])
    item_ids = np.array([[2, 5, 1, 6, 3]])
    events = {
        ITEM_IDS: tf.constant(item_ids, tf.int32),
        GAP: tf.constant(gap, tf.int32),
        SESSION_START: tf.constant(starts),
        USER_START: tf.constant([[True, False, False, False, False]]),
    }
    bias, table = (np.asarray(w, np.float64) for w in model.item_scores.weights)
    ends = gap > 3600 if segments == "gap" else starts
    told = np.stack([np.log1p(gap / 60), ends, events[USER_START]], -1)
    cell = model.recurrence.cell
    inputs = np.concatenate([table[item_ids], told], -1)
    states, _, _ = hi_rnn_loop(cell, inputs, np.zeros((1, 4)), np.zeros((1, 2)))
    kernel, output_bias = (np.asarray(w, np.float64) for w in model.output_map.weights)
    expected = (states @ kernel + output_bias) @ table[1:].T + bias.ravel()[1:]
    np.testing.assert_allclose(model.score(model(events)), expected, **FLOAT32_NOISE)


def test_step_by_step_it_is_told_the_gap_too():
    model = built(segment_minutes=60.0)
    gaps, ids = [0, 40, 4000, 7], [1, 4, 2, 2]
    no, first = tf.constant([False]), tf.constant([True])
    states, hidden = model.step_states(1), []
    for place, (gap, item) in enumerate(zip(gaps, ids, strict=True)):
        start = first if place == 0 else no
        one, states = model.step(tf.constant([item]), start, start, states, gap=tf.constant([gap]))
        hidden.append(one[0])
    events = {
        ITEM_IDS: tf.constant([ids]),
        GAP: tf.constant([gaps]),
        SESSION_START: tf.constant([[True, False, False, False]]),
        USER_START: tf.constant([[True, False, False, False]]),
    }
    np.testing.assert_allclose(hidden, model(events)[0], **FLOAT32_NOISE)


def test_ranks_follow_from_the_gaps_of_the_log():
    """Other times, other ranks: evaluation tells the gaps, too."""
    model = built(segment_minutes=60.0)
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


def test_bad_options_are_named_and_mended():
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
