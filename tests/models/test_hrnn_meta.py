"""What is true of HRNN-meta alone: models D-T4 to D-T9, and the two simulations."""

import os
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.aligned import aligned_stream
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_source import LogSource
from hrec_tf.data.simulations import (
    bets_bound,
    blind_bound,
    gamblers_bets,
    hierarchical_sessions,
    session_openings,
)
from hrec_tf.evaluation import perplexity
from hrec_tf.fitting import train
from hrec_tf.losses import CrossEntropy, InBatch
from hrec_tf.models import HRNNMeta
from hrec_tf.recipe import Recipe
from hrec_tf.recommender import Recommender
from hrec_tf.schema import IS_STEP, ITEM_IDS, NEXT_GAP, NEXT_SESSION_START, USER_START
from tests.reference.weights import fill_drawn

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
SMALL = {"units": 5, "item_dim": 5, "num_layers": 1, "hidden_dropout": 0.0}
USERS = [[[1, 2], [3, 4, 5]], [[6, 7]], [[2, 3, 1]], [[7, 1], [2, 2]]]


needs_logs = pytest.mark.skipif(not os.environ.get("HREC_DATA"), reason="HREC_DATA is not set")


def small_histories(**more):
    plain = Histories.from_lists(USERS)
    gaps = np.where(plain.session_starts, 90_000, 20)
    return replace(plain, timestamps=np.cumsum(gaps), **more)


def drawn_model(seed=1, **arguments):
    model = HRNNMeta(num_items=7, seed=0, **SMALL | arguments)
    fill_drawn(model, seed)
    return model


def read(model, histories, *, num_lanes, steps, first_events=False):
    """Hidden of each step by (previous item count, target), lane by lane."""
    stream = aligned_stream(
        histories, num_lanes=num_lanes, steps=steps, order="given", first_events=first_events
    )
    states, hidden, is_step = model.initial_states(num_lanes), [], []
    for events, _, _ in stream:
        here, states = model.encode(events, states)
        hidden.append(here)
        is_step.append(events[IS_STEP])
    hidden, is_step = np.concatenate(hidden, axis=1), np.concatenate(is_step, axis=1)
    return hidden[is_step]


@pytest.mark.parametrize("arguments", [{}, {"sequence_model": "lstm"}, {"sequence_model": "hrnn"}])
@pytest.mark.parametrize("first_events", [False, True])
def test_windows_are_each_users_whole_history_from_nothing(arguments, first_events):
    """D-T6: states that are carried and reset give what users give that stand alone."""
    histories = small_histories()
    model = drawn_model(first_events=first_events, **arguments)
    one_lane = read(model, histories, num_lanes=1, steps=3, first_events=first_events)
    alone = []
    for begin, end in zip(histories.user_offsets, histories.user_offsets[1:], strict=False):
        chosen = np.zeros(histories.num_events, bool)
        chosen[begin:end] = True
        of_user = histories.select(chosen)
        alone.append(read(model, of_user, num_lanes=1, steps=9, first_events=first_events))
    np.testing.assert_allclose(one_lane, np.concatenate(alone), **FLOAT32_NOISE)


def test_rows_are_the_single_stream_up_to_where_it_is_cut():
    """D-T9: from a user's start on, each row gives what one row would."""
    histories, model = small_histories(), drawn_model()
    single = read(model, histories, num_lanes=1, steps=4)
    stream = aligned_stream(histories, num_lanes=3, steps=2, order="given")
    starts = np.concatenate([events[USER_START] for events, _, _ in stream], axis=1)
    steps = np.concatenate([events[IS_STEP] for events, _, _ in stream], axis=1)
    rows = read(model, histories, num_lanes=3, steps=2)
    whole = np.maximum.accumulate(starts & steps, axis=1)[steps]
    np.testing.assert_allclose(rows[whole], single[whole], **FLOAT32_NOISE)
    assert 0 < whole.sum() < len(whole)
    assert np.abs(rows[~whole] - single[~whole]).max() > 1e-3


def test_a_table_of_zeros_for_the_control_is_the_plain_rnn():
    """D-T5."""
    controlled, plain = drawn_model(), drawn_model(control=None)
    controlled.control_signals.table.assign(np.zeros((5, 8)))
    shared = [w for w in controlled.weights if w is not controlled.control_signals.table]
    for weight, value in zip(plain.weights, shared, strict=True):
        is_kernel = weight is plain.recurrences[0].cell.kernel
        weight.assign(value[:5] if is_kernel else value)  # the rows of E_a
    histories = small_histories()
    mine, other = (read(m, histories, num_lanes=2, steps=3) for m in (controlled, plain))
    np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)


