import functools
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import lane_stream, session_parallel_stream, user_parallel_stream
from hrec_tf.layers import ItemInputs
from hrec_tf.layers.neighbour_scores import FLOOR
from hrec_tf.losses import TOP1, InBatch, reduce_rows
from hrec_tf.models import HRNN, GRU4Rec
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.schema import GAP, ITEM_IDS, MINUTE, SESSION_START, USER_PARALLEL, USER_START
from tests.reference import neighbour_scores as reference
from tests.reference.recurrent import hrnn_loop, weights_of
from tests.reference.training import hrnn_loss, train
from tests.reference.weights import fill_distinct

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS = 6
VARIANTS = {
    "init": {},
    "init_tanh_bias": {"first_session_init": "tanh_bias"},
    "all": {"user_gates": "rzh"},
    "all_rz_tanh_bias": {"user_gates": "rz", "first_session_init": "tanh_bias"},
    "of_gaps": {"inputs": "constrained", "gap_input": True, "gap_mean": 1.0, "gap_sd": 2.0},
}


def built(scale=0.3, **arguments):
    model = HRNN(num_items=NUM_ITEMS, **{"session_units": 3, "user_units": 2} | arguments)
    fill_distinct(model, scale)
    return model


def gru4rec_of(model):
    """GRU4Rec with the session GRU, the output layer and the inputs of an HRNN."""
    twin = GRU4Rec(num_items=NUM_ITEMS, units=(3,), inputs=model.inputs_mode)
    if model.items is not None:
        twin.items.set_weights(model.items.get_weights())
    twin.recurrences[0].cell.set_weights(model.recurrence.cell.session_cell.get_weights())
    twin.item_scores.set_weights(model.item_scores.get_weights())
    return twin


def compiled(model, **arguments):
    model.compile(
        optimizer=AdagradMomentum(0.1, momentum=0.2),
        loss=TOP1(),
        negatives=InBatch(),
        jit_compile=False,
        **arguments,
    )
    return model


def session_weights(model):
    """Weights of the session GRU, of the output layer and of a table of items, if there is one."""
    is_hrnn = isinstance(model, HRNN)
    cell = model.recurrence.cell.session_cell if is_hrnn else model.recurrences[0].cell
    items = [] if model.items is None else model.items.weights
    return [*cell.weights, *model.item_scores.weights, *items]


def one_window(stream):
    return next(iter(stream))


def loss_and_gradients(model, window, states, weights):
    """TOP1 over the window's steps, its gradients as dense arrays, hidden and new states."""
    events, next_item_ids, pair_weights = window
    with tf.GradientTape() as tape:
        hidden, states = model.encode(events, states)
        targets = tf.transpose(next_item_ids)
        logits = model.score(tf.transpose(hidden, [1, 0, 2]), targets)
        by_step = tf.transpose(pair_weights)
        loss = reduce_rows(TOP1().row_losses(logits, by_step), by_step)
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    return loss, [tf.convert_to_tensor(g).numpy() for g in gradients], hidden, states


