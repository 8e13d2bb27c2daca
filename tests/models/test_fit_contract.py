"""What `compile`, `fit` and `step` refuse before any work, and when callbacks are called."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import lane_stream
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.metrics import Recall
from hrec_tf.models import HRNN, GRU4Rec, RNNConcat


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": None}, "`optimizer` was None"),
        (
            {"optimizer": keras.optimizers.Adam(use_ema=True)},
            "`optimizer` was made with use_ema=True.*pass hrec_tf.training.WeightAveraging",
        ),
        ({"negatives": True}, "`negatives` must be an InBatch, a PerTarget or None, but was T"),
        ({"metrics": Recall(5)}, "`metrics` must be a list"),
        ({"metrics": ["accuracy"]}, "`metrics` holds 'accuracy', which is not one of"),
        ({"jit_compile": "yes"}, "`jit_compile` must be True, False or 'auto', but was 'yes'"),
        ({"jit_compile": True, "run_eagerly": True}, "where nothing is compiled"),
        (
            {"loss": TOP1(diagonal_divisor="batch_size"), "negatives": None},
            "diagonal_divisor",
        ),
    ],
)
def test_compile_refuses_what_does_not_fit(arguments, message):
    model = GRU4Rec(num_items=9, units=(4,))
    given = {"optimizer": "sgd", "loss": TOP1(), "negatives": InBatch()} | arguments
    with pytest.raises((TypeError, ValueError), match=message):
        model.compile(**given)


def small_stream(layout="session_parallel", item=3, **arguments):
    histories = Histories.from_lists([[[1, 2, item], [2, 1]], [[2, 1]]], num_items=9)
    return lane_stream(histories, layout=layout, num_lanes=2, **arguments)


def small_model(model_class=GRU4Rec, num_items=9, **arguments):
    model = model_class(num_items=num_items, **arguments)
    model.compile("sgd", TOP1(), negatives=InBatch())
    return model


def test_items_of_another_vocabulary_stop_the_fit():
    """Pitfall 4: compiled look-ups would read some other row without a word."""
    model = small_model(num_items=3, units=(4,))
    with pytest.raises(ValueError, match=r"`item_ids` holds 7, but this model knows ids 1\.\.3"):
        model.fit(small_stream(item=7), verbose=0)
    with pytest.raises(ValueError, match="`item_ids` holds 7"):
        model.evaluate(small_stream(item=7))


@pytest.mark.parametrize(
    ("model", "stream", "message"),
    [
        (lambda: small_model(HRNN), {}, "is a session_parallel stream, but HRNN is trained on"),
        (lambda: small_model(HRNN), {"layout": "concatenated"}, "user_parallel_stream"),
        (lambda: small_model(RNNConcat), {"layout": "user_parallel"}, "RNNConcat is trained on"),
        (
            lambda: small_model(HRNN, feed_last_item=True),
            {"layout": "user_parallel"},
            "made with feed_last_item=False, but the model with feed_last_item=True",
        ),
    ],
)
def test_a_stream_packed_for_another_model_is_refused(model, stream, message):
    """Pitfall 1.14: it would train another model under the same name."""
    with pytest.raises(ValueError, match=message):
        model().fit(small_stream(**stream), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_freq": 0}, "`validation_freq` must be a positive int, but was 0"),
        ({"validation_freq": 2}, "there is no `validation_data`"),
    ],
)
def test_validation_options_that_do_nothing_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(units=(4,)).fit(small_stream(), verbose=0, **arguments)


def test_states_of_another_batch_are_refused():
    model = small_model(units=(4,))
    with pytest.raises(ValueError, match="`initial_state` has batch 3, but `inputs` has batch 2"):
        model.step([1, 2], [True, True], [False, False], model.initial_states(3))


def test_a_user_start_alone_resets_a_session_model():
    model = small_model(units=(4,))
    used = [tf.fill((1, 4), 0.5)]
    fresh, _ = model.step([1], [False], [True], used)
    expected, _ = model.step([1], [True], [True], model.initial_states(1))
    np.testing.assert_array_equal(fresh, expected)


def test_an_unknown_item_moves_nothing_whatever_its_flags():
    model = small_model(units=(4,))
    used = [tf.fill((1, 4), 0.5)]
    _, states = model.step([0], [True], [True], used)
    np.testing.assert_array_equal(states[0], used[0])


class Moments(keras.callbacks.Callback):
    """Notes how many updates were done when each chunk begins and ends."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(("begin", int(self.model.optimizer.iterations)))

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(("end", int(self.model.optimizer.iterations)))


def test_callbacks_stand_before_and_after_a_chunks_updates():
    model, moments = GRU4Rec(num_items=9, units=(4,)), Moments()
    model.compile("sgd", TOP1(), negatives=InBatch(), windows_per_chunk=2)
    model.fit(small_stream(), callbacks=[moments], verbose=0)
    # Four pairs in two lanes take two or three windows; the first chunk holds two of them.
    assert moments.seen[:2] == [("begin", 0), ("end", 2)]
    assert [name for name, _ in moments.seen] == ["begin", "end"] * (len(moments.seen) // 2)
