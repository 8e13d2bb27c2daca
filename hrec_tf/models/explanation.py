"""What a model did with one history, event by event, for those who want to read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

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
