import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import lane_stream
from hrec_tf.losses import TOP1, CrossEntropy, InBatch
from hrec_tf.models import HSLSTM
from hrec_tf.models.hs_lstm import log_policy, segment_rewards
from hrec_tf.schema import CONCATENATED, GAP, ITEM_IDS, SESSION_START, USER_START
from hrec_tf.training import Checkpoint
from tests.reference.policy import policy_loss_loop, rewards_loop
from tests.reference.recurrent import hs_lstm_loop, sigmoid
from tests.reference.weights import fill_distinct

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS, LOWER, UPPER = 6, 4, 2
SIZES = {"num_items": NUM_ITEMS, "item_dim": 3, "lower_units": LOWER, "upper_units": UPPER}

# Keras 3.15 saves a tf.Variable by np.array(), whose TensorFlow side knows no `copy` (NumPy 2).
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)


def built(**arguments):
    model = HSLSTM(**SIZES | {"dropout": 0.0, "seed": 1} | arguments)
    fill_distinct(model)
    if model.cell.policy:
        model.cell.policy[1].assign([0.5])
    model.cell.follow(1.0)
    return model


def events_of(ids=((2, 5, 1, 6, 3),), *, starts=(True, False, True, False, True), gaps=None):
    shape = np.shape(ids)
    first = np.broadcast_to(np.arange(shape[1]) == 0, shape)
    gaps = [0, 3600, 90_000, 20, 7][: shape[1]] if gaps is None else gaps
    return {
        ITEM_IDS: tf.constant(ids, tf.int32),
        GAP: tf.constant(np.broadcast_to(gaps, shape), tf.int32),
        SESSION_START: tf.constant(np.broadcast_to(starts[: shape[1]], shape)),
        USER_START: tf.constant(first),
    }


def expected_scores(model, events, bar):
    """By the float64 loop, with the cell's outputs."""
    bias, table = (np.asarray(w, np.float64) for w in model.item_scores.weights)
    told = [np.log1p(events[GAP].numpy() / 60)] if model.reads_gaps else []
    told = [*told, bar, events[USER_START].numpy()]
    inputs = np.concatenate([table[events[ITEM_IDS].numpy()], np.stack(told, -1)], -1)
    states = [np.zeros((len(inputs), size)) for size in model.cell.state_size]
    outputs, _ = hs_lstm_loop(model.cell, inputs, states)
    kernel = np.asarray(model.output_map.kernel, np.float64)
    return outputs[..., : UPPER + LOWER] @ kernel @ table[1:].T + bias.ravel()[1:], outputs


@pytest.mark.parametrize("use_gaps", [True, False])
def test_scores_are_the_equations(use_gaps):
    """equations F.2: o = [h^p; h^w], r̂ = o W_o; greedy outside of training."""
    model, events = built(use_gaps=use_gaps), events_of()
    expected, outputs = expected_scores(model, events, np.zeros((1, 5)))
    np.testing.assert_allclose(model.score(model(events)), expected, **FLOAT32_NOISE)
    assert np.any(outputs[..., -1]), "a segment ends"


def test_given_boundaries_are_the_starts_of_sessions():
    model, events = built(boundaries="given"), events_of()
    bar = np.where(events[SESSION_START], -np.inf, np.inf)
    expected, _ = expected_scores(model, events, bar)
    np.testing.assert_allclose(model.score(model(events)), expected, **FLOAT32_NOISE)
    np.testing.assert_array_equal(
        model.encode(events, model.initial_states(1), True)[0], model(events)
    )


def test_supervised_segments_are_sessions_in_training_and_those_of_the_policy_else():
    """The loss is the cross-entropy of π with the starts of sessions, but for first events."""
    model, events = built(boundaries="supervised"), events_of()
    bar = np.where(events[SESSION_START], -np.inf, np.inf)
    expected, outputs = expected_scores(model, events, bar)
    hidden, _, loss = model.encode_to_train(events, model.initial_states(1))
    np.testing.assert_allclose(model.score(hidden), expected, **FLOAT32_NOISE)
    pi, starts = sigmoid(outputs[0, 1:, -3]), events[SESSION_START].numpy()[0, 1:]
    mine = -np.log(np.where(starts, pi, 1 - pi)).mean()
    np.testing.assert_allclose(loss, mine, rtol=1e-5)
    padded = events_of(ids=[[2, 5, 1, 6, 0]])
    *_, without = model.encode_to_train(padded, model.initial_states(1))
    np.testing.assert_allclose(
        without, -np.log(np.where(starts, pi, 1 - pi))[:-1].mean(), rtol=1e-5
    )
    greedy, _ = expected_scores(model, events, np.zeros((1, 5)))
    np.testing.assert_allclose(model.score(model(events)), greedy, **FLOAT32_NOISE)
    assert np.abs(greedy - expected).max() > 1e-3


