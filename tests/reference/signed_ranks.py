"""Wilcoxon's signed-rank test written out: enumeration, and the normal approximation."""

import itertools
import math


def rank_sums(differences):
    """Sum of the ranks of positive and of negative differences; ties share the mean rank."""
    changed = [value for value in differences if value != 0]
    sizes = sorted(abs(value) for value in changed)

    def rank(value):
        places = [place for place, size in enumerate(sizes, 1) if size == abs(value)]
        return sum(places) / len(places)

    positive = sum(rank(value) for value in changed if value > 0)
    negative = sum(rank(value) for value in changed if value < 0)
    return positive, negative


def exact_p(differences):
    """Share of all sign patterns whose smaller rank sum is not above the one observed."""
    changed = [value for value in differences if value != 0]
    observed = min(rank_sums(changed))
    patterns = list(itertools.product((-1, 1), repeat=len(changed)))
    as_small = sum(
        min(rank_sums([sign * abs(value) for sign, value in zip(signs, changed, strict=True)]))
        <= observed
        for signs in patterns
    )
    return as_small / len(patterns)


def approximate_p(differences):
    """Two-sided normal approximation with tie correction, without continuity correction."""
    changed = [value for value in differences if value != 0]
    n = len(changed)
    positive, negative = rank_sums(changed)
    sizes = [abs(value) for value in changed]
    ties = sum(t**3 - t for t in (sizes.count(size) for size in set(sizes)))
    variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48
    z = (min(positive, negative) - n * (n + 1) / 4) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))