def test_what_comes_later_changes_nothing_but_by_its_time():
    """D-T8."""
    model, draw = drawn_model(), np.random.default_rng(2)
    events = {
        ITEM_IDS: tf.constant(draw.integers(1, 8, (2, 6)), tf.int32),
        IS_STEP: tf.ones((2, 6), bool),
        USER_START: tf.constant([[True] + [False] * 5] * 2),
        NEXT_GAP: tf.constant(draw.choice([1, 100, 5000], (2, 6)), tf.int32),
        NEXT_SESSION_START: tf.zeros((2, 6), bool),
    }
    events["session_start"] = events[USER_START]
    hidden, _ = model.encode(events, model.initial_states(2))
    later = dict(events)
    later[ITEM_IDS] = tf.concat([events[ITEM_IDS][:, :3], 8 - events[ITEM_IDS][:, 3:]], 1)
    changed, _ = model.encode(later, model.initial_states(2))
    np.testing.assert_array_equal(hidden[:, :3], changed[:, :3])
    assert np.abs(hidden[:, 3:] - changed[:, 3:]).max() > 1e-3
    gap = events[NEXT_GAP] + tf.constant([[0, 0, 90_000, 0, 0, 0]])
    changed, _ = model.encode(events | {NEXT_GAP: gap}, model.initial_states(2))
    np.testing.assert_array_equal(hidden[:, :2], changed[:, :2])
    assert np.abs(hidden[:, 2] - changed[:, 2]).max() > 1e-3


def test_the_step_before_a_user_s_first_event_reads_no_feedback():
    """Not of its own, which would be another's, nor the bias of the map."""
    model = drawn_model(num_feedback=2, feedback_dim=2)
    events = {
        ITEM_IDS: tf.constant([[0, 3]]),
        IS_STEP: tf.ones((1, 2), bool),
        USER_START: tf.constant([[True, False]]),
        NEXT_GAP: tf.constant([[0, 60]]),
        NEXT_SESSION_START: tf.zeros((1, 2), bool),
        "session_start": tf.constant([[True, False]]),
        "feedback": tf.constant([[[5.0, -2.0], [1.0, 2.0]]]),
    }
    hidden, _ = model.encode(events, model.initial_states(1))
    other = events | {"feedback": tf.constant([[[0.0, 0.0], [1.0, 2.0]]])}
    again, _ = model.encode(other, model.initial_states(1))
    np.testing.assert_array_equal(hidden, again)
    model.feedback_map.bias.assign(model.feedback_map.bias + 1.0)
    moved, _ = model.encode(events, model.initial_states(1))
    np.testing.assert_array_equal(hidden[:, 0], moved[:, 0])
    assert np.abs(hidden[:, 1] - moved[:, 1]).max() > 1e-3


@pytest.mark.integration
@pytest.mark.parametrize(
    ("negatives", "mix"), [(None, 0.5), (InBatch(extra=3, alpha=0.0, seed=1), None)]
)
def test_a_fit_draws_its_mixture_and_lowers_the_loss(negatives, mix):
    """λ is of the training alone: an evaluation has no draw in it."""
    histories = small_histories(
        feedback=np.eye(2, dtype=np.float32)[np.arange(14) % 2],
        user_features=np.eye(4, dtype=np.float32),
    )
    sizes = {"num_feedback": 2, "num_user_features": 4, "num_item_features": 2, "mix": mix}
    model = HRNNMeta(num_items=7, seed=0, first_events=True, **SMALL | sizes)
    model.set_item_features(np.random.default_rng(0).normal(size=(8, 2)))
    model.compile(keras.optimizers.Adam(0.05), CrossEntropy(), negatives=negatives)
    stream = aligned_stream(histories, num_lanes=2, steps=4, seed=0, first_events=True)
    history = model.fit(stream, epochs=12, verbose=0).history["loss"]
    assert history[-1] < 0.75 * history[0]
    given = aligned_stream(histories, num_lanes=2, steps=4, order="given", first_events=True)
    assert model.evaluate(given) == model.evaluate(given)
    hidden = tf.ones((3, 2, 5))
    drawn = [np.unique(model._drawn_mix(hidden)) for _ in range(2)]
    assert all(len(values) == 1 for values in drawn)
    assert np.array_equal(*drawn) == (mix is not None)


