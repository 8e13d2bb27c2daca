"""Features of items, as baselines take them."""

import numpy as np


def require_item_features(values: np.ndarray) -> np.ndarray:
    """Returns float64 (num_items + 1, F), or raises if that is not what `values` is.

    Row 0, that of an unknown item, becomes 0: in a baseline, id 0 stands for no item.
    """
    features = np.array(values, np.float64)
    if features.ndim != 2 or not features.size:
        raise ValueError(
            f"`item_features` has shape {features.shape}, but must be (num_items + 1, F). "
            "Pass for example `FeatureTable.values`."
        )
    unsound = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(unsound):
        raise ValueError(
            f"`item_features` holds {features[unsound[0]]} (row {unsound[0]}), but features are "
            "finite. A schema encodes a missing value as such."
        )
    features[0] = 0.0
    return features


def require_row_per_item(features: np.ndarray, num_items: int) -> None:
    """Raises unless features have a row for each of the items, and row 0."""
    if len(features) != num_items + 1:
        raise ValueError(
            f"`item_features` has {len(features)} rows, but `histories` has num_items "
            f"{num_items}, which makes {num_items + 1} with row 0. Lay the table out with the "
            "vocabulary of the training log."
        )
