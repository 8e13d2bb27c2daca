"""How a trained model reads whole histories, and one event more.

`StepReader` feeds event after event to a model that carries a state, and can go on from it; of a
model that starts every session from nothing, the last session that holds a known event is enough.
`SessionReader` is for models that read a prefix as a whole: they see the last session that holds
a known event, and keep nothing.

    real event     one of the first `lengths` of a row
    session start  the first real event, or one more than `idle_seconds` after the real one before
    known event    a real event with item id 1..num_items

An unknown item is no event for the model, but its time counts: it can begin a session, or keep
one alive. That is how evaluation treats it, which cuts sessions before it drops unknown items.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import tensorflow as tf

from hrec_tf.schema import (
    GAP,
    ITEM_IDS,
    LARGEST_GAP,
    LATEST_MINUTE,
    MINUTE,
    PADDED_LAYOUTS,
    PADDING_ID,
    POSITIONS,
    SECONDS_PER_MINUTE,
    SESSION_PARALLEL,
    SESSION_START,
    USER_PARALLEL,
    USER_START,
)


class Events(NamedTuple):
    """Histories, cut into sessions.

    Attributes:
        item_ids: int32 (batch, steps), 0 where there is no known event.
        timestamps: int64 (batch, steps).
        session: int32 (batch, steps), the number of each event's session, from 1 on.
        lengths: int32 (batch,), real events of each row; fewer than steps.
    """

    item_ids: tf.Tensor
    timestamps: tf.Tensor
    session: tf.Tensor
    lengths: tf.Tensor

    @property
    def is_known(self) -> tf.Tensor:
        """Bool (batch, steps)."""
        return self.item_ids != PADDING_ID


def events_of(item_ids, timestamps, lengths, *, idle_seconds: int) -> Events:
    """Returns the events of histories (batch, time), whose padding holds anything."""
    # One more column: a history may have no event at all.
    item_ids, timestamps = (tf.pad(x, [[0, 0], [0, 1]]) for x in (item_ids, timestamps))
    steps = tf.range(tf.shape(item_ids)[1])
    gaps = timestamps[:, 1:] - timestamps[:, :-1]
    starts = tf.pad(gaps > idle_seconds, [[0, 0], [1, 0]]) | (steps == 0)
    session = tf.cumsum(tf.cast(starts, tf.int32), axis=1)
    item_ids = tf.where(steps < lengths[:, None], item_ids, PADDING_ID)
    return Events(item_ids, timestamps, session, lengths)


class Memory(NamedTuple):
    """What a `StepReader` knows of each user: parts of `state` and `state_info`."""

    hidden: tf.Tensor
    states: list[tf.Tensor]
    last_timestamp: tf.Tensor
    known_events: tf.Tensor
    session_pending: tf.Tensor
    seen_any: tf.Tensor
    last_known: tf.Tensor


class StepReader:
    """Reads event by event, with a state from which it goes on.

    Args:
        model: a `NextItemModel` with an exact `step`.
        idle_seconds: idle time that ends a session.
        model_number: tells this model's states from others.
        fixed_shapes: as of a `SessionReader`.

    Attributes:
        signatures: names of the questions that can be answered.
        info: columns of `state_info`. All of them 0: a user of whom nothing is known. A model that
            `reads_gaps` has one more, the time of the last known event.
        state_size: width of `state`.
        context: what a question holds beside events and state: nothing, or `at` int64 (batch,),
            the time of asking, where the model `counts_on`; 0 says nothing, and the last moment
            that was counted holds.
        knows_new_users: whether users without a known event may be asked about.
    """

    signatures = ("recommend", "step", "score")
    info: tuple[str, ...] = ("last_timestamp", "known_events", "session_pending", "model_number")
    knows_new_users = False

    def __init__(
        self, model: Any, *, idle_seconds: int, model_number: int, fixed_shapes: bool = False
    ):
        self._model, self._idle_seconds, self._number = model, idle_seconds, model_number
        self._fixed_shapes = fixed_shapes
        self.context: dict[str, int | None] = {"at": None} if model.counts_on else {}
        # Width and type of each part of `state`: hidden, then the model's states.
        ids, yes = tf.zeros((1,), tf.int32), tf.ones((1,), bool)
        if model.reads_gaps:
            self.info = (*type(self).info, "last_known_timestamp")
        told = self._told(ids, ids)
        hidden, states = model.step(ids, yes, yes, model.step_states(1), **told)
        self._parts = [(int(part.shape[1]), part.dtype) for part in (hidden, *states)]
        self.state_size = sum(width for width, _ in self._parts)

    def of_fixed_shapes(self) -> "StepReader":
        """Returns one that does the same with `fixed_shapes`."""
        numbers = {"idle_seconds": self._idle_seconds, "model_number": self._number}
        return type(self)(self._model, **numbers, fixed_shapes=True)

    def replay(self, events: Events, *, at: tf.Tensor | None = None) -> Memory:
        """Reads whole histories."""
        is_read = events.is_known
        if self._model.layout == SESSION_PARALLEL:
            is_read = in_last_known_session(events)
        # What is read goes to the front, in its order; what is left behind has id 0.
        order, num_read = to_front(is_read)
        if not self._fixed_shapes:
            order = order[:, : tf.maximum(tf.reduce_max(num_read), 1)]
        item_ids = tf.where(is_read, events.item_ids, PADDING_ID)
        item_ids = tf.gather(item_ids, order, batch_dims=1)
        session_of_known = tf.gather(events.session, order, batch_dims=1)
        session_start = tf.pad(
            session_of_known[:, 1:] != session_of_known[:, :-1],
            [[0, 0], [1, 0]],
            constant_values=True,
        )

        # `encode` reads what a stream feeds; the last event, whose session goes on, is for `step`.
        steps = tf.range(tf.shape(item_ids)[1])
        is_fed = steps < num_read[:, None] - 1
        if self._model.layout == USER_PARALLEL and not self._model.feed_last_item:
            is_fed &= tf.pad(~session_start[:, 1:], [[0, 0], [0, 1]])
        nothing_fed = ~tf.reduce_any(is_fed, axis=1, keepdims=True)
        is_first = tf.cumsum(tf.cast(is_fed, tf.int32), axis=1) == 1
        # The last column is never fed, but where it is the only one: a loop needs a step.
        columns = tf.maximum(tf.shape(steps)[0] - 1, 1)
        fed = {
            ITEM_IDS: tf.where(is_fed, item_ids, PADDING_ID)[:, :columns],
            SESSION_START: session_start[:, :columns],
            USER_START: (is_first & is_fed)[:, :columns],
        }
        times = tf.gather(events.timestamps, order, batch_dims=1)
        gaps = _gaps(times, tf.pad(times[:, :-1], [[0, 0], [1, 0]]))
        gaps = tf.where(steps == 0, 0, gaps)
        if self._model.reads_gaps:
            fed[GAP] = gaps[:, :columns]
        minutes = _minutes(times)
        if self._model.reads_minutes:
            fed[MINUTE] = minutes[:, :columns]
        batch_size = tf.shape(item_ids)[0]
        _, states = self._model.encode(fed, self._model.initial_states(batch_size))

        last = tf.maximum(num_read - 1, 0)
        known_events = tf.reduce_sum(tf.cast(events.is_known, tf.int64), axis=1)
        hidden, states = self._model.step(
            tf.gather(item_ids, last, batch_dims=1),
            tf.gather(session_start, last, batch_dims=1),
            known_events == 1,
            self._model.as_step_states(states, nothing_fed),
            **self._told(*(tf.gather(told, last, batch_dims=1) for told in (gaps, minutes))),
        )
        last_real = tf.maximum(events.lengths - 1, 0)
        last_session = tf.gather(events.session, last_real, batch_dims=1)
        last_known_session = tf.gather(session_of_known, last, batch_dims=1)
        has_known, has_real = num_read > 0, events.lengths > 0
        return Memory(
            hidden=self._at(at, tf.where(has_known[:, None], hidden, tf.zeros_like(hidden))),
            states=states,
            last_timestamp=tf.gather(events.timestamps, last_real, batch_dims=1),
            known_events=known_events,
            session_pending=has_real & (~has_known | (last_session != last_known_session)),
            seen_any=has_real,
            last_known=tf.where(has_known, tf.gather(times, last, batch_dims=1), 0),
        )

    def step(self, item_ids, timestamps, state, state_info, *, at=None) -> Memory:
        """Reads one more event (batch,) of each user."""
        memory = self._unpack(state, state_info)
        is_known = item_ids != PADDING_ID
        is_idle = timestamps - memory.last_timestamp > self._idle_seconds
        starts = ~memory.seen_any | memory.session_pending | is_idle
        is_new = memory.known_events == 0
        gap = tf.where(is_new, 0, _gaps(timestamps, memory.last_known))
        told = self._told(gap, _minutes(timestamps))
        hidden, states = self._model.step(item_ids, starts, is_new, memory.states, **told)
        return Memory(
            hidden=self._at(at, tf.where(is_known[:, None], hidden, memory.hidden)),
            states=states,
            last_timestamp=timestamps,
            known_events=memory.known_events + tf.cast(is_known, tf.int64),
            session_pending=starts & ~is_known,
            seen_any=tf.ones_like(starts),
            last_known=tf.where(is_known, timestamps, memory.last_known),
        )

    def _at(self, at: tf.Tensor | None, hidden: tf.Tensor) -> tf.Tensor:
        """Returns the hidden state as of the time of asking; None is that of the last event.

        A time of 0, as of histories without times and of new users, says nothing: then the last
        moment that was counted holds.
        """
        if at is None:
            return hidden
        minutes = tf.where(at == 0, LATEST_MINUTE, _minutes(at))
        return self._model.asked_at(hidden, minutes)

    def _told(self, gap: tf.Tensor, minute: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what the model's step takes of the time of an event (batch,)."""
        told = {"gap": gap} if self._model.reads_gaps else {}
        return told | ({"minute": minute} if self._model.reads_minutes else {})

    def pack(self, memory: Memory) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `state` float32 (batch, state_size) and `state_info` int64 (batch, 4)."""
        parts = [tf.cast(part, tf.float32) for part in (memory.hidden, *memory.states)]
        zero = tf.zeros_like(memory.last_timestamp)
        info = [
            memory.last_timestamp,
            memory.known_events,
            tf.cast(memory.session_pending, tf.int64),
            tf.fill(tf.shape(zero), tf.constant(self._number, tf.int64)),
        ]
        if self._model.reads_gaps:
            info.append(memory.last_known)
        # Of a user without events there is nothing to go on from: zeros, as at the start.
        state = tf.where(memory.seen_any[:, None], tf.concat(parts, axis=1), 0.0)
        info = [tf.where(memory.seen_any, values, zero) for values in info]
        return state, tf.stack(info, axis=1)

    def _unpack(self, state: tf.Tensor, state_info: tf.Tensor) -> Memory:
        parts = tf.split(state, [width for width, _ in self._parts], axis=1)
        typed = [
            part > 0.5 if dtype == tf.bool else tf.cast(part, dtype)
            for part, (_, dtype) in zip(parts, self._parts, strict=True)
        ]
        # One column each; LiteRT does not unstack int64.
        last_timestamp, known_events, pending, number = (state_info[:, i] for i in range(4))
        seen_any = number != 0
        fresh = self._model.step_states(tf.shape(state)[0])
        states = [
            tf.where(seen_any[:, None], given, new)
            for given, new in zip(typed[1:], fresh, strict=True)
        ]
        last_known = state_info[:, 4] if self._model.reads_gaps else last_timestamp
        return Memory(
            typed[0], states, last_timestamp, known_events, pending != 0, seen_any, last_known
        )


class Reading(NamedTuple):
    """What a `SessionReader` knows of each user.

    Attributes:
        hidden: float (batch, units); of no meaning without known events.
        known_events: int64 (batch,), of the whole history.
    """

    hidden: tf.Tensor
    known_events: tf.Tensor


class SessionReader:
    """Reads the last session that holds a known event, as a whole, and keeps no state.

    The model is given what evaluation gives it: the known events of that session, at most its
    `max_length` latest, and the position of the last one.

    Args:
        model: a `PrefixModel`.
        fixed_shapes: take no shape from values: all columns are read, at most `max_length`. XLA
            would compile anew for each length of a session.

    Attributes:
        signatures, info, context, knows_new_users: as of a `StepReader`; there is no "step", and
            no state.
        state_size: 0.

    Raises:
        ValueError: a model without an exact `step` that is none of padded rows.
    """

    signatures = ("recommend", "score")
    info = ()
    context: Mapping[str, int | None] = MappingProxyType({})
    knows_new_users = False
    state_size = 0

    def __init__(self, model: Any, *, fixed_shapes: bool = False):
        if model.layout not in PADDED_LAYOUTS:
            raise ValueError(
                f"`model` is a {type(model).__name__} of layout {model.layout!r} without an exact "
                f"`step`, but only models of layout {' or '.join(map(repr, PADDED_LAYOUTS))} do "
                "without one. Say `incremental = True` in its class if its `step` is exact."
            )
        self._model, self._fixed_shapes = model, fixed_shapes

    def of_fixed_shapes(self) -> "SessionReader":
        """Returns one that does the same with `fixed_shapes`."""
        return SessionReader(self._model, fixed_shapes=True)

    def replay(self, events: Events) -> Reading:
        """Reads whole histories."""
        is_known, is_read = events.is_known, in_last_known_session(events)
        if self._model.max_length is not None:
            age = tf.cumsum(tf.cast(is_read, tf.int32), axis=1, reverse=True)
            is_read &= age <= self._model.max_length
        order, num_read = to_front(is_read)
        item_ids = tf.gather(tf.where(is_read, events.item_ids, PADDING_ID), order, batch_dims=1)
        # As long as the longest session, not as the longest history.
        columns = tf.maximum(tf.reduce_max(num_read), 1)
        if self._fixed_shapes:
            steps = tf.shape(item_ids)[1]
            columns = tf.minimum(steps, self._model.max_length or steps)
        prefixes = {
            ITEM_IDS: item_ids[:, :columns],
            POSITIONS: tf.maximum(num_read - 1, 0)[:, None],
        }
        hidden, _ = self._model.encode(prefixes, [])
        return Reading(hidden[:, 0], tf.reduce_sum(tf.cast(is_known, tf.int64), axis=1))

    def step(self, *event_and_state: tf.Tensor) -> Reading:
        """Is refused."""
        raise ValueError(
            f"`step` was asked of {type(self._model).__name__}, which keeps no state of a user, "
            "but reads the last session as a whole. Pass the history so far to `recommend`."
        )

    def pack(self, reading: Reading) -> tuple[()]:
        """Returns nothing: there is no state."""
        return ()


def in_last_known_session(events: Events) -> tf.Tensor:
    """Returns bool (batch, steps), the known events of the last session that holds one."""
    last = tf.reduce_max(tf.where(events.is_known, events.session, 0), axis=1, keepdims=True)
    return events.is_known & (events.session == last)


def _gaps(times: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Int32, seconds that passed, as a stream tells them."""
    passed = tf.clip_by_value(times - before, 0, LARGEST_GAP)
    return tf.cast(passed, tf.int32)


def _minutes(times: tf.Tensor) -> tf.Tensor:
    """Int32, minutes since 1970, as a stream tells them: the floor of times / 60."""
    # LiteRT does not divide int64: a float32 quotient, and what it is wrong by, which is small.
    about = tf.cast(tf.cast(times, tf.float32) / SECONDS_PER_MINUTE, tf.int64)
    rest = tf.cast(times - about * SECONDS_PER_MINUTE, tf.float32)
    more = tf.cast(tf.floor(rest / SECONDS_PER_MINUTE), tf.int64)
    return tf.cast(tf.clip_by_value(about + more, -LATEST_MINUTE, LATEST_MINUTE), tf.int32)


def to_front(chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns an order of the steps, the chosen ones (batch, steps) first, and their number."""
    steps = tf.range(tf.shape(chosen)[1])
    order = tf.argsort(tf.where(chosen, steps, steps + tf.shape(steps)[0]), axis=1)
    return order, tf.reduce_sum(tf.cast(chosen, tf.int32), axis=1)
