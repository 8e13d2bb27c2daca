import functools
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.models import HCRNN
from hrec_tf.schema import ITEM_IDS, POSITIONS, PREFIXES, SEQUENCES
from tests.reference.hcrnn import fill, hcrnn_loop

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
# Logits are sums over 9 or 12 units of products of sums.
LOGITS_NOISE = {"rtol": 2e-5, "atol": 5e-6}
NUM_ITEMS, UNITS, ITEM_DIM, CONTEXTS = 6, 4, 3, 5
SIZES = {"units": UNITS, "item_dim": ITEM_DIM, "num_contexts": CONTEXTS}
VARIANTS = {
    "1": {"version": 1},
    "1_prev": {"version": 1, "v1_reset_uses_prev": True},
    "2": {"version": 2},
    "3": {"version": 3},
    "3_bi": {"version": 3, "attention": "bi_channel"},
    "3_bi_item_dim": {"attention": "bi_channel", "attention_scale": "item_dim", "std": "exp"},
    "1_causal": {"version": 1, "theta": "prefix"},
    "3_bi_causal": {"version": 3, "attention": "bi_channel", "theta": "prefix"},
}
WHOLE = ("1", "3_bi")
CAUSAL = ("1_causal", "3_bi_causal")
HISTORIES = [[2, 5, 2, 2, 1], [3], [6, 4, 1]]

items = st.integers(1, NUM_ITEMS)
histories_strategy = st.lists(st.lists(items, min_size=1, max_size=6), min_size=1, max_size=4)


def built(**arguments):
    model = HCRNN(num_items=NUM_ITEMS, **SIZES | {"seed": 1} | arguments)
    # Large enough that a wrong term shows far above the noise.
    fill(model, 0.9)
    return model


@functools.cache
def shared(variant):
    """A model with `encode` compiled; made once, never to be changed."""
    model = built(**VARIANTS[variant])
    return model, tf.function(model.encode, reduce_retracing=True)


def rows_of(histories, positions=None, *, more_padding=0):
    """A batch of histories, each predicted after its last event if `positions` is None."""
    steps = max(map(len, histories)) + more_padding
    item_ids = np.array([[*row, *[0] * (steps - len(row))] for row in histories], np.int32)
    if positions is None:
        positions = [[len(row) - 1] for row in histories]
    return {ITEM_IDS: tf.constant(item_ids), POSITIONS: tf.constant(positions, tf.int32)}


def at_every_step(histories, *, more_padding=0):
    """The same with a target at each step, as a stream of sequences has them."""
    steps = max(map(len, histories)) + more_padding
    positions = [list(range(steps))] * len(histories)
    return rows_of(histories, positions, more_padding=more_padding)


def logits_of(variant, events):
    model, encode = shared(variant)
    hidden, states = encode(events, [])
    assert states == []
    return np.asarray(model.score(hidden))


