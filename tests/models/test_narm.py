import functools

import keras
import numpy as np
import pytest

from hrec_tf.data.histories import Histories
from hrec_tf.data.prefixes import padded_stream
from hrec_tf.losses import CrossEntropy, InBatch
from hrec_tf.models import NARM, PrefixRNN
from hrec_tf.schema import ITEM_IDS
from tests.reference.padded_rows import padded_events
from tests.reference.prefix_models import (
    HISTORIES,
    POSITIONS,
    as_float64,
    assert_gradients_agree,
    assert_logits_agree,
    attention_weights,
    narm_logits,
    narm_variables,
    part_of,
    states_of,
)
from tests.reference.recurrent import sigmoid
from tests.reference.weights import fill_drawn

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS, ITEM_DIM, UNITS = 6, 3, 3
ATTENTIONS = ("masked_softmax", "none")


def built(**arguments):
    sizes = {"item_dim": ITEM_DIM, "units": UNITS, "seed": 1}
    model = NARM(num_items=NUM_ITEMS, **sizes | arguments)
    fill_drawn(model)
    return model


def logits_of(model, events, training=False):
    return np.asarray(model.score(model(events, training=training)))


def test_golden_logits():
    """Kernels 0, b_z = 0 and h~ = tanh(20) = 1: h goes half the way to 1, 1/2, 3/4, 7/8.

    With A_1 = A_2 = 0 all weights are alike: o = (17/24, 7/8). With W_B = (24, 8) and vectors 1
    and -1, the logits are 17 + 7 and its negative.
    """
    model = NARM(num_items=2, item_dim=1, units=1)
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    model.recurrence.cell.bias.assign([0.0, 0.0, 20.0])
    model.attention.scorer.assign([[3.0]])
    model.item_scores.kernel.assign([[24.0, 8.0]])
    model.items.table.assign([[0.0], [1.0], [-1.0]])
    logits = logits_of(model, padded_events([[2, 1, 1]]))
    np.testing.assert_allclose(logits, [[[24.0, -24.0]]], rtol=1e-6)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_logits_agree_with_a_float64_loop(attention):
    model = built(attention=attention)
    loop = functools.partial(narm_logits, normalise=attention)
    assert_logits_agree(model, narm_variables(model), loop)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_gradients_are_difference_quotients_of_the_loop(attention):
    model = built(attention=attention)
    loop = functools.partial(narm_logits, normalise=attention)
    assert_gradients_agree(model, narm_variables(model), loop)


def test_without_a_preference_it_reads_the_mean_of_the_states():
    model = built()
    for kernel in (model.attention.query_kernel, model.attention.hidden_kernel):
        kernel.assign(np.zeros(kernel.shape))
    events = padded_events(HISTORIES)
    o, states = model(events)[:, 0], [model.explain(h).states["h"] for h in HISTORIES]
    expected = [np.concatenate([h.mean(axis=0), h[-1]]) for h in states]
    np.testing.assert_allclose(o, expected, **FLOAT32_NOISE)


def test_without_its_attention_it_is_a_gru_over_the_prefix():
    """The half of W_B that the attention fills is 0: h_T is scored by W_emb W_B, without b_y."""
    model = built()
    only_last = np.asarray(model.item_scores.kernel) * (np.arange(2 * UNITS) >= UNITS)
    model.item_scores.kernel.assign(only_last)
    gru = PrefixRNN(num_items=NUM_ITEMS, item_dim=ITEM_DIM, units=UNITS)
    gru.items.set_weights(model.items.get_weights())
    gru.recurrence.cell.set_weights(model.recurrence.cell.get_weights())
    gru.item_scores.items.table.assign(np.asarray(model.items.table) @ only_last[:, UNITS:])
    events = padded_events(HISTORIES, POSITIONS)
    np.testing.assert_allclose(logits_of(model, events), logits_of(gru, events), **FLOAT32_NOISE)


SESSIONS = [[3, 1, 6, 2], [5, 2], [4, 4, 1], [2, 6]]


def trained_on(layout, negatives=None, logq=0.0, batch_size=6):
    """A model compiled for a layout, and the sessions' stream for it."""
    histories = Histories.from_lists([[session] for session in SESSIONS], num_items=NUM_ITEMS)
    model = built(layout=layout)
    loss = CrossEntropy(normalise="valid", logq=logq)
    model.compile(keras.optimizers.SGD(0.1), loss=loss, negatives=negatives)
    return model, padded_stream(histories, layout=layout, batch_size=batch_size, order="given")


