import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import concatenated_stream, session_parallel_stream
from hrec_tf.layers.item_inputs import INPUTS
from hrec_tf.losses import TOP1, CrossEntropy, InBatch
from hrec_tf.models import GRU4Rec, LSTM4Rec, RNNConcat
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.schema import ITEM_IDS, SESSION_START, USER_START
from tests.reference.recurrent import weights_of
from tests.reference.training import gru4rec_loss, train
from tests.reference.weights import fill_distinct

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS = 6
# In two lanes and windows of two steps, in this order: lane 0 plays the first and the last
# session and is idle then, lane 1 the two others.
SESSIONS = [[1, 2, 3], [4, 5], [2, 6, 1, 4], [3, 3]]


def histories_of(sessions, num_items=NUM_ITEMS):
    """Every session is a user's only one."""
    return Histories.from_lists([[session] for session in sessions], num_items=num_items)


def built(model=GRU4Rec, **arguments):
    model = model(num_items=NUM_ITEMS, **{"units": (3,)} | arguments)
    fill_distinct(model)
    return model


def compiled(model, **arguments):
    model.compile(
        **{
            "optimizer": AdagradMomentum(0.1),
            "loss": TOP1(),
            "negatives": InBatch(),
            "jit_compile": False,
        }
        | arguments
    )
    return model


def windows_by_hand(draws):
    """What `SESSIONS` are in two lanes; `draws` are the extra items, (2 windows, 2 steps, ...)."""
    rows = [
        # items, targets, session_start
        ((1, 4), (2, 5), (True, True)),
        ((2, 2), (3, 6), (False, True)),
        ((3, 6), (3, 1), (True, False)),
        ((0, 1), (0, 4), (True, False)),
    ]
    steps = [
        {"items": items, "targets": targets, "session_start": starts, "extra": list(extra)}
        for (items, targets, starts), extra in zip(rows, draws, strict=True)
    ]
    return [steps[:2], steps[2:]]


def columns_of(window):
    return [item for step in window for item in (*step["targets"], *step["extra"])]


def items_of(window):
    return [item for step in window for item in step["items"]]


@pytest.mark.parametrize(
    ("inputs", "normalise"),
    [("one_hot", "batch_size"), ("embedding", "valid"), ("constrained", "batch_size")],
)
def test_a_fit_is_the_papers_training_written_out(inputs, normalise):
    """Two updates of everything: GRU, reset, TOP1, extra negatives, AdaGrad with momentum.

    Also A-T7 ("constrained"), and pitfalls 1.14. The second window has an idle lane, starts from
    the first one's states and from sums that are not 0.
    """
    item_dim = 2 if inputs == "embedding" else None
    model = built(inputs=inputs, item_dim=item_dim)
    fill_distinct(model, scale=1.0)
    negatives = InBatch(extra=2, alpha=0.0, seed=7)
    optimizer = AdagradMomentum(0.1, momentum=0.3)
    compiled(model, negatives=negatives, optimizer=optimizer, loss=TOP1(normalise=normalise))

    cell = model.recurrences[0].cell
    weights = {f"gru/{name}": values for name, values in weights_of(cell).items()}
    weights["table"] = np.asarray(model.item_scores.items.table, np.float64)
    weights["bias"] = np.asarray(model.item_scores.bias, np.float64)
    tables = {"table": columns_of, "bias": columns_of}
    if inputs == "one_hot":
        tables["gru/kernel"] = items_of
    elif inputs == "embedding":
        weights["items"] = np.asarray(model.items.table, np.float64)
        tables["items"] = items_of
    else:
        tables["table"] = lambda window: columns_of(window) + items_of(window)

    draws = np.concatenate([negatives.sample(update, (2, 2)) for update in range(2)])
    expected, losses = train(
        weights,
        functools.partial(gru4rec_loss, inputs=inputs, normalise=normalise),
        tables,
        windows_by_hand(draws),
        [np.zeros(3), np.zeros(3)],
        learning_rate=0.1,
        momentum=0.3,
    )
    stream = session_parallel_stream(histories_of(SESSIONS), num_lanes=2, steps=2, order="given")
    history = model.fit(stream, verbose=0).history
    # Four pairs in the first window, three in the second, which has an idle cell.
    divisor = 3 if normalise == "valid" else 4
    reported = (4 * losses[0] + divisor * losses[1]) / 7
    np.testing.assert_allclose(history["loss"], [reported], rtol=1e-6)

    after = {f"gru/{name}": values for name, values in weights_of(cell).items()}
    after["table"] = model.item_scores.items.table
    after["bias"] = model.item_scores.bias
    if model.items is not None:
        after["items"] = model.items.table
    for name, values in expected.items():
        # AdaGrad divides by the gradient's own size, which lifts float32's noise.
        np.testing.assert_allclose(after[name], values, atol=5e-6, err_msg=name)
        assert np.abs(values - weights[name]).max() > 0.03, f"{name} has not been trained"


