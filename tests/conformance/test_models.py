"""What every model promises. A new model is a new row in `cases.py`."""

import functools
import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.metrics import MRR, Recall
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.schema import ITEM_IDS, SESSION_START, USER_START
from tests.conformance.cases import CASES, NUM_ITEMS
from tests.reference.weights import fill_distinct

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
LANES, STEPS = 3, 5
EPOCHS = 5

# Keras 3.15 saves a tf.Variable by np.array(), whose TensorFlow side knows no `copy` (NumPy 2).
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)
every_model = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def cyclic_histories():
    """Twelve users whose next item is always the one after: easy to learn, of uneven lengths."""
    users = [
        [
            [1 + (user + 5 * session + event) % NUM_ITEMS for event in range(2 + (user % 3))]
            for session in range(1 + user % 4)
        ]
        for user in range(12)
    ]
    # A session of one event is passed over, wherever it stands.
    users[0].insert(0, [7])
    users[3].insert(1, [9])
    return Histories.from_lists(users, num_items=NUM_ITEMS)


def compiled(model, histories):
    supports = histories.item_supports()
    model.compile(
        optimizer=AdagradMomentum(0.1, momentum=0.2),
        loss=TOP1(form="paper"),
        negatives=InBatch(extra=4, alpha=0.5, item_supports=supports, seed=5),
        metrics=[Recall(3), MRR(3)],
        windows_per_chunk=6,
        jit_compile=False,
    )
    return model


@functools.cache
def trained(case):
    """A model after a fit in three lanes, with its history; made once, never to be changed."""
    histories = cyclic_histories()
    model = compiled(case.build(), histories)
    history = model.fit(case.stream(histories, num_lanes=LANES), epochs=EPOCHS, verbose=0).history
    return model, history


@functools.cache
def distinct(case):
    """A model whose weights are all different, with `encode` compiled; never to be changed."""
    model = case.build()
    fill_distinct(model)
    return model, tf.function(model.encode)


def random_events(seed=0, lanes=LANES, steps=STEPS):
    generator = np.random.default_rng(seed)
    user_start = generator.random((lanes, steps)) < 0.2
    return {
        ITEM_IDS: tf.constant(generator.integers(1, NUM_ITEMS + 1, (lanes, steps)), tf.int32),
        SESSION_START: tf.constant(user_start | (generator.random((lanes, steps)) < 0.3)),
        USER_START: tf.constant(user_start),
    }


def random_states(model, seed=1, lanes=LANES):
    generator = np.random.default_rng(seed)
    return [
        tf.constant(generator.uniform(-0.8, 0.8, state.shape), tf.float32)
        for state in model.initial_states(lanes)
    ]


@every_model
def test_a_configuration_is_plain_data_that_rebuilds_the_model(case):
    model = case.build()
    config = model.get_config()
    again = type(model).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert {"num_items", "seed", *case.arguments} <= set(config)
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


@every_model
def test_a_fit_lowers_the_loss(case):
    _, history = trained(case)
    assert history["loss"][-1] < 0.93 * history["loss"][0]


@pytest.mark.integration
@every_model
def test_a_saved_model_scores_alike_and_trains_on_in_other_lanes(case, tmp_path):
    """A `.keras` file holds what `compile` was given, the optimizer's sums, and no lane's states.

    Pitfall 1.12: the number of lanes is no part of a model.
    """
    model, history = trained(case)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")

    events = random_events()
    np.testing.assert_array_equal(again.score(again(events)), model.score(model(events)))
    for name in ("optimizer", "sampled_loss", "negatives"):
        assert getattr(again, name).get_config() == getattr(model, name).get_config()
    config = again.get_compile_config()
    assert config == model.get_compile_config()
    assert (config["windows_per_chunk"], config["jit_compile"]) == (6, False)
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations) > 0
    ours, theirs = again.optimizer.variables, model.optimizer.variables
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)

    states = {tuple(state.shape) for state in model.initial_states(LANES)}
    assert not states & {tuple(weight.shape) for weight in again.variables}
    stream = case.stream(cyclic_histories(), num_lanes=5)
    more = again.fit(stream, validation_data=stream, verbose=0).history
    assert more["loss"][0] < history["loss"][0]
    assert {"val_loss", "val_recall@3", "val_mrr@3"} <= set(more)


