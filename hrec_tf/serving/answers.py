"""Answers of a served recommender: lists and states, and what may be asked of them."""

from typing import Any, NamedTuple

import numpy as np

from hrec_tf import checks
from hrec_tf.schema import Recommendation
from hrec_tf.serving.metadata import Metadata

UNFILLED = float(np.finfo(np.float32).min)
"""Score of a place without an item, and of an unknown candidate."""


class State(NamedTuple):
    """What a model remembers of a user. Keep it as it is, and give it to the next `step`.

    Attributes:
        values: float32 (state_size,).
        info: int64 (info_size,): last timestamp, events read, session pending, model number, ...
    """

    values: np.ndarray
    info: np.ndarray


def checked_k(k: int | None, metadata: Metadata) -> int:
    """Returns the length of a list that is asked for, or raises where none is as long."""
    if k is None:
        return metadata.k
    most = metadata.largest_k
    checks.require_positive_int("k", k, mend=f"Pass 1..{most}, or nothing.")
    if k > most:
        raise ValueError(
            f"`k` was {k}, but the model was exported with lists of {most}. Pass at most {most}, "
            f"or export it again: hrec export --k {k}."
        )
    return k


def checked_state(state: State, metadata: Metadata, timestamp: int) -> tuple[Any, Any]:
    """Returns the parts of a state, or raises where the model could not go on from it."""
    values, info = (np.asarray(part) for part in state)
    if values.shape != (metadata.state_size,) or info.shape != (metadata.info_size,):
        raise ValueError(
            f"`state` has {values.shape} values and {info.shape} facts, but this model's has "
            f"({metadata.state_size},) and ({metadata.info_size},). Pass what `replay` or `step` "
            "returned; after a new model, `replay` the history."
        )
    if info[3] and timestamp < info[0]:
        raise ValueError(
            f"`timestamp` was {timestamp}, but `state` ended with an event at {info[0]}. Events "
            "must come in time order. `replay` the history with this event in its place."
        )
    return values, info


def lacks(answer: dict[str, Any], k: int, left_out: set[Any]) -> bool:
    """Whether a list is short for what is left out of it, and not because no items are left."""
    is_full = bool(answer["scores"][-1] > UNFILLED)
    return is_full and len(list_of(answer, left_out, k)) < k


def list_of(answer: dict[str, Any], left_out: set[Any], k: int) -> list[Recommendation]:
    """Returns the first k items of an answer that are not left out."""
    scores = answer["scores"].tolist()
    items = [
        raw_id.decode("utf-8") if isinstance(raw_id, bytes) else raw_id
        for raw_id in answer["item_ids"].tolist()
    ]
    return [
        Recommendation(item, score)
        for item, score in zip(items, scores, strict=True)
        if score > UNFILLED and item not in left_out
    ][:k]
