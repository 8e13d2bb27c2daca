import csv
import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import session_parallel_stream, user_parallel_stream
from hrec_tf.losses import (
    TOP1,
    BinaryCrossEntropy,
    BPRMax,
    CrossEntropy,
    InBatch,
    PerTarget,
    reduce_rows,
)
from hrec_tf.metrics import MRR, Recall
from hrec_tf.models import HRNN, GRU4Rec
from hrec_tf.optimizers import AdagradMomentum
from tests.reference.measuring import conservative_metrics, mean_loss

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS = 9

# Keras 3.15 saves a tf.Variable by np.array(), whose TensorFlow side knows no `copy` (NumPy 2).
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)


@functools.cache
def histories(seed=0, users=8):
    """Users of 1 to 4 sessions of 1 to 6 events, the next item mostly one above."""
    generator = np.random.default_rng(seed)

    def session():
        steps = generator.choice([1, 1, 1, 4], generator.integers(1, 7))
        return [1 + int(item) % NUM_ITEMS for item in generator.integers(9) + np.cumsum(steps)]

    return Histories.from_lists(
        [[session() for _ in range(generator.integers(1, 5))] for _ in range(users)],
        num_items=NUM_ITEMS,
    )


def stream_of(histories, *, num_lanes=3, steps=1, **arguments):
    return user_parallel_stream(histories, num_lanes=num_lanes, steps=steps, **arguments)


def built(**arguments):
    return HRNN(num_items=NUM_ITEMS, **{"session_units": 4, "user_units": 3, "seed": 1} | arguments)


def compiled(model=None, **arguments):
    model = model or built()
    model.compile(
        **{
            "optimizer": AdagradMomentum(0.1),
            "loss": TOP1(),
            "negatives": InBatch(),
            "jit_compile": False,
        }
        | arguments
    )
    return model


def assert_same_weights(first, second, **tolerance):
    for mine, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_allclose(mine, other, err_msg=mine.path, **tolerance)


def test_history_has_a_row_for_each_epoch():
    model = compiled(metrics=[Recall(3), MRR(3)])
    history = model.fit(
        stream_of(histories()), epochs=2, validation_data=stream_of(histories(1)), verbose=0
    )
    assert history.epoch == [0, 1]
    assert set(history.history) == {
        *("loss", "events", "events_per_second"),
        *("val_loss", "val_recall@3", "val_mrr@3"),
    }
    assert all(len(values) == 2 for values in history.history.values())
    assert all(isinstance(value, float) for values in history.history.values() for value in values)
    assert model.history is history


@pytest.mark.parametrize("normalise", ["valid", "batch_size"])
def test_reported_loss_is_the_mean_over_pairs(normalise):
    """Pitfalls 1.11: nearly empty windows weigh no more than their pairs do.

    With a learning rate of 0 the weights stand still. Pairs have weights 0, 1/2 and 1; the last
    chunk is not full.
    """
    generator = np.random.default_rng(3)
    weights = generator.choice([0, 0.5, 1], histories().num_events).astype("float32")
    weighted = dataclasses.replace(histories(), target_weights=weights)
    loss = TOP1(normalise=normalise)
    model = compiled(optimizer=AdagradMomentum(0.0), loss=loss, windows_per_chunk=4)
    stream = functools.partial(stream_of, weighted, steps=2, order="given")
    expected = mean_loss(model, stream(), loss)
    measured = model.fit(stream(), validation_data=stream(), verbose=0).history
    np.testing.assert_allclose(measured["loss"], [expected], rtol=1e-6)
    np.testing.assert_allclose(measured["val_loss"], [expected], rtol=1e-6)
    before = weights[1:][~weighted.session_starts[1:]]
    assert measured["events"] == [before.sum()]


def test_every_pair_of_every_epoch_is_used_once():
    """Pitfalls 1.3 and 1.13: epochs of other lengths than the first one are played to the end."""
    epochs, seed = 4, 5
    windows = stream_of(histories(), seed=seed)
    lengths = [len(list(windows)) for _ in range(epochs)]
    assert max(lengths) > lengths[0], "choose a seed by which a later epoch is longer"
    model = compiled(windows_per_chunk=5)
    history = model.fit(stream_of(histories(), seed=seed), epochs=epochs, verbose=0).history
    assert history["events"] == [histories().num_pairs] * epochs
    assert int(model.optimizer.iterations) == sum(lengths)