@pytest.mark.integration
def test_supervised_updates_move_everything_from_the_first_epoch_on():
    model = eager(boundaries="supervised")
    before = [weight.numpy() for weight in (*model.trainable_variables, *model.cell.acting_policy)]
    model.fit(stream_of(cyclic()), epochs=1, verbose=0)
    after = [*model.trainable_variables, *model.cell.acting_policy]
    for weight, held in zip(after, before, strict=True):
        assert np.any(weight.numpy() != held), weight.path
    assert any(
        len(weight.shape) == 2 and weight.shape[1] == 1 for weight in model.trainable_variables
    )


@pytest.mark.parametrize("heuristic", ["session", "every_third"])
def test_the_first_phase_has_the_segments_of_a_heuristic(heuristic):
    model = built(heuristic=heuristic)
    events = events_of(ids=[[2, 5, 1, 6, 3, 4, 4, 1]] * 2, starts=[True, False] * 4, gaps=5)
    # The second row goes on with a user of the window before.
    events[USER_START] &= [[True], [False]]
    bar = model._bar(events, training=True)
    ends = model._read(events, model.initial_states(2), bar)[2][..., -1]
    expected = {"session": [0, 0, 1, 0, 1, 0, 1, 0], "every_third": [0, 0, 0, 1, 0, 0, 1, 0]}
    starts = [1.0 * (heuristic == "session"), *expected[heuristic][1:]]
    assert ends.numpy().tolist() == [expected[heuristic], starts]


def some_window(seed=0, lanes=4, steps=9):
    """log p, b, user starts and which steps count; lane 0 has none, the last one decision."""
    generator = np.random.default_rng(seed)
    user_start = generator.random((lanes, steps)) < 0.2
    ends = (generator.random((lanes, steps)) < 0.4) & ~user_start
    is_pair = generator.random((lanes, steps)) < 0.7
    is_pair[0], is_pair[-1] = False, np.arange(steps) == 4
    return [
        -generator.exponential(size=(lanes, steps)),
        ends.astype(float),
        user_start,
        is_pair.astype(float),
    ]


def rewards_of(log_p, ends, user_start, is_pair, **arguments):
    floats = (tf.constant(values, tf.float32) for values in (log_p, ends, is_pair))
    log_p, ends, is_pair = floats
    return segment_rewards(log_p, ends, tf.constant(user_start), is_pair, **arguments).numpy()


@pytest.mark.parametrize("reward", ["following", "terminal"])
def test_rewards_agree_with_a_float64_loop(reward):
    window, arguments = some_window(), {"gamma": 0.3, "reward": reward}
    is_pair = window[-1] > 0
    found, expected = rewards_of(*window, **arguments), rewards_loop(*window, **arguments)
    np.testing.assert_allclose(found[is_pair], expected[is_pair], **FLOAT32_NOISE)


def test_golden_rewards():
    """Two users of 2 and 3 events; the last event has no next item and counts nowhere.

    The first: L' = 2, T = 2, so 2/2 + 2/20 = 1.1. The second: L' = 1, T = 2: 1/2 + 2/10 = 0.7.
    """
    log_p, ends = [[-1.0, -3.0, -2.0, -4.0, -99.0]], [[0.0, 1.0, 0.0, 0.0, 1.0]]
    user_start = [[True, False, True, False, False]]
    is_pair = [[1.0, 1.0, 1.0, 1.0, 0.0]]
    following, terminal = (
        rewards_of(log_p, ends, user_start, is_pair, gamma=1.0, reward=reward)[0, :4]
        for reward in ("following", "terminal")
    )
    np.testing.assert_allclose(following, [-2 - 1.1, -3 - 1.1, -3 - 0.7, -4 - 0.7], rtol=1e-6)
    np.testing.assert_allclose(terminal, [-2 - 1.1, -2 - 1.1, -3 - 0.7, -3 - 0.7], rtol=1e-6)


