"""What a trained model answers, on numbered items: lists, scores, and vectors for an index.

One text for all who ask: `Recommender` in Python, SavedModel signatures, LiteRT files. The
functions are TensorFlow graphs that take a batch of histories and let the model read them, see
`hrec_tf.readers`.
"""

import copy
import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hrec_tf import checks, inner_products
from hrec_tf.best import best as best_of
from hrec_tf.compiled_reader import CompiledReader, TracedReader
from hrec_tf.pending_reader import Known, PendingReader
from hrec_tf.readers import Memory, Reading, SessionReader, StepReader, events_of
from hrec_tf.schema import ALIGNED, FEEDBACK, PADDING_ID

UNFILLED = float(np.finfo(np.float32).min)
"""Score of a place that no candidate is left for, and of a candidate that is unknown."""
LARGE = 1 << 17
"""Items from which on the best are found block by block: scores of a batch are then large."""
BLOCK = 1 << 13
"""Items whose scores are there at once in a large catalogue."""
TIE_BREAK = 1e-6
"""What a share of all of training counts beside one of the hour."""
NEVER = 2**62
"""Idle seconds that no gap exceeds."""


class Answer(NamedTuple):
    """Recommendations, and what `step` goes on from: None of models without a `step`.

    Attributes:
        item_ids: int32 (batch, k), best first; 0 at places beyond the candidates.
        scores: float32 (batch, k), falling; `UNFILLED` at those places.
        state: float32 (batch, state_size).
        state_info: int64 (batch, info_size), see `info` of the reader.
    """

    item_ids: tf.Tensor
    scores: tf.Tensor
    state: tf.Tensor | None = None
    state_info: tf.Tensor | None = None

    def outputs(self) -> dict[str, tf.Tensor]:
        """Returns what there is, by name."""
        return {name: values for name, values in self._asdict().items() if values is not None}


class Allowed(NamedTuple):
    """The items that a list may hold.

    Attributes:
        item_ids: int32 (batch, some); 0 is none.
        every: bool (batch,), of rows that may hold every item.
    """

    item_ids: tf.Tensor
    every: tf.Tensor