@pytest.mark.parametrize("num_lanes", [1, 40])
def test_more_lanes_than_users_and_a_single_lane_train(num_lanes):
    """Pitfalls 1.12. A single lane has no in-batch negatives, so it needs extra ones."""
    model = compiled(negatives=InBatch(extra=2, alpha=0.0))
    stream = stream_of(histories(), num_lanes=num_lanes)
    history = model.fit(stream, epochs=2, verbose=0).history
    assert history["events"] == [histories().num_pairs] * 2
    assert history["loss"][1] < history["loss"][0]


@functools.cache
def fitted(windows_per_chunk=None, jit_compile=False, run_eagerly=False):
    """Two epochs with everything that could depend on how they are run: dropout, extra items."""
    model = built(user_gates="rzh", session_dropout=0.2, user_dropout=0.1, init_dropout=0.1)
    compiled(
        model,
        optimizer=AdagradMomentum(0.05, momentum=0.2),
        negatives=InBatch(extra=3, alpha=0.0, seed=2),
        windows_per_chunk=windows_per_chunk,
        jit_compile=jit_compile,
        run_eagerly=run_eagerly,
    )
    history = model.fit(
        stream_of(histories(), steps=2),
        epochs=2,
        validation_data=stream_of(histories(1), order="given"),
        verbose=0,
    ).history
    return model, history


@pytest.mark.integration
@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"windows_per_chunk": 1}, id="single windows"),
        pytest.param({"run_eagerly": True}, id="eager", marks=pytest.mark.integration),
        pytest.param({"jit_compile": True}, id="XLA", marks=pytest.mark.integration),
    ],
)
def test_chunks_and_compilation_change_nothing(how):
    """States, the optimizer's step and draws go on from chunk to chunk."""
    plain, history = fitted(windows_per_chunk=7)
    other, other_history = fitted(**how)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if "jit_compile" in how else FLOAT32_NOISE
    assert_same_weights(plain, other, **tolerance)
    for name in ("loss", "events", "val_loss"):
        np.testing.assert_allclose(history[name], other_history[name], rtol=1e-5, err_msg=name)


@pytest.mark.integration
def test_validation_metrics_are_those_of_slow_ranks():
    """Evaluation 1.2 and 1.3; pitfalls 1.11: every target, micro average, ties lost.

    The catalogue is ranked, whatever columns are trained on.
    """
    model = compiled(metrics=[Recall(3), MRR(3), Recall(1)])
    # Two items that score alike everywhere.
    scores = model.item_scores
    table, bias = np.array(scores.items.table), np.array(scores.bias)
    table[4], bias[4] = table[7], bias[7]
    scores.items.table.assign(table)
    scores.bias.assign(bias)
    generator = np.random.default_rng(4)
    weights = generator.choice([0, 1], histories(2).num_events).astype("float32")
    points = dataclasses.replace(histories(2), target_weights=weights)

    recall, mrr = conservative_metrics(model, stream_of(points), 3)
    recall_at_1, _ = conservative_metrics(model, stream_of(points), 1)
    expected = [recall, mrr, recall_at_1]
    assert len(set(expected)) == 3 and min(expected) > 0
    for num_lanes, steps in ((3, 1), (5, 4), (1, 2), (30, 3)):
        model.evaluate(stream_of(histories(1)))  # Leaves nothing behind.
        measured = model.evaluate(stream_of(points, num_lanes=num_lanes, steps=steps))
        np.testing.assert_allclose(measured[1:], expected, rtol=1e-6)
    frozen = compiled(model, optimizer=AdagradMomentum(0.0), metrics=[Recall(3), MRR(3), Recall(1)])
    history = frozen.fit(
        stream_of(histories()), epochs=2, validation_data=stream_of(points), verbose=0
    ).history
    for name, value in zip(("recall@3", "mrr@3", "recall@1"), expected, strict=True):
        np.testing.assert_allclose(history[f"val_{name}"], [value] * 2, rtol=1e-6)


