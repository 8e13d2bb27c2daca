"""What a model did with one history, event by event, for those who want to read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import tensorflow as tf

from hrec_tf.schema import GAP, ITEM_IDS, LARGEST_GAP, SESSION_START, USER_START

_NONE: Mapping[str, np.ndarray] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Explanation:
    """The inner values of a model over a history of T events, as `explain` returns them.

    Attributes:
        item_ids: int (T,), the events that were read.
        attentions: name -> float (T, T): row t holds the weights of the events 0..t in the
            prediction after event t, which add up to 1 where they are a softmax; zeros after t.
        gates: name -> float (T, units), in 0..1.
        states: name -> float (T, units), after each event.
        memory_attention: float (T, K), weights of the global contexts at each event; None for a
            model without them.
        topics: float (K,), θ of the whole history, adding up to 1; None likewise.
        boundaries: name -> float (T,), in 0..1, how sure the model is that a segment of its own
            ended before the event; it begins a segment where this is above 0.5.
    """

    item_ids: np.ndarray
    attentions: Mapping[str, np.ndarray] = field(default_factory=lambda: _NONE)
    gates: Mapping[str, np.ndarray] = field(default_factory=lambda: _NONE)
    states: Mapping[str, np.ndarray] = field(default_factory=lambda: _NONE)
    memory_attention: np.ndarray | None = None
    topics: np.ndarray | None = None
    boundaries: Mapping[str, np.ndarray] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, eq=False, kw_only=True)
class ExplainedHistory(Explanation):
    """An `Explanation` with what an application knows of the events.

    Attributes:
        raw_ids: (T,), item ids as the log has them.
        timestamps: int64 (T,), Unix seconds.
        session_start: bool (T,), whether a session of the log begins with the event; None if it
            is not known.
    """

    raw_ids: tuple[Any, ...]
    timestamps: np.ndarray
    session_start: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        model: Any,
        item_ids: np.ndarray,
        *,
        raw_ids: Sequence[Any],
        timestamps: np.ndarray,
        session_start: np.ndarray | None = None,
    ) -> Self:
        """Lets a model explain itself on one history of known items.

        A model that reads the latest events alone explains those alone.

        Args:
            model: a `NextItemModel` with `explain`.
            item_ids: int (events,), each in 1..num_items, oldest first.
            raw_ids, timestamps, session_start: of the same events.

        Raises:
            ValueError: a model without `explain`, or one that explained other events.
        """
        require_explains(model)
        begin = 0 if model.max_length is None else max(len(item_ids) - model.max_length, 0)
        starts = None if session_start is None else np.asarray(session_start[begin:], bool)
        told: dict[str, Any] = {}
        if model.explains_with_flags:
            gaps = np.maximum(np.diff(timestamps, prepend=timestamps[:1]), 0)
            told = {"gaps": gaps[begin:], "session_start": starts}
        found = model.explain(item_ids[begin:], **told)
        if not np.array_equal(found.item_ids, item_ids[begin:]):
            raise ValueError(
                f"{type(model).__name__} explained {len(found.item_ids)} events, which are not "
                f"the {len(item_ids) - begin} that it was given. Mend its `explain`."
            )
        inner = {part.name: getattr(found, part.name) for part in fields(Explanation)}
        return cls(
            **inner,
            raw_ids=tuple(raw_ids[begin:]),
            timestamps=np.asarray(timestamps[begin:], np.int64),
            session_start=starts,
        )


def require_explains(model: Any, *, name: str = "model") -> None:
    """Raises unless a model can tell what it does inside.

    Args:
        model: a model.
        name: what the message calls it.
    """
    if not hasattr(model, "explain"):
        raise ValueError(
            f"`{name}` is a {type(model).__name__}, which has no attention to show, but models "
            "are explained by their own `explain`. Choose a model that has it, e.g. hcrnn-3-bi."
        )


def one_history(item_ids: Any, *, num_items: int, max_length: int | None = None) -> np.ndarray:
    """Returns the history that `explain` was given as int32 (T,).

    Args:
        item_ids: int (T,) or (1, T), ids 1..num_items.
        num_items: those that the model knows.
        max_length: events that the model reads at the most; any number if None.

    Raises:
        ValueError: not one history, an unknown id, or more events than the model reads.
    """
    history = np.asarray(item_ids)
    if history.ndim == 2 and len(history) == 1:
        history = history[0]
    if history.ndim != 1 or not len(history) or not np.issubdtype(history.dtype, np.integer):
        raise ValueError(
            f"`item_ids` has shape {history.shape} and type {history.dtype}, but one history of "
            "at least one event is explained at a time. Pass ids as (T,), e.g. [3, 1, 2]."
        )
    strays = history[(history < 1) | (history > num_items)]
    if len(strays):
        raise ValueError(
            f"`item_ids` holds {strays[0]}, but this model knows ids 1..{num_items}. Encode with "
            "the vocabulary saved beside it, and leave unknown items out."
        )
    if max_length is not None and len(history) > max_length:
        raise ValueError(
            f"`item_ids` holds {len(history)} events, but this model reads the latest "
            f"{max_length}. Pass those alone."
        )
    return history.astype(np.int32)


def flagged_history(
    item_ids: Any,
    *,
    num_items: int,
    gaps: Any = None,
    session_start: Any = None,
    needed: Sequence[str] = (),
) -> tuple[np.ndarray, dict[str, tf.Tensor]]:
    """Returns one user's history as int32 (T,), and as events (1, T) for `encode`.

    Args:
        item_ids: int (T,) or (1, T), ids 1..num_items, from the user's first event on.
        num_items: those that the model knows.
        gaps: int (T,), seconds since the event before; zeros if None.
        session_start: bool (T,); the first event alone if None.
        needed: names of those of the two that the model reads.

    Raises:
        ValueError: not one history, an unknown id, or gaps or starts that are missing or of
            another length.
    """
    history = one_history(item_ids, num_items=num_items)
    first = np.arange(len(history)) == 0
    told = {"gaps": gaps, "session_start": session_start}
    missing = {"gaps": np.zeros(len(history), np.int64), "session_start": first}
    for name, values in told.items():
        if values is None and name in needed:
            raise ValueError(
                f"`{name}` was None, but this model reads it at every event. Pass one value for "
                "each event of the history."
            )
        told[name] = missing[name] if values is None else np.asarray(values)
        if told[name].shape != history.shape:
            raise ValueError(
                f"`{name}` has shape {told[name].shape}, but the history has {len(history)} "
                "events. Pass one value for each."
            )
    events = {
        ITEM_IDS: history,
        GAP: np.clip(told["gaps"], 0, LARGEST_GAP).astype(np.int32),
        SESSION_START: told["session_start"].astype(bool),
        USER_START: first,
    }
    return history, {name: tf.constant(values[None]) for name, values in events.items()}
