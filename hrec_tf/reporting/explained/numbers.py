"""What the inner values of a model add up to: the numbers behind the figures.

    Binned      mean attention weight by distance                Song et al. 2019, Figure 6a
    Runs        mean gate by run of events of a common category  Figure 5a
    Spread      mean and deviation of gates, changes of states   in the text
    Agreement   of a model's segments with the log's sessions    ours
    Reading     what is kept of one history for all of these

Pure functions of arrays; docs/explain.md says what is our choice where the paper is silent.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hrec_tf.models.explanation import ExplainedHistory, Explanation

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
TIME_EDGES = (
    0.0,
    _MINUTE,
    10 * _MINUTE,
    _HOUR,
    6 * _HOUR,
    _DAY,
    7 * _DAY,
    30 * _DAY,
    180 * _DAY,
    365 * _DAY,
    np.inf,
)
"""Seconds from an attended event to the predicted one, about evenly spaced as logarithms."""
TIME_LABELS = (
    "< 1 min",
    "1–10 min",
    "10–60 min",
    "1–6 h",
    "6–24 h",
    "1–7 d",
    "7–30 d",
    "30–180 d",
    "180–365 d",
    "> 365 d",
)
STEP_EDGES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 11.0, 21.0, 51.0, np.inf)
"""Events from an attended event to the predicted one, which is 1 for the latest."""
STEP_LABELS = ("1", "2", "3", "4", "5", "6–10", "11–20", "21–50", "> 50")
LONGEST_RUN = 6
"""Longer runs are counted with those of this length."""

EVEN = "even"
"""What an event's weight would be if all events counted alike: 1 / their number."""
RESET, DRIFT = "reset", "drift"
PRODUCT = "reset × drift"


@dataclass(frozen=True, eq=False)
class Binned:
    """Attention weights in bins of the distance that they bridge.

    Attributes:
        edges: (bins + 1,); a bin holds its lower edge and not its upper one.
        labels: (bins,), the same in words.
        pairs: int64 (bins,), pairs of an attended and a predicted event.
        totals: channel -> float64 (bins,), sum of their weights; `EVEN` is one of them.
    """

    edges: tuple[float, ...]
    labels: tuple[str, ...]
    pairs: np.ndarray
    totals: Mapping[str, np.ndarray]

    @property
    def means(self) -> dict[str, np.ndarray]:
        """Channel -> mean weight (bins,), NaN where a bin has no pair."""
        some = np.where(self.pairs > 0, self.pairs, np.nan)
        return {name: total / some for name, total in self.totals.items()}

    def __add__(self, other: "Binned") -> "Binned":
        totals = {name: total + other.totals[name] for name, total in self.totals.items()}
        return Binned(self.edges, self.labels, self.pairs + other.pairs, totals)


class Spread(NamedTuple):
    """Mean and sample deviation of a value over events; `sd` is None for a single one."""

    mean: float
    sd: float | None
    events: int


@dataclass(frozen=True, eq=False)
class Runs:
    """A value per event, by how long the run of like events before it was.

    Attributes:
        lengths: int (rows,), 1 and up; the last stands for longer ones, too.
        continuing: mean (rows,) of events that go on with the run; NaN where there are none.
        breaking: likewise of those that do not.
        num_continuing, num_breaking: int64 (rows,), their numbers.
        all_continuing, all_breaking: over all lengths; None if there is no event.
    """

    lengths: np.ndarray
    continuing: np.ndarray
    breaking: np.ndarray
    num_continuing: np.ndarray
    num_breaking: np.ndarray
    all_continuing: Spread | None
    all_breaking: Spread | None