def test_validation_leaves_training_alone():
    watched, alone = (
        compiled(built(session_dropout=0.3), negatives=InBatch(extra=2, alpha=0.0)) for _ in "12"
    )
    validation = stream_of(histories(1), num_lanes=2)
    watched.fit(stream_of(histories()), epochs=2, validation_data=validation, verbose=0)
    alone.fit(stream_of(histories()), epochs=2, verbose=0)
    assert_same_weights(watched, alone, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "rate"),
    [
        (GRU4Rec, "embed_dropout"),
        (GRU4Rec, "hidden_dropout"),
        (HRNN, "session_dropout"),
        (HRNN, "user_dropout"),
        (HRNN, "init_dropout"),
    ],
)
def test_dropout_is_applied_in_training_and_nowhere_else(kind, rate):
    """Pitfalls 1.6. With a learning rate of 0 only the masks tell one epoch from another."""
    arguments = {"inputs": "embedding", "units": (4,)} if kind is GRU4Rec else {}

    def losses(**rates):
        model = compiled(
            kind(num_items=NUM_ITEMS, seed=1, **arguments, **rates),
            optimizer=AdagradMomentum(0.0),
            run_eagerly=True,
        )
        users = [[[1, 2], [3, 4], [5, 6]], [[2, 4], [6, 1], [3, 5]]]
        sessions = Histories.from_lists(users, num_items=NUM_ITEMS)
        stream = stream_of(sessions, num_lanes=2, order="given")
        history = model.fit(stream, epochs=2, validation_data=stream, verbose=0).history
        return history["loss"], history["val_loss"]

    (first, second), measured = losses(**{rate: 0.5})
    plain, plain_measured = losses()
    assert plain[0] == plain[1] == plain_measured[0]
    np.testing.assert_array_equal(measured, plain_measured)
    assert len({first, second, plain[0]}) == 3, "each epoch has masks of its own"


def test_validation_may_be_rare():
    model = compiled()
    history = model.fit(
        stream_of(histories()),
        initial_epoch=1,
        epochs=5,
        validation_data=stream_of(histories(1)),
        validation_freq=2,
        verbose=0,
    )
    assert history.epoch == [1, 2, 3, 4]
    assert len(history.history["val_loss"]) == 2 and len(history.history["loss"]) == 4


@pytest.mark.integration
@pytest.mark.parametrize(
    "negatives", [functools.partial(InBatch, extra=2, alpha=0.0), PerTarget], ids=["extra", "own"]
)
def test_drawn_negatives_follow_from_their_seed(negatives):
    def weights_after(seed):
        model = compiled(loss=BinaryCrossEntropy(), negatives=negatives(seed=seed))
        model.fit(stream_of(histories()), verbose=0)
        return model

    first, again, other = (weights_after(seed) for seed in (0, 0, 1))
    assert_same_weights(first, again, rtol=0, atol=0)
    assert np.abs(first.item_scores.items.table - other.item_scores.items.table).max() > 1e-3


