import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import concatenated_stream
from hrec_tf.losses import CrossEntropy
from hrec_tf.models import HMRNN
from hrec_tf.schema import GAP, ITEM_IDS, SESSION_START, USER_START
from tests.reference.recurrent import hm_lstm_loop, sigmoid
from tests.reference.weights import fill_drawn

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS, UNITS = 6, 4
SIZES = {"num_items": NUM_ITEMS, "item_dim": 3, "units": UNITS}
ITEMS = np.array([2, 5, 1, 6, 3, 3, 0])
GAPS = np.array([0, 3600, 20, 7, 90_000, 3, 0])
STARTS = np.array([True, False, True, False, True, True, False])


def built(seed=1, **arguments):
    model = HMRNN(**SIZES | arguments)
    fill_drawn(model, scale=0.8, seed=seed)
    return model


def events(**changed):
    """One user, whose last event is padding."""
    told = {
        ITEM_IDS: ITEMS.astype(np.int32),
        GAP: GAPS.astype(np.int32),
        SESSION_START: STARTS,
        USER_START: np.arange(len(ITEMS)) == 0,
    }
    return {name: tf.constant(values[None]) for name, values in (told | changed).items()}


def values_of(weights):
    return [np.asarray(weight, np.float64) for weight in weights]


def loop(model):
    """What the cell's loop gives for the events that are not padding."""
    bias, table = values_of(model.item_scores.weights)
    told = [table[ITEMS]]
    if model.reads_gaps:
        told.append((np.log1p(GAPS / 60)[:, None] - model.gap_mean) / model.gap_sd)
    told += [STARTS[:, None], (np.arange(len(ITEMS)) == 0)[:, None]]
    zeros = [np.zeros(UNITS)] * (2 * model.cell.num_layers)
    outputs, _, _ = hm_lstm_loop(model.cell, np.concatenate(told, -1)[:-1], zeros)
    layers = model.cell.num_layers
    return *np.split(outputs, [layers * UNITS, layers * UNITS + layers - 1], -1), table, bias


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"boundaries": "given"},
        {"num_layers": 3, "use_gaps": True, "gap_mean": 2.0, "gap_sd": 1.5},
    ],
)
def test_scores_are_the_equations(arguments):
    """equations F.1: p^l = σ([h^1; ...] w_l), e = relu(Σ p^l h^l W^e_l), scores e Eᵀ + b."""
    model = built(**arguments)
    h, _, _, table, bias = loop(model)
    (gates,), (output,) = values_of(model.layer_gates.weights), values_of(model.output_map.weights)
    p = sigmoid(h @ gates)
    by_layer = zip(np.split(h, p.shape[1], -1), np.split(output, p.shape[1]), p.T, strict=True)
    e = np.maximum(sum(p_l[:, None] * (h_l @ W_l) for h_l, W_l, p_l in by_layer), 0)
    scores = model.score(model(events()))[0, :-1]
    np.testing.assert_allclose(scores, e @ table[1:].T + bias.ravel()[1:], **FLOAT32_NOISE)


def test_the_slope_goes_from_1_to_5():
    """F1-T6: a = min(5, 1 + 0.04 epoch)."""
    model, slopes = built(), []
    for epoch in (0, 50, 100, 200):
        model.begin_epoch(epoch)
        slopes.append(model.cell.slope.numpy().item())
    assert slopes == [1.0, 3.0, 5.0, 5.0]


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_fit_tells_the_epoch_and_a_file_keeps_the_slope(tmp_path):
    model = HMRNN(**SIZES, slope_rate=0.5, seed=0)
    model.compile(keras.optimizers.Adam(0.01), CrossEntropy())
    stream = concatenated_stream(Histories.from_lists([[[1, 2], [3, 4]]]), num_lanes=1)
    model.fit(stream, epochs=4, verbose=0)
    assert model.cell.slope.numpy().item() == 2.5
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.cell.slope.numpy() == 2.5


@pytest.mark.parametrize("boundaries", ["learned", "supervised"])
def test_the_penalty_is_the_mean_over_events_that_may_begin_a_segment(boundaries):
    """ρ Σ_l z^l and the cross-entropy of σ(ζ^1); not of padding, nor of a user's first event."""
    model = built(boundaries=boundaries, num_layers=3, sparsity=0.3)
    _, zeta, z, _, _ = loop(model)
    expected = 0.3 * z[1:].sum(-1).mean()
    if boundaries == "supervised":
        said = sigmoid(zeta[1:, 0])
        expected -= np.log(np.where(STARTS[1:-1], said, 1 - said)).mean()
    assert 0 < z[1:].mean() < 1
    _, _, penalty = model.encode_to_train(events(), model.initial_states(1))
    np.testing.assert_allclose(penalty, expected, rtol=1e-5)


