"""What every model promises. A new model is a new row in `cases.py`.

Promises of models of lanes alone are in `test_lane_models.py`, those of models of padded rows in
`test_prefix_models.py`.
"""

import functools
import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf import registry
from hrec_tf.baselines import Popularity
from hrec_tf.evaluation import evaluate
from hrec_tf.schema import ITEM_IDS
from tests.conformance.cases import (
    CASES,
    NUM_ITEMS,
    PREFIX_CASES,
    SAMPLED_CASES,
    TRAINED_CASES,
    cases_of,
    cyclic_histories,
    distinct,
    for_each,
)

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
ROWS, STEPS = 3, 5
EPOCHS = 6
TRAINED_ON = ("GRU4Rec of two layers", "HRNN All", "HRNN-meta", "NARM")
"""Are trained on after they were saved, in other batches: how they train is the same for all."""

# Keras 3.15 saves a tf.Variable by np.array(), whose TensorFlow side knows no `copy` (NumPy 2).
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)
every_model = for_each(CASES + PREFIX_CASES)
every_trained_model = for_each(TRAINED_CASES)


@functools.cache
def trained(case):
    """A model after a fit in three rows, with its history; made once, never to be changed."""
    histories, model = cyclic_histories(), case.build()
    case.compile(model, histories)
    history = model.fit(case.stream(histories, rows=ROWS), epochs=EPOCHS, verbose=0).history
    return model, history


@pytest.mark.parametrize("name", registry.names("model"))
def test_every_network_of_the_registry_has_a_row_and_is_trained(name):
    assert not set(TRAINED_CASES).isdisjoint(cases_of(name))


@every_model
def test_a_configuration_is_plain_data_that_rebuilds_the_model(case):
    model = case.build()
    config = model.get_config()
    again = type(model).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert {"num_items", "seed", *case.arguments} <= set(config)
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


@pytest.mark.integration
@every_trained_model
def test_a_fit_lowers_the_loss(case):
    _, history = trained(case)
    assert history["loss"][-1] < 0.93 * history["loss"][0]


@pytest.mark.integration
@every_trained_model
def test_a_fit_beats_popularity_on_a_stream_that_it_should_learn(case):
    """By far: of items that are about as popular, fresh weights tell up to twice as much as POP."""
    model, _ = trained(case)
    histories = cyclic_histories()
    found, popular = (
        evaluate(ranking, case.as_read(histories), ks=[1, NUM_ITEMS]).metrics
        for ranking in (model, Popularity().fit(histories))
    )
    for metric in ("Recall@1", f"MRR@{NUM_ITEMS}"):
        assert found[metric] > 2.5 * popular[metric], metric


@pytest.mark.integration
@every_trained_model
def test_a_fit_is_compiled_once(case):
    """Padded batches, which differ in length, have one program for all lengths."""
    model, _ = trained(case)
    assert model._train_chunk.experimental_get_tracing_count() == 1


@pytest.mark.integration
@every_trained_model
def test_a_saved_model_scores_alike_and_trains_on_in_other_batches(case, tmp_path):
    """A `.keras` file holds what `compile` was given, the optimizer's sums, and no lane's states.

    Pitfall 1.12: the number of lanes is no part of a model.
    """
    model, history = trained(case)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")

    events = case.events(rows=ROWS, steps=STEPS)
    np.testing.assert_array_equal(again.score(again(events)), model.score(model(events)))
    config = again.get_compile_config()
    assert config == model.get_compile_config()
    assert {"optimizer", "loss", "negatives", "metrics"} <= set(config)
    assert (config["windows_per_chunk"], config["jit_compile"]) == (case.windows_per_chunk, False)
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations) > 0
    ours, theirs = again.optimizer.variables, model.optimizer.variables
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)

    states = {tuple(state.shape) for state in model.initial_states(ROWS)}
    assert not states & {tuple(weight.shape) for weight in again.variables}
    if case.name in TRAINED_ON:
        stream = case.stream(cyclic_histories(), rows=5)
        more = again.fit(stream, verbose=0).history
        assert more["loss"][0] < history["loss"][0]


@every_model
def test_shapes(case):
    model, encode = distinct(case)
    events, states = case.events(rows=ROWS, steps=STEPS), model.initial_states(ROWS)
    hidden, after = encode(events, states)
    targets = case.targets(events)
    assert hidden.shape[:2] == targets
    assert [s.shape for s in after] == [s.shape for s in states]
    assert model(events).shape == hidden.shape
    assert model.score(hidden).shape == (*targets, NUM_ITEMS)
    assert model.score(hidden[:, 0]).shape == (ROWS, NUM_ITEMS)


