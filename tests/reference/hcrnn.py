"""Slow float64 NumPy loops of HCRNN, one row and one event at a time: docs/equations.md C."""

import functools
import math

import numpy as np

from tests.reference.losses import softmax
from tests.reference.recurrent import sigmoid, weights_of


def fill(layer, scale=0.3, seed=0):
    """Gives every weight distinct values, W_d above 0; row 0 of an item table stays 0.

    From N(0, scale²): the sines of `fill_distinct` add up to almost the same everywhere.
    """
    generator = np.random.default_rng(seed)
    num_rows = (getattr(layer, "num_items", None) or 0) + 1
    for weight in layer.trainable_weights:
        values = generator.normal(scale=scale, size=weight.shape)
        if weight.constraint is not None:
            values = np.abs(values)
        if num_rows > 1 and weight.shape[0] == num_rows:
            values[0] = 0
        weight.assign(values)


def cell_weights(cell):
    """The cell's weights by their names in the paper."""
    H, D = cell.units, cell.item_dim
    held = weights_of(cell)
    names = {
        "memory": "M",
        "memory_kernel": "W_ta",
        "candidate_kernel": "W_hh",
        "c_to_context": "W_cl",
        "c_to_update": "W_cz",
        "c_to_reset": "W_cr",
        "drift_kernel": "W_d",
        "drift_bias": "b_d",
    }
    weights = {names[name]: values for name, values in held.items() if name in names}
    of_x = np.split(held["x_kernel"], [D, D + H, D + 2 * H], axis=1)
    of_h = np.split(held["h_kernel"], [H, H + D, 2 * H + D], axis=1)
    biases = np.split(held["bias"], [D, D + H, D + 2 * H])
    weights |= dict(zip(("W_xl", "W_xz", "W_xr", "W_xh"), of_x, strict=True))
    weights |= dict(zip(("W_ha", "W_hl", "W_hz", "W_hr"), of_h, strict=True))
    weights |= dict(zip(("b_l", "b_z", "b_r", "b_h"), biases, strict=True))
    return weights | {"v": held["v"][0]}


def cell_step(w, x, theta, h, c, *, version, v1_reset_uses_prev=False):
    """One event of the cell, equation by equation; returns its values by name."""
    energies = [
        sigmoid(h @ w["W_ha"] + (theta[k] * w["M"][k]) @ w["W_ta"]) @ w["v"]
        for k in range(len(theta))
    ]
    alpha = np.array(softmax(energies))  # (13)
    proposed = sum(alpha[k] * w["M"][k] for k in range(len(theta)))  # (14)
    context = sigmoid(x @ w["W_xl"] + h @ w["W_hl"] + c @ w["W_cl"] + w["b_l"])  # (15)
    c_before, c = c, (1 - context) * c + context * proposed  # (16)
    z = sigmoid(x @ w["W_xz"] + h @ w["W_hz"] + c @ w["W_cz"] + w["b_z"])  # (17)
    of_reset = x @ w["W_xr"] + h @ w["W_hr"] + w["b_r"]
    gates = {}
    if version == 1:
        g = r = sigmoid(of_reset + (c_before if v1_reset_uses_prev else c) @ w["W_cr"])  # (18)
    elif version == 2:
        g = r = sigmoid(of_reset + (x * c) @ w["W_d"])  # (21)
    else:
        gates["drift"] = sigmoid((x * c) @ w["W_d"] + w["b_d"])  # (22)
        r = sigmoid(of_reset)  # (23)
        g = r * gates["drift"]
    candidate = np.tanh((g * h) @ w["W_hh"] + x @ w["W_xh"] + w["b_h"])  # (19), (24)
    h = (1 - z) * h + z * candidate  # (20)
    return gates | {"h": h, "c": c, "alpha": alpha, "context": context, "update": z, "reset": r}


def options_of(cell):
    """The arguments of `cell_step` that a cell was made with."""
    return {"version": cell.version, "v1_reset_uses_prev": cell.v1_reset_uses_prev}


