"""Weight averaging: the mean at the end, and a training that goes as it would without it."""

import keras
import numpy as np
import pytest

from hrec_tf.data.lanes import lane_stream
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.metrics import Recall
from hrec_tf.models import GRU4Rec
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.schema import ITEM_IDS, SESSION_PARALLEL
from hrec_tf.training import WeightAveraging
from tests.reference.tiny_log import NUM_ITEMS, ring_histories

HISTORIES = ring_histories(num_users=3, num_sessions=2, length=4)
EPOCHS = 4


class WeightsAtTheEnd(keras.callbacks.Callback):
    """Keeps what the weights are at the end of each epoch."""

    def on_train_begin(self, logs=None):
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append([w.numpy() for w in self.model.trainable_weights])


def gru4rec():
    model = GRU4Rec(
        num_items=NUM_ITEMS, units=(4,), inputs="constrained", hidden_dropout=0.2, seed=3
    )
    model.compile(
        optimizer=AdagradMomentum(0.3, momentum=0.3),
        loss=TOP1(),
        negatives=InBatch(extra=3, item_supports=HISTORIES.item_supports(), seed=2),
        metrics=[Recall(3)],
        windows_per_chunk=2,
        run_eagerly=True,
    )
    return model


def stream(**arguments):
    return lane_stream(HISTORIES, layout=SESSION_PARALLEL, num_lanes=3, **arguments)


def fit(model, callbacks, *, validate):
    history = model.fit(
        stream(),
        epochs=EPOCHS,
        validation_data=stream(order="given") if validate else None,
        callbacks=callbacks,
        verbose=0,
    ).history
    return {name: values for name, values in history.items() if name != "events_per_second"}


def test_golden_means():
    """Weights 1, 3, 8 after the epochs: from epoch 2 on the model has 3, then (3 + 8) / 2."""
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    averaging, found = WeightAveraging(first_epoch=2), []
    averaging.set_model(model)
    averaging.on_train_begin()
    for epoch, trained in enumerate([1.0, 3.0, 8.0]):
        averaging.on_epoch_begin(epoch)
        begins_with = float(model.weights[0].numpy().item())
        model.weights[0].assign([[trained]])
        averaging.on_test_begin()
        measured = float(model.weights[0].numpy().item())
        averaging.on_epoch_end(epoch)
        found.append((begins_with, measured, float(model.weights[0].numpy().item())))
    assert found[0][1:] == (1.0, 1.0)
    assert found[1:] == [(1.0, 3.0, 3.0), (3.0, 5.5, 5.5)]
    # What is measured when the training is over changes nothing.
    averaging.on_test_begin()
    assert float(model.weights[0].numpy().item()) == 5.5


@pytest.mark.parametrize("validate", [False, True])
def test_the_model_ends_with_the_mean_of_a_training_that_went_as_without(validate):
    """Row-sparse updates with momentum, dropout and extra negatives, and one table used twice."""
    plain, kept = gru4rec(), WeightsAtTheEnd()
    expected = fit(plain, [kept], validate=validate)
    model = gru4rec()
    found = fit(model, [WeightAveraging(first_epoch=2)], validate=validate)
    assert found["loss"] == expected["loss"]
    means = [np.mean(weights, axis=0) for weights in zip(*kept.epochs[1:], strict=True)]
    for weight, mean, last in zip(model.trainable_weights, means, kept.epochs[-1], strict=True):
        np.testing.assert_allclose(weight, mean, atol=1e-6)
        assert np.abs(mean - last).max() > 1e-3
    if validate:
        measured = model.evaluate(stream(order="given"), return_dict=True)
        assert found["val_loss"][0] == expected["val_loss"][0]
        assert found["val_loss"][-1] == pytest.approx(measured["loss"], rel=1e-6)
        assert found["val_loss"][-1] != expected["val_loss"][-1]


def test_before_its_first_epoch_nothing_is_done():
    plain, averaged = gru4rec(), gru4rec()
    expected = fit(plain, [], validate=True)
    assert fit(averaged, [WeightAveraging(first_epoch=EPOCHS + 1)], validate=True) == expected
    for mine, other in zip(averaged.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(mine, other)


# Keras 3.15 saves a tf.Variable by np.array(), whose TensorFlow side knows no `copy` (NumPy 2).
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_a_keras_file_has_the_mean(tmp_path):
    model = gru4rec()
    fit(model, [WeightAveraging(first_epoch=1)], validate=False)
    model.save(tmp_path / "model.keras")
    events, *_ = next(iter(stream()))
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert events[ITEM_IDS].shape == (3, 1)
    np.testing.assert_array_equal(again.score(again(events)), model.score(model(events)))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`first_epoch` must be a positive int, but was 0"):
        WeightAveraging(first_epoch=0)
    with pytest.raises(ValueError, match=r"`arrays` has the shapes \[\(2,\), \(3, 3\)\], but the"):
        WeightAveraging(first_epoch=1).fill(gru4rec(), [], [np.zeros(2), np.zeros((3, 3))])