@every_model
def test_only_training_draws(case):
    model = case.build()
    events, states = case.events(rows=ROWS, steps=STEPS), model.initial_states(ROWS)
    first, again = (model.encode(events, states)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    trained, anew = (model.encode(events, states, training=True)[0] for _ in range(2))
    config = model.get_config()
    drops = any(v for name, v in config.items() if name.endswith("dropout"))
    draws_boundaries = config.get("estimator", "threshold") != "threshold"
    assert np.array_equal(trained, anew) != (drops or draws_boundaries)


@every_model
def test_scores_of_some_items_are_columns_of_the_catalogue(case):
    model, encode = distinct(case)
    hidden, _ = encode(case.events(rows=ROWS, steps=STEPS), model.initial_states(ROWS))
    logits = np.asarray(model.score(hidden))
    some = tf.constant([12, 1, 7, 7])
    for rows, expected in ((hidden, logits), (hidden[:, -1], logits[:, -1])):
        np.testing.assert_allclose(
            model.score(rows, some), expected[..., [11, 0, 6, 6]], **FLOAT32_NOISE
        )
    # Each row may have candidates of its own.
    own = tf.constant(np.random.default_rng(1).integers(1, NUM_ITEMS + 1, (*hidden.shape[:2], 3)))
    expected = np.take_along_axis(logits, own.numpy() - 1, axis=-1)
    np.testing.assert_allclose(
        model.score(hidden[:, :, None], own)[:, :, 0], expected, **FLOAT32_NOISE
    )
    # Each step may have candidates of its own, shared by its rows.
    steps = hidden.shape[1]
    per_step = tf.constant(np.random.default_rng(2).integers(1, NUM_ITEMS + 1, (steps, 4)))
    by_step = model.score(tf.transpose(hidden, [1, 0, 2]), per_step)
    expected = [logits[:, step][:, per_step[step] - 1] for step in range(steps)]
    np.testing.assert_allclose(by_step, expected, **FLOAT32_NOISE)


@for_each(SAMPLED_CASES)
def test_gradients_of_tables_cover_the_rows_of_the_batch(case):
    """Pitfalls 1.9: a step on sampled columns costs the same for any catalogue."""
    model, _ = distinct(case)
    events, columns = case.events(rows=2, steps=2), tf.constant([3, 4, 5])
    tables = [w for w in model.trainable_weights if w.shape[0] == NUM_ITEMS + 1]
    with tf.GradientTape() as tape:
        hidden, _ = model.encode(events, model.initial_states(2))
        loss = tf.reduce_sum(tf.sin(model.score(hidden, columns)))
    gradients = tape.gradient(loss, [table.value for table in tables])
    assert tables, "at least the output layer has one"
    for table, gradient in zip(tables, gradients, strict=True):
        assert isinstance(gradient, tf.IndexedSlices), table.path
        rows = set(gradient.indices.numpy())
        assert rows <= {3, 4, 5, *events[ITEM_IDS].numpy().ravel()}, table.path


@pytest.mark.integration
@every_trained_model
def test_a_seed_fixes_the_weights_before_and_after_a_fit(case, tmp_path):
    """The second one is trained as a `.keras` file gives it: a seed lies in no process's memory."""
    first, same, other = case.build(), case.build(), case.build(seed=4)
    for mine, again in zip(first.weights, same.weights, strict=True):
        np.testing.assert_array_equal(mine, again)
    for mine, unlike in zip(first.trainable_weights, other.trainable_weights, strict=True):
        assert np.array_equal(mine, unlike) != _is_drawn(mine)

    histories = cyclic_histories()
    case.compile(same, histories)
    same.optimizer.build(same.trainable_variables)  # Keras warns of one that was saved before
    same.save(tmp_path / "model.keras")
    same = keras.saving.load_model(tmp_path / "model.keras")
    stream, validation = (case.stream(histories, rows=ROWS) for _ in range(2))
    found = same.fit(stream, epochs=EPOCHS, validation_data=validation, verbose=0).history
    assert {"val_loss", "val_recall@3", "val_mrr@3"} <= set(found)
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
        # A few numbers may well look alike.
        assert abs(correlation) < (0.9 if length > 10 else 0.9999), f"{first} and {second}"


def _is_drawn(values):
    """Weights that are not drawn are biases: zeros, and 1 or -1 for some gates."""
    return not np.all(np.isin(values, [-1, 0, 1]))
