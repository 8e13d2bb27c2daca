"""What a trained model answers, on numbered items: `recommend`, `step` and `score`.

One text for all who ask: `Recommender` in Python, SavedModel signatures, LiteRT files. The
functions are TensorFlow graphs that take a batch of histories, cut sessions by idle time, and
let the model read them.

    real event     one of the first `lengths` of a row
    session start  the first real event, or one more than `idle_minutes` after the real one before
    known event    a real event with item id 1..num_items

An unknown item is no event for the model, but its time counts: it can begin a session, or keep
one alive. That is how evaluation treats it, which cuts sessions before it drops unknown items.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.schema import ITEM_IDS, PADDING_ID, SESSION_START, USER_PARALLEL, USER_START

UNFILLED = float(np.finfo(np.float32).min)
"""Score of a place that no candidate is left for, and of a candidate that is unknown."""
NEVER = 2**62
"""Idle seconds that no gap exceeds."""
STATE_INFO = ("last_timestamp", "known_events", "session_pending", "model_number")
"""Columns of `state_info`. All of them 0: a user of whom nothing is known."""


class Answer(NamedTuple):
    """Recommendations, and what `step` goes on from.

    Attributes:
        item_ids: int32 (batch, k), best first; 0 at places beyond the candidates.
        scores: float32 (batch, k), falling; `UNFILLED` at those places.
        state: float32 (batch, state_size).
        state_info: int64 (batch, 4), see `STATE_INFO`.
    """

    item_ids: tf.Tensor
    scores: tf.Tensor
    state: tf.Tensor
    state_info: tf.Tensor


class _Memory(NamedTuple):
    """What is known of each user: parts of `state` and `state_info`."""

    hidden: tf.Tensor
    states: list[tf.Tensor]
    last_timestamp: tf.Tensor
    known_events: tf.Tensor
    session_pending: tf.Tensor
    seen_any: tf.Tensor


class Inference:
    """Questions to a trained model, whose weights must not change any more.

    Args:
        model: a `NextItemModel` with an exact `step`.
        item_supports: (num_items,), training events of each item. Their shares are the scores
            of a user without a known event.
        idle_minutes: idle time that ends a session; None if a whole history is one.

    Attributes:
        state_size: width of `state`.
        model_number: a number above 0 that tells this model from others: made of its class,
            its weights and its session rule.

    Raises:
        ValueError: supports that do not fit the model, or a bad idle time.
    """

    def __init__(
        self,
        model: Any,
        item_supports: Sequence[int] | np.ndarray,
        *,
        idle_minutes: float | None = 30.0,
    ):
        self.model, self.idle_minutes = model, idle_minutes
        # Gaps are whole seconds: one is above 60.5 s exactly when it is above 60 s.
        self._idle_seconds = NEVER
        if idle_minutes is not None:
            mend = "Pass an idle time, e.g. 30, or None if a history is one session."
            minutes = checks.require_number("idle_minutes", idle_minutes, minimum=0, mend=mend)
            self._idle_seconds = min(int(minutes * 60), NEVER)
        supports = np.asarray(item_supports, np.float64)
        if supports.shape != (model.num_items,):
            raise ValueError(
                f"`item_supports` has shape {supports.shape}, but the model knows "
                f"{model.num_items} items. Pass `vocabulary.supports` of its vocabulary."
            )
        self._popularity = (supports / max(supports.sum(), 1.0)).astype(np.float32)
        self.model_number = _number_of(model, self._idle_seconds)
        # Width and type of each part of `state`: hidden, then the model's states.
        ids, yes = tf.zeros((1,), tf.int32), tf.ones((1,), bool)
        hidden, states = model.step(ids, yes, yes, model.step_states(1))
        self._layout = [(int(part.shape[1]), part.dtype) for part in (hidden, *states)]
        self.state_size = sum(width for width, _ in self._layout)

    def recommend(
        self,
        item_ids: tf.Tensor,
        timestamps: tf.Tensor,
        lengths: tf.Tensor,
        exclude_seen: tf.Tensor,
        *,
        k: int,
    ) -> Answer:
        """Reads whole histories and returns the k best items of each.

        Args:
            item_ids: int32 (batch, time), 0..num_items, in time order, padded at the end.
            timestamps: int64 (batch, time), seconds.
            lengths: int32 (batch,), real events of each row.
            exclude_seen: bool (batch,), whether to leave out the row's own items.
            k: 1..num_items.
        """
        memory, known_ids = self._replay(item_ids, timestamps, lengths)
        scores = self._scores(memory)
        seen = _columns(known_ids, self.model.num_items) & exclude_seen[:, None]
        return self._answer(tf.where(seen, UNFILLED, scores), memory, k)

    def step(
        self,
        item_ids: tf.Tensor,
        timestamps: tf.Tensor,
        state: tf.Tensor,
        state_info: tf.Tensor,
        *,
        k: int,
    ) -> Answer:
        """Reads one more event of each user and returns the k best items.

        Equal to `recommend` of the history with this event at its end.

        Args:
            item_ids: int32 (batch,).
            timestamps: int64 (batch,), seconds.
            state, state_info: from the answer before; all zeros for a new user.
            k: 1..num_items.
        """
        memory = self._unpack(state, state_info)
        is_known = item_ids != PADDING_ID
        is_idle = timestamps - memory.last_timestamp > self._idle_seconds
        starts = ~memory.seen_any | memory.session_pending | is_idle
        hidden, states = self.model.step(item_ids, starts, memory.known_events == 0, memory.states)
        memory = _Memory(
            hidden=tf.where(is_known[:, None], hidden, memory.hidden),
            states=states,
            last_timestamp=timestamps,
            known_events=memory.known_events + tf.cast(is_known, tf.int64),
            session_pending=starts & ~is_known,
            seen_any=tf.ones_like(starts),
        )
        return self._answer(self._scores(memory), memory, k)

    def score(
        self,
        item_ids: tf.Tensor,
        timestamps: tf.Tensor,
        lengths: tf.Tensor,
        candidates: tf.Tensor,
    ) -> tf.Tensor:
        """Returns float32 (batch, candidates), the scores of given items after histories.

        Args:
            item_ids, timestamps, lengths: as in `recommend`.
            candidates: int32 (batch, candidates); 0, unknown, scores `UNFILLED`.
        """
        memory, _ = self._replay(item_ids, timestamps, lengths)
        logits = self.model.score(memory.hidden[:, None], candidates)[:, 0]
        popularity = tf.gather(tf.constant(self._popularity), tf.maximum(candidates - 1, 0))
        scores = tf.where((memory.known_events > 0)[:, None], logits, popularity)
        return tf.where(candidates != PADDING_ID, scores, UNFILLED)

    def _replay(self, item_ids, timestamps, lengths) -> tuple[_Memory, tf.Tensor]:
        """Reads histories; returns what is known, and the known item ids (batch, time + 1)."""
        # One more column: a history may have no event at all.
        item_ids, timestamps = (tf.pad(x, [[0, 0], [0, 1]]) for x in (item_ids, timestamps))
        steps = tf.range(tf.shape(item_ids)[1])
        is_real = steps < lengths[:, None]
        gaps = timestamps[:, 1:] - timestamps[:, :-1]
        starts = tf.pad(gaps > self._idle_seconds, [[0, 0], [1, 0]]) | (steps == 0)
        session = tf.cumsum(tf.cast(starts, tf.int32), axis=1)

        # Known events go to the front, in their order; what is left behind has id 0.
        is_known = is_real & (item_ids != PADDING_ID)
        order = tf.argsort(tf.where(is_known, steps, steps + tf.shape(steps)[0]), axis=1)
        num_known = tf.reduce_sum(tf.cast(is_known, tf.int32), axis=1)
        item_ids = tf.gather(tf.where(is_known, item_ids, PADDING_ID), order, batch_dims=1)
        session_of_known = tf.gather(session, order, batch_dims=1)
        session_start = tf.pad(
            session_of_known[:, 1:] != session_of_known[:, :-1],
            [[0, 0], [1, 0]],
            constant_values=True,
        )

        # `encode` reads what a stream feeds; the last event, whose session goes on, is for `step`.
        is_fed = steps < num_known[:, None] - 1
        if self.model.layout == USER_PARALLEL and not self.model.feed_last_item:
            is_fed &= tf.pad(~session_start[:, 1:], [[0, 0], [0, 1]])
        nothing_fed = ~tf.reduce_any(is_fed, axis=1, keepdims=True)
        is_first = tf.cumsum(tf.cast(is_fed, tf.int32), axis=1) == 1
        # The last column is never fed, but where it is the only one: a loop needs a step.
        columns = tf.maximum(tf.shape(steps)[0] - 1, 1)
        events = {
            ITEM_IDS: tf.where(is_fed, item_ids, PADDING_ID)[:, :columns],
            SESSION_START: session_start[:, :columns],
            USER_START: (is_first & is_fed)[:, :columns],
        }
        batch_size = tf.shape(item_ids)[0]
        _, states = self.model.encode(events, self.model.initial_states(batch_size))

        last = tf.maximum(num_known - 1, 0)
        hidden, states = self.model.step(
            tf.gather(item_ids, last, batch_dims=1),
            tf.gather(session_start, last, batch_dims=1),
            num_known == 1,
            self.model.as_step_states(states, nothing_fed),
        )
        last_real = tf.maximum(lengths - 1, 0)
        last_session = tf.gather(session, last_real, batch_dims=1)
        last_known_session = tf.gather(session_of_known, last, batch_dims=1)
        has_known, has_real = num_known > 0, lengths > 0
        memory = _Memory(
            hidden=tf.where(has_known[:, None], hidden, tf.zeros_like(hidden)),
            states=states,
            last_timestamp=tf.gather(timestamps, last_real, batch_dims=1),
            known_events=tf.cast(num_known, tf.int64),
            session_pending=has_real & (~has_known | (last_session != last_known_session)),
            seen_any=has_real,
        )
        return memory, item_ids

    def _scores(self, memory: _Memory) -> tf.Tensor:
        """Returns float32 (batch, num_items); item id i in column i - 1."""
        has_known = (memory.known_events > 0)[:, None]
        return tf.where(has_known, self.model.score(memory.hidden), tf.constant(self._popularity))

    def _answer(self, scores: tf.Tensor, memory: _Memory, k: int) -> Answer:
        best, columns = tf.math.top_k(scores, k=k)
        item_ids = tf.where(best > UNFILLED, columns + 1, PADDING_ID)
        parts = [tf.cast(part, tf.float32) for part in (memory.hidden, *memory.states)]
        zero = tf.zeros_like(memory.last_timestamp)
        number = tf.fill(tf.shape(zero), tf.constant(self.model_number, tf.int64))
        info = [
            memory.last_timestamp,
            memory.known_events,
            tf.cast(memory.session_pending, tf.int64),
            number,
        ]
        # Of a user without events there is nothing to go on from: zeros, as at the start.
        state = tf.where(memory.seen_any[:, None], tf.concat(parts, axis=1), 0.0)
        info = [tf.where(memory.seen_any, values, zero) for values in info]
        return Answer(item_ids, best, state, tf.stack(info, axis=1))

    def _unpack(self, state: tf.Tensor, state_info: tf.Tensor) -> _Memory:
        parts = tf.split(state, [width for width, _ in self._layout], axis=1)
        typed = [
            part > 0.5 if dtype == tf.bool else tf.cast(part, dtype)
            for part, (_, dtype) in zip(parts, self._layout, strict=True)
        ]
        # One column each; LiteRT does not unstack int64.
        last_timestamp, known_events, pending, number = (state_info[:, i] for i in range(4))
        seen_any = number != 0
        fresh = self.model.step_states(tf.shape(state)[0])
        states = [
            tf.where(seen_any[:, None], given, new)
            for given, new in zip(typed[1:], fresh, strict=True)
        ]
        return _Memory(typed[0], states, last_timestamp, known_events, pending != 0, seen_any)


def _columns(item_ids: tf.Tensor, num_items: int) -> tf.Tensor:
    """Returns bool (batch, num_items), true at the columns of a row's items; 0 has none."""
    batch_size = tf.shape(item_ids)[0]
    rows = tf.broadcast_to(tf.range(batch_size)[:, None], tf.shape(item_ids))
    places = tf.stack([rows, item_ids], axis=2)
    counts = tf.scatter_nd(places, tf.ones_like(item_ids), tf.stack([batch_size, num_items + 1]))
    return counts[:, 1:] > 0


def _number_of(model: Any, idle_seconds: int) -> int:
    digest = hashlib.sha256(f"{type(model).__name__} {idle_seconds}".encode())
    for weight in model.weights:
        digest.update(str(weight.shape).encode())
        digest.update(weight.numpy().tobytes())
    return 1 + int.from_bytes(digest.digest()[:7], "big")
