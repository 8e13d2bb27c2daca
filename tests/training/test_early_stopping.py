"""Early stopping: the first best epoch's weights, however often the training was killed."""

import keras
import numpy as np
import pytest

from hrec_tf.data.prefixes import prefix_stream
from hrec_tf.losses import CrossEntropy
from hrec_tf.metrics import Recall
from hrec_tf.training import Checkpoint, EarlyStopping, WeightAveraging, best_epoch
from tests.reference.prefix_mean import PrefixMean
from tests.reference.tiny_log import NUM_ITEMS, ring_histories

HISTORIES = ring_histories(num_users=3, num_sessions=2, length=4)
MONITOR = "val_recall@3"


class Killed(BaseException):
    """Stands for SIGKILL: no part of the library catches it to end in good order."""


class KillAt(keras.callbacks.Callback):
    """Ends the training at one of its events: chunk edges, and what follows an epoch."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def _count(self):
        self.left -= 1
        if self.left < 0:
            raise Killed

    def on_train_batch_begin(self, batch, logs=None):
        self._count()

    def on_epoch_end(self, epoch, logs=None):
        self._count()

    def on_train_end(self, logs=None):
        self._count()


def model():
    model = PrefixMean(num_items=NUM_ITEMS, dropout=0.3, seed=1)
    model.compile(
        optimizer=keras.optimizers.Adam(0.2),
        loss=CrossEntropy(),
        metrics=[Recall(3)],
        run_eagerly=True,
    )
    return model


def fit(model, *, epochs=30, patience=3, average_from=None, checkpoint=None, callbacks=()):
    stopping = EarlyStopping(MONITOR, patience=patience)
    averaging = [] if average_from is None else [WeightAveraging(first_epoch=average_from)]
    if checkpoint is not None:
        for memory in [*averaging, stopping]:
            checkpoint.remember(memory)
    model.fit(
        prefix_stream(HISTORIES, batch_size=8, seed=4),
        epochs=epochs,
        validation_data=prefix_stream(HISTORIES, batch_size=8, order="given"),
        callbacks=[*averaging, *callbacks, stopping],
        checkpoint=checkpoint,
        verbose=0,
    )
    return stopping


def history(model):
    return {k: v for k, v in model.history.history.items() if k != "events_per_second"}


def bits(model):
    return [w.numpy().tobytes() for w in model.weights]


def play(stopping, values):
    """Plays the calls that `fit` makes; weights are the number of the epoch."""
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.stop_training = False
    stopping.set_model(model)
    stopping.on_train_begin()
    for epoch, value in enumerate(values):
        model.weights[0].assign([[epoch + 1.0]])
        stopping.on_epoch_end(epoch, {MONITOR: value})
        if model.stop_training:
            break
    stopping.on_train_end()
    return epoch + 1, float(model.weights[0].numpy().item())


@pytest.mark.parametrize(
    ("values", "patience", "expected"),
    [
        ([0.1, 0.3, 0.2, 0.3, 0.9], 2, (4, 2.0)),  # equal is not better
        ([0.1, 0.3, 0.2, 0.4, 0.3, 0.2], 2, (6, 4.0)),
        ([0.4, 0.3, 0.5], 1, (2, 1.0)),
        ([0.1, 0.2, 0.3], 2, (3, 3.0)),  # still rising when the epochs are over
        ([0.0, 0.0, 0.0], 5, (3, 1.0)),
    ],
)
def test_it_stops_after_its_patience_with_the_best_weights(values, patience, expected):
    stopping = EarlyStopping(MONITOR, patience=patience)
    assert play(stopping, values) == expected
    assert stopping.best_epoch == expected[1]
    # Another training begins anew.
    assert play(stopping, values) == expected


@pytest.mark.integration
def test_the_weights_are_those_of_a_training_that_ended_at_the_best_epoch():
    stopped = model()
    stopping = fit(stopped)
    values = stopped.history.history[MONITOR]
    assert len(values) == stopping.best_epoch + 3 < 30
    assert stopping.best_epoch == best_epoch(values) == values.index(max(values)) + 1
    shorter = model()
    fit(shorter, epochs=stopping.best_epoch, patience=30)
    assert bits(shorter) == bits(stopped)


@pytest.mark.integration
@pytest.mark.parametrize("limits", [{}, {"epochs": 4, "patience": 2, "average_from": 2}])
def test_killed_at_every_edge_it_ends_with_the_same_weights(tmp_path, limits):
    """pitfalls 4: a run killed mid-epoch; the best epoch lies before the kill, or after it."""
    whole = model()
    expected = fit(whole, **limits)
    path, kills = tmp_path / "training.npz", 0
    while True:
        again = model()
        try:
            keeping = Checkpoint(path, every_seconds=0)
            found = fit(again, **limits, checkpoint=keeping, callbacks=[KillAt(1)])
            break
        except Killed:
            kills += 1
    assert kills > 3 * expected.best_epoch
    assert found.best_epoch == expected.best_epoch
    assert history(again) == history(whole)
    assert bits(again) == bits(whole)
    # It is done, however often it is asked.
    asked = model()
    fit(asked, **limits, checkpoint=Checkpoint(path))
    assert history(asked) == history(whole)
    assert bits(asked) == bits(whole)


@pytest.mark.integration
@pytest.mark.parametrize("average_from", [None, 2])
def test_more_epochs_go_on_from_the_last_weights_not_from_the_best(tmp_path, average_from):
    whole = model()
    fit(whole, epochs=9, patience=20, average_from=average_from)
    path = tmp_path / "training.npz"
    for epochs in (2, 5, 9):
        again = model()
        fit(
            again,
            epochs=epochs,
            patience=20,
            average_from=average_from,
            checkpoint=Checkpoint(path),
        )
    assert best_epoch(history(whole)[MONITOR][:5]) < 5, "the best weights were not the last ones"
    assert history(again) == history(whole)
    assert bits(again) == bits(whole)


@pytest.mark.integration
def test_with_weight_averaging_the_best_epoch_is_that_of_the_means():
    """What was measured is what the model ends with."""
    averaged = model()
    stopping = fit(averaged, average_from=2)
    measured = averaged.evaluate(
        prefix_stream(HISTORIES, batch_size=8, order="given"), return_dict=True
    )
    values = averaged.history.history[MONITOR]
    assert stopping.best_epoch >= 2
    assert measured["recall@3"] == max(values) == values[stopping.best_epoch - 1]
    found = averaged.history.history["val_loss"][stopping.best_epoch - 1]
    assert measured["loss"] == pytest.approx(found, rel=1e-6)


def test_a_checkpoint_of_another_patience_is_refused(tmp_path):
    path = tmp_path / "training.npz"
    fit(model(), epochs=1, checkpoint=Checkpoint(path))
    with pytest.raises(ValueError, match=r"`early_stopping\.patience` is 3 in it, but 4 here"):
        fit(model(), patience=4, checkpoint=Checkpoint(path))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`patience` must be a positive int, but was 0"):
        EarlyStopping(MONITOR, patience=0)
    stopping = EarlyStopping("val_recall@20", patience=1)
    with pytest.raises(ValueError, match=r"`monitor` was 'val_recall@20', but an epoch logged los"):
        stopping.on_epoch_end(0, {"loss": 1.0, "events": 3.0})
    with pytest.raises(ValueError, match=r"`arrays` holds 2 after 1 epochs, but the model has 1"):
        EarlyStopping(MONITOR, patience=1).fill(
            model(), [{MONITOR: 0.5}], [np.zeros((2, 2)), np.zeros((2, 2))]
        )
