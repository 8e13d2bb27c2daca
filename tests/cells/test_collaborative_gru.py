import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.cells import CollaborativeGRUCell, ReferenceGRUCell
from hrec_tf.layers import Recurrence
from tests.reference.recurrent import sigmoid, weights_of
from tests.reference.weights import fill_drawn

UNITS, ITEMS, USERS = 4, 5, 6
ITEM_IDS = np.array([[1, 3, 2, 5, 5], [2, 2, 4, 1, 3], [3, 0, 5, 2, 4]])
USER_IDS = np.array([[6, 6, 1, 1, 1], [4, 4, 4, 4, 4], [1, 0, 1, 6, 6]])
"""Users change inside a row, and come in several rows."""
RESET = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0]], bool)
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
PHI = {"sigmoid": sigmoid, "tanh": np.tanh}


def built(num_users=USERS, **arguments):
    cell = CollaborativeGRUCell(UNITS, num_items=ITEMS, num_users=num_users, **arguments)
    recurrence = Recurrence(cell)
    recurrence.build((None, None, 1 if num_users is None else 2))
    fill_drawn(cell)
    return recurrence


def inputs(users=USER_IDS):
    return tf.constant(np.stack([ITEM_IDS, users], axis=-1), tf.int32)


def run(recurrence, values, training=False):
    flags = {"reset": tf.constant(RESET), "is_event": tf.constant(ITEM_IDS != 0)}
    return recurrence(values, training=training, **flags)


def slow(w, activation, items, users, reset):
    """equations H.2 of one row, event by event."""
    h, outputs = np.zeros(UNITS), []
    for item, user, starts in zip(items, users, reset, strict=True):
        before = np.zeros(UNITS) if starts else h
        e_r, e_z, e_h = np.split(w["kernel"][item], 3)
        gates, candidate = (
            w[name][user] if user else w[name][1:].mean(axis=0) for name in ("gates", "candidate")
        )
        u_r, u_z = np.split(gates, 2, axis=1)
        r, z = sigmoid(e_r + before @ u_r), sigmoid(e_z + before @ u_z)
        new = z * before + (1 - z) * PHI[activation](e_h + (r * before) @ candidate)
        h = new if item else h
        outputs.append(h)
    return np.array(outputs)


@pytest.mark.parametrize("activation", PHI)
def test_agrees_with_a_float64_loop(activation):
    recurrence = built(activation=activation)
    users = np.where(USER_IDS == 4, 0, USER_IDS)  # the second row's user is unknown
    outputs, (last,) = run(recurrence, inputs(users))
    w = weights_of(recurrence.cell)
    for row, items in enumerate(ITEM_IDS):
        expected = slow(w, activation, items, users[row], RESET[row])
        read = items > 0
        np.testing.assert_allclose(outputs[row][read], expected[read], **FLOAT32_NOISE)
        np.testing.assert_allclose(last[row], expected[-1], **FLOAT32_NOISE)


def test_golden_value_of_one_unit():
    """z = 3/4 keeps 0.8, r = 1/2, and h~ = σ(1 + 0.4 · 5) = σ(3): h = 0.6 + σ(3) / 4."""
    cell = CollaborativeGRUCell(1, num_items=1, num_users=2)
    cell.build()
    cell.kernel.assign([[0, 0, 0], [-0.8, np.log(3) - 1.6, 1]])
    cell.recurrent_gates.assign([[[7, 7]], [[1, 2]], [[7, 7]]])
    cell.recurrent_candidate.assign([[[7]], [[5]], [[7]]])
    h, _ = cell(tf.constant([[1, 1]]), [tf.constant([[0.8]])])
    np.testing.assert_allclose(h, [[0.6 + sigmoid(3.0) / 4]], rtol=1e-6)


def test_users_of_equal_matrices_are_one_shared_gru():
    """equations H.2: of tanh and with z negated, it is the reference GRU of one-hot items."""
    own, shared = built(activation="tanh"), built(num_users=None, activation="tanh")
    for name in ("recurrent_gates", "recurrent_candidate"):
        value = np.asarray(getattr(shared.cell, name))
        getattr(own.cell, name).assign(np.broadcast_to(value, (USERS + 1, *value.shape)))
    own.cell.kernel.assign(shared.cell.kernel)
    gru = ReferenceGRUCell(UNITS, num_items=ITEMS)
    reference = Recurrence(gru)
    reference.build((None, None, 1))
    sign = np.repeat([1.0, -1.0, 1.0], UNITS)
    gru.kernel.assign(shared.cell.kernel * sign)
    gru.recurrent_gates.assign(shared.cell.recurrent_gates * sign[: 2 * UNITS])
    gru.recurrent_candidate.assign(shared.cell.recurrent_candidate)
    expected, _ = run(reference, inputs()[..., :1])
    read = ITEM_IDS > 0
    for recurrence, values in ((own, inputs()), (shared, inputs()[..., :1])):
        outputs, _ = run(recurrence, values)
        np.testing.assert_allclose(outputs[read], expected[read], **FLOAT32_NOISE)


@pytest.mark.integration
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("num_users", [USERS, None])
def test_gradients_are_those_of_autodiff_and_of_the_rows_that_were_read(num_users, jit_compile):
    recurrence = built(num_users)
    cell = recurrence.cell
    values = inputs()[..., : 1 if num_users is None else 2]
    tables = [cell.kernel.value, cell.recurrent_gates.value, cell.recurrent_candidate.value]
    weigh = tf.reshape(tf.range(60.0), (3, 5, 4)) * tf.cast(ITEM_IDS[..., None] > 0, tf.float32)

    def by_hand(values):
        h, outputs = tf.zeros((3, UNITS)), []
        for t in range(5):
            start = tf.where(RESET[:, t, None], 0.0, h)
            output, (new,) = cell(values[:, t], [start], training=True)
            h = tf.where(ITEM_IDS[:, t, None] > 0, new, h)
            outputs.append(output)
        return tf.stack(outputs, axis=1), [h]

    def gradients(step):
        with tf.GradientTape() as tape:
            outputs, (last,) = step(values)
            loss = tf.reduce_sum(tf.sin(outputs + weigh) * weigh) + tf.reduce_sum(last**2)
        found = tape.gradient(loss, tables)
        looked_up = found if num_users else found[:1]
        assert all(isinstance(gradient, tf.IndexedSlices) for gradient in looked_up)
        return [tf.convert_to_tensor(gradient) for gradient in found]

    @tf.function(jit_compile=jit_compile, autograph=False)
    def ours():
        return gradients(lambda values: run(recurrence, values, training=True))

    for mine, expected in zip(ours(), gradients(by_hand), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-4)


def test_every_value_begins_from_a_normal_distribution():
    """N(0, 1 / H): of 3 · 6 · 64 · 64 numbers the standard deviation is known to 1 %."""
    cell = CollaborativeGRUCell(64, num_items=5, num_users=6, seed=1)
    cell.build()
    for weight in cell.weights:
        assert not np.any(weight[0])
    for table in (cell.recurrent_gates, cell.recurrent_candidate):
        np.testing.assert_allclose(np.std(table[1:]), 1 / 8, rtol=0.02)
    assert 0.11 < np.std(cell.kernel[1:]) < 0.14


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`activation` was 'sigmod'.*Did you mean 'sigmoid'"):
        CollaborativeGRUCell(3, num_items=2, num_users=None, activation="sigmod")
    with pytest.raises(ValueError, match=r"`num_users` must be a positive int.*None to share"):
        CollaborativeGRUCell(3, num_items=2, num_users=0)
