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


def layer_norm(v, gain, shift):
    """LN of a vector."""
    return gain * (v - v.mean()) / np.sqrt(v.var() + 1e-5) + shift


def layer_norm_gru_step(weights, x, h, *, extra=0.0):
    """One event of the layer-normalised GRU, gate by gate as in docs/equations.md H.3."""
    blocks = {name: np.split(values, 3, axis=-1) for name, values in weights.items()}
    extra = np.split(extra + np.zeros(3 * len(h)), 3)
    from_x, from_h = (
        [
            layer_norm(v @ blocks[kernel][gate], blocks[gain][gate], blocks[shift][gate])
            for gate in range(3)
        ]
        for v, kernel, gain, shift in (
            (x, "kernel", "gain", "shift"),
            (h, "recurrent_kernel", "recurrent_gain", "recurrent_shift"),
        )
    )
    r, z = (sigmoid(from_x[g] + extra[g] + from_h[g] + blocks["bias"][g]) for g in range(2))
    candidate = np.tanh(from_x[2] + extra[2] + r * from_h[2] + blocks["bias"][2])
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
    for name in ("init_kernel", "init_bias", "user_kernel", "gap_kernel", "gap_init_kernel"):
        weight = getattr(cell, name, None)
        if weight is not None:
            weights[name] = np.asarray(weight, np.float64)
    return weights | {"first_session_init": cell.first_session_init}


def hrnn_step(weights, x, session_start, user_start, s, c, gap=0.0):
    """One event of HRNN, line by line as in docs/equations.md B.2 and B.12."""
    gru = layer_norm_gru_step if "gain" in weights["user"] else gru_step
    if session_start:
        c = gru(weights["user"], s, c)
        if user_start:
            c = np.zeros_like(c)
        start = c @ weights["init_kernel"] + weights["init_bias"]
        s = np.tanh(start + gap * weights.get("gap_init_kernel", np.zeros(1))[0])
        if user_start and weights["first_session_init"] == "zero":
            s = np.zeros_like(s)
    extra = 0.0
    if "user_kernel" in weights:
        from_user = c @ weights["user_kernel"]
        extra = np.zeros(3 * len(s))
        extra[: len(from_user)] = from_user
    extra = extra + gap * weights.get("gap_kernel", np.zeros(1))[0]
    s = gru(weights["session"], x, s, extra=extra)
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
            gap = x.pop() if cell.gap_input else 0.0
            x = int(x[0]) if cell.num_items else np.array(x)
            s[row], c[row] = hrnn_step(weights, x, session_start, user_start, s[row], c[row], gap)
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


def hm_lstm_loop(cell, inputs, states):
    """HM-LSTM's outputs, an event and a layer at a time, as in docs/equations.md F.1.

    Args:
        inputs: (steps, features + 2): x, session start, user start; one row, slope of the cell.
        states: [c^1, h^1, ...], each (units,).

    Returns:
        (steps, output_size), the last states, and a word for each layer of each event.
    """
    units, layers = cell.units, cell.num_layers

    def as_float64(weights):
        return [np.asarray(weight, np.float64) for weight in weights]

    kernels, biases = as_float64(cell.kernels), as_float64(cell.biases)
    recurrent, top = as_float64(cell.recurrent_kernels), as_float64(cell.top_kernels)
    states, outputs, words = [np.array(state, np.float64) for state in states], [], []
    for *x, session_start, user_start in np.asarray(inputs, np.float64):
        c, h = states[::2], states[1::2]
        below, reads, sums, zetas, ends = np.array(x), True, [], [], []
        for layer in range(layers):
            total = h[layer] @ recurrent[layer] + below @ kernels[layer] + biases[layer]
            below, z = h[layer], False
            sums.append((total[: 4 * units], reads))
            if layer < layers - 1:
                zetas.append(total[-1])
                soft = np.clip((float(cell.slope) * total[-1] + 1) / 2, 0, 1)
                z = soft > 0.5
                if layer == 0 and cell.boundaries == "given":
                    z = session_start > 0
                reads = z = bool(z and reads and not user_start)
            ends.append(z)
        new, words_now = [None] * (2 * layers), []
        for layer in range(layers - 1, -1, -1):
            total, reads = sums[layer]
            word = "FLUSH" if ends[layer] else "UPDATE" if reads else "COPY"
            words_now.insert(0, word)
            if word == "COPY":
                new[2 * layer : 2 * layer + 2] = c[layer], h[layer]
                continue
            if word == "FLUSH":
                total = total + new[2 * layer + 3] @ top[layer]
            f, i, o, g = np.split(total, 4)
            kept = 0 if word == "FLUSH" else sigmoid(f) * c[layer]
            new[2 * layer] = kept + sigmoid(i) * np.tanh(g)
            new[2 * layer + 1] = sigmoid(o) * np.tanh(new[2 * layer])
        states = new
        words.append(words_now)
        outputs.append(np.concatenate([*new[1::2], zetas, np.array(ends[:-1], float)]))
    return np.array(outputs), states, words


def hs_lstm_loop(cell, inputs, states):
    """HS-LSTM's output after each event, line by line as in docs/equations.md F.2.

    Args:
        inputs: (batch, steps, item_dim + 2): x, υ and user start.
        states: h^w, c^w, h^p, c^p, each (batch, units).

    Returns:
        (batch, steps, upper + lower units [+ 3]), and the last states.
    """
    lower, upper = weights_of(cell.lower_cell), weights_of(cell.upper_cell)
    policies = [
        [np.asarray(weight, np.float64) for weight in policy]
        for policy in (cell.policy, cell.acting_policy)
    ]
    batch, steps, _ = inputs.shape
    outputs = np.zeros((batch, steps, cell.output_size))
    last = [np.array(state, np.float64) for state in states]
    for row in range(batch):
        for step in range(steps):
            *x, bar, user_start = np.asarray(inputs[row, step], np.float64)
            h_w, c_w, h_p, c_p = (state[row] * (1 - user_start) for state in last)
            z = []
            for kernel, bias in filter(len, policies):
                z.append(np.concatenate([c_p, h_p, c_w, h_w, x]) @ kernel[:, 0] + bias[0])
            ends = (z[1] if z else 0.0) > bar and not user_start
            if ends:
                h_p, c_p = lstm_step(upper, h_w, h_p, c_p)
                h_w, c_w = np.zeros_like(h_w), np.zeros_like(c_w)
            h_w, c_w = lstm_step(lower, np.array(x), h_w, c_w)
            for state, value in zip(last, (h_w, c_w, h_p, c_p), strict=True):
                state[row] = value
            told = [*z, ends] if z else []
            outputs[row, step] = np.concatenate([h_p, h_w, told])
    return outputs, last


def elman_step(weights, x, h):
    """One event of the simple recurrent network."""
    return np.tanh(x @ weights["kernel"] + h @ weights["recurrent"] + weights["bias"])
