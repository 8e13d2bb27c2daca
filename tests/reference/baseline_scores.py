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


def bpr_mf(
    training, *, factors, learning_rate, epochs, context_l2, item_l2, init_range, user, seed
):
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
            p[u] += learning_rate * (c * (q_i - q_j) - context_l2 * p_u)
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


def session_neighbours(training, histories, target, *, model):
    """SKNN, V-SKNN and STAN, one session at a time; `model` holds the settings."""
    past, so_far = contexts(histories, target)
    asked = so_far
    if len(so_far) < model.extend:
        asked = (past + so_far)[-model.extend :]
    scores = np.zeros(training.num_items)
    if not asked:
        return scores
    now = int(histories.timestamps[target - 1])
    ends = training.timestamps[training.session_offsets[1:] - 1]
    sessions = sessions_of(training)
    sharing = [m for m, items in enumerate(sessions) if set(items) & set(asked)]
    latest = sorted(sharing, key=lambda m: (ends[m], m), reverse=True)[: model.sample_size]
    similar = {m: _similarity(model, asked, sessions[m], now - int(ends[m])) for m in latest}
    nearest = sorted(latest, key=lambda m: -similar[m])[: model.neighbours]
    rarity = np.ones(training.num_items)
    if getattr(model, "idf", 0):
        holding = np.maximum(supports(training, "sessions"), 1)
        rarity += model.idf * np.log(len(sessions) / holding)
    votes = [(sessions[m], similar[m]) for m in nearest]
    if model.boost:
        user = np.searchsorted(histories.user_offsets, target, side="right") - 1
        for m in range(histories.num_sessions):
            first, end = histories.session_offsets[m : m + 2]
            mine = histories.user_offsets[user] <= first < histories.user_offsets[user + 1]
            items = sessions_of(histories)[m]
            if mine and end <= target - len(so_far) and set(items) & set(asked):
                age = now - int(histories.timestamps[end - 1])
                votes.append((items, model.boost * _similarity(model, asked, items, age)))
    for items, weight in votes:
        for item in set(items) if model.remind else set(items) - set(asked):
            scores[item - 1] += weight * _credit(model, asked, items, item) * rarity[item - 1]
    return scores


def _last_place(items, item):
    return len(items) - items[::-1].index(item)


def _similarity(model, asked, items, age):
    n = len(asked)
    weight = {}
    for item in set(asked):
        p = _last_place(asked, item)
        if hasattr(model, "weighting"):
            weight[item] = {
                "same": 1.0,
                "div": p / n,
                "linear": max(0.0, 1 - (n - p) / 10),
                "log": 1 / np.log10(n - p + 1.7),
                "quadratic": (p / n) ** 2,
            }[model.weighting]
        elif getattr(model, "place_scale", None):
            weight[item] = np.exp((p - n) / model.place_scale)
        else:
            weight[item] = 1.0
    overlap = sum(weight[item] for item in weight if item in items)
    if hasattr(model, "weighting"):
        return overlap / len(weight)
    norm = np.sqrt(sum(w**2 for w in weight.values())) * np.sqrt(len(set(items)))
    age_scale = getattr(model, "age_scale_days", None)
    return overlap / norm * (np.exp(-max(0, age) / (age_scale * 86400)) if age_scale else 1.0)


def _credit(model, asked, items, item):
    if hasattr(model, "decay"):
        step = next(back for back, seen in enumerate(reversed(asked), 1) if seen in items)
        return {
            "same": 1.0,
            "div": 1 / step,
            "linear": max(0.0, 1 - step / 10),
            "log": 1 / np.log10(step + 1.7),
            "quadratic": 1 / step**2,
        }[model.decay]
    if getattr(model, "nearness_scale", None):
        shared_last = max(_last_place(items, i) for i in set(items) if i in asked)
        return np.exp(-abs(_last_place(items, item) - shared_last) / model.nearness_scale)
    return 1.0


def fpmc(training, *, factors, learning_rate, epochs, l2, item_l2, init_range, seed, with_users):
    """p, l, and the items' q and m side by side, and biases: one example after the other."""
    rng = np.random.default_rng(seed)
    num_items = training.num_items
    starts = set(training.user_offsets[:-1].tolist())
    events = [e for e in range(training.num_events) if e not in starts]
    p = None
    if with_users:
        p = rng.uniform(-init_range, init_range, (training.num_users, factors))
    before = rng.uniform(-init_range, init_range, (num_items, factors))
    width = 2 * factors if with_users else factors
    v = rng.uniform(-init_range, init_range, (num_items, width))
    b = np.zeros(num_items)
    for _ in range(epochs):
        order = rng.permutation(len(events))
        drawn = rng.integers(num_items, size=len(events))
        for example, j in zip(order, drawn, strict=True):
            event = events[example]
            u = np.searchsorted(training.user_offsets, event, side="right") - 1
            i, last = training.item_ids[event] - 1, training.item_ids[event - 1] - 1
            c = np.array([*(p[u] if with_users else ()), *before[last]])
            v_i, v_j, b_i, b_j = v[i].copy(), v[j].copy(), b[i], b[j]
            rate = 1 / (1 + np.exp(b_i - b_j + sum(c * (v_i - v_j))))
            step = learning_rate * (rate * (v_i - v_j) - l2 * c)
            if with_users:
                p[u] += step[:factors]
            before[last] += step[-factors:]
            v[i] += learning_rate * (rate * c - item_l2 * v_i)
            v[j] += learning_rate * (-rate * c - item_l2 * v_j)
            b[i] += learning_rate * (rate - item_l2 * b_i)
            b[j] += learning_rate * (-rate - item_l2 * b_j)
    return p, before, v, b


def recent_popularity(training, histories, target, *, hours, form, rolling):
    """One event after the other, with the age of each."""
    end = int(training.timestamps.max())
    moment = end + 1
    if rolling:
        is_first = target in histories.user_offsets[:-1]
        before = target if is_first else target - 1
        moment = min(int(histories.timestamps[before]), int(histories.timestamps[target]))
    events = list(zip(training.item_ids, training.timestamps, strict=True))
    if rolling:
        here = zip(histories.item_ids, histories.timestamps, strict=True)
        events += [(item, time) for item, time in here if time > end]
    result = np.zeros(training.num_items)
    for item, time in events:
        if time >= moment:
            continue
        if form == "half_life":
            result[item - 1] += 2.0 ** ((int(time) - end) / (3600 * hours))
        elif time >= moment - 3600 * hours:
            result[item - 1] += 1
    return result