@every_model
def test_lanes_do_not_know_of_each_other(case):
    """B-T5: whatever happens in lane 1, the other lanes' outputs keep every bit."""
    model, encode = distinct(case)
    events, states = random_events(), random_states(model)
    other_events = {
        name: tf.tensor_scatter_nd_update(values, [[1]], random_events(seed=9)[name][1:2])
        for name, values in events.items()
    }
    other_states = [
        tf.tensor_scatter_nd_update(state, [[1]], new[1:2])
        for state, new in zip(states, random_states(model, seed=8), strict=True)
    ]
    hidden, after = encode(events, states)
    other_hidden, other_after = encode(other_events, other_states)
    for lane in (0, 2):
        np.testing.assert_array_equal(hidden[lane], other_hidden[lane])
        for mine, other in zip(after, other_after, strict=True):
            np.testing.assert_array_equal(mine[lane], other[lane])
    assert np.abs(hidden[1] - other_hidden[1]).max() > 1e-3


@every_model
def test_a_stream_may_be_cut_anywhere(case):
    """An epoch in windows of 1, 2 and 5 events: the same hidden at every pair."""
    model, encode = distinct(case)

    def hidden_of_epoch(steps):
        states, parts, weights = model.initial_states(LANES), [], []
        stream = case.stream(cyclic_histories(), num_lanes=LANES, steps=steps, order="given")
        for events, _, window_weights in stream:
            hidden, states = encode(events, states)
            parts.append(hidden)
            weights.append(window_weights)
        hidden, weights = np.concatenate(parts, axis=1), np.concatenate(weights, axis=1)
        return [lane[is_pair > 0] for lane, is_pair in zip(hidden, weights, strict=True)]

    whole = hidden_of_epoch(1)
    for steps in (2, 5):
        for mine, other in zip(whole, hidden_of_epoch(steps), strict=True):
            np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)


@every_model
def test_padding_in_mid_stream_moves_nothing(case):
    """The states after events with padding between them are those without it, bit by bit."""
    model, encode = distinct(case)
    events, states = random_events(steps=3), random_states(model)
    # Without a start, which would forget what padding did.
    events |= {flag: tf.zeros((LANES, 3), bool) for flag in (SESSION_START, USER_START)}
    with_padding = {
        name: tf.concat([values[:, :1], idle, idle, values[:, 1:]], axis=1)
        for (name, values), idle in zip(
            events.items(),
            (tf.zeros((LANES, 1), tf.int32), *[tf.zeros((LANES, 1), bool)] * 2),
            strict=True,
        )
    }
    hidden, after = encode(events, states)
    padded_hidden, padded_after = encode(with_padding, states)
    np.testing.assert_array_equal(tf.gather(padded_hidden, [0, 3, 4], axis=1), hidden)
    for mine, other in zip(after, padded_after, strict=True):
        np.testing.assert_array_equal(mine, other)


@every_model
def test_a_user_start_forgets_whatever_the_lane_held(case):
    """B-T10; pitfalls 1.2: the first event of a user gives the same in any lane."""
    model, encode = distinct(case)
    events = {name: values[:, :1] for name, values in random_events().items()}
    start = tf.ones((LANES, 1), bool)
    events |= {SESSION_START: start, USER_START: start}
    fresh, fresh_states = encode(events, model.initial_states(LANES))
    used, used_states = encode(events, random_states(model))
    np.testing.assert_array_equal(used, fresh)
    for mine, other in zip(used_states, fresh_states, strict=True):
        np.testing.assert_array_equal(mine, other)