def cell_loop(cell, inputs, h, c, reset=None, is_event=None):
    """All events of all rows, inputs (batch, steps, D + K); returns outputs and both states."""
    inputs = np.asarray(inputs, np.float64)
    h, c = np.array(h, np.float64), np.array(c, np.float64)
    weights = cell_weights(cell)
    outputs = np.zeros((*inputs.shape[:2], h.shape[1] + c.shape[1]))
    for row, step in np.ndindex(inputs.shape[:2]):
        x, theta = np.split(inputs[row, step], [cell.item_dim])
        starts = reset is not None and reset[row, step]
        start = (0 * h[row], 0 * c[row]) if starts else (h[row], c[row])
        values = cell_step(weights, x, theta, *start, **options_of(cell))
        outputs[row, step] = np.concatenate([values["h"], values["c"]])
        if is_event is None or is_event[row, step]:
            h[row], c[row] = values["h"], values["c"]
    return outputs, h, c


def bag(table, item_ids):
    """Sums the vectors of a set of items."""
    return sum(np.asarray(table[item], np.float64) for item in sorted(set(item_ids)))


def global_context(layer, u, noise=0.0):
    """θ and KL of one bag; `noise` is ε."""
    w = weights_of(layer)
    f = [x if x > 0 else math.exp(x) - 1 for x in u @ w["f_kernel"] + w["f_bias"]]
    mean = f @ w["mean_kernel"] + w["mean_bias"]
    raw = f @ w["std_kernel"] + w["std_bias"]
    std = np.exp(raw) if layer.std == "exp" else np.log1p(np.exp(raw)) + 1e-6
    kl = sum(m**2 + s**2 - math.log(s**2 + 1e-8) - 1 for m, s in zip(mean, std, strict=True)) / 2
    return np.array(softmax(mean + std * noise)), kl


def by_state(layer, h, t):
    """The weights of h_0..h_t by `AdditiveAttention`, for the query h_t: (26)."""
    w = weights_of(layer)
    energies = [
        sigmoid(h[t] @ w["query_kernel"] + h[j] @ w["hidden_kernel"]) @ w["scorer"][:, 0]
        for j in range(t + 1)
    ]
    return np.array(softmax(energies))


def by_context(layer, c, t, scale):
    """The weights of c_0..c_t by `ContextAttention`, for the query c_t: (25)."""
    w = weights_of(layer)
    energies = [
        (c[t] @ w["query_kernel"]) @ (c[j] @ w["context_kernel"]) / math.sqrt(scale)
        for j in range(t + 1)
    ]
    return np.array(softmax(energies))


def hcrnn_loop(model, item_ids):
    """What a model makes of one history, without dropout and with ε = 0.

    Returns:
        `thetas` (T, K), the cell's values by name (T, …), each attention by name (T, T), `logits`
        (T, N), and `kls`, those of the bags: T of them with theta="prefix", else one.
    """
    table = np.asarray(model.items.table, np.float64)
    length = len(item_ids)
    bags = [bag(table, item_ids)]
    if model.cell.theta == "prefix":
        bags = [bag(table, item_ids[: t + 1]) for t in range(length)]
    contexts = [global_context(model.global_context, u) for u in bags]
    thetas = [theta for theta, _ in contexts] * (length if len(bags) == 1 else 1)

    weights, steps = cell_weights(model.cell), []
    h, c = np.zeros(model.cell.units), np.zeros(model.cell.item_dim)
    for item, theta in zip(item_ids, thetas, strict=True):
        steps.append(cell_step(weights, table[item], theta, h, c, **options_of(model.cell)))
        h, c = steps[-1]["h"], steps[-1]["c"]
    found = {name: np.array([step[name] for step in steps]) for name in steps[0]}
    found |= {"thetas": np.array(thetas), "kls": np.array([kl for _, kl in contexts])}

    states, is_single = found["h"], model.context_attention is None
    weigh = {
        "attention" if is_single else "state_attention": functools.partial(
            by_state, model.state_attention, states
        )
    }
    if not is_single:
        scale = {"units": model.cell.units, "item_dim": model.cell.item_dim}[model.attention_scale]
        weigh["context_attention"] = functools.partial(
            by_context, model.context_attention, found["c"], scale=scale
        )
    for name, weights_at in weigh.items():
        found[name] = np.zeros((length, length))
        for t in range(length):
            found[name][t, : t + 1] = weights_at(t)

    to_items = table[1:] @ np.asarray(model.item_scores.kernel, np.float64)  # W_emb W_B
    logits = []
    for t in range(length):
        if is_single:
            o = [found["attention"][t] @ states, states[t]]
        else:
            averages = (
                found[name][t] @ states for name in ("context_attention", "state_attention")
            )
            o = [states[t], *averages]  # (27)
        logits.append(to_items @ np.concatenate(o))  # (28)
    return found | {"logits": np.array(logits)}
