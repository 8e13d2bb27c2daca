"""What a recipe's sections may hold: names, keys and their defaults."""

import importlib
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hrec_tf import registry
from hrec_tf.schema import ALIGNED, PADDED_LAYOUTS, PREFIXES, SESSION_PARALLEL

SECTIONS = ("arguments", "optimizer", "loss", "negatives", "stream", "evaluation")
NUMBERS = ("epochs", "patience", "average_from")
"""Keys beside the sections, of what is trained."""
TRAINING_SECTIONS = ("optimizer", "loss", "negatives", "stream")

CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")
OPTIMIZERS = {
    "adagrad_momentum": (
        "hrec_tf.optimizers:AdagradMomentum",
        ("learning_rate", "momentum", "epsilon", *CLIPPING),
    ),
    "adam": (
        "keras.optimizers:Adam",
        ("learning_rate", "beta_1", "beta_2", "epsilon", *CLIPPING),
    ),
    "lazy_adam": (
        "hrec_tf.optimizers:LazyAdam",
        ("learning_rate", "beta_1", "beta_2", "epsilon", *CLIPPING),
    ),
    "adamw": (
        "keras.optimizers:AdamW",
        ("learning_rate", "weight_decay", "beta_1", "beta_2", "epsilon", *CLIPPING),
    ),
    "rmsprop": (
        "keras.optimizers:RMSprop",
        ("learning_rate", "rho", "momentum", "epsilon", *CLIPPING),
    ),
}
LOSSES = {
    "cross_entropy": "hrec_tf.losses:CrossEntropy",
    "top1": "hrec_tf.losses:TOP1",
    "bpr": "hrec_tf.losses:BPR",
    "top1_max": "hrec_tf.losses:TOP1Max",
    "bpr_max": "hrec_tf.losses:BPRMax",
    "binary_cross_entropy": "hrec_tf.losses:BinaryCrossEntropy",
}
NEGATIVES: dict[str, dict[str, Any]] = {
    "in_batch": {"extra": 0, "alpha": None, "mask_collisions": False},
    "per_target": {"number": 1},
    "full": {},
}
EVALUATION = {
    "ks": (5, 20),
    "ties": "conservative",
    "average": "micro",
    "coverage": False,
    "top_pop": None,
    "sampled_negatives": None,
    "sampling": "strict",
    "bootstrap_sessions": -1,
    "counts_on": False,
}
NAMED = {"optimizer": tuple(OPTIMIZERS), "loss": tuple(LOSSES), "negatives": tuple(NEGATIVES)}

WIDTHS = {
    "num_item_features": "items",
    "num_feedback": "feedback",
    "num_user_features": "users",
}
"""Arguments that may be "log": the width of that part of a log's features."""

ITEM_FEATURES = "item_features"
"""An argument of baselines that no recipe sets: `hrec_tf.fitting` passes what the log has."""

MOMENTS = ("gap_mean", "gap_sd")
"""Arguments that may be "log": what `hrec_tf.data.gaps.gap_moments` finds in training histories."""

POPULAR_MOMENTS = "popular_moments"
"""An argument that may be "log": `hrec_tf.data.recent_counts.num_moments` of training histories."""

CHOSEN = {"neighbour_weight": "neighbours", "popular_weight": "popular"}
"""Arguments that validation chooses where they are None -> the argument without which they are
ignored."""

NUM_USERS = "num_users"
"""An argument that may be "log": how many users the training histories tell apart."""

QUANTILES = ("segment_minutes",)
"""Arguments that may be "log:" and a share, e.g. "log:0.9": the minutes of that
`hrec_tf.data.gaps.gap_quantile` of the training histories."""

REQUIRED = inspect.Parameter.empty
"""Stands for the default of a key that has none."""


def defaults(section: str, held: Mapping[str, Any], row: registry.Entry) -> dict[str, Any]:
    """Returns the keys that a section may hold and their defaults.

    Args:
        section: one of `SECTIONS`.
        held: the section's values; its `name` decides which keys there are.
        row: the model's row in the registry.
    """
    if section == "arguments":
        return {name: value for name, value in row.settings().items() if name != ITEM_FEATURES}
    if section == "evaluation":
        return dict(EVALUATION)
    if section == "stream":
        return stream_defaults(row.layout)
    name = held["name"]
    if section == "negatives":
        return {"name": name, **NEGATIVES[name]}
    if section == "loss":
        return {"name": name, **registry.settings_of(class_of(LOSSES[name]))}
    place, keys = OPTIMIZERS[name]
    parameters = inspect.signature(class_of(place)).parameters
    own = {key: parameters[key].default for key in keys if key in parameters}
    return {"name": name, **dict.fromkeys(keys), **own}


def stream_defaults(layout: str | None) -> dict[str, Any]:
    """Returns the keys of section `stream` and their defaults, by the layout of the model."""
    if layout == ALIGNED:
        return {"num_lanes": REQUIRED, "steps": 32, "order": "random"}
    if layout not in PADDED_LAYOUTS:
        if layout == SESSION_PARALLEL:
            return {"num_lanes": REQUIRED, "steps": 1, "order": "time"}
        return {"num_lanes": REQUIRED, "steps": 1, "order": "random", "max_events": None}
    # Whole sessions are not augmented: their prefixes are in them.
    augment = {"augment": True} if layout == PREFIXES else {}
    return {"batch_size": REQUIRED, "order": "random", **augment}


def class_of(place: str) -> type:
    """Imports and returns the class at "module:Class"."""
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


def quantile_of(name: str, value: Any) -> float | None:
    """Returns the share of a value "log:share" of one of `QUANTILES`, None of another value.

    Raises:
        ValueError: text that is none of these.

    Example:
        >>> quantile_of("segment_minutes", "log:0.9"), quantile_of("segment_minutes", 30.0)
        (0.9, None)
    """
    if not isinstance(value, str):
        return None
    start, _, share = value.partition(":")
    # Digits alone: `float` takes "nan" and "1e-1", too.
    if start != "log" or not re.fullmatch(r"0(\.\d+)?|1(\.0+)?", share):
        raise ValueError(
            f"`{name}` was {value!r}, but must be a number, or 'log:' and a share from 0 to 1, the "
            "quantile of the training's gaps. Pass minutes, e.g. 1440, or e.g. 'log:0.9'."
        )
    return float(share)


def require_tables(values: Any, names: Iterable[str], of: str) -> None:
    """Raises ValueError where a part of values that must be a table is something else."""
    for name in names:
        if not isinstance(values.get(name, {}), Mapping):
            raise ValueError(
                f"`{name}` of {of} was {values[name]!r}, but must be a table. Write e.g. "
                f"{name} = {{ }}, or leave it out."
            )
