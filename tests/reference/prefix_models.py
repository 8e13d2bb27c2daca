"""Slow float64 loops of models that read prefixes: one history, one event, one item at a time.

Weights come as a dict of arrays, so that a loop can be differentiated by moving them.
"""

import numpy as np
import tensorflow as tf

from tests.reference.padded_rows import padded_events
from tests.reference.recurrent import elman_step, gru_step, lstm_step, sigmoid
from tests.reference.training import difference_quotients

# Of a catalogue of six items; no two rows are of one length, items come twice.
HISTORIES = [[3, 1, 6, 2], [5, 2], [4, 4, 1]]
POSITIONS = [[3, 1], [0, 1], [2, 0]]


def as_float64(variables):
    """The values of variables by name."""
    return {name: np.asarray(variable, np.float64) for name, variable in variables.items()}


def part_of(weights, part):
    """The weights whose names begin with `part/`, without it."""
    return {n.removeprefix(f"{part}/"): w for n, w in weights.items() if n.startswith(f"{part}/")}


def recurrent_variables(cell):
    return {f"cell/{weight.name}": weight for weight in cell.trainable_weights}


def cross_entropy(logits, next_item_id):
    return np.log(np.sum(np.exp(logits))) - logits[next_item_id - 1]


def assert_logits_agree(model, variables, logits_of):
    """Compares a padded batch, two targets a row, with a loop `(weights, history) -> logits`."""
    weights = as_float64(variables)
    logits = np.asarray(model.score(model(padded_events(HISTORIES, POSITIONS))))
    for row, history in enumerate(HISTORIES):
        for target, position in enumerate(POSITIONS[row]):
            expected = logits_of(weights, history[: position + 1])
            np.testing.assert_allclose(logits[row, target], expected, rtol=1e-5, atol=1e-6)


def assert_gradients_agree(model, variables, logits_of):
    """Compares the gradients of a padded batch's loss with difference quotients of a loop."""
    histories, next_item_ids = [[3, 1, 6], [5, 2]], [4, 3]
    with tf.GradientTape() as tape:
        logits = model.score(model(padded_events(histories)))[:, 0]
        labels = tf.constant(next_item_ids) - 1
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    gradients = tape.gradient(loss, [variable.value for variable in variables.values()])

    def loss_of(weights):
        pairs = zip(histories, next_item_ids, strict=True)
        return sum(cross_entropy(logits_of(weights, history), item) for history, item in pairs)

    weights = as_float64(variables)
    np.testing.assert_allclose(loss, loss_of(weights), rtol=1e-5)
    assert len(variables) == len(model.trainable_variables)
    for name, gradient in zip(variables, gradients, strict=True):
        expected = difference_quotients(weights, name, loss_of)
        gradient = tf.convert_to_tensor(gradient)
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5, err_msg=name)
        assert np.abs(expected).max() > 0.01, f"{name} has no part in the loss"


