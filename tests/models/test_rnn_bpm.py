import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.prefixes import prefix_stream
from hrec_tf.losses import CrossEntropy, InBatch
from hrec_tf.models import RNNBPM
from tests.reference.padded_rows import padded_events
from tests.reference.prefix_models import (
    as_float64,
    assert_gradients_agree,
    rnn_bpm_logits,
    rnn_bpm_variables,
)
from tests.reference.weights import fill_drawn

NUM_ITEMS = 6
SIZES = {"item_dim": 3, "units": 4, "short_events": 2, "popular_share": 0.5, "epsilon": 0.01}
HISTORIES = [[3, 1, 6, 2, 5], [5, 2], [4, 4, 6], [1]]
"""The third has no popular item."""


def built(**arguments):
    model = RNNBPM(num_items=NUM_ITEMS, seed=1, **SIZES | arguments)
    fill_drawn(model)
    return model


def scores_of(model, history):
    return model.score(model(padded_events([history])))[0, 0].numpy()


def logits_of(weights, history):
    options = {"num_items": NUM_ITEMS, "num_popular": 3, "short_events": 2, "epsilon": 0.01}
    return rnn_bpm_logits(weights, history, **options)


@pytest.mark.parametrize("cell", ["elman", "gru"])
def test_scores_agree_with_a_float64_loop(cell):
    model = built(cell=cell)
    weights = as_float64(rnn_bpm_variables(model))
    scores = model.score(model(padded_events(HISTORIES)))[:, 0]
    for row, history in enumerate(HISTORIES):
        expected = logits_of(weights, history)
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5, atol=1e-5)


def test_gradients_are_difference_quotients_of_the_loop():
    """What all together learn by."""
    model = built()
    assert_gradients_agree(model, rnn_bpm_variables(model), logits_of)


def test_golden_scores():
    """p_1 = (3/4, 1/4), p_2 = 1/2 each, and of the popular item 1 alone p_3 = (1, ε).

    With A = 1, a = 0, c = 2 a score is 2 x / (1 + x), x the product of all 2 p_m: 3/2 · 1 · 2 and
    1/2 · 1 · 2 ε, for ε = 1/4; after the other item p_3 is 1/2 each, and x is 3/2 and 1/2.
    """
    model = RNNBPM(
        num_items=2, item_dim=1, units=1, combining_units=1, popular_share=0.1, epsilon=0.25
    )
    for weight in model.trainable_weights:
        weight.assign(tf.zeros_like(weight))
    model.networks[0].scores.bias.assign([[0.0], [np.log(3)], [0.0]])
    model.combining.kernel.assign(tf.ones((3, 1)))
    model.combined.kernel.assign([[2.0]])
    np.testing.assert_allclose(scores_of(model, [1]), [3 / 2, 2 / 5], rtol=1e-6)
    np.testing.assert_allclose(scores_of(model, [2]), [6 / 5, 2 / 3], rtol=1e-6)


@pytest.mark.parametrize("part", range(3))
def test_a_combination_that_hears_one_network_ranks_as_it_does(part):
    model = built()
    model.combining.kernel.assign(np.eye(3)[:, [part] * 8] * 0.1)
    model.combined.kernel.assign(tf.ones((8, 1)))
    memory = tf.split(model(padded_events(HISTORIES)), 3, axis=-1)[part]
    alone = model.networks[part].log_np(memory).numpy()[:, 0]
    ranked = np.argsort(-alone, kind="stable")
    for row, history in enumerate(HISTORIES):
        ranking = np.argsort(-scores_of(model, history), kind="stable")
        np.testing.assert_array_equal(ranking, ranked[row])


def test_three_networks_that_agree_rank_as_one():
    model = RNNBPM(num_items=NUM_ITEMS, seed=1, item_dim=3, units=4, popular_share=1.0)
    first, *others = model.networks
    fill_drawn(first)
    for other in others:
        other.set_weights(first.get_weights())
    memory, *_ = tf.split(model(padded_events(HISTORIES)), 3, axis=-1)
    for row, history in enumerate(HISTORIES):
        alone = first.log_np(memory).numpy()[row, 0]
        np.testing.assert_array_equal(np.argsort(scores_of(model, history)), np.argsort(alone))


def test_each_network_reads_its_own_events():
    """Of [3, 1, 6, 2, 5]: all, the last two, and 3, 1, 2."""
    model = built()

    def memories(history):
        return [m.numpy() for m in tf.split(model(padded_events([history])), 3, axis=-1)]

    before = memories([3, 1, 6, 2, 5])
    for history, moved in (
        ([3, 1, 4, 2, 5], {0}),
        ([3, 1, 6, 2, 4], {0, 1}),
        ([2, 1, 6, 2, 5], {0, 2}),
        ([3, 1, 6, 1, 5], {0, 1, 2}),
    ):
        pairs = zip(memories(history), before, strict=True)
        assert {m for m, (new, old) in enumerate(pairs) if np.abs(new - old).max() > 1e-4} == moved


