import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.cells import HierarchicalGRUCell, listed_rows
from hrec_tf.layers import Recurrence, pack_events

BATCH, ITEM, SESSION, USER = 40, 3, 5, 4


def flags(starting, steps):
    """Flags by which, at every step, so many users go on with a session, and three begin."""
    rng = np.random.default_rng(starting)
    order = np.stack([rng.permutation(BATCH) for _ in range(steps)], axis=1)
    user_start = (order >= starting) & (order < starting + 3)
    return tf.constant((order < starting) | user_start), tf.constant(user_start)


def floats(*shape, seed):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


@pytest.mark.parametrize("happening", [0, 1, 12, 13, 20, 21, 40])
def test_the_list_that_fits_holds_each_row_once(happening):
    happens = np.zeros((BATCH, 2), bool)
    happens[np.random.default_rng(happening).permutation(BATCH)[:happening], 1] = True
    fits, lists = zip(*listed_rows.shortcuts(tf.constant(happens)), strict=True)
    assert [bool(fit) for fit in fits] == [happening <= 12, happening <= 20]
    for fit, of_size, size in zip(fits, lists, (12, 20), strict=True):
        assert of_size["rows"].shape == (size, 2)
        if fit:
            used = of_size["is_used"].numpy()[:, 1]
            rows = of_size["rows"].numpy()[used, 1]
            assert rows.tolist() == np.flatnonzero(happens[:, 1]).tolist()
            assert of_size["place"].numpy()[rows, 1].tolist() == list(range(happening))
            assert not of_size["is_used"].numpy()[:, 0].any()


def test_rows_are_taken_and_put_back_and_so_are_their_gradients():
    happens = np.arange(BATCH)[:, None] % 7 == 2
    _, lists = listed_rows.shortcuts(tf.constant(happens))[0]
    at = {name: values[:, 0] for name, values in lists.items()}
    values, weights = floats(BATCH, 3, seed=1), floats(BATCH, 3, seed=2)
    with tf.GradientTape() as tape:
        tape.watch(values)
        put = listed_rows.put(tf.sin(listed_rows.take(values, at)), at)
        loss = tf.reduce_sum(put * weights)
    np.testing.assert_allclose(put, np.where(happens, np.sin(values), 0.0), rtol=1e-6)
    expected = np.where(happens, np.cos(values) * weights, 0.0)
    np.testing.assert_allclose(tape.gradient(loss, values), expected, rtol=1e-5)


def compiled(steps, jit_compile, **arguments):
    """A function of the flags that returns outputs, last states and all gradients."""
    cell = HierarchicalGRUCell(
        session_units=SESSION,
        user_units=USER,
        user_gates="rzh",
        session_dropout=0.2,
        user_dropout=0.3,
        init_dropout=0.1,
        seed=3,
        **arguments,
    )
    gap = floats(BATCH, steps, seed=9) if cell.gap_input else None
    recurrence = Recurrence(cell)
    items = floats(BATCH, steps, ITEM, seed=4)
    states = [floats(BATCH, SESSION, seed=5), floats(BATCH, USER, seed=6)]
    is_event = tf.constant(np.random.default_rng(7).random((BATCH, steps)) < 0.9)
    recurrence(pack_events(items, *flags(8, steps), gap))

    @tf.function(jit_compile=jit_compile)
    def outputs_and_gradients(session_start, user_start):
        with tf.GradientTape() as tape:
            tape.watch([items, *states])
            packed = pack_events(items, session_start, user_start, gap)
            outputs, last = recurrence(packed, states, is_event=is_event, training=True)
            loss = tf.reduce_sum(outputs * floats(*outputs.shape, seed=8))
            loss += tf.add_n([tf.reduce_sum(tf.sin(state)) for state in last])
        watched = [items, *states, *[weight.value for weight in cell.trainable_weights]]
        return outputs, *last, *tape.gradient(loss, watched)

    return outputs_and_gradients


@pytest.mark.integration
@pytest.mark.parametrize(
    ("steps", "jit_compile", "arguments"),
    [(1, True, {}), (4, False, {"layer_norm": True, "gap_input": True})],
)
def test_computing_the_listed_rows_equals_computing_all(monkeypatch, steps, jit_compile, arguments):
    """With a short list, a long one, and more rows than any list holds, in one program."""
    found, fitting = [], {8: [True, True], 17: [False, True], 30: [False, False]}
    for smallest in (listed_rows.SMALLEST_BATCH, BATCH + 1):
        monkeypatch.setattr(listed_rows, "SMALLEST_BATCH", smallest)
        run = compiled(steps, jit_compile, **arguments)
        found.append([run(*flags(starting, steps)) for starting in fitting])
    monkeypatch.undo()
    for starting, listed, whole in zip(fitting, *found, strict=True):
        session_start, user_start = flags(starting, steps)
        fits = [bool(fit) for fit, _ in listed_rows.shortcuts(session_start & ~user_start)]
        assert fits == fitting[starting]
        assert len(listed) == len(whole) > 10
        for ours, expected in zip(listed, whole, strict=True):
            np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=2e-5)
