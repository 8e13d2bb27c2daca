"""All that is found in a model: over histories, in one of them, and in its vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hrec_tf.models.explanation import ExplainedHistory
from hrec_tf.reporting.explained import numbers, vectors
from hrec_tf.reporting.explained.numbers import Agreement, Binned, Reading, Runs, Spread

DRAWN_EVENTS = 40
"""Of a longer history the latest events are drawn: more have no room in a figure."""
NEAREST = 5
"""Items listed beside each global context."""

BY_TIME, BY_RUN, NEAR, MAP = "attention_by_time", "gate_by_run", "nearest_items", "map"


@dataclass(frozen=True, eq=False)
class Findings:
    """What the page shows and the JSON file holds.

    Attributes:
        num_histories, num_events: what the averages are over.
        by_time, by_steps: attention by distance; None where there is none.
        gates, changes: name -> mean and deviation over events.
        runs: the resetting gate by run of like events, or None.
        topics, memory_attention: float (K,), means over the histories; None without contexts.
        near: item ids and cosines (K, NEAREST), or None.
        places: of items and contexts in a plane, or None.
        boundaries: name -> how well the segments' first events are the sessions'.
        drawn: the history that is drawn, its latest events.
        drawn_of: how many events it has in all.
        skipped: part -> why it is not there.
    """

    num_histories: int
    num_events: int
    by_time: Binned | None
    by_steps: Binned | None
    gates: Mapping[str, Spread]
    changes: Mapping[str, Spread]
    runs: Runs | None
    topics: np.ndarray | None
    memory_attention: np.ndarray | None
    near: tuple[np.ndarray, np.ndarray] | None
    places: vectors.Places | None
    boundaries: Mapping[str, Agreement]
    drawn: ExplainedHistory
    drawn_of: int
    skipped: Mapping[str, str] = field(default_factory=dict)


def find(
    model: Any,
    readings: Sequence[Reading],
    drawn: ExplainedHistory,
    *,
    categories: Mapping[Any, Sequence[str]],
) -> Findings:
    """Puts the numbers of all histories together.

    Args:
        model: that was explained; for its vectors.
        readings: of the histories to be averaged; at least one.
        drawn: the history to be drawn.
        categories: raw item id -> its categories; may be empty.
    """
    skipped: dict[str, str] = {}
    has_attention = bool(drawn.attentions)
    by_time = None
    if has_attention:
        if all(reading.by_time is not None for reading in readings):
            by_time = numbers.together(r.by_time for r in readings if r.by_time is not None)
        else:
            skipped[BY_TIME] = "There are no times, only an order."
    near, places = _of_vectors(model, skipped)
    return Findings(
        num_histories=len(readings),
        num_events=sum(len(reading.raw_ids) for reading in readings),
        by_time=by_time,
        by_steps=numbers.together(r.by_steps for r in readings) if has_attention else None,
        gates=numbers.spreads([reading.gates for reading in readings]),
        changes=numbers.spreads([reading.changes for reading in readings]),
        runs=_runs(readings, categories, skipped),
        topics=_mean([reading.topics for reading in readings]),
        memory_attention=_mean([reading.memory_attention for reading in readings]),
        near=near,
        places=places,
        boundaries=numbers.agreements([reading.boundaries for reading in readings]),
        drawn=latest(drawn, DRAWN_EVENTS),
        drawn_of=len(drawn.raw_ids),
        skipped=skipped,
    )


def latest(history: ExplainedHistory, num_events: int) -> ExplainedHistory:
    """Returns the end of a history; attention to events before it is left out."""
    begin = max(len(history.raw_ids) - num_events, 0)
    memory = history.memory_attention
    starts = history.session_start
    return ExplainedHistory(
        item_ids=history.item_ids[begin:],
        attentions={name: held[begin:, begin:] for name, held in history.attentions.items()},
        gates={name: held[begin:] for name, held in history.gates.items()},
        states={name: held[begin:] for name, held in history.states.items()},
        memory_attention=None if memory is None else memory[begin:],
        topics=history.topics,
        boundaries={name: held[begin:] for name, held in history.boundaries.items()},
        session_start=None if starts is None else starts[begin:],
        raw_ids=history.raw_ids[begin:],
        timestamps=history.timestamps[begin:],
    )


def _runs(
    readings: Sequence[Reading], categories: Mapping[Any, Sequence[str]], skipped: dict[str, str]
) -> Runs | None:
    gate = numbers.resetting_gate(readings[0].gates)
    if gate is None:
        skipped[BY_RUN] = "The model has no reset gate."
        return None
    if not categories:
        skipped[BY_RUN] = "No categories of items are at hand."
        return None
    values = [reading.gates[gate] for reading in readings]
    held = [[categories.get(raw_id, ()) for raw_id in reading.raw_ids] for reading in readings]
    runs = numbers.by_run_length(values, held)
    if runs is None:
        skipped[BY_RUN] = "No two events in a row have items with known categories."
    return runs


def _of_vectors(
    model: Any, skipped: dict[str, str]
) -> tuple[tuple[np.ndarray, np.ndarray] | None, vectors.Places | None]:
    for name, what in (("global_contexts", "global contexts"), ("item_vectors", "item vectors")):
        if not hasattr(model, name):
            skipped[NEAR] = skipped[MAP] = f"The model has no {what}."
            return None, None
    contexts, items = np.asarray(model.global_contexts), np.asarray(model.item_vectors)
    near = vectors.nearest(contexts, items, k=NEAREST)
    try:
        return near, vectors.places(items, contexts)
    except (ImportError, ValueError) as error:
        skipped[MAP] = str(error)
        return near, None


def _mean(values: Sequence[np.ndarray | None]) -> np.ndarray | None:
    held = [value for value in values if value is not None]
    return np.mean(held, axis=0) if held else None
