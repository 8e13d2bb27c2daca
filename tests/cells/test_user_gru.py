import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.cells import ReferenceGRUCell, UserGRUCell
from hrec_tf.cells.user_gru import INTEGRATIONS
from hrec_tf.layers import Recurrence
from tests.reference.recurrent import sigmoid, weights_of
from tests.reference.weights import fill_distinct

BATCH, STEPS, ITEM, USER, UNITS = 3, 6, 4, 2, 5
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}


def inputs():
    values = np.random.default_rng(0).normal(size=(BATCH, STEPS, ITEM + USER))
    return values.astype("float32")


def built(integration, width=ITEM + USER):
    cell = UserGRUCell(UNITS, user_dim=USER, integration=integration)
    cell.build((None, width))
    fill_distinct(cell)
    return cell


def run(cell, values):
    recurrence = Recurrence(cell)
    recurrence.build(values.shape)
    return np.asarray(recurrence(tf.constant(values))[0])


def gru_of(cell, kernel, bias):
    """The GRU with the first three blocks of a cell's weights."""
    gru = ReferenceGRUCell(UNITS)
    gru.build((None, kernel.shape[0]))
    gru.kernel.assign(kernel[:, : 3 * UNITS])
    gru.bias.assign(bias[: 3 * UNITS])
    gru.recurrent_gates.assign(cell.recurrent_gates[:, : 2 * UNITS])
    gru.recurrent_candidate.assign(cell.recurrent_candidate)
    return gru


def slow_step(w, integration, x, u, h):
    """equations H.1, gate by gate."""
    blocks = {
        name: np.split(w[name], w[name].shape[-1] // UNITS, axis=-1)
        for name in ("kernel", "user_kernel", "recurrent_gates", "bias")
    }
    x_, u_ = (
        [v @ block for block in blocks[name]] for v, name in ((x, "kernel"), (u, "user_kernel"))
    )
    h_ = [h @ block for block in blocks["recurrent_gates"]]
    b_ = blocks["bias"]
    r, z = (sigmoid(x_[g] + h_[g] + u_[g] + b_[g]) for g in (0, 1))
    from_x, from_u = x_[2], u_[2]
    if integration != "linear":
        xi = sigmoid(x_[3] + h_[2] + u_[3] + b_[3])
        from_u = xi * from_u
        if integration == "attentional":
            from_x = (1 - xi) * from_x
    candidate = np.tanh(from_x + from_u + (r * h) @ w["recurrent_candidate"] + b_[2])
    return (1 - z) * h + z * candidate


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_agrees_with_a_float64_loop(integration):
    cell, values = built(integration), inputs()
    w, outputs = weights_of(cell), run(cell, values)
    for row in range(BATCH):
        h = np.zeros(UNITS)
        for step in range(STEPS):
            x, u = np.split(values[row, step].astype(np.float64), [ITEM])
            h = slow_step(w, integration, x, u, h)
            np.testing.assert_allclose(outputs[row, step], h, **FLOAT32_NOISE)


def test_golden_values_of_one_unit():
    """x W_h = 1, u V_h = 2, ξ = z = 1/2: h is half of tanh(1 + 2), tanh(1 + 1), tanh(1/2 + 1)."""
    for integration, inside in zip(INTEGRATIONS, (3.0, 2.0, 1.5), strict=True):
        cell = UserGRUCell(1, user_dim=1, integration=integration)
        cell.build((None, 2))
        for weight in cell.weights:
            weight.assign(tf.zeros_like(weight))
        blocks = cell.kernel.shape[1]
        cell.kernel.assign([[0.0, 0.0, 1.0, 0.0][:blocks]])
        cell.user_kernel.assign([[0.0, 0.0, 2.0, 0.0][:blocks]])
        h, _ = cell(tf.constant([[1.0, 1.0]]), [tf.zeros((1, 1))])
        np.testing.assert_allclose(h, [[np.tanh(inside) / 2]], rtol=1e-6)


def test_linear_is_a_gru_on_items_and_users():
    cell, values = built("linear"), inputs()
    kernel = np.concatenate([cell.kernel, cell.user_kernel])
    gru = gru_of(cell, kernel, np.asarray(cell.bias))
    np.testing.assert_allclose(run(cell, values), run(gru, values), **FLOAT32_NOISE)


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_without_users_it_is_a_gru(integration):
    """equations H.1: V = 0; for the attentional form ξ = 0 as well."""
    cell, values = built(integration), inputs()
    cell.user_kernel.assign(tf.zeros_like(cell.user_kernel))
    if integration == "attentional":
        bias = np.asarray(cell.bias).copy()
        bias[3 * UNITS :] = -100.0
        cell.bias.assign(bias)
    gru = gru_of(cell, np.asarray(cell.kernel), np.asarray(cell.bias))
    np.testing.assert_allclose(run(cell, values), run(gru, values[..., :ITEM]), **FLOAT32_NOISE)


def test_with_an_open_gate_rectified_is_linear():
    """equations H.1: ξ = 1."""
    cell, values = built("rectified"), inputs()
    bias = np.asarray(cell.bias).copy()
    bias[3 * UNITS :] = 100.0
    cell.bias.assign(bias)
    linear = built("linear")
    for name in ("kernel", "user_kernel", "recurrent_gates", "bias"):
        weight = getattr(linear, name)
        weight.assign(np.asarray(getattr(cell, name))[..., : weight.shape[-1]])
    linear.recurrent_candidate.assign(cell.recurrent_candidate)
    np.testing.assert_allclose(run(cell, values), run(linear, values), **FLOAT32_NOISE)


def test_one_user_is_a_shift_of_the_biases():
    """equations H.1: with a single user, linear is a GRU whose biases are b + u V."""
    cell, values = built("linear"), inputs()
    values[..., ITEM:] = [0.4, -0.7]
    bias = np.asarray(cell.bias) + np.array([0.4, -0.7]) @ np.asarray(cell.user_kernel)
    gru = gru_of(cell, np.asarray(cell.kernel), bias)
    np.testing.assert_allclose(run(cell, values), run(gru, values[..., :ITEM]), **FLOAT32_NOISE)


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`integration` was 'linar'.*Did you mean 'linear'"):
        UserGRUCell(3, user_dim=2, integration="linar")
    with pytest.raises(ValueError, match=r"`user_dim` must be a positive int, but was 0"):
        UserGRUCell(3, user_dim=0)