@pytest.mark.parametrize(
    "optimizer",
    [keras.optimizers.Adam(0.02), keras.optimizers.SGD(0.5), "rmsprop"],
    ids=["Adam", "SGD", "by name"],
)
def test_keras_own_optimizers_train_too(optimizer):
    model = compiled(optimizer=optimizer, loss=CrossEntropy(), negatives=None)
    history = model.fit(stream_of(histories()), epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert not np.any(model.item_scores.items.table[0])


@pytest.mark.integration
def test_logq_and_the_max_losses_train():
    """Pitfalls 1.9: extra negatives, tied embedding, ELU and logQ, together in one model."""
    supports = histories().item_supports()
    negatives = InBatch(extra=4, alpha=0.5, item_supports=supports)
    for loss in (CrossEntropy(logq=1.0), BPRMax(activation="elu", elu_alpha=0.5)):
        model = GRU4Rec(num_items=NUM_ITEMS, units=(4,), inputs="constrained", seed=0)
        compiled(model, loss=loss, negatives=negatives)
        stream = session_parallel_stream(histories(), num_lanes=4, steps=2)
        losses = model.fit(stream, epochs=5, verbose=0).history["loss"]
        assert losses[-1] < losses[0]


@pytest.mark.integration
@pytest.mark.parametrize("jit_compile", [False, True])
def test_negatives_of_each_target_train_and_are_saved(jit_compile, tmp_path):
    """SASRec's way: one negative for each position."""
    model = GRU4Rec(num_items=NUM_ITEMS, units=(4,), inputs="embedding", item_dim=3, seed=0)
    loss, optimizer = BinaryCrossEntropy(normalise="valid"), keras.optimizers.Adam(0.02)
    given = {"optimizer": optimizer, "loss": loss, "negatives": PerTarget(seed=3)}
    compiled(model, **given, jit_compile=jit_compile)
    stream = session_parallel_stream(histories(), num_lanes=4, steps=2)
    losses = model.fit(stream, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0] and losses[0] == pytest.approx(2 * np.log(2), rel=0.05)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.negatives.get_config() == {"number": 1, "seed": 3}
    assert again.evaluate(stream) == pytest.approx(model.evaluate(stream))


class StopAfter(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch, self.chunks = epoch, []

    def on_train_batch_end(self, batch, logs=None):
        self.chunks.append((batch, logs["events"]))

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.epoch


def test_keras_callbacks_work(tmp_path):
    model = compiled(metrics=[Recall(2)], windows_per_chunk=4)
    stop = StopAfter(2)
    callbacks = [
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.keras", monitor="val_recall@2", mode="max", save_best_only=True
        ),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch)),
        stop,
    ]
    history = model.fit(
        stream_of(histories()),
        epochs=9,
        validation_data=stream_of(histories(1)),
        callbacks=callbacks,
        verbose=0,
    ).history
    assert len(history["loss"]) == 3, "StopAfter stops after epoch 2"
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1 / 3)
    with (tmp_path / "log.csv").open() as log:
        rows = list(csv.DictReader(log))
    assert [float(row["val_recall@2"]) for row in rows] == pytest.approx(history["val_recall@2"])
    best = keras.saving.load_model(tmp_path / "best.keras")
    measured = best.evaluate(stream_of(histories(1)), return_dict=True)
    assert measured["recall@2"] == pytest.approx(max(history["val_recall@2"]))
    # A batch is a chunk; the events seen so far grow to the epoch's.
    assert stop.chunks[0] == (0, 12.0)
    ends = [events for batch, events in stop.chunks if events == histories().num_pairs]
    assert len(ends) == 3


def test_early_stopping_restores_the_best_epoch():
    model = compiled(optimizer=AdagradMomentum(0.5, momentum=0.9))
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=1, restore_best_weights=True
    )
    validation = stream_of(histories(1), order="given")
    history = model.fit(
        stream_of(histories()),
        epochs=30,
        validation_data=validation,
        callbacks=[stopping],
        verbose=0,
    ).history
    assert len(history["loss"]) < 30
    assert model.evaluate(validation)[0] == pytest.approx(min(history["val_loss"]))


