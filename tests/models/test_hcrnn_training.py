import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.prefixes import padded_stream, prefix_stream, sequence_stream
from hrec_tf.layers import recurrence
from hrec_tf.losses import CrossEntropy
from hrec_tf.models import HCRNN
from hrec_tf.schema import ITEM_IDS, POSITIONS
from tests.reference.hcrnn import fill, hcrnn_loop

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS = 6
SIZES = {"units": 4, "item_dim": 3, "num_contexts": 5}
HISTORIES = [[2, 5, 2, 1], [3], [6, 4, 1], []]
"""The last row is one that fills up a batch."""


def built(**arguments):
    model = HCRNN(num_items=NUM_ITEMS, **SIZES | {"seed": 1} | arguments)
    fill(model, 0.9)
    return model


def without_noise(**arguments):
    """A model whose training passes are all alike: no dropout, and s of θ next to nothing."""
    model = built(input_dropout=0.0, output_dropout=0.0, std="exp", **arguments)
    model.global_context.std_kernel.assign(np.zeros((3, 5)))
    model.global_context.std_bias.assign(np.full(5, -30.0))
    return model


def compiled(model, optimizer=None, **options):
    optimizer = keras.optimizers.SGD(0.1) if optimizer is None else optimizer
    model.compile(optimizer=optimizer, loss=CrossEntropy(normalise="valid"), **options)
    model.optimizer.build(model.trainable_variables)
    return model


def window_of(model, histories=HISTORIES):
    """A batch of a stream: events, next items and weights."""
    steps = max(map(len, histories))
    item_ids = np.array([[*row, *[0] * (steps - len(row))] for row in histories], np.int32)
    positions = np.array([[max(len(row) - 1, 0)] for row in histories], np.int32)
    weights = np.array([[float(bool(row))] for row in histories], np.float32)
    if model.cell.theta == "prefix":
        positions = np.tile(np.arange(steps, dtype=np.int32), (len(histories), 1))
        weights = (item_ids > 0).astype(np.float32)
    labels = np.where(weights > 0, 4, 0).astype(np.int32)
    events = {ITEM_IDS: tf.constant(item_ids), POSITIONS: tf.constant(positions)}
    return events, tf.constant(labels), tf.constant(weights)


@pytest.mark.parametrize("theta", ["whole", "prefix"])
def test_the_penalty_is_beta_times_the_mean_kl_of_bags_with_events(theta):
    """C.5: one KL a row, or one at each event; padding and rows without events have none."""
    model = built(theta=theta, beta=0.25, input_dropout=0.0)
    *_, penalty = model.encode_to_train(window_of(model)[0], [])
    kls = [hcrnn_loop(model, history)["kls"] for history in HISTORIES if history]
    np.testing.assert_allclose(penalty, 0.25 * np.concatenate(kls).mean(), rtol=1e-5)


def test_a_batch_without_an_event_has_no_penalty():
    model = built()
    *_, penalty = model.encode_to_train(window_of(model, [[], [], [0]])[0], [])
    assert float(penalty) == 0.0


def test_beta_rises_from_zero_over_the_warm_up():
    """0 at the first step, 1/4 of β after one of four, β after four and for ever."""
    model = compiled(without_noise(beta=0.5, beta_warmup_steps=4))
    events, *_ = window_of(model)
    whole = float(without_noise(beta=0.5).encode_to_train(events, [])[2])
    for step, share in ((0, 0.0), (1, 0.25), (3, 0.75), (4, 1.0), (100, 1.0)):
        model.optimizer.iterations.assign(step)
        *_, penalty = model.encode_to_train(events, [])
        np.testing.assert_allclose(penalty, share * whole, rtol=1e-6)