class Agreement(NamedTuple):
    """How many first events of sessions a model's segments begin with, and the other way round.

    The first event of a history counts for neither: there is nothing to find.

    Attributes:
        hits: events that begin a segment and a session.
        said: events that begin a segment.
        true: events that begin a session.
    """

    hits: int
    said: int
    true: int

    @property
    def precision(self) -> float:
        """Share of segments that begin with a session; NaN without segments."""
        return self.hits / self.said if self.said else np.nan

    @property
    def recall(self) -> float:
        """Share of sessions that begin with a segment; NaN without sessions."""
        return self.hits / self.true if self.true else np.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of both: 2 hits / (said + true)."""
        return 2 * self.hits / (self.said + self.true) if self.said + self.true else np.nan


@dataclass(frozen=True, eq=False)
class Reading:
    """What is kept of one explained history.

    Attributes:
        raw_ids: (T,).
        by_time, by_steps: attention weights by distance; by_time is None without times.
        gates: name -> float (T,), means over the units; `PRODUCT` is one where both are there.
        changes: state -> float (T - 1,), mean absolute difference between events.
        topics: float (K,) or None.
        memory_attention: float (K,), mean over the events; or None.
        boundaries: name -> agreement with the sessions, where those are known.
    """

    raw_ids: tuple[Any, ...]
    by_time: Binned | None
    by_steps: Binned
    gates: Mapping[str, np.ndarray]
    changes: Mapping[str, np.ndarray]
    topics: np.ndarray | None
    memory_attention: np.ndarray | None
    boundaries: Mapping[str, Agreement]

    @classmethod
    def of(cls, history: ExplainedHistory, *, has_times: bool = True) -> "Reading":
        """Reads the numbers of a history; `has_times` is False if times are an order only."""
        memory = history.memory_attention
        return cls(
            history.raw_ids,
            attention_by_time(history) if has_times else None,
            attention_by_steps(history),
            gate_means(history),
            step_changes(history),
            history.topics,
            None if memory is None else memory.mean(axis=0),
            boundary_agreement(history),
        )


def attention_by_time(history: ExplainedHistory) -> Binned:
    """Bins weights by the seconds from the attended event to the predicted one.

    Row t of an attention predicts event t + 1, so the last row, which predicts something that
    is not in the history, is left out.
    """
    row, column = _pairs(history)
    seconds = history.timestamps[row + 1] - history.timestamps[column]
    return _binned(history, row, column, seconds, TIME_EDGES, TIME_LABELS)


def attention_by_steps(history: Explanation) -> Binned:
    """Bins weights by how many events before the predicted one the attended event lies."""
    row, column = _pairs(history)
    return _binned(history, row, column, row + 1 - column, STEP_EDGES, STEP_LABELS)


def gate_means(history: Explanation) -> dict[str, np.ndarray]:
    """Returns gate -> mean over its units (T,), and that of r ⊙ G^d where both are there."""
    means = {name: values.mean(axis=1, dtype=np.float64) for name, values in history.gates.items()}
    if RESET in history.gates and DRIFT in history.gates:
        means[PRODUCT] = (history.gates[RESET] * history.gates[DRIFT]).mean(axis=1)
    return means


def resetting_gate(gates: Collection[str]) -> str | None:
    """Returns which gate is multiplied with the state: r ⊙ G^d, or r alone; None without one."""
    return next((name for name in (PRODUCT, RESET) if name in gates), None)


def step_changes(history: Explanation) -> dict[str, np.ndarray]:
    """Returns state -> mean absolute difference from one event to the next (T - 1,)."""
    return {
        name: np.abs(np.diff(values, axis=0)).mean(axis=1)
        for name, values in history.states.items()
    }


def boundary_agreement(history: ExplainedHistory) -> dict[str, Agreement]:
    """Returns name of boundaries -> their agreement with the sessions; empty if not known."""
    if history.session_start is None:
        return {}
    true = history.session_start[1:]
    found = {}
    for name, values in history.boundaries.items():
        said = values[1:] > 0.5
        found[name] = Agreement(int((said & true).sum()), int(said.sum()), int(true.sum()))
    return found


def agreements(of_histories: Sequence[Mapping[str, Agreement]]) -> dict[str, Agreement]:
    """Returns name -> the agreement over all histories."""
    return {
        name: Agreement(*np.sum([held[name] for held in of_histories], axis=0).tolist())
        for name in (of_histories[0] if of_histories else {})
    }


def spread(values: np.ndarray) -> Spread | None:
    """Returns the mean and deviation of values; None if there are none."""
    if not len(values):
        return None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), sd, len(values))


def spreads(of_histories: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Spread]:
    """Returns name -> mean and deviation over the events of all histories."""
    found = {
        name: spread(np.concatenate([values[name] for values in of_histories]))
        for name in (of_histories[0] if of_histories else {})
    }
    return {name: value for name, value in found.items() if value is not None}


def run_lengths(categories: Sequence[Collection[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many like events in a row came before each event, and whether it is like them.

    Two events in a row are alike if their items share a category, whichever: a run may go from
    comedies by a romantic comedy to romances.

    Args:
        categories: of each event's item; empty where they are not known.

    Returns:
        int (T,), 0 where it cannot be said: at the first event, and where the categories of an
        event or of the one before it are not known; and bool (T,).

    Example:
        >>> before, goes_on = run_lengths([{"a"}, {"a", "b"}, {"b"}, {"c"}, {"c"}])
        >>> before.tolist(), goes_on.tolist()
        ([0, 1, 2, 3, 1], [False, True, True, False, True])
    """
    held = [frozenset(one) for one in categories]
    before = np.zeros(len(held), np.int64)
    goes_on = np.zeros(len(held), bool)
    length = 1
    for place in range(1, len(held)):
        earlier, now = held[place - 1], held[place]
        before[place] = length if earlier and now else 0
        goes_on[place] = bool(earlier & now)
        length = length + 1 if goes_on[place] else 1
    return before, goes_on