def test_each_row_may_draw_for_itself():
    model = drawn_model(num_item_features=2, mix_by="example")
    drawn = np.asarray(model._drawn_mix(tf.ones((3, 2, 5))))
    assert len(np.unique(drawn)) == 3
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequence_model": "gur"}, "Did you mean 'gru'?"),
        ({"control": "time"}, "`control`"),
        ({"item_dim": 6}, "tied=True"),
        ({"sequence_model": "hrnn", "num_layers": 2}, "one layer a level"),
        ({"mix": 0.5}, "`mix` was 0.5, but num_item_features is 0, so it would be ignored"),
        ({"decoder_hidden": (3,)}, "`decoder_hidden` was (3,), but num_item_features is 0"),
        ({"eval_mix": 0.1}, "`eval_mix` was 0.1, but num_item_features is 0"),
        ({"mix_by": "example"}, "`mix_by` was 'example', but num_item_features is 0"),
        ({"num_item_features": 1, "mix": 0.5, "mix_by": "example"}, "but mix is not drawn"),
        ({"control": "session", "thresholds": (5,)}, "`thresholds` was (5,), but control is 'ses"),
        ({"control": None, "control_dim": 3}, "`control_dim` was 3, but control is None"),
        ({"feedback_dim": 3}, "`feedback_dim` was 3, but num_feedback is 0"),
        ({"user_dim": 3}, "`user_dim` was 3, but num_user_features is 0"),
        ({"num_item_features": 2, "mix": 2.0}, "`mix` was 2.0"),
        ({"num_feedback": -1}, "`num_feedback`"),
        ({"thresholds": (5, 5)}, "`thresholds`"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=r".") as error:
        HRNNMeta(num_items=7, **SMALL | arguments)
    assert message in str(error.value)


def test_features_that_a_stream_lacks_are_named():
    model = HRNNMeta(num_items=7, num_feedback=2, **SMALL)
    model.compile(keras.optimizers.Adam(), CrossEntropy())
    with pytest.raises(ValueError, match="also reads 'feedback'"):
        model.fit(aligned_stream(small_histories(), num_lanes=2), verbose=0)
    with pytest.raises(ValueError, match="num_item_features=0"):
        model.set_item_features(np.zeros((8, 1)))


def simulated(histories, **arguments):
    arguments = {"order": "given"} | arguments
    return aligned_stream(histories, num_lanes=32, steps=32, **arguments)


def with_previous_gaps(histories):
    """Times that put the gap before the last event where a model looks for the next one."""
    gaps = np.diff(histories.timestamps, prepend=0)
    gaps[1:] = gaps[:-1].copy()
    gaps[histories.user_starts] = 0
    return replace(histories, timestamps=np.cumsum(gaps))


@pytest.mark.integration
def test_simulated_sessions_are_seen_by_the_gap_to_the_next_event():
    """D-T4; D.8: perplexity at the openings of sessions, and the classic mistake."""
    train, test = hierarchical_sessions(2_000, seed=1), hierarchical_sessions(500, seed=2)
    found = {}
    for name, arguments, given in (
        ("blind", {"control": None}, lambda h: h),
        ("next gap", {}, lambda h: h),
        ("next session", {"control": "session"}, lambda h: h),
        ("previous gap", {}, with_previous_gaps),
    ):
        sizes = {"units": 32, "item_dim": 32, "num_layers": 1, "hidden_dropout": 0.0}
        model = HRNNMeta(num_items=5, seed=0, **sizes | arguments)
        model.compile(keras.optimizers.Adam(0.01), CrossEntropy(normalise="valid"))
        model.fit(simulated(given(train), order="random", seed=0), epochs=12, verbose=0)
        found[name] = perplexity(model, given(test), targets=session_openings(test)).value
    bound = blind_bound()
    assert found["next gap"] < 1.05 and found["next session"] < 1.05
    assert found["blind"] == pytest.approx(bound, rel=0.10)
    assert found["previous gap"] > 0.9 * bound


@pytest.mark.integration
def test_an_item_of_the_session_before_is_brought_back_when_a_session_opens():
    """The paper's claim that the control lets an earlier item be copied to its place."""
    train = hierarchical_sessions(6_000, copies=10, seed=1)
    test = hierarchical_sessions(500, copies=10, seed=2)
    sizes = {"units": 64, "item_dim": 64, "num_layers": 1, "hidden_dropout": 0.0}
    model = HRNNMeta(num_items=10, seed=0, **sizes)
    model.compile(keras.optimizers.Adam(0.01), CrossEntropy(normalise="valid"))
    model.fit(simulated(train, order="random", seed=0), epochs=15, verbose=0)
    openings = session_openings(test)
    assert perplexity(model, test, targets=openings).value < 1.1
    inside = perplexity(model, test, targets=~test.session_starts).value
    assert inside > 9.5  # one of 10, drawn at random: nothing is to be known


