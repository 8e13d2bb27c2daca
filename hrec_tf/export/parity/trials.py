"""Histories that exports are tried on, and what Keras says of them, slowly and plainly.

This is a second way to the scores: it cuts sessions in Python, lays events out by hand, and
calls `encode` and `score` only. `hrec_tf.inference`, which every export is made of, does the
same in one graph.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.inference import TIE_BREAK
from hrec_tf.schema import (
    ALIGNED,
    FEEDBACK,
    GAP,
    IS_STEP,
    ITEM_IDS,
    LARGEST_GAP,
    LATEST_MINUTE,
    MINUTE,
    NEXT_GAP,
    NEXT_SESSION_START,
    PADDED_LAYOUTS,
    PADDING_ID,
    POSITIONS,
    PREFIXES,
    SECONDS_PER_MINUTE,
    SESSION_START,
    USER_FEATURES,
    USER_PARALLEL,
    USER_START,
)

BEGIN = 1_700_000_000
LONG = 150
"""Events of the longest history."""
NUM_RANDOM = 8
"""Random histories beside the edges and the longest one."""

_TYPES = {
    ITEM_IDS: tf.int32,
    POSITIONS: tf.int32,
    IS_STEP: tf.bool,
    USER_START: tf.bool,
    SESSION_START: tf.bool,
    GAP: tf.int32,
    MINUTE: tf.int32,
    NEXT_GAP: tf.int32,
    NEXT_SESSION_START: tf.bool,
    FEEDBACK: tf.float32,
    USER_FEATURES: tf.float32,
}


class Trial(NamedTuple):
    """A history, and the item that comes after it.

    Attributes:
        item_ids: 0..num_items; 0 is an unknown item.
        timestamps: Unix seconds, not falling.
        next_item_id: 1..num_items; it comes at once, so in the same session.
        gap: seconds from the last event to the question, for a model that is told.
        feedback: float32 (events, width), for a model that reads it.
        user_features: float32 (width,), likewise.
    """

    item_ids: list[int]
    timestamps: list[int]
    next_item_id: int
    gap: int = 0
    feedback: Any = None
    user_features: Any = None

    @property
    def at(self) -> int:
        """The time of asking."""
        return (self.timestamps or [0])[-1] + self.gap


def make_trials(
    num_items: int,
    idle_minutes: float | None,
    *,
    seed: int,
    num_random: int = NUM_RANDOM,
    begin: int = BEGIN,
    context: Mapping[str, int | None] = MappingProxyType({}),
) -> list[Trial]:
    """Returns histories with every kind of edge, and random ones.

    Args:
        num_items: size of the catalogue.
        idle_minutes: idle time that ends a session; None if it never does.
        seed: of the items, and of the random histories.
        num_random: how many of these.
        begin: Unix seconds before the first events.
        context: what questions hold beside events, see `Inference.context`.
    """
    generator = np.random.default_rng(seed)
    made = []
    for known, gaps in _shapes(generator, idle_minutes, num_random):
        drawn = generator.integers(1, num_items + 1, len(known) + 1)
        item_ids = np.where(known, drawn[:-1], PADDING_ID).tolist()
        times = (begin + np.cumsum(np.array(gaps, np.int64))).tolist()
        made.append(Trial(item_ids, times, int(drawn[-1])))
    first = int(generator.integers(1, num_items + 1))
    made.append(Trial([first] * 3, [0, 0, 0], first))  # without times; the item again and again
    if num_items <= LONG:  # whoever has seen all items is left without a candidate
        every = (1 + generator.permutation(num_items)).tolist()
        made.append(Trial(every, [begin] * num_items, every[0]))
    return [_said_more(trial, context, generator) for trial in made]


def begin_of(model: Any) -> int:
    """When trials of a model begin: among the moments of a popularity of the hour."""
    if not model.counts_on:
        return BEGIN
    recent = model.heads.recent
    half = recent.moments * recent.step_minutes // 2
    return (int(recent.first_minute) + half) * SECONDS_PER_MINUTE


def _said_more(trial: Trial, context: Mapping[str, int | None], generator: Any) -> Trial:
    gap = int(generator.choice([0, 59, 60, 4_000, 90_000])) if "at" in context else 0
    drawn = {
        name: generator.normal(size=(*rows, context[name])).astype(np.float32)
        for name, rows in ((FEEDBACK, [len(trial.item_ids)]), (USER_FEATURES, []))
        if name in context
    }
    return trial._replace(gap=gap, **drawn)


def _shapes(
    generator: Any, idle_minutes: float | None, num_random: int
) -> Iterator[tuple[Any, Any]]:
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
    for length in (*generator.integers(2, 40, num_random), LONG):
        known = generator.random(length) < 0.8
        yield known, generator.choice([0, 1, idle, idle + 1, 9 * idle + 9], length)


def session_numbers(trial: Trial, idle_minutes: float | None) -> list[int]:
    """Returns the number of each event's session, and last that of the time of asking."""
    longest = float("inf") if idle_minutes is None else idle_minutes * 60
    numbers: list[int] = []
    before = None
    for seconds in (*trial.timestamps, trial.at):
        opens = before is None or seconds - before > longest
        numbers.append((numbers[-1] if numbers else 0) + opens)
        before = seconds
    return numbers


