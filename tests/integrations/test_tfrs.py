"""TensorFlow Recommenders beside our models, in a process where `tf.keras` is Keras 2."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.integrations import tfrs
from hrec_tf.losses import CrossEntropy, InBatch
from hrec_tf.models import STAMP, GRU4Rec
from hrec_tf.optimizers import AdagradMomentum
from tests.conformance.cases import NUM_ITEMS, SAMPLED_CASES, cyclic_histories
from tests.reference.weights import fill_distinct

HERE = Path(__file__)
IS_LEGACY = os.environ.get("TF_USE_LEGACY_KERAS") == "1"
beside_keras_2 = pytest.mark.skipif(not IS_LEGACY, reason="runs in a process where it is set")
beside_keras_3 = pytest.mark.skipif(IS_LEGACY, reason="runs where it is not set")
every_model = pytest.mark.parametrize(
    "case",
    [case for case in SAMPLED_CASES if not case.arguments.get("inner_sigmoid")],
    ids=lambda case: case.name,
)


@pytest.mark.integration
@beside_keras_3
def test_beside_keras_2():
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(HERE), "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        env=os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"},
        cwd=HERE.parents[2],
    )
    assert process.returncode == 0, process.stdout
    assert " passed" in process.stdout


@beside_keras_3
@pytest.mark.parametrize("use", [lambda: tfrs.streaming_index(model()), tfrs.Retrieval])
def test_without_the_variable_it_is_explained(use):
    with pytest.raises(ImportError, match=r"(?s)tf.keras.*Set TF_USE_LEGACY_KERAS=1"):
        use()


def test_without_the_library_it_is_explained(monkeypatch):
    monkeypatch.setattr(tfrs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"not installed.*pip install 'hrec-tf\[tfrs\]'"):
        tfrs.streaming_index(model())


def model(units=5):
    made = GRU4Rec(num_items=NUM_ITEMS, units=(units,), seed=1)
    fill_distinct(made)
    return made


def hidden_states(rows=7, units=5):
    return tf.constant(np.random.default_rng(3).normal(size=(rows, units)), tf.float32)


@beside_keras_3
@every_model
def test_vectors_of_items_give_the_scores_of_the_model(case):
    """Products with them are the scores, of every model whatever its output layer is.

    A model that adds to some items what their vectors do not hold says so, and is refused.
    """
    made = case.build()
    fill_distinct(made)
    if not made.scores_are_products:
        with pytest.raises(ValueError, match="not inner products"):
            tfrs.item_vectors(made, block=5)
        return
    ids, vectors = zip(*tfrs.item_vectors(made, block=5).as_numpy_iterator(), strict=True)
    assert np.concatenate(ids).tolist() == list(range(1, NUM_ITEMS + 1))
    assert [len(block) for block in ids] == [5, 5, 2]
    hidden = np.random.default_rng(3).normal(size=(3, vectors[0].shape[1] - 1))
    products = np.insert(hidden, hidden.shape[1], 1.0, axis=1) @ np.concatenate(vectors).T
    scores = made.score(tf.constant(hidden, tf.float32))
    np.testing.assert_allclose(products, scores, rtol=1e-4, atol=1e-5)


def test_scores_that_are_no_products_are_refused():
    bent = STAMP(num_items=NUM_ITEMS, item_dim=4, inner_sigmoid=True, seed=0)
    fill_distinct(bent)
    with pytest.raises(ValueError, match="STAMP are not inner products"):
        tfrs.item_vectors(bent)


@beside_keras_2
@pytest.mark.parametrize(("k", "message"), [(13, "catalogue has 12 items"), (0, "`k`")])
def test_a_k_that_cannot_be_is_refused(k, message):
    for index in (tfrs.streaming_index, tfrs.brute_force_index):
        with pytest.raises(ValueError, match=message):
            index(model(), k=k)


@beside_keras_2
@pytest.mark.parametrize("block", [3, 5, 12])
def test_both_indexes_list_what_the_model_scores_highest(block):
    made, hidden = model(), hidden_states()
    expected = tf.math.top_k(made.score(hidden), k=4)
    for index in (tfrs.streaming_index(made, k=4, block=block), tfrs.brute_force_index(made, k=4)):
        scores, item_ids = index(hidden)
        np.testing.assert_array_equal(item_ids, expected.indices + 1)
        np.testing.assert_allclose(scores, expected.values, rtol=1e-5, atol=1e-6)


@beside_keras_2
def test_a_streaming_index_follows_the_weights_and_a_copy_does_not():
    made, hidden = model(), hidden_states()
    streaming, copied = tfrs.streaming_index(made, k=3), tfrs.brute_force_index(made, k=3)
    before = copied(hidden)[1].numpy()
    made.item_scores.bias.assign_add(np.arange(NUM_ITEMS + 1.0)[:, None] * 10)
    assert streaming(hidden)[1][:, 0].numpy().tolist() == [NUM_ITEMS] * 7
    np.testing.assert_array_equal(copied(hidden)[1], before)


def softmax_loss(logits, usable, logq, temperature, hard):
    """The loss of rows, one by one in float64."""
    losses = []
    for row, scores in enumerate(np.asarray(logits, np.float64)):
        scores = scores / temperature - logq
        others = np.array([scores[j] for j in range(len(scores)) if j != row and usable[row, j]])
        others = np.sort(others)[::-1][:hard]
        losses.append(np.log(np.exp(scores[row]) + np.exp(others).sum()) - scores[row])
    return losses


@beside_keras_2
@pytest.mark.parametrize("temperature", [None, 0.5])
@pytest.mark.parametrize("hard", [None, 2])
@pytest.mark.parametrize("q", [0.0, 0.7])
def test_retrieval_is_the_softmax_over_usable_columns(temperature, hard, q):
    draw = np.random.default_rng(5)
    logits = tf.constant(draw.normal(size=(2, 4, 9)), tf.float32)
    weights = tf.constant([[1.0] * 9, [1, 1, 0, 1, 1, 1, 1, 1, 1]])
    collisions = tf.constant(draw.random((2, 4, 9)) < 0.2) & ~tf.eye(4, 9, dtype=tf.bool)
    logq = tf.constant(draw.normal(size=(2, 9)), tf.float32) if q else None
    loss = tfrs.Retrieval(temperature=temperature, num_hard_negatives=hard, logq=q)
    found = loss.row_losses(logits, weights, logq=logq, collisions=collisions)
    for step in range(2):
        usable = (weights[step].numpy() > 0) & ~collisions[step].numpy()
        shifts = np.zeros(9) if logq is None else logq[step].numpy()
        expected = softmax_loss(logits[step], usable, shifts, temperature or 1.0, hard)
        rows = [0, 1, 3] if step else range(4)  # row 2 of step 1 is an idle lane's
        np.testing.assert_allclose(found[step].numpy()[rows], np.take(expected, rows), rtol=1e-5)
    assert np.isfinite(found).all()


@beside_keras_2
def test_without_options_it_is_cross_entropy_in_fit():
    """The same updates through `compile` and `fit`, by XLA, and from a saved configuration."""
    from hrec_tf.data.lanes import session_parallel_stream

    histories, losses = cyclic_histories(), []
    for loss in (CrossEntropy(logq=1.0), tfrs.Retrieval(logq=1.0)):
        made = GRU4Rec(num_items=NUM_ITEMS, units=(5,), seed=1)
        supports = histories.item_supports()
        negatives = InBatch(extra=3, item_supports=supports, mask_collisions=True)
        loss = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
        made.compile(AdagradMomentum(0.1), loss, negatives=negatives)
        stream = session_parallel_stream(histories, num_lanes=3)
        losses.append(made.fit(stream, epochs=3, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[1][-1] < losses[1][0]


@beside_keras_2
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "`temperature` was 0"),
        ({"temperature": -1.0}, "`temperature` must be"),
        ({"num_hard_negatives": 0}, "`num_hard_negatives`"),
    ],
)
def test_a_bad_setting_of_the_loss_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tfrs.Retrieval(**arguments)


@beside_keras_2
def test_the_loss_needs_sampled_columns():
    with pytest.raises(ValueError, match=r"whole catalogue.*InBatch"):
        model().compile(AdagradMomentum(0.1), tfrs.Retrieval())
