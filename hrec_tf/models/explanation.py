"""What a model did with one history, event by event, for those who want to read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Self

import numpy as np

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
    """

    item_ids: np.ndarray
    attentions: Mapping[str, np.ndarray] = field(default_factory=lambda: _NONE)
    gates: Mapping[str, np.ndarray] = field(default_factory=lambda: _NONE)
    states: Mapping[str, np.ndarray] = field(default_factory=lambda: _NONE)
    memory_attention: np.ndarray | None = None
    topics: np.ndarray | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class ExplainedHistory(Explanation):
    """An `Explanation` with what an application knows of the events.

    Attributes:
        raw_ids: (T,), item ids as the log has them.
        timestamps: int64 (T,), Unix seconds.
    """

    raw_ids: tuple[Any, ...]
    timestamps: np.ndarray

    @classmethod
    def of(
        cls,
        model: Any,
        item_ids: np.ndarray,
        *,
        raw_ids: Sequence[Any],
        timestamps: np.ndarray,
    ) -> Self:
        """Lets a model explain itself on one history of known items.

        A model that reads the latest events alone explains those alone.

        Args:
            model: one with `explain`.
            item_ids: int (events,), each in 1..num_items, oldest first.
            raw_ids, timestamps: of the same events.

        Raises:
            ValueError: a model without `explain`, or one that read other events.
        """
        require_explains(model)
        found = model.explain(item_ids)
        num_read = len(found.item_ids)
        if not num_read or not np.array_equal(found.item_ids, item_ids[-num_read:]):
            raise ValueError(
                f"{type(model).__name__} explained {num_read} events that are not the latest of "
                f"the {len(item_ids)} it was given, but an explanation is of those. Mend its "
                "`explain`."
            )
        inner = {part.name: getattr(found, part.name) for part in fields(Explanation)}
        return cls(
            **inner,
            raw_ids=tuple(raw_ids[-num_read:]),
            timestamps=np.asarray(timestamps[-num_read:], np.int64),
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
            "are explained by their own `explain`. Choose a model that has it, e.g. hcrnn."
        )
