"""models D.12: a step equals the replay, whatever is asked in between; and asking keeps nothing."""

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.inference import UNFILLED, Inference
from hrec_tf.models import HRNNMeta
from tests.reference.weights import fill_drawn

NUM_ITEMS, BATCH, EVENTS = 7, 4, 9
SIZES = {"units": 5, "item_dim": 5, "num_layers": 1, "control_dim": 3, "hidden_dropout": 0.2}
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
SUPPORTS = np.arange(NUM_ITEMS) + 1
VARIANTS = {
    "gru": {},
    "hrnn": {"sequence_model": "hrnn"},
    "told of sessions": {"control": "session", "sequence_model": "lstm", "num_layers": 2},
    "first events": {"first_events": True},
    "features": {"num_feedback": 2, "num_user_features": 3, "num_item_features": 2},
    "all": {"first_events": True, "num_feedback": 2, "num_user_features": 3},
}


def inference_of(seed=1, idle_minutes=30.0, **arguments):
    levels = {} if "control" in arguments else {"thresholds": (60, 3_600)}
    model = HRNNMeta(num_items=NUM_ITEMS, **SIZES | levels | arguments)
    fill_drawn(model, seed)
    return Inference(model, SUPPORTS, idle_minutes=idle_minutes)


class Log:
    """Random histories; the second user has no known item, the third begins with an unknown one."""

    def __init__(self, inference, seed=0):
        draw = np.random.default_rng(seed)
        self.item_ids = draw.integers(0, NUM_ITEMS + 1, (BATCH, EVENTS)).astype(np.int32)
        self.item_ids[1], self.item_ids[2, 0] = 0, 0
        self.times = np.cumsum(draw.choice([3, 100, 4_000], (BATCH, EVENTS)), axis=1)
        self._widths = {k: v for k, v in inference.context.items() if k != "at"}
        self._feedback = draw.normal(size=(BATCH, EVENTS, 2)).astype(np.float32)
        self._users = draw.normal(size=(BATCH, 3)).astype(np.float32)

    def said(self, at, events):
        said = {"at": tf.constant(at)}
        if "feedback" in self._widths:
            said["feedback"] = tf.constant(self._feedback[:, events])
        if "user_features" in self._widths:
            said["user_features"] = tf.constant(self._users)
        return said

    def replayed(self, inference, length, at):
        history = self.item_ids[:, :length], self.times[:, :length]
        rest = tf.fill([BATCH], length), tf.zeros([BATCH], bool)
        said = self.said(at, slice(0, length))
        return inference.recommend(*map(tf.constant, history), *rest, k=NUM_ITEMS, **said)

    def stepped(self, inference, event, at, state, info):
        here = tf.constant(self.item_ids[:, event]), tf.constant(self.times[:, event])
        return inference.step(*here, state, info, k=NUM_ITEMS, **self.said(at, event))


def nothing(inference):
    return tf.zeros((BATCH, inference.state_size)), tf.zeros((BATCH, inference.info_size), tf.int64)


def same(mine, other):
    for values, others in zip(mine, other, strict=True):
        np.testing.assert_allclose(values, others, **FLOAT32_NOISE)


@pytest.mark.parametrize("arguments", VARIANTS.values(), ids=VARIANTS)
def test_a_step_equals_the_replay(arguments):
    inference = inference_of(**arguments)
    log, (state, info) = Log(inference), nothing(inference)
    draw = np.random.default_rng(5)
    for event in range(EVENTS):
        at = log.times[:, event] + draw.choice([0, 61, 5_000], BATCH)
        answer = log.stepped(inference, event, at, state, info)
        same(answer, log.replayed(inference, event + 1, at))
        state, info = answer.state, answer.state_info


def test_asking_keeps_nothing():
    """Whenever it is asked in between, the next event is read with its own time."""
    inference = inference_of()
    log, (state, info) = Log(inference), nothing(inference)
    early = log.stepped(inference, 0, log.times[:, 0], state, info)
    late = log.stepped(inference, 0, log.times[:, 0] + 9_999, state, info)
    np.testing.assert_array_equal(early.state, late.state)
    np.testing.assert_array_equal(early.state_info, late.state_info)
    assert np.abs(early.scores - late.scores).max() > 1e-3


def test_the_time_of_asking_is_what_the_level_says():
    inference = inference_of()
    log = Log(inference)
    scores = {
        gap: log.replayed(inference, EVENTS, log.times[:, -1] + gap).scores.numpy()
        for gap in (0, 59, 60, 3_599, 3_600, 10**12)
    }
    np.testing.assert_array_equal(scores[0], scores[59])
    np.testing.assert_array_equal(scores[60], scores[3_599])
    np.testing.assert_array_equal(scores[3_600], scores[10**12])
    known = [0, 2, 3]
    assert np.abs(scores[0] - scores[60])[known].max(axis=1).min() > 1e-4
    assert np.abs(scores[60] - scores[3_600])[known].max(axis=1).min() > 1e-4


def test_the_idle_time_opens_a_session_at_the_question():
    inference = inference_of(control="session")
    log = Log(inference)
    inside, just, beyond = (
        log.replayed(inference, EVENTS, log.times[:, -1] + gap).scores.numpy()[0]
        for gap in (0, 1_800, 1_801)
    )
    np.testing.assert_array_equal(inside, just)
    assert np.abs(inside - beyond).max() > 1e-4


@pytest.mark.parametrize(("first_events", "is_popularity"), [(False, True), (True, False)])
def test_who_is_unknown_gets_what_is_popular_or_what_the_first_step_says(
    first_events, is_popularity
):
    inference = inference_of(first_events=first_events)
    answer = Log(inference).replayed(inference, EVENTS, np.full(BATCH, 10**6))
    popular = np.sort(SUPPORTS / SUPPORTS.sum())[::-1]
    assert np.allclose(answer.scores[1], popular) == is_popularity
    assert (answer.scores[1] > UNFILLED).numpy().all()


def test_a_state_with_a_strange_item_reads_none_of_it():
    """A state may come from anywhere: no id of it leads beyond the table."""
    inference = inference_of()
    log, (state, info) = Log(inference), nothing(inference)
    info = log.stepped(inference, 0, log.times[:, 0], state, info).state_info.numpy()
    info[:, 4] = 10**9
    answer = log.stepped(inference, 1, log.times[:, 1], state, tf.constant(info))
    assert np.isfinite(answer.scores).all()