def sessions_of(trial: Trial, idle_minutes: float | None) -> list[list[int]]:
    """Returns the events of each session that have a known item; sessions without are left out."""
    sessions: dict[int, list[int]] = {}
    for event, number in enumerate(session_numbers(trial, idle_minutes)[:-1]):
        if trial.item_ids[event] != PADDING_ID:
            sessions.setdefault(number, []).append(event)
    return list(sessions.values())


def with_next_item(trial: Trial) -> Trial:
    """Returns the history with the next item at its end."""
    times = trial.timestamps or [BEGIN]
    longer = [*trial.item_ids, trial.next_item_id], [*trial.timestamps, times[-1] + trial.gap]
    feedback = trial.feedback
    if feedback is not None:
        feedback = np.pad(feedback, [[0, 1], [0, 0]])
    return Trial(*longer, PADDING_ID, 0, feedback, trial.user_features)


def histories_of(
    trials: list[Trial], sessions: list[list[list[int]]], *, num_items: int
) -> Histories:
    """Returns trials as histories, of which the last event of each is to be ranked."""
    plain = Histories.from_lists(
        [[[t.item_ids[e] for e in s] for s in of] for t, of in zip(trials, sessions, strict=True)],
        num_items=num_items,
    )
    events = [(t, e) for t, of in zip(trials, sessions, strict=True) for s in of for e in s]
    weights = np.zeros(plain.num_events, np.float32)
    weights[plain.user_offsets[1:] - 1] = 1
    given: dict[str, Any] = {}
    if trials[0].feedback is not None:
        given[FEEDBACK] = np.array([t.feedback[e] for t, e in events])
    if trials[0].user_features is not None:
        given[USER_FEATURES] = np.array([trial.user_features for trial in trials])
    times = np.array([t.timestamps[e] for t, e in events], np.int64)
    return dataclasses.replace(plain, timestamps=times, target_weights=weights, **given)


def keras_scores(
    model: Any, supports: np.ndarray, trials: list[Trial], idle_minutes: float | None
) -> np.ndarray:
    """Returns float32 (trials, num_items): the model's scores after each history."""
    lay_out = _lane
    if model.layout == ALIGNED:
        lay_out = _told
    elif model.layout in PADDED_LAYOUTS:
        lay_out = _row

    @tf.function(autograph=False, reduce_retracing=True)
    def last_hidden(events):
        return model.encode(events, model.initial_states(1))[0][:, -1]

    popularity = (supports / max(supports.sum(), 1)).astype(np.float32)
    rows = []
    for trial in trials:
        events = lay_out(model, trial, idle_minutes)
        if len(events[ITEM_IDS]):
            hidden = last_hidden(
                {name: tf.constant([values], _TYPES[name]) for name, values in events.items()}
            )
            rows.append(model.score(hidden).numpy()[0])
        elif model.counts_on:
            rows.append(_shares_at(model, _minute_of_asking(trial)) + TIE_BREAK * popularity)
        else:
            rows.append(popularity)
    return np.array(rows)


def _minute_of_asking(trial: Trial) -> int:
    """The minute that a model is told; of a time of 0, which says nothing, the latest."""
    return trial.at // SECONDS_PER_MINUTE if trial.at else LATEST_MINUTE