def test_every_item_as_a_column_once_is_the_full_softmax():
    """A-T4 and pitfalls 1.5: six lanes whose targets are the six items, at every step."""
    sessions = [[1 + (lane + step) % NUM_ITEMS for step in range(4)] for lane in range(NUM_ITEMS)]
    stream = session_parallel_stream(histories_of(sessions), num_lanes=6, order="given")
    sampled = compiled(built(), loss=CrossEntropy())
    full = compiled(built(), loss=CrossEntropy(), negatives=None)

    states, losses = full.initial_states(6), []
    for events, next_item_ids, _ in stream:
        hidden, states = full.encode(events, states)
        losses.append(
            tf.nn.sparse_softmax_cross_entropy_with_logits(next_item_ids - 1, full.score(hidden))
        )
    expected = np.mean(losses)
    for model in (sampled, full):
        assert model.evaluate(stream, return_dict=True)["loss"] == pytest.approx(expected, abs=1e-5)
    first, second = (model.fit(stream, epochs=2, verbose=0) for model in (sampled, full))
    np.testing.assert_allclose(first.history["loss"], second.history["loss"], **FLOAT32_NOISE)
    for mine, other in zip(sampled.weights, full.weights, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_concatenating_single_sessions_is_gru4rec():
    """A-T6: users of one session each, in the same random order, with dropout."""
    sessions = [
        [1 + (user * step) % NUM_ITEMS for step in range(2 + user % 4)] for user in range(9)
    ]
    arguments = {"units": (4,), "seed": 5, "hidden_dropout": 0.2}
    histories, fits = histories_of(sessions), []
    for model, stream in ((GRU4Rec, session_parallel_stream), (RNNConcat, concatenated_stream)):
        model = compiled(model(num_items=NUM_ITEMS, **arguments))
        stream = stream(histories, num_lanes=3, order="random", seed=2)
        fits.append((model, model.fit(stream, epochs=2, verbose=0).history["loss"]))
    (ours, our_losses), (theirs, their_losses) = fits
    np.testing.assert_array_equal(our_losses, their_losses)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_concatenation_carries_the_state_over_sessions_and_not_over_users():
    histories = Histories.from_lists([[[1, 2, 3], [4, 5]], [[6, 1]]], num_items=NUM_ITEMS)
    model = built(RNNConcat)
    stream = concatenated_stream(histories, num_lanes=1, steps=5, order="given")
    events, next_item_ids, _ = next(iter(stream))
    assert next_item_ids.numpy().tolist() == [[2, 3, 4, 5, 1]]
    hidden, _ = model.encode(events, model.initial_states(1))
    gru = plain_keras_gru(model.recurrences[0].cell)
    np.testing.assert_allclose(hidden[:, :4], gru(one_hot([[1, 2, 3, 4]])), **FLOAT32_NOISE)
    np.testing.assert_allclose(hidden[:, 4:], gru(one_hot([[6]])), **FLOAT32_NOISE)


def one_hot(item_ids):
    return np.eye(NUM_ITEMS + 1, dtype="float32")[np.asarray(item_ids)]


def plain_keras_gru(cell):
    """`keras.layers.GRU` over one-hot vectors, with the cell's weights (T0)."""
    gru = keras.layers.GRU(cell.units, reset_after=False, return_sequences=True)
    gru.build((None, None, NUM_ITEMS + 1))
    recurrent = np.concatenate([cell.recurrent_gates, cell.recurrent_candidate], axis=1)

    def blocks(values):
        r, z, h = np.split(np.asarray(values), 3, axis=-1)
        return np.concatenate([-z, r, h], axis=-1)

    gru.set_weights([blocks(cell.kernel), blocks(recurrent), blocks(cell.bias)])
    return gru


def test_a_session_in_a_lane_is_a_plain_gru_over_it():
    """Pitfalls 1.1 and 1.2: after each reset the state grows as if the session stood alone."""
    model = built()
    stream = session_parallel_stream(histories_of(SESSIONS), num_lanes=1, steps=3, order="given")
    states, hidden = model.initial_states(1), []
    for events, _, _ in stream:
        outputs, states = model.encode(events, states)
        hidden.append(outputs[0])
    hidden, first = np.concatenate(hidden), 0
    gru = plain_keras_gru(model.recurrences[0].cell)
    for session in SESSIONS:
        expected = gru(one_hot([session[:-1]]))[0]
        np.testing.assert_allclose(hidden[first : first + len(expected)], expected, **FLOAT32_NOISE)
        first += len(expected)
    assert first == 7


def test_a_row_that_is_read_and_scored_gets_the_sum_of_both_gradients():
    """A-T7: the tied table's gradient is that of an input table plus that of an output table."""
    tied, apart = built(inputs="constrained"), built(inputs="embedding", item_dim=3)
    for name in ("kernel", "bias", "recurrent_gates", "recurrent_candidate"):
        getattr(apart.recurrences[0].cell, name).assign(getattr(tied.recurrences[0].cell, name))
    apart.item_scores.set_weights(tied.item_scores.get_weights())
    apart.items.set_weights([tied.item_scores.items.table])
    # Item 2 is read twice and scored twice, items 5 and 6 are only read or only scored.
    item_ids = tf.constant([[2, 5], [2, 1]])
    next_item_ids = tf.constant([[1, 2], [6, 2]])
    flags = tf.constant([[True, False], [True, False]])

    def gradients(model, tables):
        events = {ITEM_IDS: item_ids, SESSION_START: flags, USER_START: flags}
        with tf.GradientTape() as tape:
            hidden, _ = model.encode(events, model.initial_states(2))
            logits = model.score(tf.transpose(hidden, [1, 0, 2]), tf.transpose(next_item_ids))
            loss = tf.reduce_sum(TOP1().row_losses(logits, tf.ones((2, 2))))
        return tape.gradient(loss, [table.value for table in tables])

    (both,) = gradients(tied, [tied.item_scores.items.table])
    read, scored = gradients(apart, [apart.items.table, apart.item_scores.items.table])
    for gradient in (both, read, scored):
        assert isinstance(gradient, tf.IndexedSlices)
    assert set(both.indices.numpy()) == {1, 2, 5, 6}
    both, read, scored = (tf.convert_to_tensor(gradient) for gradient in (both, read, scored))
    np.testing.assert_allclose(both, read + scored, **FLOAT32_NOISE)
    assert np.all(np.abs(read[2]) > 1e-5) and np.all(np.abs(scored[2]) > 1e-5)
    assert not np.any(both[0]) and not np.any(both[3:5])


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("kind", [GRU4Rec, LSTM4Rec, RNNConcat])
def test_step_by_step_scores_are_those_of_the_whole_window(kind, inputs):
    """A-T8."""
    model = built(kind, inputs=inputs, units=(3, 3), hidden_dropout=0.5)
    item_ids = np.random.default_rng(0).integers(1, NUM_ITEMS + 1, (3, 6)).astype("int32")
    user_start = np.zeros((3, 6), bool)
    user_start[:, 0] = user_start[1, 3] = True
    session_start = user_start | (np.arange(6) == 4)
    events = {ITEM_IDS: item_ids, SESSION_START: session_start, USER_START: user_start}
    events = {name: tf.constant(values) for name, values in events.items()}
    expected = model.score(model(events))
    step, states = tf.function(model.step), model.step_states(3)
    for position in range(6):
        now = [values[:, position] for values in events.values()]
        hidden, states = step(*now, states)
        np.testing.assert_allclose(model.score(hidden), expected[:, position], **FLOAT32_NOISE)


def test_layers_are_stacked_and_reset_together():
    """h of the first layer is the second one's input; both start from 0 with the session."""
    model = built(units=(3, 2), inputs="embedding", item_dim=4)
    events = {
        ITEM_IDS: tf.constant([[3, 1, 5]]),
        SESSION_START: tf.constant([[True, False, True]]),
        USER_START: tf.constant([[True, False, False]]),
    }
    used = [tf.fill((1, 3), 0.7), tf.fill((1, 2), -0.4)]
    hidden, states = model.encode(events, used)
    assert [tuple(state.shape) for state in states] == [(1, 3), (1, 2)]
    lower, upper = (recurrence.cell for recurrence in model.recurrences)
    h, g = tf.zeros((1, 3)), tf.zeros((1, 2))
    for position, item in enumerate([3, 1, 5]):
        if position == 2:
            h, g = tf.zeros((1, 3)), tf.zeros((1, 2))
        _, (h,) = lower(model.items.table.value[item][None], [h])
        _, (g,) = upper(h, [g])
        np.testing.assert_allclose(hidden[:, position], g, **FLOAT32_NOISE)


def test_each_dropout_has_its_rate_and_its_place():
    """Pitfalls 1.6: drop_e drops what is read, drop_h the new state, and neither the other."""
    events = {
        ITEM_IDS: tf.ones((40, 3), tf.int32),
        SESSION_START: tf.ones((40, 3), bool),
        USER_START: tf.ones((40, 3), bool),
    }

    def hidden(training, **rates):
        model = built(inputs="embedding", units=(20,), item_dim=4, seed=1, **rates)
        return np.asarray(model.encode(events, model.initial_states(40), training=training)[0])

    plain = hidden(True)
    for rates in ({"embed_dropout": 0.3}, {"hidden_dropout": 0.3}):
        np.testing.assert_array_equal(hidden(False, **rates), plain)
    zeros = np.mean(hidden(True, hidden_dropout=0.3) == 0)
    assert abs(zeros - 0.3) < 0.04
    embedded = hidden(True, embed_dropout=0.3)
    assert not np.any(embedded == 0)
    # All of an item's four values are kept with probability 0.7^4; the rest reads differently.
    kept = np.mean(np.all(np.abs(embedded - plain) < 1e-6, axis=-1))
    everything_scaled = np.mean(np.any(np.abs(embedded - plain) > 1e-4, axis=-1))
    assert kept < 0.05 and everything_scaled > 0.95
    distinct = len(np.unique(np.round(embedded[..., 0], 5)))
    assert 12 <= distinct <= 16, "one value for each subset of four that are kept"


def test_initial_values_are_drawn_by_block_in_every_layer():
    """Pitfalls 1.8 and 0.4 of the equations: sqrt(6 / (in + out)) of one gate; biases 0."""
    num_items, units, dim = 400, (60, 40), 50
    model = GRU4Rec(num_items=num_items, units=units, inputs="embedding", item_dim=dim, seed=0)
    first, second = (recurrence.cell for recurrence in model.recurrences)
    fans = [
        (model.item_scores.items.table, num_items + 40),
        (model.items.table, num_items + dim),
        (first.kernel, dim + 60),
        (first.recurrent_gates, 60 + 60),
        (first.recurrent_candidate, 60 + 60),
        (second.kernel, 60 + 40),
        (second.recurrent_gates, 40 + 40),
        (second.recurrent_candidate, 40 + 40),
    ]
    for weight, fan in fans:
        limit = np.sqrt(6 / fan)
        assert 0.98 * limit < np.abs(weight).max() <= limit, weight.path
    for bias in (first.bias, second.bias, model.item_scores.bias):
        assert not np.any(bias)
    one_hot_table = GRU4Rec(num_items=num_items, units=(60,), seed=0).recurrences[0].cell.kernel
    assert np.abs(one_hot_table).max() <= np.sqrt(6 / (num_items + 60))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (GRU4Rec, {"item_dim": 4}, "`item_dim` was 4 with inputs='one_hot'.*Leave it out"),
        (
            GRU4Rec,
            {"item_dim": 4, "inputs": "constrained"},
            "`item_dim` was 4 with inputs='constrained'",
        ),
        (
            GRU4Rec,
            {"item_dim": 0, "inputs": "embedding"},
            "`item_dim` must be a positive int, but was 0",
        ),
        (
            GRU4Rec,
            {"embed_dropout": 0.2},
            "`embed_dropout` was 0.2 with inputs='one_hot', where there is no embedding",
        ),
        (
            GRU4Rec,
            {"units": (4, 5), "inputs": "constrained"},
            r"`units` was \(4, 5\) with inputs='constrained'.*Pass equal first and last",
        ),
        (GRU4Rec, {"units": ()}, r"`units` was empty.*Pass e.g. \(100,\)"),
        (GRU4Rec, {"units": (4, 0)}, r"`units` must be a positive int, but was 0. Pass sizes"),
        (GRU4Rec, {"inputs": "onehot"}, "`inputs` was 'onehot'.*Did you mean 'one_hot'"),
        (GRU4Rec, {"hidden_dropout": 1.0}, "`hidden_dropout` must be a dropout rate"),
        (GRU4Rec, {"num_items": 0}, "`num_items` must be a positive int, but was 0"),
        (GRU4Rec, {"seed": -1}, "`seed` must be an int of at least 0, but was -1"),
        (LSTM4Rec, {"reset_after": True}, "`reset_after` was True, but an LSTM has no reset"),
        (LSTM4Rec, {"layer_norm": True}, "`layer_norm` was True, but an LSTM has no normalised"),
        (GRU4Rec, {"layer_norm": True}, "`layer_norm` was True with inputs='one_hot'.*pass inp"),
    ],
)
def test_bad_arguments_name_the_cure(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"num_items": 5} | arguments)


def test_units_may_be_one_number():
    assert GRU4Rec(num_items=5, units=7).get_config()["units"] == [7]