def test_the_loss_that_is_trained_has_the_penalty_and_the_one_that_is_logged_has_not():
    """C.5: mean cross-entropy + β mean KL."""
    model = compiled(without_noise(beta=0.25))
    window = window_of(model)
    loss, total, weight, _ = model._window_loss(window, [], 0, training=True)
    events, *_ = window
    hidden, _ = model.encode(events, [])
    log_p = tf.nn.log_softmax(model.score(hidden))[:3, 0, 4 - 1]
    np.testing.assert_allclose(total / weight, -np.mean(log_p), rtol=1e-5)
    *_, penalty = model.encode_to_train(events, [])
    assert penalty > 1
    np.testing.assert_allclose(loss, -np.mean(log_p) + penalty, rtol=1e-5)
    evaluated, *_ = model._window_loss(window, [], 0, training=False)
    np.testing.assert_allclose(evaluated, -np.mean(log_p), rtol=1e-5)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("version", "attention"), [(1, "single"), (2, "bi_channel"), (3, "single"), (3, "bi_channel")]
)
def test_every_weight_has_a_gradient(version, attention):
    model = compiled(built(version=version, attention=attention))
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        loss, *_ = model._window_loss(window_of(model), [], 0, training=True)
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        gradient = np.asarray(tf.convert_to_tensor(gradient))
        assert np.abs(gradient).max() > 1e-6, variable.path
    rows = {1, 2, 3, 4, 5, 6}
    table = tf.convert_to_tensor(
        gradients[[v.path for v in variables].index(model.items.table.path)]
    )
    assert set(np.flatnonzero(np.abs(table).max(axis=1))) == rows, "padding has none"


def test_a_pass_in_training_drops_inputs_bags_and_outputs():
    """C.2, C.4, C.5: element by element, the bag apart from the vectors that it sums."""
    model = built(input_dropout=0.5, output_dropout=0.25)
    events, *_ = window_of(model)
    is_read = model.is_read(events)
    inputs, _ = model._inputs(events[ITEM_IDS], is_read, training=True)
    still, _ = model._inputs(events[ITEM_IDS], is_read)
    x, whole = np.asarray(inputs)[..., :3], np.asarray(still)[..., :3]
    kept = x != 0
    np.testing.assert_allclose(x[kept], 2 * whole[kept], rtol=1e-6)
    assert 0.2 < np.mean(kept[np.asarray(is_read)]) < 0.8
    # One θ a row, though its x are dropped at each event anew.
    theta = np.asarray(inputs)[..., 3:]
    np.testing.assert_array_equal(theta, np.repeat(theta[:, :1], 4, axis=1))
    there = np.asarray(model(events)) != 0  # padding has no output
    dropped = np.stack([np.asarray(model(events, training=True))[there] == 0 for _ in range(40)])
    assert 0.2 < dropped.mean() < 0.3 and np.mean(dropped[1:] != dropped[:-1]) > 0.2


def spied(model, monkeypatch):
    """Notes of each pass of an update: its hidden, the steps before it, what it moves."""
    passes, moves = [], []
    encode_to_train, apply = model.encode_to_train, model.optimizer.apply

    def encode(events, states):
        result = encode_to_train(events, states)
        passes.append(np.asarray(result[0]))
        return result

    def step(gradients, variables):
        before = [np.asarray(v) + 0 for v in model.trainable_variables]
        apply(gradients, variables)
        moves.append(
            {
                variable.path
                for variable, old in zip(model.trainable_variables, before, strict=True)
                if np.abs(np.asarray(variable) - old).max() > 0
            }
        )

    monkeypatch.setattr(model, "encode_to_train", encode)
    monkeypatch.setattr(model.optimizer, "apply", step)
    return passes, moves


@pytest.mark.parametrize("two_phase", [False, True])
def test_the_first_phase_moves_the_network_of_theta_and_the_second_all_else(monkeypatch, two_phase):
    """C.5: two passes and two steps of the optimizer a batch."""
    model = compiled(built(two_phase=two_phase), keras.optimizers.Adam(0.01))
    passes, moves = spied(model, monkeypatch)
    model._update(window_of(model), [])
    every = {variable.path for variable in model.trainable_variables}
    of_theta = {variable.path for variable in model.global_context.trainable_variables}
    assert len(of_theta) == 6 and model.items.table.path not in of_theta
    assert moves == ([of_theta, every - of_theta] if two_phase else [every])
    assert len(passes) == int(model.optimizer.iterations) == 1 + two_phase