def test_a_loss_that_is_not_finite_stops_and_names_the_windows():
    """Pitfalls 1.10: nothing is skipped in silence."""

    def broken(windows_per_chunk):
        model = compiled(windows_per_chunk=windows_per_chunk)
        bias = np.zeros((NUM_ITEMS + 1, 1))
        bias[5] = np.nan
        model.item_scores.bias.assign(bias)
        return model

    def rare(position):
        """Ten events in each of two lanes; item 5 is the target of pair `position` - 1."""
        session = [1, 2] * 5
        session[position] = 5
        sessions = Histories.from_lists([[session], [[2, 3] * 5]], num_items=NUM_ITEMS)
        return stream_of(sessions, num_lanes=2, order="given")

    message = r"became nan in {}, in windows {}\. It must stay finite\. Lower the learning rate"
    with pytest.raises(FloatingPointError, match=message.format("epoch 0", "4 to 5")):
        broken(2).fit(rare(5), verbose=0)
    with pytest.raises(FloatingPointError, match=message.format("evaluation", "4 to 5")):
        broken(2).evaluate(rare(6))
    # Nine windows in chunks of four: the last chunk has but one.
    with pytest.raises(FloatingPointError, match=message.format("epoch 0", "8 to 8")):
        broken(4).fit(rare(9), verbose=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_not_finite_stops_an_evaluation(value):
    """Evaluation 1.3: an item that is no column of the loss is still ranked."""
    without_9 = Histories.from_lists([[[1, 2, 3]], [[3, 4, 1]]], num_items=NUM_ITEMS)
    model = compiled(metrics=[Recall(3)])
    bias = np.zeros((NUM_ITEMS + 1, 1))
    bias[9] = value
    model.item_scores.bias.assign(bias)
    with pytest.raises(FloatingPointError, match="in evaluation"):
        model.evaluate(stream_of(without_9, num_lanes=2))


def not_a_stream():
    return tf.data.Dataset.from_tensor_slices((np.zeros((4, 2)), np.zeros(4)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: built().fit(stream_of(histories())),
            ValueError,
            "`fit` was called before `compile`. Call",
        ),
        (
            lambda: built().evaluate(stream_of(histories())),
            ValueError,
            "`evaluate` was called before `compile`",
        ),
        (
            lambda: built().compile("adam", loss="mse"),
            TypeError,
            "`loss` must be one of hrec_tf.losses, but was 'mse'. Pass for example",
        ),
        (
            lambda: built().compile("adam", loss=keras.losses.SparseCategoricalCrossentropy()),
            TypeError,
            "a Keras loss does not know about sampled columns",
        ),
        (lambda: built().compile("adam"), TypeError, "`loss` must be one of hrec_tf.losses"),
        (
            lambda: compiled(loss=CrossEntropy(logq=1.0)),
            ValueError,
            "`logq` of the loss was 1.0, but there are no supports.*vocabulary.supports",
        ),
        (
            lambda: compiled(loss=CrossEntropy(logq=1.0), negatives=None),
            ValueError,
            "`logq` of the loss was 1.0, but there are no supports",
        ),
        (
            lambda: compiled(negatives=InBatch(extra=2, item_supports=np.ones(7, int))),
            ValueError,
            "`item_supports` has 7 entries, but the model has 9 items",
        ),
        (
            lambda: compiled(windows_per_chunk=0),
            ValueError,
            "`windows_per_chunk` must be a positive int, but was 0",
        ),
        (
            lambda: compiled().fit(not_a_stream()),
            ValueError,
            r"`x` must be a stream of \(events, next_item_ids, weights\).*user_parallel_stream",
        ),
        (lambda: compiled().fit(np.zeros((3, 2))), ValueError, "`x` must be a stream"),
        (lambda: compiled().fit(histories()), ValueError, "`x` must be a stream"),
        (
            lambda: compiled().fit(stream_of(histories()).batch(2)),
            ValueError,
            "`x` must be a stream",
        ),
        (
            lambda: compiled().fit(stream_of(histories()), batch_size=8),
            TypeError,
            "unexpected keyword argument 'batch_size'",
        ),
        (
            lambda: compiled().fit(stream_of(histories()), steps_per_epoch=8),
            TypeError,
            "unexpected keyword argument 'steps_per_epoch'",
        ),
    ],
)
def test_bad_arguments_name_the_cure(call, error, message):
    with pytest.raises(error, match=message):
        call()


class Doubled(HRNN):
    """Adds the loss of the rows to itself."""

    def encode_to_train(self, events, states):
        hidden, states, _ = super().encode_to_train(events, states)

        def penalty(row_losses, weights):
            assert row_losses.shape == weights.shape == (3, 2), "lanes and steps of the stream"
            return reduce_rows(row_losses, weights)

        return hidden, states, penalty


@pytest.mark.parametrize(
    ("loss", "negatives"), [(CrossEntropy(), None), (TOP1(), InBatch())], ids=["all", "sampled"]
)
def test_a_penalty_may_be_made_of_the_losses_of_the_rows(loss, negatives):
    """Twice the loss moves the weights as twice the learning rate does."""
    arguments = {"loss": loss, "negatives": negatives}
    twice = Doubled(num_items=NUM_ITEMS, session_units=4, user_units=3, seed=1)
    compiled(twice, optimizer=keras.optimizers.SGD(0.1), **arguments)
    plain = compiled(optimizer=keras.optimizers.SGD(0.2), **arguments)
    found = [
        model.fit(stream_of(histories(), steps=2), verbose=0).history["loss"]
        for model in (twice, plain)
    ]
    np.testing.assert_allclose(*found, rtol=1e-5)
    assert_same_weights(twice, plain, **FLOAT32_NOISE)