def test_without_a_term_there_is_no_penalty():
    _, _, penalty = built().encode_to_train(events(), built().initial_states(1))
    assert float(penalty) == 0


def test_supervised_gradients_reach_the_boundaries_alone_through_the_penalty():
    model = built(boundaries="supervised")
    with tf.GradientTape() as tape:
        _, _, penalty = model.encode_to_train(events(), model.initial_states(1))
    gradient = np.asarray(tape.gradient(penalty, model.cell.kernels[0].value))
    assert np.abs(gradient[:, -1]).min() > 0


def test_explain_shows_where_segments_begin():
    """z~ of the second layer counts where the first one ended a segment."""
    model = built(num_layers=3, use_gaps=True)
    model.begin_epoch(20)
    _, zeta, z, _, _ = loop(model)
    soft = np.clip((1.8 * zeta + 1) / 2, 0, 1)
    soft[0] = 0
    soft[:, 1] *= z[:, 0]
    found = model.explain(ITEMS[:-1], gaps=GAPS[:-1])
    for place, name in enumerate(("z1", "z2")):
        np.testing.assert_allclose(found.boundaries[name], soft[:, place], **FLOAT32_NOISE)
        np.testing.assert_array_equal(found.boundaries[name] > 0.5, z[:, place] > 0)
    assert 0 < z[:, 0].sum() < len(z)
    assert [state.shape for state in found.states.values()] == [(6, UNITS)] * 3


def test_given_boundaries_are_the_sessions_and_no_finding():
    model = built(boundaries="given", num_layers=3)
    two, one = (
        model.explain([1, 2, 3], session_start=[True, False, second]) for second in (True, False)
    )
    assert set(two.boundaries) == {"z2"}
    np.testing.assert_array_equal(two.states["h2"][:2], one.states["h2"][:2])
    assert np.abs(two.states["h2"][2]).min() > 0 and not one.states["h2"].any()


def test_learning_may_begin_with_segments_that_end_at_long_gaps():
    model = functools.partial(HMRNN, **SIZES, use_gaps=True, seed=0)
    drawn, begun = (model(gap_weight=weight) for weight in (None, 7.0))
    expected = drawn.cell.kernels[0].numpy()
    expected[SIZES["item_dim"], -1] = 7.0
    np.testing.assert_array_equal(begun.cell.kernels[0].numpy(), expected)
    gaps = np.random.default_rng(0).choice([10, 100_000], 30)
    begun = model(gap_weight=100.0, gap_mean=4.0)
    found = begun.explain(1 + np.arange(30) % NUM_ITEMS, gaps=gaps).boundaries["z1"]
    np.testing.assert_array_equal(found[1:] > 0.5, gaps[1:] == 100_000)


@pytest.mark.parametrize(
    ("arguments", "told", "message"),
    [
        ({"use_gaps": True}, {}, "`gaps` was None, but this model reads it at every event. Pass"),
        ({"boundaries": "given"}, {}, "`session_start` was None, but this model reads"),
        ({}, {"gaps": [0, 1]}, r"`gaps` has shape \(2,\), but the history has 3 events. Pass one"),
    ],
)
def test_explain_refuses_a_history_that_lacks_something(arguments, told, message):
    with pytest.raises(ValueError, match=message):
        built(**arguments).explain([1, 2, 3], **told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 1, "boundaries": "supervised"}, "no segment is looked for. Leave it out"),
        ({"boundaries": "given", "sparsity": 0.1}, "`sparsity` was 0.1 .* no boundary is learned"),
        ({"num_layers": 1, "slope_rate": 0.1}, "`slope_rate` was 0.1 .* no boundary is learned"),
        ({"gap_mean": 2.0}, "`gap_mean` was 2.0 .* no times are read. Leave both out"),
        ({"boundaries": "guessed"}, "`boundaries` was 'guessed', but must be one of"),
        ({"item_dim": 0}, "`item_dim` .* 0"),
        ({"gap_weight": 1.0}, "`gap_weight` was 1.0 with use_gaps=False.* Leave it out"),
        ({"gap_weight": 1.0, "use_gaps": True, "num_layers": 1}, "`gap_weight` was 1.0 with"),
        ({"gap_weight": 1.0, "use_gaps": True, "boundaries": "given"}, "`gap_weight` was 1.0"),
        ({"gap_weight": -1.0, "use_gaps": True}, "`gap_weight` must be .* at least 0"),
    ],
)
def test_what_would_be_ignored_or_is_unknown_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        HMRNN(**SIZES | arguments)
