import functools

import numpy as np
import pytest

from hrec_tf.models import STAMP
from tests.reference.padded_rows import padded_events
from tests.reference.prefix_models import (
    HISTORIES,
    POSITIONS,
    assert_gradients_agree,
    assert_logits_agree,
    stamp_logits,
    stamp_variables,
)
from tests.reference.weights import fill_drawn

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS, ITEM_DIM = 6, 3
FORMS = {
    "authors": {"residual": True, "inner_sigmoid": False, "biases": False},
    "paper and Song et al.": {"residual": False, "inner_sigmoid": True, "biases": True},
    "RecBole": {"residual": True, "inner_sigmoid": False, "biases": True},
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def built(**arguments):
    model = STAMP(num_items=NUM_ITEMS, item_dim=ITEM_DIM, **arguments)
    fill_drawn(model)
    return model


def loop_of(form):
    return functools.partial(
        stamp_logits, residual=form["residual"], inner_sigmoid=form["inner_sigmoid"]
    )


def logits_of(model, events):
    return np.asarray(model.score(model(events)))


@pytest.mark.parametrize(
    ("form", "m_a", "golden"),
    [
        ({"residual": True}, 6, [0.125, 0.375]),
        ({"residual": False}, 4, [0.125, 0.375]),
        ({"residual": False, "inner_sigmoid": True}, 4, [0.531209, 0.592667]),
    ],
)
def test_golden_logits(form, m_a, golden):
    """Vectors 1 and 3, both read: m_t = 3, m_s = 2, and with W_1..3 = 0, w_0 = 2, weights of 1.

    So m_a = 1 + 3, plus 2 with the residual. W_s and W_t make h_s = 1/2 and h_t = 1/4 of it:
    logits 1/8 and 3/8; σ(1/8) = 0.531209, σ(3/8) = 0.592667.
    """
    model = STAMP(num_items=2, item_dim=1, **form)
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    model.items.table.assign([[0.0], [1.0], [3.0]])
    model.attention.scorer.assign([[2.0]])
    model.of_all.kernel.assign([[np.arctanh(1 / 2) / m_a]])
    model.of_last.kernel.assign([[np.arctanh(1 / 4) / 3]])
    np.testing.assert_allclose(logits_of(model, padded_events([[1, 2]])), [[golden]], rtol=1e-5)


@every_form
def test_logits_agree_with_a_float64_loop(form):
    model = built(**form)
    assert_logits_agree(model, stamp_variables(model), loop_of(form))


@every_form
def test_gradients_are_difference_quotients_of_the_loop(form):
    model = built(**form)
    assert_gradients_agree(model, stamp_variables(model), loop_of(form))


def test_without_attention_it_knows_the_mean_and_the_last_item():
    model = built()
    model.attention.scorer.assign(np.zeros(model.attention.scorer.shape))
    table, events = np.asarray(model.items.table), padded_events(HISTORIES)
    w_s, w_t = np.asarray(model.of_all.kernel), np.asarray(model.of_last.kernel)
    expected = [
        np.tanh(table[history].mean(axis=0) @ w_s) * np.tanh(table[history[-1]] @ w_t)
        for history in HISTORIES
    ]
    np.testing.assert_allclose(model(events)[:, 0], expected, **FLOAT32_NOISE)
    # Without the residual nothing is left of it.
    model = built(residual=False)
    model.attention.scorer.assign(np.zeros(model.attention.scorer.shape))
    assert not logits_of(model, events).any()


def test_only_the_last_item_has_a_place_of_its_own():
    """The order of the items before it changes nothing."""
    model = built()
    first, second, other = logits_of(
        model, padded_events([[3, 1, 6, 2], [6, 3, 1, 2], [3, 1, 2, 6]])
    )
    np.testing.assert_allclose(first, second, **FLOAT32_NOISE)
    assert np.abs(first - other).max() > 1e-3


def test_the_inner_sigmoid_keeps_the_order():
    plain, flat = (
        logits_of(built(inner_sigmoid=inner), padded_events(HISTORIES, POSITIONS))
        for inner in (False, True)
    )
    np.testing.assert_array_equal(np.argsort(plain), np.argsort(flat))
    assert flat.min() > 0 and flat.max() < 1


def test_defaults_are_those_of_the_authors():
    """N(0, 0.002²) for vectors, N(0, 0.05²) for the rest, no bias."""
    model = STAMP(num_items=400, seed=0)
    config = model.get_config()
    assert [config[name] for name in ("residual", "inner_sigmoid", "biases")] == [
        True,
        False,
        False,
    ]
    table = np.asarray(model.items.table)
    assert table.shape == (401, 100) and not table[0].any()
    assert abs(table[1:].std() - 0.002) < 0.0001
    others = [weight for weight in model.trainable_weights if weight is not model.items.table]
    assert len(others) == 5
    for weight in others:
        assert abs(np.std(weight) - 0.05) < (0.001 if weight.shape[1] > 1 else 0.02), weight.path


def test_initial_values_of_song_et_al_are_a_choice():
    model = STAMP(num_items=400, item_stddev=0.1, weight_stddev=None, biases=True, seed=0)
    assert abs(np.asarray(model.items.table)[1:].std() - 0.1) < 0.002
    for weight, fan in (
        (model.attention.hidden_kernel, 200),
        (model.attention.query_kernel, 300),
        (model.attention.scorer, 101),
        (model.of_all.kernel, 200),
        (model.of_last.kernel, 200),
    ):
        limit = np.sqrt(6 / fan)
        assert 0.95 * limit < np.abs(weight).max() <= limit, weight.path
    for bias in (model.attention.bias, model.of_all.bias, model.of_last.bias):
        assert not np.any(bias)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"item_dim": 0}, "`item_dim` must be a positive int, but was 0. Pass the vectors' size"),
        ({"item_stddev": -1}, "`item_stddev` must be a finite number of at least 0, but was -1"),
        ({"weight_stddev": np.nan}, "`weight_stddev` must be a finite number.*None for Glorot"),
    ],
)
def test_bad_arguments_name_the_cure(arguments, message):
    with pytest.raises(ValueError, match=message):
        STAMP(num_items=5, **arguments)
