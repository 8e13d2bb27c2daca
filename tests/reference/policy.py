"""HS-LSTM's policy gradient in float64: one lane, one decision at a time."""

import numpy as np

from tests.reference.recurrent import sigmoid


def users_of(user_start):
    """For each step of a lane, the steps of the same user."""
    user = np.cumsum(user_start)
    return [np.flatnonzero(user == number) for number in user]


def rewards_loop(log_p, ends, user_start, is_pair, *, gamma, reward):
    """G of each step, docs/equations.md F.2; 0 where the step has no next item."""
    rewards = np.zeros(np.shape(log_p))
    for lane, step in np.argwhere(is_pair):
        own = [t for t in users_of(user_start[lane])[step] if is_pair[lane][t]]
        share = (1 + sum(ends[lane][t] for t in own)) / len(own)
        told = [log_p[lane][t] for t in own if reward == "terminal" or t >= step]
        rewards[lane, step] = np.mean(told) - gamma * (share + 0.1 / share)
    return rewards


def policy_loss_loop(z, ends, rewards, decides, baseline, *, decay=0.99, entropy=0.01):
    """The loss of Θ, and the moving averages after it."""
    lanes, steps = z.shape
    parts = [step * len(baseline) // steps for step in range(steps)]
    chosen = [(lane, step) for lane in range(lanes) for step in range(steps) if decides[lane, step]]
    raw = np.array([rewards[lane, step] - baseline[parts[step]] for lane, step in chosen])
    advantages = (raw - raw.mean()) / raw.std()
    total = 0.0
    for (lane, step), advantage in zip(chosen, advantages, strict=True):
        pi = sigmoid(z[lane, step])
        taken = pi if ends[lane, step] else 1 - pi
        spread = -pi * np.log(pi) - (1 - pi) * np.log(1 - pi)
        total -= advantage * np.log(taken) + entropy * spread
    after = np.array(baseline, np.float64)
    for part in range(len(baseline)):
        seen = [rewards[lane, step] for lane, step in chosen if parts[step] == part]
        if seen:
            after[part] = decay * baseline[part] + (1 - decay) * np.mean(seen)
    return total / len(chosen), after