def test_segments_of_about_three_events_cost_least():
    """F2-T4: L' / T + T / (10 L') is least at L' / T = √0.1, which 10 events nearly reach."""
    for num_events, best in ((10, 3), (19, 6), (100, 32)):
        ends = np.tril(np.ones((num_events, num_events)), -1)
        start = np.zeros((num_events, num_events), bool)
        zeros, ones = np.zeros(ends.shape), np.ones(ends.shape)
        costs = -rewards_of(zeros, ends, start, ones, gamma=1.0, reward="terminal")[:, 0]
        assert 1 + costs.argmin() == best
        assert best == round(num_events * np.sqrt(0.1))
        np.testing.assert_allclose(costs.min(), 2 * np.sqrt(0.1), rtol=0.01)


def test_the_policy_gradient_is_that_of_the_expected_reward():
    """F2-T3: two decisions, four structures, each forced by its bar and weighed by its chance.

    The expectation over them of Σ_t R ∇ log π(b_t) is the gradient of the expected R, found by
    difference quotients in float64.
    """
    model = built()
    structures = list(itertools.product([False, True], repeat=2))
    events = events_of(ids=[[2, 5, 1]] * 4)
    bar = np.where([[False, *ends] for ends in structures], -np.inf, np.inf)
    next_ids = np.array([[5, 1, 4]] * 4)

    def expected_reward():
        scores, outputs = expected_scores(model, events, bar)
        log_softmax = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        log_p = np.take_along_axis(log_softmax, next_ids[..., None] - 1, -1)[..., 0]
        z, _, ends = np.moveaxis(outputs[..., -3:], -1, 0)
        told = {"gamma": 0.1, "reward": "terminal"}
        rewards = rewards_loop(log_p, ends, events[USER_START].numpy(), np.ones((4, 3)), **told)
        pi = np.where(ends > 0, sigmoid(z), 1 - sigmoid(z))[:, 1:].prod(axis=1)
        assert ends[:, 1:].astype(bool).tolist() == [list(s) for s in structures]
        np.testing.assert_allclose(pi.sum(), 1.0)
        return (pi * rewards[:, -1]).sum()

    with tf.GradientTape() as tape:
        hidden, _, outputs = model._read(
            events, model.initial_states(4), tf.constant(bar, tf.float32)
        )
        losses = CrossEntropy().full_row_losses(model.score(hidden), tf.constant(next_ids))
        z, _, ends = tf.unstack(outputs[..., -3:], axis=-1)
        ones = tf.ones((4, 3))
        rewards = segment_rewards(
            -losses, ends, events[USER_START], ones, gamma=0.1, reward="terminal"
        )
        log_pi = log_policy(z, ends)[:, 1:]
        chance = tf.exp(tf.reduce_sum(log_pi, axis=1, keepdims=True))
        total = tf.reduce_sum(tf.stop_gradient(chance * rewards[:, 1:]) * log_pi)
    gradients = tape.gradient(total, [weight.value for weight in model.cell.policy])
    for weight, gradient in zip(model.cell.policy, gradients, strict=True):
        for place in np.ndindex(*weight.shape):
            values, found = weight.numpy(), []
            for step in (0.02, -0.02):
                moved = values.copy()
                moved[place] += step
                weight.assign(moved)
                found.append(expected_reward())
            weight.assign(values)
            np.testing.assert_allclose(
                gradient.numpy()[place], (found[0] - found[1]) / 0.04, rtol=1e-3, atol=1e-6
            )


def test_the_loss_of_the_policy_agrees_with_a_float64_loop():
    model = built(gamma=0.3)
    model.baseline.assign(np.linspace(-1, 1, 8))
    log_p, ends, user_start, is_pair = some_window()
    z = np.random.default_rng(3).normal(size=ends.shape)
    weights = is_pair * 0.5
    rewards = rewards_loop(
        log_p, ends, user_start, is_pair, **{"gamma": 0.3, "reward": "following"}
    )
    expected, after = policy_loss_loop(
        z, ends, rewards, (is_pair > 0) & ~user_start, model.baseline.numpy()
    )

    def loss_of(row_losses):
        model.baseline.assign(np.linspace(-1, 1, 8))
        floats = [tf.cast(values, tf.float32) for values in (z, ends, row_losses, weights)]
        return model._policy_loss(*floats[:2], tf.constant(user_start), *floats[2:])

    np.testing.assert_allclose(loss_of(-log_p), expected, rtol=1e-4)
    np.testing.assert_allclose(model.baseline, after, **FLOAT32_NOISE)
    with tf.GradientTape() as tape:
        row_losses = tf.constant(-log_p, tf.float32)
        tape.watch(row_losses)
        loss = loss_of(row_losses)
    assert tape.gradient(loss, row_losses) is None, "a reward is a number"
    # Rows of weight 0 are not read, whatever they hold.
    np.testing.assert_allclose(loss_of(np.where(is_pair > 0, -log_p, np.nan)), expected, rtol=1e-4)