@every_model
def test_shapes(case):
    model, encode = distinct(case)
    events, states = random_events(), model.initial_states(LANES)
    hidden, after = encode(events, states)
    assert hidden.shape[:2] == (LANES, STEPS)
    assert [s.shape for s in after] == [s.shape for s in states]
    assert model(events).shape == hidden.shape
    assert model.score(hidden).shape == (LANES, STEPS, NUM_ITEMS)
    assert model.score(hidden[:, 0]).shape == (LANES, NUM_ITEMS)


@every_model
def test_scores_of_some_items_are_columns_of_the_catalogue(case):
    model, encode = distinct(case)
    hidden, _ = encode(random_events(), model.initial_states(LANES))
    logits = np.asarray(model.score(hidden))
    some = tf.constant([12, 1, 7, 7])
    for rows, expected in ((hidden, logits), (hidden[:, 2], logits[:, 2])):
        np.testing.assert_allclose(
            model.score(rows, some), expected[..., [11, 0, 6, 6]], **FLOAT32_NOISE
        )
    # Each step may have candidates of its own, shared by its rows.
    per_step = tf.constant(np.random.default_rng(2).integers(1, NUM_ITEMS + 1, (STEPS, 4)))
    by_step = model.score(tf.transpose(hidden, [1, 0, 2]), per_step)
    expected = [logits[:, step][:, per_step[step] - 1] for step in range(STEPS)]
    np.testing.assert_allclose(by_step, expected, **FLOAT32_NOISE)


@every_model
def test_gradients_of_tables_cover_the_rows_of_the_batch(case):
    """Pitfalls 1.9: a step on sampled columns costs the same for any catalogue."""
    model, _ = distinct(case)
    events, columns = random_events(lanes=2, steps=2), tf.constant([3, 4, 5])
    tables = [w for w in model.trainable_weights if w.shape[0] == NUM_ITEMS + 1]
    with tf.GradientTape() as tape:
        hidden, _ = model.encode(events, model.initial_states(2))
        loss = tf.reduce_sum(tf.sin(model.score(hidden, columns)))
    gradients = tape.gradient(loss, [table.value for table in tables])
    assert len(tables) >= 2, "at least the output layer has two"
    for table, gradient in zip(tables, gradients, strict=True):
        assert isinstance(gradient, tf.IndexedSlices), table.path
        rows = set(gradient.indices.numpy())
        assert rows <= {3, 4, 5, *events[ITEM_IDS].numpy().ravel()}, table.path


@pytest.mark.integration
@every_model
def test_a_seed_fixes_the_weights_before_and_after_a_fit(case):
    first, same, other = case.build(), case.build(), case.build(seed=4)
    for mine, again in zip(first.weights, same.weights, strict=True):
        np.testing.assert_array_equal(mine, again)
    for mine, unlike in zip(first.trainable_weights, other.trainable_weights, strict=True):
        assert np.array_equal(mine, unlike) != _is_drawn(mine)

    histories = cyclic_histories()
    compiled(same, histories)
    same.fit(case.stream(histories, num_lanes=LANES), epochs=EPOCHS, verbose=0)
    model, _ = trained(case)
    for mine, again in zip(model.weights, same.weights, strict=True):
        np.testing.assert_array_equal(mine, again)


@every_model
def test_no_two_weights_are_drawn_alike(case):
    """Weights of one seed must not repeat one another's numbers, whatever their shapes."""
    draws = {}
    for weight in case.build().trainable_weights:
        values = np.asarray(weight, np.float64)
        values = values[np.any(values.reshape(len(values), -1) != 0, axis=1)].ravel()
        if _is_drawn(values):
            draws[weight.path] = values
    for (first, mine), (second, other) in itertools.combinations(draws.items(), 2):
        length = min(len(mine), len(other))
        correlation = np.corrcoef(mine[:length], other[:length])[0, 1]
        assert abs(correlation) < 0.9, f"{first} and {second}"


def _is_drawn(values):
    """Weights that are not drawn are biases: zeros, and ones in an LSTM."""
    return len(np.unique(values)) > 2