def test_the_second_phase_reads_what_the_first_has_made():
    """Two steps of plain descent by hand, from the same model."""
    model = compiled(without_noise(two_phase=True, beta=0.5))
    by_hand = compiled(without_noise(two_phase=True, beta=0.5))
    window = window_of(model)
    model._update(window, [])
    of_theta = list(by_hand.global_context.trainable_variables)
    paths = {variable.path for variable in of_theta}
    others = [v for v in by_hand.trainable_variables if v.path not in paths]
    for variables in (of_theta, others):
        with tf.GradientTape() as tape:
            loss, *_ = by_hand._window_loss(window, [], 0, training=True)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(0.1 * tf.convert_to_tensor(gradient))
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))
    for mine, other in zip(model.weights, by_hand.weights, strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE, err_msg=mine.path)


@pytest.mark.parametrize(
    "noise",
    [
        {"input_dropout": 0.0, "output_dropout": 0.0},
        {"input_dropout": 0.5, "output_dropout": 0.0, "std": "exp"},
        {"input_dropout": 0.0, "output_dropout": 0.5, "std": "exp"},
    ],
)
def test_each_phase_draws_its_noise_anew(monkeypatch, noise):
    """ε, dropout of the inputs, of the outputs: each alone, with weights that stand still."""
    model = compiled(built(two_phase=True, **noise), keras.optimizers.SGD(0.0))
    if noise.get("std") == "exp":
        model.global_context.std_kernel.assign(np.zeros((3, 5)))
        model.global_context.std_bias.assign(np.full(5, -30.0))
    passes, _ = spied(model, monkeypatch)
    for _ in range(2):
        model._update(window_of(model), [])
    assert len(passes) == 4
    for number, mine in enumerate(passes):
        for other in passes[:number]:
            assert np.abs(mine - other)[:3].max() > 1e-3


@pytest.mark.parametrize("raw_drift_init", [False, True])
def test_w_d_is_at_least_zero_after_every_step(raw_drift_init):
    """C-T9, with steps so long that every value would pass below."""
    model = HCRNN(num_items=NUM_ITEMS, **SIZES, raw_drift_init=raw_drift_init, seed=1)
    compiled(model, keras.optimizers.Adam(0.5))
    assert (np.min(model.cell.drift_kernel) < 0) == raw_drift_init
    smallest = []
    for _ in range(3):
        model._update(window_of(model), [])
        smallest.append(np.min(model.cell.drift_kernel))
    assert min(smallest) == np.float32(1e-12) and np.max(model.cell.drift_kernel) > 0.1


def cyclic_histories(num_users=24):
    """The next item is always the one after: easy to learn, of uneven lengths."""
    users = [
        [[1 + (user + t) % NUM_ITEMS for t in range(3 + user % 4)]] for user in range(num_users)
    ]
    return Histories.from_lists(users, num_items=NUM_ITEMS)


def small(**arguments):
    return HCRNN(num_items=NUM_ITEMS, **SIZES, seed=1, **arguments)


