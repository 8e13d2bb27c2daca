"""How much counted scores count beside a trained network: chosen by validation."""

from collections.abc import Callable
from typing import Any

WEIGHTS = {
    "neighbour_weight": (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
    "popular_weight": (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0),
}
"""Those that are tried, of each argument that may be left to validation."""


def choose_head_weight(
    model: Any, name: str, measure: Callable[[], dict[str, float]], monitor: str
) -> dict[float, float]:
    """Sets the weight of a score head that validates best; of equal ones the smallest.

    Args:
        model: trained, with `heads`, whose counts it was told.
        name: "neighbour_weight", w of `NeighbourScores`, or "popular_weight", c of `RecentScores`.
        measure: returns metrics of the model as it is, as `fit` takes it.
        monitor: name of the metric, e.g. "recall@20"; the largest is the best.

    Returns:
        Each weight that was tried -> the metric.
    """
    found = {}
    for weight in WEIGHTS[name]:
        model.heads.set_weight(name, weight)
        found[weight] = measure()[monitor]
    model.heads.set_weight(name, max(found, key=lambda weight: (found[weight], -weight)))
    return found