def test_a_sequence_gives_the_losses_of_its_prefixes():
    losses = [model.evaluate(of) for model, of in map(trained_on, ("prefixes", "sequences"))]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)


@pytest.mark.parametrize(("layout", "batch_size"), [("prefixes", 4), ("sequences", 3)])
def test_all_targets_of_a_batch_are_columns_of_each(layout, batch_size):
    """Padding is none; what is drawn is drawn once for the batch, of any size."""
    supports, logq = np.array([1, 2, 3, 5, 8, 13]), 0.5
    negatives = InBatch(extra=3, alpha=0.5, item_supports=supports, seed=4)
    model, stream = trained_on(layout, negatives, logq, batch_size)
    losses = []
    for number, (events, next_item_ids, weights) in enumerate(stream):
        scores, is_target = logits_of(model, events), np.asarray(weights) > 0
        targets = np.asarray(next_item_ids)[is_target]
        drawn = np.asarray(negatives.sample(number))
        log_q = np.log(np.concatenate([supports[targets - 1], supports[drawn - 1] ** 0.5]))
        columns = np.concatenate([targets, drawn]) - 1
        for own, row in enumerate(scores[is_target]):
            of_columns = row[columns].astype(np.float64) - logq * log_q
            losses.append(np.log(np.sum(np.exp(of_columns))) - of_columns[own])
    assert len(losses) == 7
    np.testing.assert_allclose(model.evaluate(stream), np.mean(losses), rtol=1e-5)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit(stream, verbose=0)
    assert all(np.any(a != b.numpy()) for a, b in zip(before, model.trainable_weights, strict=True))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_an_explanation_holds_the_numbers_of_the_loop(attention):
    model, history = built(attention=attention), HISTORIES[0]
    explanation = model.explain(history)
    weights = as_float64(narm_variables(model))
    hidden, cell = states_of(weights, history), part_of(weights, "cell")
    np.testing.assert_array_equal(explanation.item_ids, history)
    np.testing.assert_allclose(explanation.states["h"], hidden, **FLOAT32_NOISE)
    for t, item in enumerate(history):
        before = hidden[t - 1] if t else np.zeros(UNITS)
        x = (weights["items"][item] @ cell["kernel"] + cell["bias"])[: 2 * UNITS]
        r, z = np.split(sigmoid(x + before @ cell["recurrent_gates"]), 2)
        np.testing.assert_allclose(explanation.gates["reset"][t], r, **FLOAT32_NOISE)
        np.testing.assert_allclose(explanation.gates["update"][t], z, **FLOAT32_NOISE)
        shares = attention_weights(
            part_of(weights, "attention"), hidden[: t + 1], hidden[t], attention
        )
        row = explanation.attentions["attention"][t]
        np.testing.assert_allclose(row[: t + 1], shares, **FLOAT32_NOISE)
        assert not row[t + 1 :].any()
    assert set(explanation.attentions) == {"attention"}
    assert explanation.memory_attention is None


def test_an_explanation_is_of_the_states_that_are_scored():
    model, history = built(embed_dropout=0.9, output_dropout=0.9), [2, 5, 1]
    explanation = model.explain(np.array([history]))
    o = model(padded_events([history]))[0, 0]
    weights, h = explanation.attentions["attention"][-1], explanation.states["h"]
    np.testing.assert_allclose(o, np.concatenate([weights @ h, h[-1]]), **FLOAT32_NOISE)


@pytest.mark.parametrize(
    ("item_ids", "message"),
    [
        ([], r"`item_ids` has shape \(0,\).*Pass ids as \(T,\)"),
        ([[1, 2], [3, 4]], r"`item_ids` has shape \(2, 2\) and type int64, but one history"),
        ([1.5], "`item_ids` has shape .* and type float64"),
        ([1, 7], r"`item_ids` holds 7, but this model knows ids 1\.\.6\. Encode"),
        ([0, 1], "`item_ids` holds 0, but this model knows"),
        ([1, 2, 3, 4], "`item_ids` holds 4 events, but this model reads the latest 3. Pass"),
    ],
)
def test_what_cannot_be_explained_is_refused(item_ids, message):
    with pytest.raises(ValueError, match=message):
        built(max_length=3).explain(item_ids)


