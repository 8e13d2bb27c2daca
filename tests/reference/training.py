"""Training of a model from nothing but equations: float64 NumPy, one event after the other.

Gradients are central differences of the whole window's loss, so no rule of differentiation is
shared with what is tested.
"""

import numpy as np

from tests.reference.adagrad_momentum import ReferenceAdagradMomentum
from tests.reference.losses import rows, top1_reference
from tests.reference.recurrent import gru_step, hrnn_step

STEP = 1e-5


def train(weights, loss_of, tables, windows, states, *, learning_rate, momentum):
    """Plays the windows in order, one update each.

    Args:
        weights: name -> array.
        loss_of: (weights, window, states) -> loss and new states. States are constants of a
            window: no gradient flows into the one before.
        tables: name -> (window) -> the rows of that weight that the window reads; of these
            weights no other row is moved.
        windows, states: of `loss_of`.
        learning_rate, momentum: of AdaGrad, docs/equations.md 0.5.

    Returns:
        The weights after the last window, and the loss of each window.
    """
    optimizers = {
        name: ReferenceAdagradMomentum(values, learning_rate, momentum)
        for name, values in weights.items()
    }
    losses = []
    for window in windows:
        weights = {name: optimizer.p for name, optimizer in optimizers.items()}
        loss, new_states = loss_of(weights, window, states)
        gradients = {
            name: difference_quotients(weights, name, lambda w: loss_of(w, window, states)[0])  # noqa: B023
            for name in weights
        }
        for name, gradient in gradients.items():
            if name in tables:
                read = sorted(set(tables[name](window)))
                optimizers[name].step_rows(read, [gradient[row] for row in read])
            else:
                optimizers[name].step_all(gradient)
        states = new_states
        losses.append(loss)
    return {name: optimizer.p for name, optimizer in optimizers.items()}, losses


def difference_quotients(weights, name, loss_of):
    """The gradient of `loss_of(weights)` by one of the weights."""
    gradient = np.zeros_like(weights[name])
    for place in np.ndindex(gradient.shape):
        losses = []
        for sign in (1, -1):
            moved = weights[name].copy()
            moved[place] += sign * STEP
            losses.append(loss_of(weights | {name: moved}))
        gradient[place] = (losses[0] - losses[1]) / (2 * STEP)
    return gradient


def top1_of_steps(hidden, steps, table, bias):
    """TOP1 in the reference form with tanh: the sum over the pairs of a window, and their count.

    Args:
        hidden: list over steps of (lanes, units).
        steps: list of dicts with `targets` (one per lane, 0 where idle) and `extra` items.
        table, bias: W_y (num_items + 1, units) and b_y (num_items + 1, 1).
    """
    losses = []
    for states, step in zip(hidden, steps, strict=True):
        columns = [*step["targets"], *step["extra"]]
        scores = [[h @ table[item] + bias[item, 0] for item in columns] for h in states]
        usable = [item > 0 for item in columns]
        row_losses = rows(top1_reference, scores, usable, activation="tanh")
        losses += [loss for loss, target in zip(row_losses, step["targets"], strict=True) if target]
    return sum(losses), len(losses)


def divided(losses, steps, normalise):
    """The loss that is trained on: "valid" counts pairs, "batch_size" idle lanes too."""
    total, num_pairs = losses
    return total / (num_pairs if normalise == "valid" else len(steps) * len(steps[0]["items"]))


def gru4rec_loss(weights, steps, states, *, inputs, normalise="batch_size"):
    """Loss of a window and the states after it.

    `steps` as in `top1_of_steps`, with `items` and `session_start` for each lane; `inputs` is
    the model's argument, `normalise` the loss's.
    """
    cell = {name.removeprefix("gru/"): w for name, w in weights.items() if name.startswith("gru/")}
    states, hidden = [np.array(h) for h in states], []
    for step in steps:
        for lane, item in enumerate(step["items"]):
            if item == 0:
                continue
            if step["session_start"][lane]:
                states[lane] = np.zeros_like(states[lane])
            vectors = weights.get("items", weights["table"])
            x = item if inputs == "one_hot" else vectors[item]
            states[lane] = gru_step(cell, x, states[lane])
        hidden.append(list(states))
    losses = top1_of_steps(hidden, steps, weights["table"], weights["bias"])
    return divided(losses, steps, normalise), states


def hrnn_loss(weights, steps, states, *, first_session_init):
    """As `gru4rec_loss`, for HRNN with one-hot input; steps have `user_start` too."""
    parts = {name: {} for name in ("session", "user", "cell")}
    for name, values in weights.items():
        part, _, own_name = name.partition("/")
        parts.get(part, {})[own_name] = values
    cell = parts["cell"] | parts | {"first_session_init": first_session_init}
    states, hidden = list(states), []
    for step in steps:
        for lane, item in enumerate(step["items"]):
            if item:
                flags = step["session_start"][lane], step["user_start"][lane]
                states[lane] = hrnn_step(cell, item, *flags, *states[lane])
        hidden.append([s for s, _ in states])
    losses = top1_of_steps(hidden, steps, weights["table"], weights["bias"])
    return divided(losses, steps, "batch_size"), states
