"""Slow baselines: one target at a time, plain loops, float64."""

import numpy as np


def contexts(histories, target):
    """The items of the user's earlier sessions, and those of the target's session so far."""
    user = np.searchsorted(histories.user_offsets, target, side="right") - 1
    session = np.searchsorted(histories.session_offsets, target, side="right") - 1
    user_first = histories.user_offsets[user]
    session_first = histories.session_offsets[session]
    past = [int(item) for item in histories.item_ids[user_first:session_first]]
    so_far = [int(item) for item in histories.item_ids[session_first:target]]
    return past, so_far


def sessions_of(histories):
    offsets = histories.session_offsets
    return [
        [int(item) for item in histories.item_ids[offsets[row] : offsets[row + 1]]]
        for row in range(histories.num_sessions)
    ]


def supports(histories, kind="events"):
    result = np.zeros(histories.num_items)
    for session in sessions_of(histories):
        for item in session if kind == "events" else set(session):
            result[item - 1] += 1
    return result


def count(items, num_items):
    result = np.zeros(num_items)
    for item in items:
        result[item - 1] += 1
    return result


def session_popularity(training, histories, target):
    supp = supports(training)
    _, so_far = contexts(histories, target)
    return count(so_far, training.num_items) + supp / (1 + supp)


def personal_popularity(training, histories, target, include_current_session):
    supp = supports(training)
    past, so_far = contexts(histories, target)
    seen = past + so_far if include_current_session else past
    return count(seen, training.num_items) + supp / (1 + supp)


def item_similarities(training, *, neighbours, regularisation, alpha, co_occurrence):
    num_items = training.num_items
    shared = np.zeros((num_items, num_items))
    for session in sessions_of(training):
        if co_occurrence == "session_sets":
            session = sorted(set(session))
        for item in session:
            for other in session:
                if item != other:
                    shared[item - 1, other - 1] += 1
    supp = supports(training, "sessions" if co_occurrence == "session_sets" else "events")
    result = np.zeros_like(shared)
    for i in range(num_items):
        for j in range(num_items):
            if shared[i, j]:
                norm = (supp[i] + regularisation) ** alpha
                norm *= (supp[j] + regularisation) ** (1 - alpha)
                result[i, j] = shared[i, j] / norm
        for j in sorted(range(num_items), key=lambda j: (-result[i, j], j))[neighbours:]:
            result[i, j] = 0.0
    return result


def item_knn(similarities, histories, target, query):
    past, so_far = contexts(histories, target)
    seen = so_far if query == "session" else (past + so_far)[-1:]
    if not seen:
        return np.zeros(len(similarities))
    return np.mean([similarities[item - 1] for item in seen], axis=0)


def bpr_mf(training, *, factors, learning_rate, epochs, user_l2, item_l2, init_range, user, seed):
    """Vectors of users and items, and biases: one example after the other, as the source."""
    rng = np.random.default_rng(seed)
    offsets = training.session_offsets if user == "session" else training.user_offsets
    num_items, num_events = training.num_items, training.num_events
    p = rng.uniform(-init_range, init_range, (len(offsets) - 1, factors))
    q = rng.uniform(-init_range, init_range, (num_items, factors))
    b = np.zeros(num_items)
    for _ in range(epochs):
        order = rng.permutation(num_events)
        drawn = rng.integers(num_items, size=num_events)
        for event, j in zip(order, drawn, strict=True):
            u = np.searchsorted(offsets, event, side="right") - 1
            i = training.item_ids[event] - 1
            ahead = b[i] - b[j] + sum(p[u, f] * (q[i, f] - q[j, f]) for f in range(factors))
            c = 1 / (1 + np.exp(ahead))
            p_u, q_i, q_j, b_i, b_j = p[u].copy(), q[i].copy(), q[j].copy(), b[i], b[j]
            p[u] += learning_rate * (c * (q_i - q_j) - user_l2 * p_u)
            q[i] += learning_rate * (c * p_u - item_l2 * q_i)
            q[j] += learning_rate * (-c * p_u - item_l2 * q_j)
            b[i] += learning_rate * (c - item_l2 * b_i)
            b[j] += learning_rate * (-c - item_l2 * b_j)
    return p, q, b


def bpr_mf_scores(q, b, histories, target, user):
    past, so_far = contexts(histories, target)
    seen = so_far if user == "session" else past + so_far
    p = np.mean([q[item - 1] for item in seen], axis=0) if seen else np.zeros(q.shape[1])
    return [b[j] + sum(p * q[j]) for j in range(len(b))]
