"""Slow float64 NumPy loops of the recurrent equations, one row and one event at a time."""

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def weights_of(layer):
    """The layer's weights by name, float64."""
    return {weight.name: np.asarray(weight, np.float64) for weight in layer.weights}


def gru_step(weights, x, h, *, extra=0.0, reset_after=False):
    """One event of the reference GRU; `x` is a vector, or an int that reads a row."""
    gates = (weights["kernel"][x] if np.ndim(x) == 0 else x @ weights["kernel"]) + weights["bias"]
    x_r, x_z, x_h = np.split(gates + extra, 3)
    u_r, u_z = np.split(weights["recurrent_gates"], 2, axis=1)
    u_h = weights["recurrent_candidate"]
    c_r, c_z = np.split(weights["recurrent_gates_bias"], 2) if reset_after else (0.0, 0.0)
    r = sigmoid(x_r + h @ u_r + c_r)
    z = sigmoid(x_z + h @ u_z + c_z)
    if reset_after:
        candidate = np.tanh(x_h + r * (h @ u_h + weights["recurrent_candidate_bias"]))
    else:
        candidate = np.tanh(x_h + (r * h) @ u_h)
    return (1 - z) * h + z * candidate


def lstm_step(weights, x, h, c):
    """One event of the LSTM."""
    gates = (weights["kernel"][x] if np.ndim(x) == 0 else x @ weights["kernel"]) + weights["bias"]
    i, f, candidate, o = np.split(gates + h @ weights["recurrent_kernel"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
    return sigmoid(o) * np.tanh(c), c


def hrnn_weights(cell):
    """What `hrnn_step` needs of a cell."""
    weights = {"session": weights_of(cell.session_cell), "user": weights_of(cell.user_cell)}
    for name in ("init_kernel", "init_bias", "user_kernel"):
        weight = getattr(cell, name)
        if weight is not None:
            weights[name] = np.asarray(weight, np.float64)
    return weights | {"first_session_init": cell.first_session_init}


def hrnn_step(weights, x, session_start, user_start, s, c):
    """One event of HRNN, line by line as in docs/equations.md B.2."""
    if session_start:
        c = gru_step(weights["user"], s, c)
        if user_start:
            c = np.zeros_like(c)
        s = np.tanh(c @ weights["init_kernel"] + weights["init_bias"])
        if user_start and weights["first_session_init"] == "zero":
            s = np.zeros_like(s)
    extra = 0.0
    if "user_kernel" in weights:
        from_user = c @ weights["user_kernel"]
        extra = np.zeros(3 * len(s))
        extra[: len(from_user)] = from_user
    s = gru_step(weights["session"], x, s, extra=extra)
    return s, c


def hrnn_loop(cell, inputs, s, c):
    """All events of all rows; inputs (batch, steps, features + 2)."""
    inputs = np.asarray(inputs, np.float64)
    s, c = np.array(s, np.float64), np.array(c, np.float64)
    weights = hrnn_weights(cell)
    outputs = np.zeros((*inputs.shape[:2], s.shape[1]))
    for row in range(inputs.shape[0]):
        for step in range(inputs.shape[1]):
            *x, session_start, user_start = inputs[row, step]
            x = int(x[0]) if cell.num_items else np.array(x)
            s[row], c[row] = hrnn_step(weights, x, session_start, user_start, s[row], c[row])
            outputs[row, step] = s[row]
    return outputs, s, c


def hi_rnn_loop(cell, inputs, s, l):  # noqa: E741
    """Hi-RNN's states after each event, line by line as in docs/equations.md E.2.

    Args:
        inputs: (batch, steps, item_dim + 3): the item's vector, then δ, g and user start.
        s, l: (batch, units).

    Returns:
        (batch, steps, short + long units), and the last s and l.
    """
    short, long = weights_of(cell.short_cell), weights_of(cell.long_cell)
    init_kernel, init_bias = (
        np.asarray(weight, np.float64) for weight in (cell.init_kernel, cell.init_bias)
    )
    batch, steps, _ = inputs.shape
    outputs = np.zeros((batch, steps, cell.short_units + cell.long_units))
    last_s, last_l = np.array(s, np.float64), np.array(l, np.float64)
    for row in range(batch):
        for step in range(steps):
            *x, delta, ends, user_start = np.asarray(inputs[row, step], np.float64)
            s_k, l_k = last_s[row], last_l[row]
            if user_start:
                s_k, l_k = np.zeros_like(s_k), np.zeros_like(l_k)
            times = [], []
            if cell.time_dim:
                standard = (delta - cell.gap_mean) / cell.gap_sd
                times = [
                    standard * np.asarray(kernel, np.float64)[0] + np.asarray(bias, np.float64)
                    for kernel, bias in (cell.event_time, cell.segment_time)
                ]
            if ends and not user_start:
                l_k = gru_step(long, np.concatenate([s_k, times[1]]), l_k)
                s_k = np.tanh(l_k @ init_kernel + init_bias)
            elif cell.decay:
                rate = delta * np.asarray(cell.decay_kernel, np.float64)[0]
                s_k = s_k * np.exp(-np.maximum(rate + np.asarray(cell.decay_bias, np.float64), 0))
            s_k = gru_step(short, np.concatenate([x, times[0]]), s_k)
            last_s[row], last_l[row] = s_k, l_k
            outputs[row, step] = np.concatenate([s_k, l_k])
    return outputs, last_s, last_l


def elman_step(weights, x, h):
    """One event of the simple recurrent network."""
    return np.tanh(x @ weights["kernel"] + h @ weights["recurrent"] + weights["bias"])
