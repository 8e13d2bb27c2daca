import keras
import numpy as np
import pytest

from hrec_tf.data.histories import Histories
from hrec_tf.data.prefixes import prefix_stream
from hrec_tf.losses import CrossEntropy, InBatch
from hrec_tf.models import HCRNN

SIZES = {"num_items": 4, "units": 3, "item_dim": 3, "num_contexts": 2, "seed": 1}
HISTORIES = Histories.from_lists([[[1, 2, 3]], [[2, 4]]], num_items=4)


def fitted(**arguments):
    """After one update at a rate of 0: the logged loss is that of the initial weights."""
    model = HCRNN(**SIZES, input_dropout=0.0, output_dropout=0.0, beta=0.0, **arguments)
    model.compile(keras.optimizers.SGD(0.0), CrossEntropy(normalise="valid"))
    stream = prefix_stream(HISTORIES, batch_size=3, order="given")
    return model, model.fit(stream, verbose=0).history["loss"][0], stream


@pytest.mark.integration
def test_the_padding_id_is_a_class_of_the_training_loss_alone():
    """The loss rises by log(1 + e^pad / Σ e^items) at each pair; ranks and evaluation know N."""
    with_class, loss, stream = fitted(pad_class=True)
    without, plain, _ = fitted()
    assert len(with_class.weights) == len(without.weights) + 1
    events, next_item_ids, _ = next(iter(stream))
    # θ~ is drawn in training; of two models with one seed, alike.
    assert plain < loss < plain + 0.5
    assert with_class.score(with_class(events)).shape[-1] == SIZES["num_items"]
    wide = with_class.score_to_train(with_class(events))
    assert wide.shape[-1] == SIZES["num_items"] + 1
    np.testing.assert_array_equal(wide[..., :-1], with_class.score(with_class(events)))
    evaluated = with_class.evaluate(stream, return_dict=True)["loss"]
    logits = np.asarray(with_class.score(with_class(events)), np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -np.take_along_axis(log_p[:, 0], np.asarray(next_item_ids) - 1, axis=1).mean()
    np.testing.assert_allclose(evaluated, expected, rtol=1e-5)


def test_sampled_negatives_would_ignore_it():
    with pytest.raises(ValueError, match=r"`negatives` was .* with pad_class=True"):
        HCRNN(**SIZES, pad_class=True).compile("adam", CrossEntropy(), negatives=InBatch())