SINGLE_SESSIONS = Histories.from_lists(
    [[[1, 2, 3]], [[4, 5]], [[2, 6, 1, 4]], [[3, 3]]], num_items=NUM_ITEMS
)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("user_gates", "inputs"), [(None, "one_hot"), ("rzh", "constrained"), (None, "embedding")]
)
def test_with_one_session_a_user_it_is_gru4rec(user_gates, inputs):
    """B-T1: "zero": scores, losses, gradients, and the weights after a fit of two epochs."""
    model = built(user_gates=user_gates, inputs=inputs)
    twin = gru4rec_of(model)
    ours = user_parallel_stream(SINGLE_SESSIONS, num_lanes=2, steps=2, order="given")
    theirs = session_parallel_stream(SINGLE_SESSIONS, num_lanes=2, steps=2, order="given")
    window, other_window = one_window(ours), one_window(theirs)
    tf.nest.map_structure(np.testing.assert_array_equal, window, other_window)
    loss, gradients, hidden, _ = loss_and_gradients(
        model, window, model.initial_states(2), session_weights(model)
    )
    other_loss, other_gradients, other_hidden, _ = loss_and_gradients(
        twin, window, twin.initial_states(2), session_weights(twin)
    )
    np.testing.assert_allclose(loss, other_loss, **FLOAT32_NOISE)
    np.testing.assert_allclose(model.score(hidden), twin.score(other_hidden), **FLOAT32_NOISE)
    for mine, other in zip(gradients, other_gradients, strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)
    ours, theirs = (
        compiled(either).fit(stream, epochs=2, verbose=0).history["loss"]
        for either, stream in ((model, ours), (twin, theirs))
    )
    np.testing.assert_allclose(ours, theirs, **FLOAT32_NOISE)
    for mine, other in zip(session_weights(model), session_weights(twin), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_tanh_bias_is_gru4rec_that_starts_elsewhere():
    """B-T1: "tanh_bias": GRU4Rec from h_0 = tanh(b_init), with c_0 = 0."""
    model = built(first_session_init="tanh_bias")
    twin = gru4rec_of(model)
    start = np.tanh(model.recurrence.cell.init_bias)
    assert np.all(np.abs(start) > 0.01)
    steps = 3
    item_ids = tf.constant([[1, 2, 6], [4, 5, 3]])
    next_item_ids, weights = tf.constant([[2, 6, 5], [5, 3, 1]]), tf.ones((2, steps))
    first = tf.constant([[True, False, False]] * 2)
    never = tf.zeros((2, steps), bool)

    def window(flags):
        return {ITEM_IDS: item_ids, SESSION_START: flags, USER_START: flags}, next_item_ids, weights

    loss, gradients, hidden, _ = loss_and_gradients(
        model, window(first), [tf.fill((2, 3), 0.9), tf.fill((2, 2), 0.9)], session_weights(model)
    )
    other_loss, other_gradients, other_hidden, _ = loss_and_gradients(
        twin, window(never), [tf.constant(np.stack([start, start]))], session_weights(twin)
    )
    np.testing.assert_allclose(loss, other_loss, **FLOAT32_NOISE)
    np.testing.assert_allclose(model.score(hidden), twin.score(other_hidden), **FLOAT32_NOISE)
    for mine, other in zip(gradients, other_gradients, strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)


@pytest.mark.parametrize("first_session_init", ["zero", "tanh_bias"])
def test_without_the_init_layer_every_session_stands_alone(first_session_init):
    """B-T2: W_init = 0 and b_init = 0 make HRNN Init a GRU4Rec with resets."""
    model = built(first_session_init=first_session_init)
    cell = model.recurrence.cell
    for weight in (cell.init_kernel, cell.init_bias):
        weight.assign(np.zeros(weight.shape))
    twin = gru4rec_of(model)
    histories = Histories.from_lists(
        [[[1, 2, 3], [4, 5, 6, 1], [2, 2]], [[6]], [[5, 4], [3], [3, 1, 2]]], num_items=NUM_ITEMS
    )
    events, *_ = one_window(user_parallel_stream(histories, num_lanes=2, steps=8, order="given"))
    is_event = events[ITEM_IDS] > 0
    ours, theirs = model.score(model(events)), twin.score(twin(events))
    np.testing.assert_allclose(ours[is_event], theirs[is_event], **FLOAT32_NOISE)
    assert int(np.sum(is_event)) == histories.num_pairs == 9
    cell.init_kernel.assign(np.full(cell.init_kernel.shape, 0.5))
    assert np.abs(model.score(model(events))[is_event] - theirs[is_event]).max() > 1e-3


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "of_gaps"])
def test_windows_that_are_cut_at_each_step_are_the_stream_of_single_steps(variant):
    """B-T6: T = 4 with states held constant from step to step, against windows of T = 1.

    The forward pass is that of whole windows; the gradients of the four steps add up.
    """
    model = built(**VARIANTS[variant])
    weights = model.trainable_weights
    histories = Histories.from_lists(
        [[[1, 2, 3], [4, 5]], [[6, 1], [2, 3], [5, 5, 4]], [[4, 1]]], num_items=NUM_ITEMS
    )
    streams = [
        user_parallel_stream(histories, num_lanes=2, steps=steps, order="given") for steps in (4, 1)
    ]

    def gradients_of_steps(window, states):
        """Sums the gradients of each step's loss; `stop_gradient` between the steps."""
        sums, hidden_steps = [0.0 for _ in weights], []
        for step in range(window[1].shape[1]):
            now = tf.nest.map_structure(
                lambda values, step=step: values[:, step : step + 1], window
            )
            states = [tf.stop_gradient(state) for state in states]
            _, gradients, hidden, states = loss_and_gradients(model, now, states, weights)
            sums = [total + g for total, g in zip(sums, gradients, strict=True)]
            hidden_steps.append(hidden)
        return sums, np.concatenate(hidden_steps, axis=1), states

    whole_window = one_window(streams[0])
    cut_sums, cut_hidden, _ = gradients_of_steps(whole_window, model.initial_states(2))
    single_sums, single_hidden = [0.0 for _ in weights], []
    states = model.initial_states(2)
    for window in list(streams[1])[:4]:
        sums, hidden, states = gradients_of_steps(window, states)
        single_sums = [total + g for total, g in zip(single_sums, sums, strict=True)]
        single_hidden.append(hidden)

    whole_hidden, _ = model.encode(whole_window[0], model.initial_states(2))
    np.testing.assert_allclose(cut_hidden, whole_hidden, **FLOAT32_NOISE)
    np.testing.assert_allclose(np.concatenate(single_hidden, axis=1), whole_hidden, **FLOAT32_NOISE)
    for mine, other in zip(cut_sums, single_sums, strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)
    # Gradients that flow through the window are others: b_init also learns from later events.
    _, through, _, _ = loss_and_gradients(model, whole_window, model.initial_states(2), weights)
    differs = [np.abs(4 * a - b).max() > 1e-4 for a, b in zip(through, cut_sums, strict=True)]
    assert any(differs)


