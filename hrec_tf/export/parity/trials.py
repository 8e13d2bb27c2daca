"""Histories that exports are tried on, and what Keras says of them, slowly and plainly.

This is a second way to the scores: it cuts sessions in Python, lays events out by hand, and
calls `encode` and `score` only. `hrec_tf.inference`, which every export is made of, does the
same in one graph.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hrec_tf.schema import (
    ITEM_IDS,
    PADDED_LAYOUTS,
    PADDING_ID,
    POSITIONS,
    PREFIXES,
    SESSION_START,
    USER_PARALLEL,
    USER_START,
)

BEGIN = 1_700_000_000
LONG = 150
"""Events of the longest history."""

_LANE_TYPES = {ITEM_IDS: tf.int32, SESSION_START: tf.bool, USER_START: tf.bool}
_ROW_TYPES = {ITEM_IDS: tf.int32, POSITIONS: tf.int32}


class Trial(NamedTuple):
    """A history, and the item that comes after it.

    Attributes:
        item_ids: 0..num_items; 0 is an unknown item.
        timestamps: Unix seconds, not falling.
        next_item_id: 1..num_items; it comes at once, so in the same session.
    """

    item_ids: list[int]
    timestamps: list[int]
    next_item_id: int


def make_trials(num_items: int, idle_minutes: float | None, *, seed: int) -> list[Trial]:
    """Returns histories with every kind of edge, and random ones.

    Args:
        num_items: size of the catalogue.
        idle_minutes: idle time that ends a session; None if it never does.
        seed: of the items, and of the random histories.
    """
    generator = np.random.default_rng(seed)
    made = []
    for known, gaps in _shapes(generator, idle_minutes):
        drawn = generator.integers(1, num_items + 1, len(known) + 1)
        item_ids = np.where(known, drawn[:-1], PADDING_ID).tolist()
        times = (BEGIN + np.cumsum(np.array(gaps, np.int64))).tolist()
        made.append(Trial(item_ids, times, int(drawn[-1])))
    first = int(generator.integers(1, num_items + 1))
    made.append(Trial([first] * 3, [0, 0, 0], first))  # without times; the item again and again
    if num_items <= LONG:  # whoever has seen all items is left without a candidate
        every = (1 + generator.permutation(num_items)).tolist()
        made.append(Trial(every, [BEGIN] * num_items, every[0]))
    return made


def _shapes(generator: Any, idle_minutes: float | None) -> Iterator[tuple[Any, Any]]:
    """Yields which events are known, and the seconds before each event."""
    idle = int(1800 if idle_minutes is None else idle_minutes * 60)
    yield from (([], []), ([1], [0]), ([0], [0]), ([0, 0, 0], [0, 5, idle + 1]))
    for gap in (0, idle, idle + 1):
        yield [1, 1, 1], [0, 60, gap]
        # An unknown item begins the session, ends it, or keeps it alive.
        yield [1, 1, 0, 1], [0, 1, gap, 1]
        yield [1, 1, 0], [0, 1, gap]
        yield [1, 0, 1], [0, gap, gap]
    # Sessions of one event, of which a stream may feed nothing.
    yield [1, 1, 1, 1], [0, *[idle + 1] * 3]
    yield [1, 1, 1, 1, 1], [0, idle + 1, 1, idle + 1, idle + 1]
    for length in (*generator.integers(2, 40, 8), LONG):
        known = generator.random(length) < 0.8
        yield known, generator.choice([0, 1, idle, idle + 1, 9 * idle + 9], length)


def sessions_of(trial: Trial, idle_minutes: float | None) -> list[list[int]]:
    """Returns the known item ids of each session; sessions without one are left out."""
    sessions: list[list[int]] = []
    before = None
    for item_id, seconds in zip(trial.item_ids, trial.timestamps, strict=True):
        longest = float("inf") if idle_minutes is None else idle_minutes * 60
        if before is None or seconds - before > longest:
            sessions.append([])
        before = seconds
        if item_id != PADDING_ID:
            sessions[-1].append(item_id)
    return [session for session in sessions if session]


def with_next_item(trial: Trial) -> Trial:
    """Returns the history with the next item at its end."""
    times = trial.timestamps or [BEGIN]
    return Trial([*trial.item_ids, trial.next_item_id], [*trial.timestamps, times[-1]], PADDING_ID)


def keras_scores(
    model: Any, supports: np.ndarray, trials: list[Trial], idle_minutes: float | None
) -> np.ndarray:
    """Returns float32 (trials, num_items): the model's scores after each history."""
    lay_out, types = _lane, _LANE_TYPES
    if model.layout in PADDED_LAYOUTS:
        lay_out, types = _row, _ROW_TYPES

    def last_hidden(events):
        return model.encode(events, model.initial_states(1))[0][:, -1]

    inputs = {name: tf.TensorSpec((1, None), dtype) for name, dtype in types.items()}
    last_hidden = tf.function(last_hidden, autograph=False, input_signature=[inputs])
    popularity = (supports / max(supports.sum(), 1)).astype(np.float32)
    rows = []
    for trial in trials:
        sessions = sessions_of(trial, idle_minutes)
        if sessions:
            events = lay_out(model, sessions)
            hidden = last_hidden(
                {name: tf.constant([values], types[name]) for name, values in events.items()}
            )
            rows.append(model.score(hidden).numpy()[0])
        else:
            rows.append(popularity)
    return np.array(rows)


def _lane(model: Any, sessions: list[list[int]]) -> dict[str, list]:
    """Returns what is fed to a model of lanes before the last scores."""
    events: dict[str, list] = {ITEM_IDS: [], SESSION_START: [], USER_START: []}
    for number, session in enumerate(sessions, start=1):
        # A model may be made for streams where the last event of a session is only a target.
        if model.layout == USER_PARALLEL and not model.feed_last_item and number < len(sessions):
            session = session[:-1]
        for place, item_id in enumerate(session):
            events[SESSION_START].append(place == 0)
            events[USER_START].append(not events[ITEM_IDS])
            events[ITEM_IDS].append(item_id)
    return events


def _row(model: Any, sessions: list[list[int]]) -> dict[str, list]:
    """Returns the row that a model of padded rows reads: of the last session, and nothing else."""
    session = sessions[-1]
    if model.max_length is not None:
        session = session[-model.max_length :]
    positions = list(range(len(session)))
    return {ITEM_IDS: session, POSITIONS: positions[-1:] if model.layout == PREFIXES else positions}