def cyclic(users=4, events=6):
    """The next item is always one above; a session ends now and then."""
    draw = np.random.default_rng(5)
    histories = []
    for user in range(users):
        ids = [1 + (user + event) % NUM_ITEMS for event in range(events)]
        cuts = sorted(draw.choice(np.arange(1, events), 3, replace=False))
        histories.append([list(map(int, part)) for part in np.split(ids, cuts)])
    return Histories.from_lists(histories, num_items=NUM_ITEMS)


def stream_of(histories, **arguments):
    return lane_stream(
        histories,
        layout=CONCATENATED,
        with_gaps=True,
        **{"num_lanes": 4, "steps": 3, "seed": 2} | arguments,
    )


def compiled(model, **arguments):
    model.compile(
        **{"optimizer": keras.optimizers.Adam(0.02), "loss": CrossEntropy(), "jit_compile": False}
        | arguments
    )
    return model


def eager(**arguments):
    """Three phases are three programs, which take longer to compile than these epochs.

    Weights that decay move without a gradient, too, once the optimizer is told of them.
    """
    model = HSLSTM(**SIZES, seed=1, **arguments)
    optimizer = keras.optimizers.AdamW(0.02, weight_decay=0.1)
    return compiled(model, optimizer=optimizer, jit_compile="auto", run_eagerly=True)


@pytest.mark.integration
def test_phases_move_the_lstms_then_the_policy_then_both():
    model = eager(pretrain_epochs=2)
    stream, moved = stream_of(cyclic()), []
    watched = {
        "policy": model.cell.policy[0],
        "acting": model.cell.acting_policy[0],
        "lower": model.cell.lower_cell.kernel,
        "upper": model.cell.upper_cell.kernel,
        "items": model.item_scores.items.table,
        "baseline": model.baseline,
    }
    for epoch in range(4):
        before = {name: weight.numpy() for name, weight in watched.items()}
        model.fit(stream, initial_epoch=epoch, epochs=epoch + 1, verbose=0)
        moved.append({name for name, w in watched.items() if np.any(w.numpy() != before[name])})
    lstms, policy = {"lower", "upper", "items"}, {"policy", "acting", "baseline"}
    assert moved == [lstms, lstms, policy, lstms | policy]
    assert not np.array_equal(watched["policy"], watched["acting"])


@pytest.mark.integration
def test_compiled_updates_follow_the_phases():
    """One `fit` over all three: what was compiled for a phase must not go on in the next."""
    model = HSLSTM(**SIZES, seed=1)
    compiled(model, optimizer=keras.optimizers.Adam(0.02), jit_compile=False)
    watched = [model.cell.policy[0], model.cell.lower_cell.kernel]
    seen = [[weight.numpy() for weight in watched]]

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([weight.numpy() for weight in watched])

    model.fit(stream_of(cyclic()), epochs=3, callbacks=[Watch()], verbose=0)
    moved = [
        [bool(np.any(new != old)) for new, old in zip(after, before, strict=True)]
        for before, after in itertools.pairwise(seen)
    ]
    assert moved == [[False, True], [True, False], [True, True]]


@pytest.mark.integration
def test_a_training_goes_on_in_the_phase_where_it_was_left(tmp_path):
    """Θ', the averages of the rewards and the noise are remembered; a `.keras` file has weights."""
    whole, first, second = (eager(pretrain_epochs=1) for _ in range(3))
    whole.fit(stream_of(cyclic()), epochs=4, verbose=0)
    path = tmp_path / "training.npz"
    first.fit(stream_of(cyclic()), epochs=2, checkpoint=Checkpoint(path), verbose=0)
    second.fit(stream_of(cyclic()), epochs=4, checkpoint=Checkpoint(path), verbose=0)
    second.save(tmp_path / "model.keras")
    saved = keras.saving.load_model(tmp_path / "model.keras")
    assert np.any(saved.baseline)
    for again in (second, saved):
        for mine, other in zip(whole.weights, again.weights, strict=True):
            np.testing.assert_allclose(mine, other, err_msg=mine.path, **FLOAT32_NOISE)