@pytest.mark.parametrize("variant", ["all", "all_rz_tanh_bias"])
def test_a_fit_is_the_papers_training_written_out(variant):
    """Seven updates of HRNN All as published: one step of back-propagation, TOP1, AdaGrad.

    Two lanes: lane 0 plays the first user's three sessions, then the third user.
    """
    model = built(scale=1.0, **VARIANTS[variant])
    histories = Histories.from_lists(
        [[[1, 2, 3], [4, 5], [6, 2, 5]], [[2, 6, 1], [1, 4, 4], [5, 3]], [[3, 3, 2]]],
        num_items=NUM_ITEMS,
    )
    rows = [
        # items, targets, session_start, user_start
        ((1, 2), (2, 6), (True, True), (True, True)),
        ((2, 6), (3, 1), (False, False), (False, False)),
        ((4, 1), (5, 4), (True, True), (False, False)),
        ((6, 4), (2, 4), (True, False), (False, False)),
        ((2, 5), (5, 3), (False, True), (False, False)),
        ((3, 0), (3, 0), (True, True), (True, True)),
        ((3, 0), (2, 0), (False, True), (False, True)),
    ]
    names = ("items", "targets", "session_start", "user_start")
    windows = [[dict(zip(names, row, strict=True)) | {"extra": []}] for row in rows]

    cell = model.recurrence.cell
    parts = {"session": cell.session_cell, "user": cell.user_cell}

    def weights_by_name():
        return (
            {
                f"{p}/{name}": w
                for p, layer in parts.items()
                for name, w in weights_of(layer).items()
            }
            | {
                f"cell/{name}": np.asarray(getattr(cell, name), np.float64)
                for name in ("init_kernel", "init_bias", "user_kernel")
            }
            | {
                "table": np.asarray(model.item_scores.items.table, np.float64),
                "bias": np.asarray(model.item_scores.bias, np.float64),
            }
        )

    def targets(window):
        return window[0]["targets"]

    before = weights_by_name()
    expected, losses = train(
        before,
        functools.partial(hrnn_loss, first_session_init=cell.first_session_init),
        {
            "table": targets,
            "bias": targets,
            "session/kernel": lambda window: window[0]["items"],
        },
        windows,
        [(np.zeros(3), np.zeros(2))] * 2,
        learning_rate=0.1,
        momentum=0.2,
    )
    stream = user_parallel_stream(histories, num_lanes=2, steps=1, order="given")
    history = compiled(model).fit(stream, verbose=0).history
    # Each window's loss was divided by its two lanes; there are 12 pairs.
    np.testing.assert_allclose(history["loss"], [2 * sum(losses) / 12], rtol=1e-6)
    after = weights_by_name()
    for name, values in expected.items():
        np.testing.assert_allclose(after[name], values, atol=1e-5, err_msg=name)
        assert np.abs(values - before[name]).max() > 0.01, f"{name} has not been trained"


