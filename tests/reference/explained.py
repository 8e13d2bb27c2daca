"""The numbers behind the figures of an explained history, one pair of events at a time."""

import math


def weights_by_distance(weights, distance, edges):
    """Per bin the weights of all pairs (j, t + 1), j <= t, and the even ones beside them."""
    found = [[] for _ in edges[1:]]
    for t in range(len(weights) - 1):
        for j in range(t + 1):
            for place, held in enumerate(found):
                if edges[place] <= distance(j, t + 1) < edges[place + 1]:
                    held.append((weights[t][j], 1 / (t + 1)))
    return found


def run_before(categories, place):
    """How many events before a place form a run; 0 if the event or the last of it is unknown."""
    if place == 0 or not categories[place] or not categories[place - 1]:
        return 0
    length = 1
    while place - length > 0 and set(categories[place - length]) & set(
        categories[place - length - 1]
    ):
        length += 1
    return length


def nearest_by_cosine(context, items, k):
    """Numbers of the k items with the greatest cosine, ties by their number."""

    def cosine(a, b):
        lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
        return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0

    found = sorted((-cosine(context, item), place) for place, item in enumerate(items, start=1))
    return [(place, -value) for value, place in found[:k]]