class Inference:
    """Questions to a trained model, whose weights must not change any more.

    Args:
        model: a `NextItemModel` with an exact `step` or of layout "aligned", or a `PrefixModel`.
        item_supports: (num_items,), training events of each item. Their shares are the scores
            of a user without a known event; of a model that `counts_on`, those of the hour are.
        idle_minutes: idle time that ends a session; None if a whole history is one.

    Attributes:
        signatures: names of the questions that it answers: "recommend", "score" and, where
            the model has an exact step, "step".
        context: name of an input that questions hold beside the events -> its width, None of one
            number; empty for most models, see `hrec_tf.pending_reader.PendingReader`.
        state_size, info_size: widths of `state` and `state_info`; 0 where there is no step.
        model_number: a number above 0 that tells this model from others: made of its class,
            its weights and its session rule.

    Raises:
        ValueError: supports that do not fit the model, a bad idle time, a model that `reads_users`
            or `reads_next_gap`, or one without an exact `step` that does not read padded rows.
    """

    def __init__(
        self,
        model: Any,
        item_supports: Sequence[int] | np.ndarray,
        *,
        idle_minutes: float | None = 30.0,
    ):
        if model.reads_users:
            raise ValueError(
                f"`model` is a {type(model).__name__}, which knows users by their numbers in "
                "training, but no question says who asks. Use a model that reads a user's history, "
                'e.g. "hrnn-init".'
            )
        if model.reads_next_gap:
            raise ValueError(
                f"`model` is a {type(model).__name__} that is told how long after the last event "
                "the next one comes, but no question says when it is asked. Use one with "
                'use_query_gap=False, or "hrnn-meta", whose questions say it.'
            )
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
        self._reader: Any
        if model.layout == ALIGNED or model.incremental:
            reader = PendingReader if model.layout == ALIGNED else StepReader
            idle_seconds, number = self._idle_seconds, self.model_number
            self._reader = reader(model, idle_seconds=idle_seconds, model_number=number)
        else:
            self._reader = SessionReader(model)
        self.signatures, self.context = self._reader.signatures, self._reader.context
        self.state_size, self.info_size = self._reader.state_size, len(self._reader.info)

    def compiled(self) -> "Inference":
        """Returns the same questions; XLA compiles how histories are read."""
        return self._read_by(CompiledReader(self._reader))

    def traced(self) -> "Inference":
        """Returns the same questions; how histories are read is traced once for all of them."""
        return self._read_by(TracedReader(self._reader))

    def _read_by(self, reader: Any) -> "Inference":
        made = copy.copy(self)
        made._reader = reader
        return made

    def context_specs(
        self, *, of_event: bool = False, batch_size: int | None = None
    ) -> list[tf.TensorSpec]:
        """Returns the specs of the inputs that `context` names, in its order.

        Args:
            of_event: for `step`, which reads one event; else for whole histories.
            batch_size: rows, if that is fixed.
        """
        specs = []
        for name, width in self.context.items():
            steps = [None] if name == FEEDBACK and not of_event else []
            shape = [batch_size, *steps, *([] if width is None else [width])]
            specs.append(tf.TensorSpec(shape, tf.int64 if width is None else tf.float32, name))
        return specs

    def recommend(
        self,
        item_ids: tf.Tensor,
        timestamps: tf.Tensor,
        lengths: tf.Tensor,
        exclude_seen: tf.Tensor,
        *,
        k: int,
        allowed: Allowed | None = None,
        deny: tf.Tensor | None = None,
        **context: tf.Tensor,
    ) -> Answer:
        """Reads whole histories and returns the k best items of each.

        Args:
            item_ids: int32 (batch, time), 0..num_items, in time order, padded at the end.
            timestamps: int64 (batch, time), seconds.
            lengths: int32 (batch,), real events of each row.
            exclude_seen: bool (batch,), whether to leave out the row's own items.
            k: 1..num_items.
            allowed: the items that lists may hold; all if None.
            deny: int32 (batch, some), items to leave out; 0 is none.
            **context: what `context` names.
        """
        events = events_of(item_ids, timestamps, lengths, idle_seconds=self._idle_seconds)
        memory = self._reader.replay(events, **context)
        left_out = tf.where(exclude_seen[:, None], events.item_ids, PADDING_ID)
        if deny is not None:
            left_out = tf.concat([left_out, deny], axis=1)
        return self._answer(memory, k, left_out, allowed)

    def recommend_filtered(
        self,
        item_ids: tf.Tensor,
        timestamps: tf.Tensor,
        lengths: tf.Tensor,
        exclude_seen: tf.Tensor,
        allow: tf.Tensor,
        allow_lengths: tf.Tensor,
        deny: tf.Tensor,
        deny_lengths: tf.Tensor,
        *,
        k: int,
        **context: tf.Tensor,
    ) -> Answer:
        """Returns the k best items of each history among those that a row allows.

        Args:
            item_ids, timestamps, lengths, exclude_seen, k, **context: as in `recommend`.
            allow: int32 (batch, any), the items that a list may hold; 0, unknown, is none.
            allow_lengths: int32 (batch,), how many of them are real; a row with 0 allows all.
            deny: int32 (batch, any), items that a list must not hold, allowed or not.
            deny_lengths: int32 (batch,).
        """
        return self.recommend(
            item_ids,
            timestamps,
            lengths,
            exclude_seen,
            k=k,
            allowed=Allowed(_real(allow, allow_lengths), allow_lengths == 0),
            deny=_real(deny, deny_lengths),
            **context,
        )

    def step(
        self,
        item_ids: tf.Tensor,
        timestamps: tf.Tensor,
        state: tf.Tensor,
        state_info: tf.Tensor,
        *,
        k: int,
        **context: tf.Tensor,
    ) -> Answer:
        """Reads one more event of each user and returns the k best items.

        Equal to `recommend` of the history with this event at its end.

        Args:
            item_ids: int32 (batch,).
            timestamps: int64 (batch,), seconds.
            state, state_info: from the answer before; all zeros for a new user.
            k: 1..num_items.
            **context: what `context` names; of the event, where of events.

        Raises:
            ValueError: the model has no exact step.
        """
        memory = self._reader.step(item_ids, timestamps, state, state_info, **context)
        return self._answer(memory, k)

    def score(
        self,
        item_ids: tf.Tensor,
        timestamps: tf.Tensor,
        lengths: tf.Tensor,
        candidates: tf.Tensor,
        **context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns float32 (batch, candidates), the scores of given items after histories.

        Args:
            item_ids, timestamps, lengths, **context: as in `recommend`.
            candidates: int32 (batch, candidates); 0, unknown, scores `UNFILLED`.
        """
        events = events_of(item_ids, timestamps, lengths, idle_seconds=self._idle_seconds)
        memory = self._reader.replay(events, **context)
        logits = self.model.score(memory.hidden[:, None], candidates)[:, 0]
        popularity = self._popularity_at(memory.hidden[:, None], candidates)[:, 0]
        scores = tf.where(self._is_read(memory), logits, popularity)
        return tf.where(candidates != PADDING_ID, scores, UNFILLED)

    def encode(
        self, item_ids: tf.Tensor, timestamps: tf.Tensor, lengths: tf.Tensor, **context: tf.Tensor
    ) -> tf.Tensor:
        """Returns float32 (batch, vector_size), the hidden state of which scores are made.

        With the vectors w and biases b of `hrec_tf.inner_products`, the score of an item is
        `w · hidden + b`, where the history has a known event; else the hidden state is zero.

        Args:
            item_ids, timestamps, lengths, **context: as in `recommend`.
        """
        events = events_of(item_ids, timestamps, lengths, idle_seconds=self._idle_seconds)
        memory = self._reader.replay(events, **context)
        hidden = tf.cast(memory.hidden, tf.float32)
        return tf.where(self._is_read(memory), hidden, tf.zeros_like(hidden))

    @cached_property
    def vector_size(self) -> int:
        """Width of what `encode` returns; 0 where scores are no inner products."""
        units = inner_products.hidden_width(self.model)
        return 0 if inner_products.departure(self.model, units) else units

    def _is_read(self, memory: Memory | Reading | Known) -> tf.Tensor:
        """Bool (batch, 1), false of users of whom the model can say nothing."""
        if self._reader.knows_new_users:
            return tf.ones((1, 1), bool)
        return (memory.known_events > 0)[:, None]

    def _answer(
        self,
        memory: Memory | Reading | Known,
        k: int | tf.Tensor,
        left_out: tf.Tensor | None = None,
        allowed: Allowed | None = None,
    ) -> Answer:
        """Lists the k best items but those of `left_out`, int32 (batch, some), whose 0 is none."""
        num_items, size = self.model.num_items, tf.shape(memory.hidden)[0]
        if num_items < LARGE:
            logits = self.model.score(memory.hidden)
            scores = self._scores(memory, logits, self._popularity_at(memory.hidden))
            scores = _without(scores, 1, left_out, allowed)
            best, columns = best_of(scores, k)
            item_ids = columns + 1
        else:

            def with_block(first, best, item_ids):
                """The best of those so far and of a block; of equal ones the lower id is first."""
                # Of one width, as XLA wants it; the last block holds the last item again and again.
                numbers = first + tf.range(BLOCK)
                ids = tf.minimum(numbers, num_items)
                logits = self.model.score(memory.hidden, ids)
                scores = self._scores(memory, logits, self._popularity_at(memory.hidden, ids))
                scores = tf.where(numbers <= num_items, scores, UNFILLED)
                scores = _without(scores, first, left_out, allowed)
                scores = tf.concat([best, scores], axis=1)
                ids = tf.broadcast_to(ids, (size, BLOCK))
                best, places = best_of(scores, k)
                ids = tf.gather(tf.concat([item_ids, ids], axis=1), places, axis=1, batch_dims=1)
                return first + BLOCK, best, ids

            nothing = tf.fill((size, k), UNFILLED), tf.fill((size, k), PADDING_ID)
            rows = tf.TensorShape([None, k if isinstance(k, int) else None])
            _, best, item_ids = tf.while_loop(
                lambda first, *_: first <= num_items,
                with_block,
                (tf.constant(1), *nothing),
                shape_invariants=(tf.TensorShape([]), rows, rows),
                parallel_iterations=1,
            )
        item_ids = tf.where(best > UNFILLED, item_ids, PADDING_ID)
        return Answer(item_ids, best, *self._reader.pack(memory))

    def _popularity_at(self, hidden, item_ids=None) -> tf.Tensor:
        """Returns the popularity of the catalogue, or of `item_ids`, as `score` does scores.

        Of a model with a popularity of the hour it is that of the time of asking, and where nothing
        tells two items apart that of training.
        """
        popularity = tf.constant(self._popularity)
        if item_ids is not None:
            # Of each row its own, where scores are asked of several rows.
            popularity = tf.gather(popularity, tf.maximum(item_ids - 1, 0))
            popularity = popularity[:, None] if len(hidden.shape) > 2 else popularity
        if self.model.counts_on:
            popularity = self.model.taken_of_late(hidden, item_ids) + TIE_BREAK * popularity
        return popularity

    def _scores(self, memory, logits, popularity) -> tf.Tensor:
        """Returns float32 (batch, width): of users of whom nothing is known, the popularity."""
        return tf.where(self._is_read(memory), logits, popularity)


def _real(item_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Returns the ids with 0 in the place of padding."""
    return tf.where(tf.range(tf.shape(item_ids)[1]) < lengths[:, None], item_ids, PADDING_ID)


def _without(
    scores: tf.Tensor,
    first: int | tf.Tensor,
    left_out: tf.Tensor | None,
    allowed: Allowed | None,
) -> tf.Tensor:
    """Returns scores (batch, width) of the items from `first` on, `UNFILLED` of those left out."""
    width = tf.shape(scores)[1]

    def among(item_ids):
        is_here = (item_ids >= first) & (item_ids < first + width)
        return _columns(tf.where(is_here, item_ids - first + 1, 0), width)

    if left_out is not None:
        scores = tf.where(among(left_out), UNFILLED, scores)
    if allowed is not None:
        scores = tf.where(among(allowed.item_ids) | allowed.every[:, None], scores, UNFILLED)
    return scores


def _columns(places: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns bool (batch, width), true at a row's places, counted from 1; 0 is none."""
    batch_size = tf.shape(places)[0]
    rows = tf.broadcast_to(tf.range(batch_size)[:, None], tf.shape(places))
    where = tf.stack([rows, places], axis=2)
    counts = tf.scatter_nd(where, tf.ones_like(places), tf.stack([batch_size, width + 1]))
    return counts[:, 1:] > 0


def _number_of(model: Any, idle_seconds: int) -> int:
    digest = hashlib.sha256(f"{type(model).__name__} {idle_seconds}".encode())
    for weight in model.weights:
        digest.update(str(weight.shape).encode())
        digest.update(weight.numpy().tobytes())
    return 1 + int.from_bytes(digest.digest()[:7], "big")