users_of_sessions = st.lists(
    st.lists(st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=4), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


@functools.cache
def stepping(feed_last_item, variant):
    """A model with `step` and `encode` compiled; made once, never to be changed."""
    model = built(feed_last_item=feed_last_item, **VARIANTS[variant])

    def step(*event):
        hidden, states = model.step(*event)
        return model.score(hidden), states

    return model, tf.function(step), tf.function(model.encode)


@pytest.mark.integration
@pytest.mark.parametrize("variant", ["init", "all_rz_tanh_bias", "of_gaps"])
@pytest.mark.parametrize("feed_last_item", [False, True])
@settings(deadline=None, max_examples=15)
@given(users=users_of_sessions)
@example(users=[[[1], [2, 3], [4], [5], [6, 1, 2]], [[3], [4]], [[5], [5, 1]]])
@example(users=[[[1, 2], [3], [4, 5], [6]], [[2]], [[1, 3]]])
def test_step_fed_every_event_scores_like_the_stream(feed_last_item, variant, users):
    """B.7: streams drop the last event of a session, a server cannot know which one that is.

    Also sessions of one event, first sessions of one event, and users one after the other.
    """
    model, step, encode = stepping(feed_last_item, variant)
    users = [[*user, [1, 2]] for user in users]
    histories = Histories.from_lists(users, num_items=NUM_ITEMS)
    seconds = np.cumsum(150 * (np.arange(histories.num_events) % 5))
    histories = replace(histories, timestamps=seconds)
    stream = lane_stream(
        histories,
        layout=USER_PARALLEL,
        num_lanes=1,
        steps=8,
        order="given",
        feed_last_item=feed_last_item,
        with_gaps=model.reads_gaps,
    )
    states, by_stream = model.initial_states(1), []
    for events, _, weights in stream:
        hidden, states = encode(events, states)
        by_stream.append(model.score(hidden[0])[weights[0] > 0])

    states, by_step = model.step_states(1), []
    session_ends = set(histories.session_offsets[1:] - 1)
    gaps = np.where(histories.user_starts, 0, np.diff(seconds, prepend=0)).astype(np.int32)
    for event, item in enumerate(histories.item_ids):
        flags = histories.session_starts[event], histories.user_starts[event]
        gap = [tf.constant([gaps[event]])] if model.reads_gaps else []
        logits, states = step(*(tf.constant([value]) for value in (item, *flags)), states, *gap)
        if event not in session_ends:
            by_step.append(logits)
    np.testing.assert_allclose(np.concatenate(by_step), np.concatenate(by_stream), **FLOAT32_NOISE)


def test_what_is_read_agrees_with_a_float64_loop():
    """B.12: x without the items that were dropped, and δ of the seconds that passed."""
    gaps = {"gap_input": True, "gap_mean": 1.0, "gap_sd": 2.0}
    model = built(inputs="constrained", item_dropout=0.4, layer_norm=True, seed=5, **gaps)
    item_ids = tf.constant([[1, 2, 6, 4], [3, 5, 5, 2]])
    seconds = np.array([[0, 60, 86_400, 5], [0, 7, 0, 600]], np.int32)
    starts = np.array([[True, False, True, False], [True, False, False, True]])
    first = np.array([[True, False, False, False]] * 2)
    events = {ITEM_IDS: item_ids, GAP: seconds, SESSION_START: starts, USER_START: first}
    hidden, _ = model.encode(
        {name: tf.constant(values) for name, values in events.items()},
        model.initial_states(2),
        training=True,
    )
    # Of the same seed as the model's own.
    same = ItemInputs(item_dropout=0.4, seed=model._seed_of(3))
    x = same(item_ids, table=model.item_scores.items, training=True).numpy()
    assert 0 < (x == 0).all(axis=-1).sum() < 8
    delta = (np.log(1 + seconds / 60) - 1.0) / 2.0
    inputs = np.concatenate([x, np.stack([delta, starts, first], axis=-1)], axis=-1)
    expected, _, _ = hrnn_loop(model.recurrence.cell, inputs, np.zeros((2, 3)), np.zeros((2, 2)))
    np.testing.assert_allclose(hidden, expected, **FLOAT32_NOISE)


def test_feeding_the_last_item_changes_what_the_next_session_starts_from():
    events = [(1, True), (2, False), (3, False), (4, True)]
    logits = []
    for feed_last_item in (False, True):
        model, step, _ = stepping(feed_last_item, "init")
        states = model.step_states(1)
        for position, (item, starts) in enumerate(events):
            flags = tf.constant([starts]), tf.constant([position == 0])
            scores, states = step(tf.constant([item], tf.int32), *flags, states)
        logits.append(scores)
    assert np.abs(logits[0] - logits[1]).max() > 1e-4


@pytest.mark.parametrize("feed_last_item", [False, True])
def test_users_with_the_same_session_and_other_histories_score_differently(feed_last_item):
    """B.6. And with the same history they score the same."""
    model, step, _ = stepping(feed_last_item, "init")
    histories = np.array([[1, 2, 3], [6, 5, 4], [1, 2, 3]], np.int32)
    states = model.step_states(3)
    no, yes = tf.zeros((3,), bool), tf.ones((3,), bool)
    for position in range(3):
        first = yes if position == 0 else no
        _, states = step(tf.constant(histories[:, position]), first, first, states)
    for item, starts in ((2, yes), (3, no)):
        logits, states = step(tf.fill((3,), item), starts, no, states)
        assert np.abs(logits[0] - logits[1]).max() > 1e-4
        np.testing.assert_allclose(logits[0], logits[2], **FLOAT32_NOISE)


@pytest.mark.parametrize("feed_last_item", [False, True])
def test_an_unknown_item_moves_nothing(feed_last_item):
    """Pitfalls 4: id 0 in `step`, also between two sessions: the next scores do not know of it."""
    model, step, _ = stepping(feed_last_item, "init")
    yes, no = tf.ones((3,), bool), tf.zeros((3,), bool)

    def play(rows):
        states, scores = model.step_states(3), []
        for items, starts, first in rows:
            logits, states = step(tf.constant(items, tf.int32), starts, first, states)
            scores.append(logits)
        return scores, states

    known = [([1, 2, 3], yes, yes), ([4, 5, 6], no, no), ([2, 2, 5], yes, no), ([1, 3, 3], no, no)]
    unknown = ([0, 0, 0], no, no)
    scores, states = play(known)
    with_unknown, other_states = play([row for event in known for row in (event, unknown)])
    tf.nest.map_structure(np.testing.assert_array_equal, states, other_states)
    np.testing.assert_array_equal(scores, with_unknown[::2])


def test_a_user_start_is_a_session_start_in_step_too():
    model, step, _ = stepping(False, "init")
    yes, no = tf.ones((1,), bool), tf.zeros((1,), bool)
    _, states = step(tf.constant([3]), yes, yes, model.step_states(1))
    items = tf.constant([5])
    np.testing.assert_array_equal(
        step(items, no, yes, states)[0], step(items, yes, yes, model.step_states(1))[0]
    )


def test_each_dropout_draws_masks_of_its_own():
    """Equal sizes and rates must not mean equal masks."""
    rates = {f"{name}_dropout": 0.5 for name in ("session", "user", "init")}
    cell = built(session_units=8, user_units=8, seed=1, **rates).recurrence.cell
    events = np.ones((5, 4, 3), "int32")
    first, second = (cell.project(events, training=True) for _ in range(2))
    masks = [
        np.asarray(mask).ravel() > 0
        for projected in (first, second)
        for mask in (projected["session"]["keep"], projected["keep_user"], projected["keep_init"])
    ]
    for position, mask in enumerate(masks):
        for other in masks[:position]:
            assert 0.3 < np.mean(mask == other) < 0.7


def test_initial_values_are_drawn_by_block():
    """Pitfalls 1.8; docs/equations.md B.3: sqrt(6 / (in + out)) of one gate, biases 0."""
    num_items, session, user = 300, 50, 40
    model = HRNN(
        num_items=num_items, session_units=session, user_units=user, user_gates="rzh", seed=0
    )
    cell = model.recurrence.cell
    fans = [
        (model.item_scores.items.table, num_items + session),
        (cell.session_cell.kernel, num_items + session),
        (cell.session_cell.recurrent_gates, session + session),
        (cell.user_cell.kernel, session + user),
        (cell.user_cell.recurrent_gates, user + user),
        (cell.user_cell.recurrent_candidate, user + user),
        (cell.init_kernel, user + session),
        (cell.user_kernel, user + session),
    ]
    for weight, fan in fans:
        limit = np.sqrt(6 / fan)
        assert 0.98 * limit < np.abs(weight).max() <= limit, weight.path
    for bias in (cell.session_cell.bias, cell.user_cell.bias, cell.init_bias):
        assert not np.any(bias)


def test_user_to_output_adds_a_term_of_the_user_state():
    """B.2: scores = s W_yᵀ + b_y + c W_cyᵀ."""
    with_user, without = built(user_to_output=True), built()
    without.recurrence.cell.set_weights(with_user.recurrence.cell.get_weights())
    table = np.asarray(with_user.item_scores.items.table)
    without.item_scores.items.table.assign(table[:, :3])
    without.item_scores.bias.assign(with_user.item_scores.bias)
    events = {
        ITEM_IDS: tf.constant([[1, 2, 4, 5]]),
        SESSION_START: tf.constant([[True, False, True, False]]),
        USER_START: tf.constant([[True, False, False, False]]),
    }
    hidden, states = with_user.encode(events, with_user.initial_states(1))
    user_state = np.asarray(hidden)[..., 3:]
    assert not user_state[:, :2].any() and user_state[:, 2:].all()
    np.testing.assert_array_equal(hidden[:, -1], np.concatenate(states, axis=1))
    expected = without.score(without(events)) + user_state @ table[1:, 3:].T
    np.testing.assert_allclose(with_user.score(hidden), expected, **FLOAT32_NOISE)


EVENTS = {
    ITEM_IDS: tf.constant([[1, 4, 4, 2, 6]]),
    SESSION_START: tf.constant([[True, False, True, False, True]]),
    USER_START: tf.constant([[True, False, False, False, True]]),
}


def test_reminders_add_to_the_scores_of_items_that_the_user_had():
    """What has learnt nothing yet adds nothing."""
    model, plain = HRNN(num_items=NUM_ITEMS, reminders=2, seed=0), HRNN(num_items=NUM_ITEMS, seed=0)
    without = np.asarray(plain.score(plain(EVENTS)))
    np.testing.assert_array_equal(model.score(model(EVENTS)), without)
    model.heads.reminders.weights_of_places.assign(np.log([[2.0, 6], [4, 8]]))
    model.heads.reminders.worth_bias.assign([1.0, 10.0])
    gains = np.zeros((5, NUM_ITEMS))
    gains[0, 0] = np.log(3)  # item 1 at this event
    gains[1, [3, 0]] = np.log(3), np.log(5)  # item 1 at the event before
    gains[2, 3] = np.log(3) + 10 * np.log(9)  # item 4 at this event, and in the session before
    gains[3, [1, 3]] = np.log(3), np.log(5)
    gains[4, 5] = np.log(3)  # another user
    np.testing.assert_allclose(
        model.score(model(EVENTS))[0] - without[0], gains, rtol=1e-5, atol=1e-5
    )


def test_neighbours_add_to_the_scores_of_items_like_the_sessions_last_ones():
    """After training alone: the loss does not know of them."""
    model = HRNN(num_items=NUM_ITEMS, neighbours=2, neighbour_weight=0.7, reminders=1, seed=0)
    plain = HRNN(num_items=NUM_ITEMS, seed=0)
    similar = reference.similarities(NUM_ITEMS, 2)
    model.set_neighbours(similar)
    hidden, without = model(EVENTS), np.asarray(plain.score(plain(EVENTS)))
    np.testing.assert_array_equal(model.score_to_train(hidden), without)
    settings = {"events": 3, "decay": 0.5, "weight": 0.7, "floor": FLOOR}
    sessions = [[1], [4, 1], [4], [2, 4], [6]]  # the latest item first
    gains = [
        reference.gains(similar, read + [0] * 2, [1] * len(read) + [0] * 2, **settings)
        for read in sessions
    ]
    np.testing.assert_allclose(model.score(hidden)[0] - without[0], gains, rtol=1e-5, atol=1e-6)


def two_users(items=(1, 2, 3, 4, 5), minutes=(0, 20, 40, 60, 80)):
    """Three events of one user, then two of another, some minutes after noon."""
    histories = Histories.from_lists([[list(items[:3])], [list(items[3:])]], num_items=NUM_ITEMS)
    return replace(histories, timestamps=1_700_000_040 + 60 * np.array(minutes))


def popular_scores(model, minute):
    events = EVENTS | {MINUTE: np.full_like(EVENTS[ITEM_IDS], 1_700_000_040 // 60 + minute)}
    return np.asarray(model.score(model(events)))


def test_popularity_counts_on_without_training_and_only_while_it_is_asked():
    """Golden: after item 4 at minute 60 it has, at 70 (τ 1 h), a share of 2^(-1/6) / Σ."""
    model = HRNN(num_items=NUM_ITEMS, popular=6, popular_moments=9, popular_weight=3.0, seed=0)
    model.heads.recent.amount.assign([2.0])  # of which a gate of 1/2 lets half through
    plain = HRNN(num_items=NUM_ITEMS, seed=0)
    without = popular_scores(plain, 70)
    histories = two_users()
    first = replace(
        Histories.from_lists([[[1, 2, 3]]], num_items=NUM_ITEMS),
        timestamps=histories.timestamps[:3],
    )
    model.set_popular(first)
    before = popular_scores(model, 70)
    assert np.allclose(before[0, :, 3], without[0, :, 3])
    with model.counting_on(histories):
        rolled = popular_scores(model, 70)
    ages = np.array([70, 50, 30, 10]) / 60
    shares = 2**-ages / (2**-ages).sum()
    np.testing.assert_allclose(
        rolled[0, :, :4] - without[0, :, :4],
        np.tile(3 * np.log1p(shares / 0.001), (5, 1)),
        rtol=1e-5,
    )
    np.testing.assert_array_equal(popular_scores(model, 70), before)
    assert model.count_on(histories) == 2
    np.testing.assert_array_equal(popular_scores(model, 70), rolled)
    assert model.count_on(histories) == 0
    with pytest.raises(ValueError, match="`count_on` was called on a model with popular=0"):
        plain.count_on(histories)


@pytest.mark.parametrize("moments", [16, 30])
def test_popularity_that_counts_on_knows_nothing_of_what_comes(moments):
    """Whatever is taken from minute 60 on, lists up to there are the same; also where the moments
    that are kept are the last of many."""
    lists = []
    for items in ((1, 2, 3, 4, 5), (1, 2, 3, 6, 6)):
        model = HRNN(num_items=NUM_ITEMS, popular=6, popular_moments=moments, seed=0)
        model.heads.recent.amount.assign([2.0])
        model.set_popular(two_users(minutes=(-100, -80, -60, -40, -20)))
        with model.counting_on(two_users(items)):
            lists.append([popular_scores(model, minute) for minute in (-900, -5, 30, 60, 70)])
    np.testing.assert_array_equal(lists[0][:4], lists[1][:4])
    assert np.any(lists[0][4] != lists[1][4])


def test_moments_that_are_too_few_are_refused():
    model = HRNN(num_items=NUM_ITEMS, popular=6, popular_moments=4, seed=0)
    with pytest.raises(ValueError, match=r"`histories` have 10 moments .*popular_moments=10"):
        model.set_popular(two_users())
    model.set_popular(two_users(minutes=(-20, -20, -20, -10, 0)))
    before = model.heads.recent.held_shares()
    with (
        pytest.raises(ValueError, match=r"`histories` last longer than the 4 moments .* Evaluate"),
        model.counting_on(two_users()),
    ):
        pass
    with (
        pytest.raises(ValueError, match=r"`histories` have no event after \d+ .* Split the log by"),
        model.counting_on(two_users(minutes=(-20, -20, -20, -10, 0))),
    ):
        pass
    for held, kept in zip(model.heads.recent.held_shares(), before, strict=True):
        np.testing.assert_array_equal(held, kept)


@pytest.mark.integration
def test_reminders_learn_from_sampled_columns():
    """Updates move the place whose item was the target, and what that is worth; no other kind."""
    model = compiled(HRNN(num_items=NUM_ITEMS, session_units=3, user_units=2, reminders=3, seed=0))
    histories = Histories.from_lists([[[1, 2, 1]], [[3, 4, 5]]], num_items=NUM_ITEMS)
    stream = user_parallel_stream(histories, num_lanes=2, steps=2, order="given")
    model.fit(stream.take(1), epochs=2, verbose=0)
    here, before = np.asarray(model.heads.reminders.weights_of_places).T
    # Item 1 came two events before item 1: at the event before the last one.
    assert here[1] > 0 and here[0] <= 0 and here[2] == 0 and not before.any()
    worth = np.asarray(model.heads.reminders.worth_bias)
    assert worth[0] != 0 and worth[1] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user_gates": "zr"}, "`user_gates` was 'zr', but must be one of 'rzh', 'rz'"),
        (
            {"item_dim": 0, "inputs": "embedding"},
            "`item_dim` must be a positive int, but was 0",
        ),
        ({"item_dim": 4}, "`item_dim` was 4 with inputs='one_hot'.*pass inputs='embedding'"),
        ({"inputs": "tied"}, "`inputs` was 'tied', but must be one of"),
        ({"embed_dropout": 0.1}, "`embed_dropout` was 0.1 with inputs='one_hot'"),
        ({"item_dropout": 1.5}, "`item_dropout` must be a dropout rate"),
        (
            {"inputs": "constrained", "user_to_output": True},
            "`user_to_output` was True with inputs='constrained'.*pass inputs='embedding'",
        ),
        ({"layer_norm": True}, "`layer_norm` was True with inputs='one_hot'.*or 'constrained'"),
        ({"gap_input": True}, "`gap_input` was True with inputs='one_hot'.*Leave it out"),
        ({"gap_mean": 2.0}, "`gap_mean` was 2.0.*gap_input=False, where no times are read"),
        ({"session_dropout": 1}, "`session_dropout` must be a dropout rate"),
        ({"session_units": 0}, "must be a positive int, but was 0"),
        ({"user_units": 0}, "must be a positive int, but was 0"),
        ({"reminders": -1}, "`reminders` must be an int of at least 0, but was -1"),
        ({"neighbours": -2}, "`neighbours` must be an int of at least 0, but was -2"),
        (
            {"neighbour_weight": 0.5},
            "`neighbour_weight` was 0.5, but neighbours is 0, so it would be ignored",
        ),
        (
            {"popular_weight": 2.0},
            "`popular_weight` was 2.0, but popular is 0, so it would be ignored",
        ),
        (
            {"popular": 2, "popular_weight": -1.0},
            r"`popular_weight` must be a finite number of at least 0, but was -1\.0",
        ),
        ({"num_items": -3}, "`num_items` must be a positive int, but was -3"),
    ],
)
def test_bad_arguments_name_the_cure(arguments, message):
    with pytest.raises(ValueError, match=message):
        HRNN(**{"num_items": 5} | arguments)


def test_neighbours_of_a_model_without_them_are_refused():
    with pytest.raises(
        ValueError, match="`set_neighbours` was called on a model with neighbours=0"
    ):
        HRNN(num_items=NUM_ITEMS).set_neighbours(reference.similarities(NUM_ITEMS, 2))
