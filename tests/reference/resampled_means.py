"""The bootstrap of a mean written out: draw by draw, and every draw that there is."""

import itertools
import math

import numpy as np


def quantiles_of_draws(values, weights, confidence, resamples, seed):
    """Low and high of the weighted mean, one resample after the other."""
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(resamples):
        drawn = rng.integers(len(values), size=len(values))
        total = math.fsum(weights[row] * values[row] for row in drawn)
        means.append(total / math.fsum(weights[row] for row in drawn))
    return np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])


def all_means(values, weights):
    """The weighted mean of each of the n ** n equally likely draws, rising."""
    draws = itertools.product(range(len(values)), repeat=len(values))
    return sorted(
        sum(weights[row] * values[row] for row in drawn) / sum(weights[row] for row in drawn)
        for drawn in draws
    )