def fitted(model, epochs, **options):
    histories = Histories.from_lists([[[3, 1, 2]], [[5, 3, 1]]], num_items=NUM_ITEMS)
    stream = prefix_stream(histories, batch_size=4, order="given", augment=False)
    model.compile(keras.optimizers.SGD(0.5), CrossEntropy(normalise="valid"))
    model.fit(stream, epochs=epochs, verbose=0, **options)


def parts_of(model):
    """Variables of each network, and those that combine them."""
    combining = [model.combining.kernel, model.combining.bias, model.combined.kernel]
    return [*(network.trainable_variables for network in model.networks), combining]


def values_of(model):
    return [[np.asarray(variable) for variable in part] for part in parts_of(model)]


def are_moved(model, before):
    return [
        any(np.abs(new - old).max() > 1e-6 for new, old in zip(*pair, strict=True))
        for pair in zip(values_of(model), before, strict=True)
    ]


@pytest.mark.integration
def test_networks_learn_apart_and_then_the_combination_alone():
    model = built(rnn_epochs=1)
    before = values_of(model)
    fitted(model, 1)
    assert are_moved(model, before) == [True, True, True, False]
    before = values_of(model)
    fitted(model, 2, initial_epoch=1)
    assert are_moved(model, before) == [False, False, False, True]
    joint = built(rnn_epochs=None)
    before = values_of(joint)
    fitted(joint, 1)
    assert are_moved(joint, before) == [True, True, True, True]


@pytest.mark.integration
def test_compiled_updates_follow_the_stages():
    """One `fit` over both: what was compiled for the first must not go on in the second."""
    model, moved = built(rnn_epochs=1), []
    seen = [values_of(model)]

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            moved.append(are_moved(model, seen[-1]))
            seen.append(values_of(model))

    fitted(model, 2, callbacks=[Watch()])
    assert moved == [[True, True, True, False], [False, False, False, True]]


@pytest.mark.integration
def test_an_update_of_a_network_is_that_of_its_own_cross_entropy():
    model, fresh = built(), built()
    fitted(model, 1)
    sequences = fresh._sequences(padded_events([[3, 1], [5, 3]]))
    for part, network in enumerate(fresh.networks):
        with tf.GradientTape() as tape:
            log_np = network.log_np(network(sequences[part]))[:, 0]
            loss = tf.reduce_mean(CrossEntropy().full_row_losses(log_np, [2, 1]))
        variables = network.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        for new, old, gradient in zip(values_of(model)[part], variables, gradients, strict=True):
            expected = old - 0.5 * tf.convert_to_tensor(gradient)
            np.testing.assert_allclose(new, expected, rtol=1e-4, atol=1e-6)


def test_a_rare_target_teaches_the_network_of_popular_items_nothing():
    network = built().networks[2]
    with tf.GradientTape() as tape:
        log_np = network.log_np(network(tf.constant([[3, 1], [3, 1]])))[:, 0]
        losses = CrossEntropy().full_row_losses(log_np, [2, 5])
    of_rows = tape.jacobian(losses, network.scores.bias.value)
    assert np.abs(of_rows[0]).max() > 1e-2
    np.testing.assert_allclose(of_rows[1], 0, atol=1e-6)


def test_before_the_combination_is_learnt_likelier_ranks_higher():
    model = RNNBPM(num_items=NUM_ITEMS, seed=1)
    for layer in (model.combining, model.combined):
        assert np.min(layer.kernel) > 0 and np.max(layer.kernel) < 0.5


def test_what_it_cannot_do_is_named_and_mended():
    with pytest.raises(ValueError, match=r"`epsilon` must be in \(0, 1\], but was 0\. Leave"):
        built(epsilon=0)
    with pytest.raises(ValueError, match=r"`rnn_epochs` must be a positive int.*or None to train"):
        built(rnn_epochs=0)
    with pytest.raises(ValueError, match=r"`cell` was 'elmann'.*Did you mean 'elman'"):
        built(cell="elmann")
    with pytest.raises(ValueError, match=r"`positions` has 2 targets a row.*Pass one"):
        built()(padded_events([[3, 1, 2]], [[0, 2]]))
    with pytest.raises(ValueError, match=r"`negatives` was .*the whole catalogue.*Leave it out"):
        built().compile(loss=CrossEntropy(), negatives=InBatch())