@pytest.mark.parametrize(
    ("attention", "kernel", "expected"),
    [("single", [24, 8], 17 + 7), ("bi_channel", [8, 24, 48], 7 + 17 + 34)],
)
def test_golden_logits(attention, kernel, expected):
    """Kernels 0 but W_B, and h~ = tanh(20) = 1: h goes half the way to 1: 1/2, 3/4, 7/8.

    Every weight of an attention is 1/3, so both averages are 17/24: o = (17/24, 7/8), or
    (7/8, 17/24, 17/24). The items' vectors are 1 and -1.
    """
    model = HCRNN(num_items=2, units=1, item_dim=1, num_contexts=2, attention=attention)
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    model.cell.bias.assign([0.0, 0.0, 0.0, 20.0])
    model.item_scores.kernel.assign([kernel])
    model.items.table.assign([[0.0], [1.0], [-1.0]])
    logits = model.score(model(rows_of([[2, 1, 1]])))
    np.testing.assert_allclose(logits, [[[expected, -expected]]], rtol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_agree_with_a_float64_loop(variant):
    model, _ = shared(variant)
    is_causal = model.layout == SEQUENCES
    logits = logits_of(variant, (at_every_step if is_causal else rows_of)(HISTORIES))
    for row, history in zip(logits, HISTORIES, strict=True):
        expected = hcrnn_loop(model, history)["logits"]
        if is_causal:
            np.testing.assert_allclose(row[: len(history)], expected, **LOGITS_NOISE)
        else:
            np.testing.assert_allclose(row[0], expected[-1], **LOGITS_NOISE)


@pytest.mark.parametrize(("attention", "parts"), [("single", 2), ("bi_channel", 3)])
def test_of_one_event_every_channel_gives_its_state(attention, parts):
    """C-T6."""
    model = built(attention=attention)
    hidden = model(rows_of([[4], [1]]))[:, 0]
    states = [model.explain([item]).states["h"][0] for item in (4, 1)]
    np.testing.assert_allclose(hidden, np.tile(states, (1, parts)), **FLOAT32_NOISE)


@settings(deadline=None, max_examples=12)
@given(
    histories=histories_strategy,
    more_padding=st.integers(0, 3),
    order=st.randoms(use_true_random=False),
    variant=st.sampled_from(WHOLE + CAUSAL),
)
def test_a_row_knows_neither_of_padding_nor_of_other_rows(histories, more_padding, order, variant):
    """C-T7: each row as if it stood alone without padding, wherever it stands."""
    lay_out = at_every_step if variant in CAUSAL else rows_of
    moved = list(range(len(histories)))
    order.shuffle(moved)
    logits = logits_of(
        variant, lay_out([histories[row] for row in moved], more_padding=more_padding)
    )
    for place, row in enumerate(moved):
        alone = logits_of(variant, lay_out([histories[row]]))[0]
        np.testing.assert_allclose(logits[place][: len(alone)], alone, **LOGITS_NOISE)


@settings(deadline=None, max_examples=12)
@given(histories=histories_strategy, variant=st.sampled_from(CAUSAL))
def test_a_position_is_predicted_as_its_prefix_alone(histories, variant):
    """C.2, C.6: theta="prefix" reads a sequence once, and gives what each prefix gives."""
    logits = logits_of(variant, at_every_step(histories))
    for row, history in enumerate(histories):
        for position in range(len(history)):
            alone = logits_of(variant, rows_of([history[: position + 1]]))
            np.testing.assert_allclose(logits[row, position], alone[0, 0], **LOGITS_NOISE)


@pytest.mark.parametrize("variant", CAUSAL)
def test_later_events_change_no_bit_of_an_earlier_position(variant):
    """Pitfall I.5: neither does their number, within a batch of the same length."""
    logits = logits_of(variant, at_every_step([[3, 1, 2, 6, 5]]))
    for other in ([3, 1, 2, 4, 4], [3, 1, 2]):
        changed = logits_of(variant, at_every_step([other], more_padding=5 - len(other)))
        np.testing.assert_array_equal(changed[0, :3], logits[0, :3])
        assert np.abs(changed[0, 3:] - logits[0, 3:]).max(axis=-1).min() > 1e-3


@pytest.mark.parametrize("variant", WHOLE)
def test_events_after_the_position_are_not_read(variant):
    """Pitfall I.5: θ is of the events up to the position; the row is as if it were cut there."""
    histories, positions = [[3, 1, 2, 6, 5], [4, 4, 6, 1, 0]], [[2], [1]]
    logits = logits_of(variant, rows_of(histories, positions))
    others = [[3, 1, 2, 4, 4], [4, 4, 0, 0, 0]]
    np.testing.assert_array_equal(logits_of(variant, rows_of(others, positions)), logits)
    cut = logits_of(variant, rows_of([[3, 1, 2], [4, 4]]))
    np.testing.assert_allclose(cut, logits, **LOGITS_NOISE)


@pytest.mark.parametrize("variant", WHOLE + CAUSAL)
def test_an_unknown_item_moves_nothing(variant):
    """Pitfalls 4: id 0 between two events is as if it were not there."""
    known = logits_of(variant, rows_of([[3, 1, 1, 5]]))
    unknown = logits_of(variant, rows_of([[0, 3, 1, 0, 0, 1, 5]]))
    np.testing.assert_allclose(unknown, known, **LOGITS_NOISE)


def test_theta_of_the_prefix_is_another_function_than_theta_of_the_whole():
    """At the last event θ is the same; earlier ones were read with that of their time."""
    whole, causal = shared("3_bi")[0], shared("3_bi_causal")[0]
    for mine, other in zip(whole.weights, causal.weights, strict=True):
        np.testing.assert_array_equal(mine, other)
    events = rows_of([[3, 1, 2, 6]])
    assert np.abs(logits_of("3_bi", events) - logits_of("3_bi_causal", events)).max() > 1e-3
    np.testing.assert_allclose(
        whole.explain([3, 1, 2, 6]).topics, causal.explain([3, 1, 2, 6]).topics, **FLOAT32_NOISE
    )
    one_event = rows_of([[3]])
    np.testing.assert_allclose(
        logits_of("3_bi", one_event), logits_of("3_bi_causal", one_event), **LOGITS_NOISE
    )


@pytest.mark.parametrize("variant", ["3", "3_bi_causal"])
def test_a_repeated_item_counts_once_in_the_bag(variant):
    """C.2: θ follows from the set of items, the states from all events."""
    model, _ = shared(variant)
    once, repeated = model.explain([2, 5]), model.explain([2, 5, 5, 2])
    np.testing.assert_allclose(repeated.topics, once.topics, **FLOAT32_NOISE)
    assert np.abs(repeated.states["h"][-1] - once.states["h"][-1]).max() > 1e-3
    assert np.abs(model.explain([2, 5, 1]).topics - once.topics).max() > 1e-3


@pytest.mark.parametrize("variant", WHOLE + CAUSAL)
def test_without_training_it_is_deterministic(variant):
    """C-T10: dropout and ε belong to training."""
    model, events = shared(variant)[0], rows_of(HISTORIES)
    first, again = (model(events) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(model(events, training=True) - model(events, training=True)).max() > 1e-2


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_explanation_is_what_the_float64_loop_makes(variant):
    model, history = shared(variant)[0], [2, 5, 2, 6, 1]
    found, expected = model.explain(history), hcrnn_loop(model, history)
    np.testing.assert_array_equal(found.item_ids, history)
    np.testing.assert_allclose(found.topics, expected["thetas"][-1], **FLOAT32_NOISE)
    np.testing.assert_allclose(found.memory_attention, expected["alpha"], **FLOAT32_NOISE)
    gates = {"update", "reset", "context"} | ({"drift"} if model.cell.version == 3 else set())
    channels = {"attention"}
    if model.attention == "bi_channel":
        channels = {"context_attention", "state_attention"}
    for group, names in (
        (found.gates, gates),
        (found.states, {"h", "c"}),
        (found.attentions, channels),
    ):
        assert set(group) == names
        for name in names:
            np.testing.assert_allclose(group[name], expected[name], **FLOAT32_NOISE, err_msg=name)
    for weights in found.attentions.values():
        np.testing.assert_allclose(weights.sum(axis=1), np.ones(5), rtol=1e-6)
        np.testing.assert_array_equal(np.triu(weights, 1), np.zeros((5, 5)))


@pytest.mark.parametrize("variant", WHOLE + CAUSAL)
def test_the_last_row_of_an_explanation_is_what_encode_uses(variant):
    model, history = shared(variant)[0], [2, 5, 2, 6, 1]
    found = model.explain(history)
    h = found.states["h"]
    read = {name: weights[-1] @ h for name, weights in found.attentions.items()}
    if model.attention == "single":
        o = np.concatenate([read["attention"], h[-1]])
    else:
        o = np.concatenate([h[-1], read["context_attention"], read["state_attention"]])
    np.testing.assert_allclose(model(rows_of([history]))[0, 0], o, **FLOAT32_NOISE)


def test_figures_are_drawn_from_the_memory_and_the_items_vectors():
    model, _ = shared("3")
    assert model.global_contexts.shape == (CONTEXTS, ITEM_DIM)
    np.testing.assert_array_equal(model.global_contexts, model.cell.memory)
    assert model.item_vectors.shape == (NUM_ITEMS, ITEM_DIM)
    np.testing.assert_array_equal(model.item_vectors, np.asarray(model.items.table)[1:])


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ([], "one history of at least one event is explained at a time"),
        ([1, 7], r"`item_ids` holds 7, but this model knows ids 1\.\.6"),
        ([1, 0], "`item_ids` holds 0, but this model knows"),
        ([1, 2, 3], "holds 3 events, but this model reads the latest 2"),
    ],
)
def test_histories_that_cannot_be_explained(history, message):
    with pytest.raises(ValueError, match=message):
        built(max_length=2).explain(history)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_configuration_holds_every_argument(variant):
    others = {"beta": 0.5, "beta_warmup_steps": 7, "two_phase": True, "gate_bias": 1.0}
    others |= {"input_dropout": 0.1, "output_dropout": 0.2, "tied": False}
    arguments = SIZES | VARIANTS[variant] | others
    model = HCRNN(num_items=NUM_ITEMS, seed=1, **arguments)
    config = json.loads(json.dumps(model.get_config()))
    assert {name: config[name] for name in arguments} == arguments
    again = HCRNN.from_config(config)
    assert again.get_config() == model.get_config()
    for mine, other in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_items_may_be_scored_by_vectors_of_their_own():
    """With equal vectors both forms agree; another vector that scores is read nowhere."""
    model, twin, events = built(), built(tied=False), rows_of(HISTORIES)
    vectors = np.asarray(model.items.table)
    tables = [twin.items.table, twin.item_scores.items.table]
    others = [weight for weight in twin.weights if weight is not tables[1]]
    for other, weight in zip(others, model.weights, strict=True):
        other.assign(weight)
    tables[1].assign(vectors)
    np.testing.assert_allclose(twin.score(twin(events)), model.score(model(events)), rtol=1e-5)
    before = np.asarray(twin(events))
    tables[1].assign(vectors + 1)
    np.testing.assert_array_equal(twin(events), before)
    tables[0].assign(vectors + 1)
    assert np.abs(np.asarray(twin(events)) - before).max() > 0.01