def by_run_length(
    values: Sequence[np.ndarray], categories: Sequence[Sequence[Collection[str]]]
) -> Runs | None:
    """Returns means of a value by run of like events; None if no event has one before it.

    Args:
        values: float (T,) of each history.
        categories: of each history's events.
    """
    found = [run_lengths(one) for one in categories]
    before = np.concatenate([lengths for lengths, _ in found])
    goes_on = np.concatenate([flags for _, flags in found])
    value = np.concatenate(list(values))[before > 0]
    goes_on, before = goes_on[before > 0], before[before > 0]
    if not len(before):
        return None
    length = np.minimum(before, LONGEST_RUN)
    parts = []
    for part in (goes_on, ~goes_on):
        numbers = np.bincount(length[part], minlength=LONGEST_RUN + 1)[1:]
        totals = np.bincount(length[part], value[part], minlength=LONGEST_RUN + 1)[1:]
        parts.append((totals / np.where(numbers > 0, numbers, np.nan), numbers))
    (continuing, num_continuing), (breaking, num_breaking) = parts
    return Runs(
        np.arange(1, LONGEST_RUN + 1),
        continuing,
        breaking,
        num_continuing,
        num_breaking,
        spread(value[goes_on]),
        spread(value[~goes_on]),
    )


def together(parts: Iterable[Binned]) -> Binned:
    """Returns the bins of all histories as one."""
    first, *others = parts
    for other in others:
        first = first + other
    return first


def _pairs(history: Explanation) -> tuple[np.ndarray, np.ndarray]:
    """Row t and column j <= t of every weight whose predicted event is in the history."""
    return np.tril_indices(max(len(history.item_ids) - 1, 0))


def _binned(
    history: Explanation,
    row: np.ndarray,
    column: np.ndarray,
    distance: np.ndarray,
    edges: tuple[float, ...],
    labels: tuple[str, ...],
) -> Binned:
    bins = np.searchsorted(edges, distance, side="right") - 1
    weights = {name: held[row, column] for name, held in history.attentions.items()}
    weights[EVEN] = 1 / (row + 1)
    num_bins = len(edges) - 1
    totals = {
        name: np.bincount(bins, weights=held, minlength=num_bins) for name, held in weights.items()
    }
    return Binned(edges, labels, np.bincount(bins, minlength=num_bins), totals)
