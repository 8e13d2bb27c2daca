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
