"""Reads histories for a model that is told, with an event, when the next one comes.

Such a model can read an event only when the time of the next one is known. So the last event of a
history waits: a question reads it with the time of asking as that of the next event, and keeps
nothing of that; the next event reads it with its own time, and waits in turn.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from hrec_tf.data.aligned import LONGEST_GAP
from hrec_tf.readers import Events, to_front
from hrec_tf.schema import (
    FEEDBACK,
    IS_STEP,
    ITEM_IDS,
    NEXT_GAP,
    NEXT_SESSION_START,
    PADDING_ID,
    SESSION_START,
    USER_FEATURES,
    USER_START,
)


class Waiting(NamedTuple):
    """The last known event of each user, which no state holds yet.

    Attributes:
        item_ids: int32 (batch,), 0 of a user without one.
        timestamps: int64 (batch,).
        session_start: bool (batch,), whether it opens a session.
        feedback: float32 (batch, num_feedback).
    """

    item_ids: tf.Tensor
    timestamps: tf.Tensor
    session_start: tf.Tensor
    feedback: tf.Tensor


class Known(NamedTuple):
    """What a `PendingReader` knows of each user, and has read for a question.

    Attributes:
        known_events: int64 (batch,), the one that waits included.
        states: of the model, before the event that waits.
        waiting: that event.
        last_timestamp: int64 (batch,), of the last event, known or not.
        session_pending: bool (batch,), whether an unknown event has opened a session.
        seen_any: bool (batch,).
        hidden: float (batch, units), with the event that waits read at the time of asking.
    """

    known_events: tf.Tensor
    states: list[tf.Tensor]
    waiting: Waiting
    last_timestamp: tf.Tensor
    session_pending: tf.Tensor
    seen_any: tf.Tensor
    hidden: tf.Tensor | None = None


class PendingReader:
    """Reads whole histories, or event by event from a state, both to the same.

    Questions have more inputs than those of other readers, see `context`: `at` int64 (batch,),
    the time of asking; `feedback` float32 (batch, time, num_feedback), or in a step
    (batch, num_feedback), and `user_features` float32 (batch, num_user_features), of models that
    read them.

    Args:
        model: a `NextItemModel` of layout "aligned".
        idle_seconds: idle time that ends a session.
        model_number: tells this model's states from others.

    Attributes:
        context: name of an input beside the events -> its width; None of one number.
    """

    signatures = ("recommend", "step", "score")
    info = (
        "last_timestamp",
        "known_events",
        "session_pending",
        "model_number",
        "waiting_item",
        "waiting_timestamp",
        "waiting_session_start",
    )

    def __init__(self, model: Any, *, idle_seconds: int, model_number: int):
        self._model, self._idle_seconds, self._number = model, idle_seconds, model_number
        self.context: dict[str, int | None] = {"at": None}
        if model.num_feedback:
            self.context[FEEDBACK] = model.num_feedback
        if model.num_user_features:
            self.context[USER_FEATURES] = model.num_user_features
        self._widths = [int(state.shape[1]) for state in model.initial_states(1)]
        self.state_size = sum(self._widths) + model.num_feedback
        # The model's first step reads no event: it is asked about new users, too.
        self.knows_new_users = bool(model.first_events)

    def replay(self, events: Events, *, at, feedback=None, user_features=None) -> Known:
        """Reads whole histories."""
        order, num_known = to_front(events.is_known)
        item_ids, times, session = (
            tf.gather(values, order, batch_dims=1)
            for values in (events.item_ids, events.timestamps, events.session)
        )
        if feedback is None:
            feedback = tf.zeros((*tf.unstack(tf.shape(item_ids)), 0))
        else:
            feedback = tf.pad(feedback, [[0, 0], [0, 1], [0, 0]])  # as `events_of` does
            feedback = tf.gather(feedback, order, batch_dims=1)
        changes = session[:, 1:] != session[:, :-1]
        opens = tf.pad(changes, [[0, 0], [1, 0]], constant_values=True)

        # Every known event but the last is read here, told of the one after it.
        columns = tf.maximum(tf.shape(item_ids)[1] - 1, 1)
        places = tf.range(tf.shape(item_ids)[1])
        told = {
            ITEM_IDS: item_ids,
            IS_STEP: places < num_known[:, None] - 1,
            USER_START: tf.broadcast_to(places == 0, tf.shape(item_ids))
            & (not self.knows_new_users),
            SESSION_START: opens,
            NEXT_GAP: _gap(times, tf.pad(times[:, 1:], [[0, 0], [0, 1]])),
            NEXT_SESSION_START: tf.pad(opens[:, 1:], [[0, 0], [0, 1]]),
            FEEDBACK: feedback,
        }
        told = {name: values[:, :columns] for name, values in told.items()}
        if self.knows_new_users:
            first = self._first_step(tf.shape(item_ids)[0], is_step=num_known > 0)
            told = {name: tf.concat([first[name], told[name]], axis=1) for name in told}
        states = self._model.initial_states(tf.shape(item_ids)[0])
        _, states = self._model.encode(self._events(told, user_features), states)

        last = tf.maximum(num_known - 1, 0)
        ends = (tf.gather(v, last, batch_dims=1) for v in (item_ids, times, opens, feedback))
        waiting = Waiting(*(_where(num_known > 0, end, tf.zeros_like(end)) for end in ends))
        last_real = tf.maximum(events.lengths - 1, 0)
        is_other = tf.gather(events.session, last_real, batch_dims=1) != tf.gather(
            session, last, batch_dims=1
        )
        has_real = events.lengths > 0
        known = Known(
            known_events=tf.cast(num_known, tf.int64),
            states=states,
            waiting=waiting,
            last_timestamp=tf.gather(events.timestamps, last_real, batch_dims=1),
            session_pending=has_real & ((num_known == 0) | is_other),
            seen_any=has_real,
        )
        return self._asked(known, at, user_features)

    def step(
        self, item_ids, timestamps, state, state_info, *, at, feedback=None, user_features=None
    ) -> Known:
        """Reads one more event (batch,) of each user, and asks."""
        before = self._unpack(state, state_info)
        is_known = item_ids != PADDING_ID
        opens = self._opens_session(before, timestamps)
        _, states = self._read_waiting(before, timestamps, opens, user_features)
        feedback = before.waiting.feedback[:, :0] if feedback is None else feedback
        event = Waiting(item_ids, timestamps, opens, feedback)
        known = Known(
            known_events=before.known_events + tf.cast(is_known, tf.int64),
            states=[_where(is_known, *both) for both in zip(states, before.states, strict=True)],
            waiting=Waiting(
                *(_where(is_known, *both) for both in zip(event, before.waiting, strict=True))
            ),
            last_timestamp=timestamps,
            session_pending=opens & ~is_known,
            seen_any=tf.ones_like(opens),
        )
        return self._asked(known, at, user_features)

    def pack(self, known: Known) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `state` float32 (batch, state_size) and `state_info` int64 (batch, 7)."""
        waiting = known.waiting
        number = tf.fill(tf.shape(known.last_timestamp), tf.constant(self._number, tf.int64))
        facts = [
            known.last_timestamp,
            known.known_events,
            known.session_pending,
            number,
            waiting.item_ids,
            waiting.timestamps,
            waiting.session_start,
        ]
        # Of a user without events there is nothing to go on from: zeros, as at the start.
        info = tf.stack([tf.cast(fact, tf.int64) for fact in facts], axis=1)
        state = tf.concat([*known.states, waiting.feedback], axis=1)
        seen = known.seen_any[:, None]
        return tf.where(seen, state, 0.0), tf.where(seen, info, tf.zeros_like(info))

    def _unpack(self, state: tf.Tensor, state_info: tf.Tensor) -> Known:
        *states, feedback = tf.split(state, [*self._widths, self._model.num_feedback], axis=1)
        last, known_events, pending, number, item, time, opens = (
            state_info[:, column] for column in range(len(self.info))
        )
        # What is no item of the catalogue would read beyond the table.
        item = tf.where((item > 0) & (item <= self._model.num_items), item, PADDING_ID)
        waiting = Waiting(tf.cast(item, tf.int32), time, opens != 0, feedback)
        return Known(known_events, states, waiting, last, pending != 0, number != 0)

    def _opens_session(self, known: Known, timestamps: tf.Tensor) -> tf.Tensor:
        """Whether an event at these times opens a session."""
        is_idle = timestamps - known.last_timestamp > self._idle_seconds
        return ~known.seen_any | known.session_pending | is_idle

    def _asked(self, known: Known, at: tf.Tensor, user_features) -> Known:
        """Returns what is known, with `hidden` of the time of asking."""
        opens = self._opens_session(known, at)
        hidden, _ = self._read_waiting(known, at, opens, user_features)
        return known._replace(hidden=hidden)

    def _read_waiting(self, known: Known, next_time, next_opens, user_features):
        """Reads the event that waits, told of the next one; returns hidden (batch, units), states.

        Where there is none, nothing is read, or the step that comes before a user's first event.
        """
        waiting, has_event = known.waiting, known.known_events > 0
        told = {
            ITEM_IDS: waiting.item_ids,
            IS_STEP: has_event,
            USER_START: (known.known_events == 1) & (not self.knows_new_users),
            SESSION_START: waiting.session_start,
            NEXT_GAP: _gap(waiting.timestamps, next_time),
            NEXT_SESSION_START: next_opens,
            FEEDBACK: waiting.feedback,
        }
        told = {name: values[:, None] for name, values in told.items()}
        if self.knows_new_users:
            first = self._first_step(tf.shape(has_event)[0])
            told = {name: _where(has_event, told[name], first[name]) for name in told}
        hidden, states = self._model.encode(self._events(told, user_features), known.states)
        return hidden[:, 0], states

    def _first_step(self, batch_size, *, is_step=None) -> dict[str, tf.Tensor]:
        """The step before a user's first event, (batch, 1)."""
        yes = tf.ones((batch_size, 1), bool)
        return {
            ITEM_IDS: tf.fill((batch_size, 1), PADDING_ID),
            IS_STEP: yes if is_step is None else is_step[:, None],
            USER_START: yes,
            SESSION_START: yes,
            NEXT_GAP: tf.zeros((batch_size, 1), tf.int32),
            NEXT_SESSION_START: yes,
            FEEDBACK: tf.zeros((batch_size, 1, self._model.num_feedback)),
        }

    def _events(self, told: dict[str, tf.Tensor], user_features) -> dict[str, tf.Tensor]:
        """What the model reads: with the user's features at each step."""
        if user_features is None:
            return told
        steps = tf.shape(told[ITEM_IDS])[1]
        return told | {USER_FEATURES: tf.repeat(user_features[:, None], steps, axis=1)}


def _gap(before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    gap = tf.clip_by_value(after - before, 0, tf.constant(LONGEST_GAP, tf.int64))
    return tf.cast(gap, tf.int32)


def _where(chosen: tf.Tensor, ours: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Chooses whole rows by a mask (batch,)."""
    shape = tf.concat([tf.shape(chosen), tf.ones([tf.rank(ours) - 1], tf.int32)], axis=0)
    return tf.where(tf.reshape(chosen, shape), ours, others)