def states_of(weights, history):
    """h after each event, of an LSTM, an Elman network or a GRU: what its weights are named for."""
    cell, hidden = part_of(weights, "cell"), []
    if "recurrent" in cell:
        h = np.zeros_like(cell["bias"])
        for item in history:
            h = elman_step(cell, weights["items"][item], h)
            hidden.append(h)
        return hidden
    units = cell.get("recurrent_kernel", cell["bias"]).shape[0]
    h, c = (np.zeros(units if "recurrent_kernel" in cell else units // 3) for _ in range(2))
    for item in history:
        x = weights["items"][item]
        if "recurrent_kernel" in cell:
            h, c = lstm_step(cell, x, h, c)
        else:
            h = gru_step(cell, x, h)
        hidden.append(h)
    return hidden


def attention_weights(weights, hidden, query, normalise):
    """w_j of each vector of `hidden`."""
    energies = []
    for h in hidden:
        inside = query @ weights["query_kernel"] + h @ weights["hidden_kernel"]
        energies.append(float(sigmoid(inside + weights.get("bias", 0.0)) @ weights["scorer"][:, 0]))
    if normalise == "none":
        return energies
    return [np.exp(energy) / sum(np.exp(other) for other in energies) for energy in energies]


def narm_variables(model):
    variables = {"items": model.items.table, "W_B": model.item_scores.kernel}
    attention = {f"attention/{w.name}": w for w in model.attention.trainable_weights}
    return variables | attention | recurrent_variables(model.recurrence.cell)


def narm_logits(weights, history, normalise="masked_softmax"):
    """Logits of all items after a history."""
    hidden = states_of(weights, history)
    shares = attention_weights(part_of(weights, "attention"), hidden, hidden[-1], normalise)
    context = sum(share * h for share, h in zip(shares, hidden, strict=True))
    o = np.concatenate([context, hidden[-1]])
    return np.array([vector @ weights["W_B"] @ o for vector in weights["items"][1:]])


def prefix_rnn_variables(model):
    scores = {"W_y": model.item_scores.items.table, "b_y": model.item_scores.bias}
    return {"items": model.items.table} | scores | recurrent_variables(model.recurrence.cell)


def prefix_rnn_logits(weights, history):
    """Logits of all items after a history."""
    h = states_of(weights, history)[-1]
    return np.array([h @ w + b[0] for w, b in zip(weights["W_y"], weights["b_y"], strict=True)])[1:]


def stamp_variables(model):
    variables = {"items": model.items.table}
    for part in ("attention", "of_all", "of_last"):
        layer = getattr(model, part)
        variables |= {f"{part}/{weight.name}": weight for weight in layer.trainable_weights}
    return variables


def stamp_logits(weights, history, *, residual, inner_sigmoid):
    """Logits of all items after a history."""
    vectors = [weights["items"][item] for item in history]
    m_t, m_s = vectors[-1], sum(vectors) / len(vectors)
    query = np.concatenate([m_t, m_s])
    shares = attention_weights(part_of(weights, "attention"), vectors, query, "none")
    m_a = sum(share * x for share, x in zip(shares, vectors, strict=True))
    m_a = m_a + m_s if residual else m_a
    h_s, h_t = (
        np.tanh(m @ layer["kernel"] + layer.get("bias", 0.0))
        for m, layer in ((m_a, part_of(weights, "of_all")), (m_t, part_of(weights, "of_last")))
    )
    logits = np.array([np.sum(h_s * h_t * x) for x in weights["items"][1:]])
    return sigmoid(logits) if inner_sigmoid else logits


def rnn_bpm_variables(model):
    variables = {}
    for network in model.networks:
        held = {"items": network.items.table, "W": network.scores.items.table}
        held |= {"b": network.scores.bias, **recurrent_variables(network.recurrence.cell)}
        variables |= {f"{network.name}/{name}": variable for name, variable in held.items()}
    kernel, bias = model.combining.kernel, model.combining.bias
    return variables | {"A": kernel, "a": bias, "c": model.combined.kernel}


def rnn_bpm_logits(weights, history, *, num_items, num_popular, short_events, epsilon):
    """Logits of all items after a history, by docs/equations.md H.4 item by item."""
    log_p = np.full((num_items, 3), np.log(epsilon))
    sequences = {
        "long": history,
        "short": history[-short_events:],
        "popular": [item for item in history if item <= num_popular],
    }
    for m, (name, sequence) in enumerate(sequences.items()):
        part = part_of(weights, name)
        if not sequence:
            log_p[:, m] = -np.log(num_items)
            continue
        h = states_of(part, sequence)[-1]
        logits = (part["W"] @ h + part["b"][:, 0])[1:]
        log_p[: len(logits), m] = logits - np.log(np.exp(logits).sum())
    inside = (log_p + np.log(num_items)) @ weights["A"] + weights["a"]
    return (sigmoid(inside) @ weights["c"])[:, 0]