def _shares_at(model: Any, minute: int) -> np.ndarray:
    """Returns float32 (num_items,), what was taken of late at a minute."""
    recent = model.heads.recent
    counted = recent.held_shares()
    moment = (minute - counted.first_minute) // recent.step_minutes
    moment = min(max(moment, 0), len(counted.shares) - 1)
    shares = np.zeros(model.num_items + 1, np.float32)
    np.add.at(shares, counted.item_ids[moment], counted.shares[moment])
    return shares[1:]


@contextmanager
def weights_one_digit_off(model: Any) -> Iterator[None]:
    """Moves each weight of a model, up or down, by the least that its type can hold.

    How far scores move then says how far the rounding of another order of sums may move them.
    """
    generator = np.random.default_rng(0)
    held = [
        (weight, weight.numpy()) for weight in model.weights if weight.dtype.startswith("float")
    ]
    try:
        for weight, values in held:
            ends = generator.choice(np.array([-np.inf, np.inf], values.dtype), values.shape)
            weight.assign(np.nextafter(values, ends))
        yield
    finally:
        for weight, values in held:
            weight.assign(values)


def _lane(model: Any, trial: Trial, idle_minutes: float | None) -> dict[str, list]:
    """Returns what is fed to a model of lanes before the last scores."""
    sessions = sessions_of(trial, idle_minutes)
    events: dict[str, list] = {ITEM_IDS: [], SESSION_START: [], USER_START: []}
    previous = 0
    for number, session in enumerate(sessions, start=1):
        # A model may be made for streams where the last event of a session is only a target.
        is_cut = model.layout == USER_PARALLEL and not model.feed_last_item
        fed = session[:-1] if is_cut and number < len(sessions) else session
        for place, event in enumerate(fed):
            events[SESSION_START].append(place == 0)
            events[USER_START].append(not events[ITEM_IDS])
            if model.reads_gaps:
                before = previous if events[ITEM_IDS] else event
                gap = trial.timestamps[event] - trial.timestamps[before]
                events.setdefault(GAP, []).append(int(np.clip(gap, 0, LARGEST_GAP)))
            if model.reads_minutes:
                minute = trial.timestamps[event] // SECONDS_PER_MINUTE
                events.setdefault(MINUTE, []).append(minute)
            events[ITEM_IDS].append(trial.item_ids[event])
            previous = event
        previous = session[-1]
    if model.counts_on and events[ITEM_IDS]:
        # Of a minute nothing is kept but what is popular then: the last one is that of asking.
        events[MINUTE][-1] = _minute_of_asking(trial)
    return events


def _told(model: Any, trial: Trial, idle_minutes: float | None) -> dict[str, list]:
    """Returns the steps of a model that is told when the next event comes."""
    numbers, times = session_numbers(trial, idle_minutes), [*trial.timestamps, trial.at]
    known = [event for event, item_id in enumerate(trial.item_ids) if item_id != PADDING_ID]
    steps: list[dict[str, Any]] = []
    if model.first_events:
        first = {ITEM_IDS: PADDING_ID, SESSION_START: True, NEXT_GAP: 0, NEXT_SESSION_START: True}
        steps.append(first | {USER_START: True, FEEDBACK: np.zeros(model.num_feedback)})
    before = 0
    # The last place of times and numbers is that of the question.
    for event, after in zip(known, [*known[1:], len(trial.item_ids)], strict=False):
        step = {
            ITEM_IDS: trial.item_ids[event],
            USER_START: not steps,
            SESSION_START: numbers[event] != before,
            NEXT_GAP: times[after] - times[event],
            NEXT_SESSION_START: numbers[after] != numbers[event],
            FEEDBACK: trial.feedback[event] if model.num_feedback else [],
        }
        steps.append(step)
        before = numbers[event]
    laid = {name: [step[name] for step in steps] for name in (steps[0] if steps else [ITEM_IDS])}
    features = trial.user_features if model.num_user_features else []
    return laid | {IS_STEP: [True] * len(steps), USER_FEATURES: [features] * len(steps)}


def _row(model: Any, trial: Trial, idle_minutes: float | None) -> dict[str, list]:
    """Returns the row that a model of padded rows reads: of the last session, and nothing else."""
    sessions = sessions_of(trial, idle_minutes)
    session = [trial.item_ids[event] for event in sessions[-1]] if sessions else []
    if model.max_length is not None:
        session = session[-model.max_length :]
    positions = list(range(len(session)))
    return {ITEM_IDS: session, POSITIONS: positions[-1:] if model.layout == PREFIXES else positions}