def test_each_dropout_has_its_place():
    """drop_o takes values of o and scales the rest; drop_e takes values of what is read."""
    events = padded_events([[1, 2]] * 400)
    plain = np.asarray(built()(events))[0, 0]
    dropped = np.asarray(built(embed_dropout=0, output_dropout=0.25)(events, training=True))[:, 0]
    kept = dropped != 0
    assert abs(kept.mean() - 0.75) < 0.04
    np.testing.assert_allclose(dropped[kept], (kept * plain / 0.75)[kept], **FLOAT32_NOISE)
    read = np.asarray(built(embed_dropout=0.25, output_dropout=0)(events, training=True))[:, 0]
    everything_kept = 0.75**6
    as_scaled = built(embed_dropout=0, output_dropout=0)
    as_scaled.items.table.assign(np.asarray(as_scaled.items.table) / 0.75)
    expected = np.asarray(as_scaled(events))[0, 0]
    share = np.mean(np.all(np.abs(read - expected) < 1e-6, axis=-1))
    assert abs(share - everything_kept) < 0.08
    assert np.all(read != 0)


def test_defaults_are_those_of_song_et_al():
    config = NARM(num_items=2).get_config()
    assert (config["item_dim"], config["units"]) == (100, 100)
    assert (config["embed_dropout"], config["output_dropout"]) == (0.25, 0.5)
    assert (config["attention"], config["max_length"]) == ("masked_softmax", None)


def test_initial_values_are_those_of_song_et_al():
    """W_emb from N(0, 0.1²), row 0 zero; A, v and W_B by Glorot's rule; the GRU's in test_gru."""
    model = NARM(num_items=500, item_dim=40, units=60, seed=0)
    table = np.asarray(model.items.table)
    assert not table[0].any()
    assert abs(table[1:].std() - 0.1) < 0.002
    for weight, fan in (
        (model.attention.query_kernel, 60 + 60),
        (model.attention.hidden_kernel, 60 + 60),
        (model.attention.scorer, 60 + 1),
        (model.item_scores.kernel, 40 + 120),
    ):
        limit = np.sqrt(6 / fan)
        assert 0.95 * limit < np.abs(weight).max() <= limit, weight.path
    assert model.recurrence.cell.initial_values == "tf1"


def test_repeated_items_are_events_of_their_own():
    model = built()
    once, twice = (model.explain(history) for history in ([4, 1], [4, 4, 1]))
    assert np.abs(once.states["h"][-1] - twice.states["h"][-1]).max() > 1e-3
    assert twice.attentions["attention"].shape == (3, 3)


def test_an_unknown_item_in_mid_history_is_passed_over():
    """Id 0 is no event, wherever it stands: the state is kept, and it gets no attention."""
    model = built()
    with_gap = padded_events([[3, 0, 1, 0, 0, 2]])
    np.testing.assert_allclose(model(with_gap), model(padded_events([[3, 1, 2]])), **FLOAT32_NOISE)
    assert with_gap[ITEM_IDS].shape == (1, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"layout": "sequences", "max_length": 5},
            "`max_length` was 5 with layout='sequences'.*Leave it out, or pass layout='prefixes'",
        ),
        ({"attention": "softmax"}, "`attention` was 'softmax'.*Did you mean 'masked_softmax'"),
        ({"units": 0}, "`units` must be a positive int, but was 0"),
        ({"item_dim": 0}, "`item_dim` must be a positive int, but was 0. Pass the vectors' size"),
        ({"item_stddev": -1}, "`item_stddev` must be a finite number of at least 0, but was -1"),
        ({"embed_dropout": 1.0}, "`embed_dropout` must be a dropout rate"),
        ({"output_dropout": -0.1}, "`output_dropout` must be a dropout rate"),
        ({"initial_values": "tf2"}, "`initial_values` was 'tf2'.*Did you mean 'tf1'"),
        ({"max_length": 0}, "`max_length` must be a positive int, but was 0"),
    ],
)
def test_bad_arguments_name_the_cure(arguments, message):
    with pytest.raises(ValueError, match=message):
        NARM(num_items=5, **arguments)