@pytest.mark.integration
def test_the_policy_learns_what_is_rewarded():
    """γ so large that nothing else counts: one event in four or five begins a segment, not half.

    With sampled columns, for which the updates are compiled by XLA.
    """
    model = compiled(
        HSLSTM(**SIZES, seed=1, gamma=1000.0, pretrain_epochs=0, policy_epochs=9),
        loss=TOP1(),
        negatives=InBatch(),
        optimizer=keras.optimizers.Adam(0.1),
        jit_compile="auto",
    )
    histories = cyclic(users=24, events=21)
    stream = stream_of(histories, num_lanes=8, steps=10)
    events = next(iter(stream_of(histories, num_lanes=24, steps=20)))[0]

    def share_of_ends():
        states = model.initial_states(24)
        outputs = model._read(events, states, tf.zeros(events[ITEM_IDS].shape))[2]
        return float(tf.reduce_mean(tf.sigmoid(outputs[:, 1:, -2])))

    assert abs(share_of_ends() - 0.5) < 0.1
    model.fit(stream, epochs=9, verbose=0)
    assert 0.1 < share_of_ends() < 0.35


def test_training_draws_segments_as_often_as_the_policy_says_and_nothing_else_does():
    lanes = 5000
    model, events = built(pretrain_epochs=0), events_of(ids=[[2, 5]] * lanes)
    states = model.initial_states(lanes)
    bars = model._bar(events, training=True)
    ends = model._read(events, states, bars)[2][:, 1, -1]
    pi = model.explain([2, 5], gaps=events[GAP][0]).boundaries["segment"][1]
    np.testing.assert_allclose(np.mean(ends), pi, atol=4 * np.sqrt(0.25 / lanes))
    drawn, again = (model.encode(events, states, training=True)[0] for _ in range(2))
    assert np.any(drawn != drawn[:1]) and np.any(drawn != again)
    greedy, _ = model.encode(events, states)
    np.testing.assert_array_equal(greedy[0], greedy[1])


def test_an_explanation_holds_the_policys_view_and_the_states():
    model, events = built(), events_of()
    found = model.explain([2, 5, 1, 6, 3], gaps=events[GAP].numpy()[0])
    _, outputs = expected_scores(model, events, np.zeros((1, 5)))
    pi = sigmoid(outputs[0, :, -2])
    pi[0] = 0
    np.testing.assert_allclose(found.boundaries["segment"], pi, **FLOAT32_NOISE)
    assert (found.boundaries["segment"] > 0.5).tolist() == outputs[0, :, -1].astype(bool).tolist()
    np.testing.assert_allclose(found.states["upper"], outputs[0, :, :UPPER], **FLOAT32_NOISE)
    lower = outputs[0, :, UPPER : UPPER + LOWER]
    np.testing.assert_allclose(found.states["lower"], lower, **FLOAT32_NOISE)
    other = model.explain([2, 5, 1, 6, 3], gaps=[0] * 5).boundaries["segment"]
    assert np.abs(other - pi).max() > 1e-3, "gaps are read"


def test_an_explanation_of_given_sessions_finds_none():
    model = built(boundaries="given", use_gaps=False)
    found = model.explain([2, 5, 1, 6], session_start=[True, False, True, False])
    assert not found.boundaries, "nothing was found"
    assert not found.states["upper"][:2].any() and np.abs(found.states["upper"][2:]).min() > 0


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "`gaps` was None, but this model reads it at every event. Pass one value"),
        ({"gaps": [0, 1, 2, 3]}, "`session_start` was None, but this model reads it at every"),
        ({"gaps": [0, 1]}, r"`gaps` has shape \(2,\), but the history has 4 events"),
    ],
)
def test_an_explanation_lacks_nothing(told, message):
    with pytest.raises(ValueError, match=message):
        built(boundaries="given").explain([2, 5, 1, 6], **told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"boundaries": "given", "gamma": 0.2}, "`gamma` was 0.2 with boundaries='given'"),
        ({"boundaries": "given", "policy_epochs": 2}, "`policy_epochs` was 2 with boundaries="),
        ({"boundaries": "supervised", "reward": "terminal"}, "`reward` was 'terminal' with bound"),
        (
            {"heuristic": "every_third", "pretrain_epochs": 0},
            "`heuristic` was 'every_third' with pretrain_epochs=0",
        ),
        ({"reward": "terminl"}, "`reward` was 'terminl'.*Did you mean 'terminal'"),
        ({"pretrain_epochs": -1}, "`pretrain_epochs` must be an int of at least 0, but was -1"),
    ],
)
def test_bad_options_are_named_and_mended(arguments, message):
    with pytest.raises(ValueError, match=message):
        HSLSTM(**SIZES, **arguments)
