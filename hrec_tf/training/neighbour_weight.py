"""How much item neighbours count beside a trained network: chosen by validation."""

from collections.abc import Callable
from typing import Any

WEIGHTS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Those that are tried."""


def choose_neighbour_weight(
    model: Any, measure: Callable[[], dict[str, float]], monitor: str
) -> dict[float, float]:
    """Sets the weight w of `NeighbourScores` that validates best; of equal ones the smallest.

    Args:
        model: trained, with `heads` that were told the neighbours.
        measure: returns metrics of the model as it is, as `fit` takes it.
        monitor: name of the metric, e.g. "recall@20"; the largest is the best.

    Returns:
        Each weight that was tried -> the metric.
    """
    found = {}
    for weight in WEIGHTS:
        model.heads.neighbour_scores.weight.assign([weight])
        found[weight] = measure()[monitor]
    best = max(found, key=lambda weight: (found[weight], -weight))
    model.heads.neighbour_scores.weight.assign([best])
    return found