@pytest.mark.integration
@pytest.mark.parametrize(("theta", "two_phase"), [("whole", False), ("prefix", True)])
def test_a_fit_learns_and_takes_a_step_a_pass(theta, two_phase):
    """C-T9 and C.5 once more, inside the compiled updates of `fit`."""
    model = compiled(small(theta=theta, two_phase=two_phase), keras.optimizers.Adam(0.05))
    stream = padded_stream(cyclic_histories(), layout=model.layout, batch_size=16, seed=0)
    smallest = []

    def note(batch, logs=None):
        smallest.append(np.min(model.cell.drift_kernel))

    after_each = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    history = model.fit(stream, epochs=12, callbacks=[after_each], verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert int(model.optimizer.iterations) == (1 + two_phase) * len(smallest)
    assert min(smallest) >= np.float32(1e-12)


@pytest.mark.integration
def test_a_fit_with_compiled_steps_is_the_fit_without(monkeypatch):
    """Batches of 64 rows, which `Recurrence` compiles, and the fast energies in both."""
    losses = []
    for rows in (recurrence.COMPILED_ROWS, 10**6):
        monkeypatch.setattr(recurrence, "COMPILED_ROWS", rows)
        model = compiled(small(attention="bi_channel"), keras.optimizers.Adam(0.01))
        # One batch, so that there is one length to compile for.
        stream = prefix_stream(cyclic_histories(18), batch_size=64, seed=0)
        losses.append(model.fit(stream, epochs=6, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.integration
def test_a_causal_model_has_one_loss_on_prefixes_and_on_sequences():
    """C.6: one pass over a sequence is an evaluation of all its prefixes."""
    model = compiled(small(theta="prefix", attention="bi_channel"))
    fill(model, 0.9)
    histories = cyclic_histories(7)
    losses = [
        model.evaluate(make(histories, batch_size=4, order="given"), return_dict=True)["loss"]
        for make in (prefix_stream, sequence_stream)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_theta_of_the_whole_refuses_sequences():
    """Pitfall I.5: a target at each event would know of the events after it."""
    model = compiled(small())
    with pytest.raises(ValueError, match="`x` is a sequences stream, but HCRNN is trained on"):
        model.fit(sequence_stream(cyclic_histories(), batch_size=4), verbose=0)


def runs_of_two_genres(num_users, events, num_items, seed):
    """Users who alternate between the lower and the upper half of the items.

    A run is of 4 to 7 events, all of one item.
    """
    generator, half, users = np.random.default_rng(seed), num_items // 2, []
    for _ in range(num_users):
        genre, history = generator.integers(2), []
        while len(history) < events:
            genre = 1 - genre
            item = 1 + genre * half + generator.integers(half)
            history += [int(item)] * generator.integers(4, 8)
        users.append([history[:events]])
    return Histories.from_lists(users, num_items=num_items)


def drift_of(model, histories):
    """Means of r ⊙ G^d at the first events of runs, without that of a history, and at others."""
    at_switches, inside = [], []
    for history in np.split(histories.item_ids, histories.session_offsets[1:-1]):
        gates = model.explain(history).gates
        genres = history > model.num_items // 2
        for t in range(1, len(history)):
            values = at_switches if genres[t] != genres[t - 1] else inside
            values.append(np.mean(gates["reset"][t] * gates["drift"][t]))
    return np.mean(at_switches), np.mean(inside)


@pytest.mark.integration
@pytest.mark.parametrize("seed", [0])
def test_the_gate_closes_where_the_genre_changes(seed):
    """C-T11: of r ⊙ G^d, the share of the temporary context that is kept.

    Before a training switches and runs are alike. A tendency, which small nets may miss: nothing
    but the loss asks for it.
    """
    model = HCRNN(
        num_items=12,
        units=16,
        item_dim=8,
        num_contexts=4,
        theta="prefix",
        input_dropout=0.0,
        output_dropout=0.0,
        seed=seed,
    )
    compiled(model, keras.optimizers.Adam(0.02))
    unseen = runs_of_two_genres(16, 20, 12, seed=100 + seed)
    at_switches, inside = drift_of(model, unseen)
    assert abs(at_switches - inside) < 0.003
    stream = sequence_stream(runs_of_two_genres(96, 20, 12, seed), batch_size=16, seed=0)
    model.fit(stream, epochs=30, verbose=0)
    at_switches, inside = drift_of(model, unseen)
    assert at_switches < inside - 0.005