@pytest.mark.integration
@pytest.mark.parametrize("known", [{}, {"user": True, "feedback": True}])
def test_simulated_bets_are_predicted_as_well_as_can_be(known):
    """D.9: within 15 % of what can be known."""
    train, test = gamblers_bets(1_000, seed=1), gamblers_bets(1_000, seed=2)
    sizes = {"units": 64, "item_dim": 64, "num_layers": 1, "tied": False}
    if "user" in known:
        sizes |= {"num_user_features": 101, "user_dim": 32}
    if "feedback" in known:
        sizes |= {"num_feedback": 2}
    model = HRNNMeta(
        num_items=101, num_item_features=2, control=None, first_events=True, seed=0, **sizes
    )
    model.set_item_features(train.item_features)
    adam = keras.optimizers.AdamW(0.01, weight_decay=0.01)
    model.compile(adam, CrossEntropy(normalise="valid"))
    stream = aligned_stream(train.histories, num_lanes=16, steps=16, seed=0, first_events=True)
    model.fit(stream, epochs=30, verbose=0)
    found = perplexity(model, test.histories).value
    bound = bets_bound(**known)
    assert 0.97 * bound < found < 1.15 * bound


@pytest.mark.parametrize("arguments", [{}, {"decoder_hidden": (4,), "tied": False}])
def test_items_that_are_added_leave_the_scores_of_the_others(arguments):
    model = drawn_model(num_item_features=3, num_feedback=2, **arguments)
    draw = np.random.default_rng(3)
    features = draw.normal(size=(8, 3))
    model.set_item_features(features, is_cold=np.arange(7) == 6)
    more = draw.normal(size=(2, 3)).astype(np.float32)
    grown = model.with_items(more)
    assert (model.num_items, grown.num_items) == (7, 9)
    histories = small_histories(feedback=draw.normal(size=(14, 2)).astype(np.float32))
    hidden = read(model, histories, num_lanes=2, steps=3)
    np.testing.assert_array_equal(read(grown, histories, num_lanes=2, steps=3), hidden)
    old, new = np.asarray(model.score(hidden)), np.asarray(grown.score(hidden))
    np.testing.assert_allclose(new[:, :7], old, **FLOAT32_NOISE)
    as_cold = model.decoder(hidden, mix=1.0)
    np.testing.assert_allclose(new[:, 6], as_cold[:, 6], **FLOAT32_NOISE)
    # What is added is scored by its features alone: as an old item of the same features would be.
    values = np.concatenate([features[:6], more])
    model.set_item_features(values, is_cold=np.ones(7, bool))
    np.testing.assert_allclose(new[:, 8], model.score(hidden)[:, 6], **FLOAT32_NOISE)


def test_an_added_item_is_read_by_its_features():
    model = drawn_model(num_item_features=3)
    grown = model.with_items([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    vectors, _ = grown.decoder.by_features(np.array([8, 9]))
    np.testing.assert_allclose(grown.items(tf.constant([8, 9])), vectors, **FLOAT32_NOISE)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    with pytest.raises(ValueError, match=r"has shape \(1, 2\), but this model reads 3"):
        model.with_items([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"reads 0 features"):
        drawn_model().with_items([[1.0]])


@pytest.mark.integration
@needs_logs
def test_lists_are_more_popular_the_longer_nobody_has_come():
    """The paper's appendix: with a longer gap, lists move toward what is popular.

    A day is said to lie beyond an hour; here it stays above a minute, and the two are close.
    """
    log = LogSource("ml-1m-part-users").load()
    # One epoch of long steps: without the control, lists would be equal at every gap.
    recipe = Recipe.for_data(None, "hrnn-meta-control").with_changes(
        {"epochs": 1, "learning_rate": 0.01, "units": 32, "item_dim": 32, "num_layers": 1}
    )
    model = train(recipe, log.train, seed=0, features=log.features)
    recommender = Recommender(model, log.vocabulary, idle_minutes=None)
    frame, supports = log.split.train.frame, log.vocabulary.supports
    histories = [
        list(zip(rows["item"].to_list(), rows["timestamp"].to_list(), strict=True))
        for _, rows in frame.group_by("user", maintain_order=True)
    ][:200]
    popularity = []
    for gap in (0, 60, 3_600, 86_400):
        lists = recommender.recommend_batch(
            [history[-20:] for history in histories],
            k=20,
            at=[history[-1][1] + gap for history in histories],
            exclude_seen=False,
        )
        items = [item for found in lists for item, _ in found]
        popularity.append(supports[log.vocabulary.encode(items) - 1].mean())
    at_once, minute, hour, day = popularity
    assert 1.1 * at_once < minute < hour and day > minute
