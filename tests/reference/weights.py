"""Weights for tests: every value its own, so that a swapped gate or state cannot hide."""

import numpy as np


def fill_distinct(layer, scale=0.3):
    """Gives every float weight of a layer or model distinct values; row 0 of tables stays 0."""
    for offset, weight in enumerate(layer.trainable_weights):
        size = int(np.prod(weight.shape))
        values = scale * np.sin(np.arange(1, size + 1) + offset).reshape(weight.shape)
        _assign(layer, weight, values)


def fill_drawn(layer, scale=1.0, seed=0):
    """As `fill_distinct`, but from N(0, scale²): sines add up to almost the same everywhere."""
    generator = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        _assign(layer, weight, generator.normal(scale=scale, size=weight.shape))


def _assign(layer, weight, values):
    table = getattr(layer, "num_items", None)
    if table is not None and len(weight.shape) == 2 and weight.shape[0] == table + 1:
        values[0] = 0
    weight.assign(values)
