"""How much item neighbours count beside a trained network: chosen by validation."""

from typing import Any

import tensorflow as tf

WEIGHTS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Those that are tried."""


def choose_neighbour_weight(
    model: Any, validation: tf.data.Dataset, monitor: str
) -> dict[float, float]:
    """Sets the weight w of `NeighbourScores` that validates best; of equal ones the smallest.

    Args:
        model: trained and compiled with rank metrics, with `heads` that were told the
            neighbours.
        validation: a stream, as `fit` takes it.
        monitor: name of the metric, e.g. "recall@20"; the largest is the best.

    Returns:
        Each weight that was tried -> the metric.
    """
    found = {}
    for weight in WEIGHTS:
        model.heads.neighbour_scores.weight.assign([weight])
        found[weight] = model.evaluate(validation, return_dict=True)[monitor]
    best = max(found, key=lambda weight: (found[weight], -weight))
    model.heads.neighbour_scores.weight.assign([best])
    return found