def test_layouts():
    whole, causal = shared("3")[0], shared("3_bi_causal")[0]
    assert (whole.layout, causal.layout) == (PREFIXES, SEQUENCES)
    assert (whole.trains_on, causal.trains_on) == ((PREFIXES,), (PREFIXES, SEQUENCES))
    assert not whole.incremental and whole.initial_states(3) == []


def test_initial_values():
    """C.5: W_emb from N(0, 0.1²), the heads' matrices by Glorot's rule, all by the seed."""
    model = HCRNN(
        num_items=400, units=50, item_dim=40, num_contexts=30, attention="bi_channel", seed=0
    )
    vectors = model.item_vectors
    assert not np.any(np.asarray(model.items.table)[0])
    assert abs(vectors.std() - 0.1) < 0.002 and abs(vectors.mean()) < 0.002
    fans = [
        (model.state_attention.query_kernel, 100),
        (model.state_attention.hidden_kernel, 100),
        (model.context_attention.query_kernel, 90),
        (model.context_attention.context_kernel, 90),
        (model.item_scores.kernel, 40 + 150),
        (model.global_context.f_kernel, 80),
    ]
    for weight, fan in fans:
        limit = np.sqrt(6 / fan)
        assert 0.98 * limit < np.abs(weight).max() <= limit, weight.path
    assert np.abs(model.state_attention.scorer).max() <= np.sqrt(6 / 51)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_items": 0}, "`num_items` must be a positive int, but was 0"),
        ({"units": 0}, "`units` must be a positive int, but was 0"),
        ({"item_dim": 0}, "`item_dim` must be a positive int, but was 0"),
        ({"num_contexts": -2}, "`num_contexts` must be a positive int, but was -2"),
        ({"version": "3"}, "`version` must be 1, 2 or 3, but was '3'"),
        ({"attention": "bichannel"}, r"`attention` was 'bichannel'.*Did you mean 'bi_channel'\?"),
        ({"theta": "all"}, "`theta` was 'all', but must be one of 'whole', 'prefix'"),
        ({"std": "log"}, "`std` was 'log', but must be one of 'softplus', 'exp'"),
        ({"beta": -0.1}, r"`beta` must be a finite number of at least 0, but was -0\.1"),
        ({"beta": float("nan")}, "`beta` must be a finite number .*Pass the code's 0.001"),
        ({"beta_warmup_steps": -1}, "`beta_warmup_steps` must be an int of at least 0"),
        (
            {"beta": 0, "beta_warmup_steps": 9},
            "`beta_warmup_steps` was 9 with beta=0, to which nothing rises. Leave it out",
        ),
        ({"input_dropout": 1}, "`input_dropout` must be a dropout rate"),
        ({"output_dropout": -0.5}, "`output_dropout` must be a dropout rate"),
        (
            {"attention": "bi_channel", "attention_scale": "D"},
            "`attention_scale` was 'D', but must be one of 'units', 'item_dim'",
        ),
        (
            {"attention_scale": "item_dim"},
            "`attention_scale` was 'item_dim' with attention='single', .*Leave it out, or pass",
        ),
        (
            {"theta": "prefix", "max_length": 5},
            "`max_length` was 5 with theta='prefix', .*Leave it out, or pass theta='whole'",
        ),
        ({"max_length": 0}, "`max_length` must be a positive int, but was 0"),
        ({"v1_reset_uses_prev": True}, "`v1_reset_uses_prev` was True with version=3"),
        ({"version": 1, "raw_drift_init": True}, "`raw_drift_init` was True with version=1"),
    ],
)
def test_bad_arguments_name_the_cure(arguments, message):
    with pytest.raises(ValueError, match=message):
        HCRNN(**{"num_items": 5} | SIZES | arguments)


def test_theta_of_the_whole_row_serves_one_target():
    """Pitfall: with several positions, θ would leak later events into the earlier ones."""
    model = HCRNN(num_items=4, units=3, item_dim=3, num_contexts=2, seed=1)
    events = {ITEM_IDS: tf.constant([[1, 2, 3]]), POSITIONS: tf.constant([[0, 2]])}
    with pytest.raises(ValueError, match="`positions` has 2 targets a row, but θ of the whole"):
        model(events)
