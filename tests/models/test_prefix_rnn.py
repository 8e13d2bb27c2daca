import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.prefixes import prefix_stream, sequence_stream
from hrec_tf.losses import CrossEntropy
from hrec_tf.models import GRU4Rec, LSTM4Rec, PrefixRNN
from hrec_tf.schema import ITEM_IDS, SESSION_START, USER_START
from tests.reference.padded_rows import padded_events
from tests.reference.prefix_models import (
    HISTORIES,
    POSITIONS,
    assert_gradients_agree,
    assert_logits_agree,
    prefix_rnn_logits,
    prefix_rnn_variables,
)
from tests.reference.weights import fill_drawn

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS, ITEM_DIM, UNITS = 6, 3, 4
CELLS = ("gru", "lstm")
every_cell = pytest.mark.parametrize("cell", CELLS)


def built(**arguments):
    sizes = {"item_dim": ITEM_DIM, "units": UNITS, "seed": 1}
    model = PrefixRNN(num_items=NUM_ITEMS, **sizes | arguments)
    fill_drawn(model)
    return model


def test_golden_logits():
    """Kernels 0, b_z = 0 and h~ = tanh(20) = 1: h goes half the way to 1, 1/2, 3/4, 7/8.

    With W_y = (8, -16) and b_y = (1, 2): 7 + 1 and -14 + 2.
    """
    model = PrefixRNN(num_items=2, item_dim=1, units=1)
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    model.recurrence.cell.bias.assign([0.0, 0.0, 20.0])
    model.item_scores.items.table.assign([[0.0], [8.0], [-16.0]])
    model.item_scores.bias.assign([[0.0], [1.0], [2.0]])
    logits = model.score(model(padded_events([[2, 1, 1]])))
    np.testing.assert_allclose(logits, [[[8.0, -12.0]]], rtol=1e-6)


@every_cell
def test_logits_agree_with_a_float64_loop(cell):
    model = built(cell=cell)
    assert_logits_agree(model, prefix_rnn_variables(model), prefix_rnn_logits)


@every_cell
def test_gradients_are_difference_quotients_of_the_loop(cell):
    model = built(cell=cell)
    assert_gradients_agree(model, prefix_rnn_variables(model), prefix_rnn_logits)


@pytest.mark.parametrize(("cell", "session_model"), [("gru", GRU4Rec), ("lstm", LSTM4Rec)])
def test_it_scores_a_prefix_as_gru4rec_with_its_weights_does(cell, session_model):
    """In evaluation only how they are trained tells them apart."""
    model = built(cell=cell)
    other = session_model(
        num_items=NUM_ITEMS, units=(UNITS,), inputs="embedding", item_dim=ITEM_DIM
    )
    other.items.set_weights(model.items.get_weights())
    other.recurrences[0].cell.set_weights(model.recurrence.cell.get_weights())
    other.item_scores.set_weights(model.item_scores.get_weights())
    for history, positions in zip(HISTORIES, POSITIONS, strict=True):
        item_ids = tf.constant([history])
        start = tf.constant([[step == 0 for step in range(len(history))]])
        hidden = other({ITEM_IDS: item_ids, SESSION_START: start, USER_START: start})
        expected = tf.gather(other.score(hidden), positions, axis=1)
        logits = model.score(model(padded_events([history], [positions])))
        np.testing.assert_allclose(logits, expected, **FLOAT32_NOISE)


def test_a_sequence_gives_the_losses_of_its_prefixes():
    """The layout "sequences" is the same training example by example, without dropout."""
    sessions = [[3, 1, 6, 2], [5, 2], [4, 4, 1]]
    histories = Histories.from_lists([[session] for session in sessions], num_items=NUM_ITEMS)
    losses = {}
    for layout, stream in (("prefixes", prefix_stream), ("sequences", sequence_stream)):
        model = built(layout=layout)
        model.compile(keras.optimizers.SGD(0.1), loss=CrossEntropy(normalise="valid"))
        losses[layout] = model.evaluate(stream(histories, batch_size=6, order="given"))
    np.testing.assert_allclose(losses["sequences"], losses["prefixes"], rtol=1e-6)


def test_which_streams_it_trains_on():
    assert PrefixRNN(num_items=5).trains_on == ("prefixes",)
    assert PrefixRNN(num_items=5, layout="sequences").trains_on == ("prefixes", "sequences")


def test_each_dropout_has_its_place():
    """drop_o takes values of h and scales the rest; drop_e takes values of what is read."""
    events = padded_events([[1, 2]] * 400)
    plain = np.asarray(built()(events))[0, 0]
    dropped = np.asarray(built(embed_dropout=0, output_dropout=0.25)(events, training=True))[:, 0]
    kept = dropped != 0
    assert abs(kept.mean() - 0.75) < 0.04
    np.testing.assert_allclose(dropped[kept], (kept * plain / 0.75)[kept], **FLOAT32_NOISE)
    read = np.asarray(built(embed_dropout=0.25, output_dropout=0)(events, training=True))[:, 0]
    assert np.all(read != 0)
    assert len(np.unique(np.round(read[:, 0], 5))) > 16


def test_defaults_and_initial_values_are_those_of_song_et_al():
    model = PrefixRNN(num_items=500, seed=0)
    config = model.get_config()
    assert [config[name] for name in ("item_dim", "units")] == [100, 100]
    assert [config[name] for name in ("embed_dropout", "output_dropout")] == [0.25, 0.5]
    assert (config["cell"], config["layout"]) == ("gru", "prefixes")
    table = np.asarray(model.items.table)
    assert abs(table[1:].std() - 0.1) < 0.002 and not table[0].any()
    limit = np.sqrt(6 / (500 + 100))
    assert 0.98 * limit < np.abs(model.item_scores.items.table).max() <= limit
    assert not np.any(model.item_scores.bias)
    assert model.recurrence.cell.initial_values == "tf1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "rnn"}, "`cell` was 'rnn', but must be one of 'gru', 'lstm'"),
        ({"layout": "lanes"}, "`layout` was 'lanes', but must be one of 'prefixes', 'sequences'"),
        (
            {"layout": "sequences", "max_length": 5},
            "`max_length` was 5 with layout='sequences'.*Leave it out, or pass layout='prefixes'",
        ),
        ({"units": 0}, "`units` must be a positive int, but was 0"),
        ({"item_dim": -1}, "`item_dim` must be a positive int, but was -1"),
        ({"item_stddev": -1}, "`item_stddev` must be a finite number of at least 0"),
        ({"embed_dropout": 1.0}, "`embed_dropout` must be a dropout rate"),
        ({"output_dropout": 2}, "`output_dropout` must be a dropout rate"),
        (
            {"initial_values": "glorot"},
            "`initial_values` was 'glorot'.*Did you mean 'block_glorot'",
        ),
    ],
)
def test_bad_arguments_name_the_cure(arguments, message):
    with pytest.raises(ValueError, match=message):
        PrefixRNN(num_items=5, **arguments)
