"""What is said of a user beside the history, for a model that reads more than events."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hrec_tf.schema import FEEDBACK, USER_FEATURES
from hrec_tf.user_history import UserHistory, check_time


class Asked(NamedTuple):
    """What is said of one user; None says nothing.

    Attributes:
        at: Unix seconds, the time of asking; that of the last event if None.
        feedback: float (events, width), encoded by the features' schema.
        user_features: float (width,), likewise.
    """

    at: int | None = None
    feedback: Any = None
    user_features: Any = None


def context_inputs(
    asked: list[Asked],
    events: list[UserHistory],
    names: list[str],
    widths: Mapping[str, int | None],
    *,
    columns: int,
    longest: int | None = None,
) -> dict[str, np.ndarray]:
    """Returns the inputs of a model that is told more than events.

    Args:
        asked: of each user.
        events: the histories.
        names: what messages call them.
        widths: input name -> width, None of one number, see `Inference.context`.
        columns: events to which the histories are padded at their end.
        longest: events of a history that are kept, the newest; all if None.

    Raises:
        ValueError: something that the model does not read, or that it reads and was not said.
    """
    for one, name in zip(asked, names, strict=True):
        for field, value in one._asdict().items():
            if value is not None and field not in widths:
                raise ValueError(
                    f"`{field}` was passed for `{name}`, but this model does not read it, so it "
                    "would be ignored. Leave it out."
                )
    inputs: dict[str, np.ndarray] = {}
    users = list(zip(asked, events, names, strict=True))
    if "at" in widths:
        inputs["at"] = np.array([_time_of_asking(*user) for user in users], np.int64)
    if FEEDBACK in widths:
        inputs[FEEDBACK] = np.zeros((len(users), columns, widths[FEEDBACK] or 1), np.float32)
        for row, (one, history, name) in enumerate(users):
            shape = len(history.raw_ids), widths[FEEDBACK] or 1
            given = _numbers(one.feedback, shape, FEEDBACK, name)
            kept = given if longest is None else given[max(len(given) - longest, 0) :]
            inputs[FEEDBACK][row, : len(kept)] = kept
    if USER_FEATURES in widths:
        width = (widths[USER_FEATURES] or 1,)
        rows = [_numbers(one.user_features, width, USER_FEATURES, name) for one, _, name in users]
        inputs[USER_FEATURES] = np.stack(rows)
    return inputs


def _time_of_asking(one: Asked, history: UserHistory, name: str) -> int:
    last = int(history.timestamps[-1]) if len(history.timestamps) else None
    if one.at is None:
        return 0 if last is None else last
    check_time(one.at, "at", f"of `{name}`")
    if last is not None and one.at < last:
        raise ValueError(
            f"`at` was {one.at}, but `{name}` has an event at {last}. Ask at a time that is not "
            "before the last event."
        )
    return int(one.at)


def _numbers(given: Any, shape: tuple[int, ...], field: str, name: str) -> np.ndarray:
    if given is None and 0 in shape:
        return np.zeros(shape, np.float32)
    if given is None:
        raise ValueError(
            f"`{field}` was not passed for `{name}`, but this model reads it, of shape {shape}. "
            "Encode it by the features' schema; what is not known is null there."
        )
    values = np.asarray(given, np.float32)
    if values.shape != shape:
        raise ValueError(
            f"`{field}` of `{name}` has shape {values.shape}, but this model reads {shape}. "
            "Encode it by the schema of the same run."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"`{field}` of `{name}` holds NaN or infinity, but features are finite. Encode it by "
            "the schema, which knows what is missing."
        )
    return values
