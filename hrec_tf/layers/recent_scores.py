"""Popularity of the hour inside a model's graph: what many took just before an event."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.data.recent_counts import RecentShares, recent_shares, step_minutes
from hrec_tf.layers.exact_numbers import ExactNumbers
from hrec_tf.layers.listed_items import among, over_catalogue
from hrec_tf.schema import LATEST_MINUTE, SECONDS_PER_MINUTE

FLOOR = 0.001
"""ε: a share of what is taken below which popularity says little."""


@keras.saving.register_keras_serializable(package="hrec_tf")
class RecentScores(keras.layers.Layer):
    """What the scores of items gain that were taken often just before an event.

        r      = max(0, min(⌊(t - t_0) / Δ⌋, R - 1))
        gain_j = c a σ(h w + v) log(1 + p_j(t_0 + r Δ) / ε)

    t is the minute of the event, h the hidden state, p_j the shares of `recent_shares`: of each
    moment the M largest; other items gain nothing. a, w and v are learnt and begin at 0, where
    nothing is gained; c, `weight`, is 1 while they are, and may be set then. Moments lie before t,
    so that in training, too, nothing is known of what comes; the first one is empty, and holds
    for all that was before. After the log they were counted on, the last one holds, until `count`
    goes on.

    Source: ours; decayed counts: Ji et al., SIGIR 2020, arXiv:2005.13829 (DecayPop); that recent
    clicks predict news: Moreira et al., IEEE Access 2019, arXiv:1904.10367; docs/equations.md B.11.

    Args:
        num_items: N; ids run 1..N.
        dim: size of h.
        size: M, popular items of a moment.
        hours: the half-life of what counts as popular; it decides on Δ.
        moments: R.

    Call:
        hidden: float (..., dim).
        columns: float (..., width), of `columns`.
        candidates: None for the whole catalogue, or int (..., candidates), as of `ItemScores`.
        to_train: whether c is 1.
        Returns float (..., num_items), or (..., rows, candidates).
    """

    def __init__(
        self,
        num_items: int,
        dim: int,
        size: int,
        *,
        hours: float,
        moments: int,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_items, self.dim, self.hours = num_items, dim, hours
        self.size = checks.require_positive_int("size", size, mend="Pass items, e.g. 100.")
        self.moments = checks.require_positive_int(
            "moments", moments, mend="Pass `hrec_tf.data.recent_counts.num_moments`."
        )
        self.step_minutes = step_minutes(hours)
        self._numbers = ExactNumbers(moments, self.compute_dtype)

    def build(self, input_shape=None):
        shape, counted = (self.moments, self.size), {"trainable": False, "initializer": "zeros"}
        self.first_minute = self.add_weight(name="first_minute", shape=(), dtype="int32", **counted)
        self.item_ids = self.add_weight(name="item_ids", shape=shape, dtype="int32", **counted)
        self.shares = self.add_weight(name="shares", shape=shape, autocast=False, **counted)
        self.weight = self.add_weight(
            name="weight", shape=(1,), trainable=False, initializer="ones", autocast=False
        )
        # No score reads these two: they are what counting goes on from.
        self.counts = self.add_weight(
            name="counts", shape=(self.num_items + 1,), dtype="float64", autocast=False, **counted
        )
        self.last_time = self.add_weight(name="last_time", shape=(), dtype="int64", **counted)
        self.amount = self.add_weight(name="amount", shape=(1,), initializer="zeros")
        self.gate_kernel = self.add_weight(
            name="gate_kernel", shape=(self.dim, 1), initializer="zeros"
        )
        self.gate_bias = self.add_weight(name="gate_bias", shape=(1,), initializer="zeros")

    def count(self, histories: Histories, *, goes_on: bool = False) -> int:
        """Counts what was taken often, moment by moment; the last R moments are kept.

        Args:
            histories: whose times are seconds.
            goes_on: whether to count on top of what is held, from the event after its last one.

        Returns:
            How many events were counted.

        Raises:
            ValueError: other items than the layer was made for, or times beyond int32 minutes.
        """
        if histories.num_items != self.num_items:
            raise ValueError(
                f"`histories` has num_items {histories.num_items}, but this layer was made for "
                f"{self.num_items}. Encode with the vocabulary of its model."
            )
        last = int(histories.timestamps.max(initial=0))
        if last // SECONDS_PER_MINUTE > LATEST_MINUTE:
            raise ValueError(
                f"`histories` has the time {last}, which is no Unix second: minutes are int32. "
                "Pass seconds, not e.g. nanoseconds."
            )
        before = self.held_shares() if goes_on else None
        found = recent_shares(
            histories,
            size=self.size,
            hours=self.hours,
            moments=self.moments,
            after=before,
        )
        self.set_shares(found)
        return (
            int((histories.timestamps > before.last_time).sum())
            if before
            else len(histories.timestamps)
        )

    @contextmanager
    def counting_on(self, histories: Histories) -> Iterator[None]:
        """While it lasts, `histories` are counted on top; see `hrec_tf.models.HRNN.counting_on`."""
        held = self.held_shares()
        if not self.count(histories, goes_on=True):
            raise ValueError(
                f"`histories` have no event after {held.last_time} (Unix seconds), the last one "
                "that was counted, so that nothing would count on. Split the log by time, or leave "
                "it out."
            )
        try:
            # The first moment that is kept is empty.
            kept = int(self.first_minute) + self.step_minutes
            if kept > held.last_time // SECONDS_PER_MINUTE:
                raise ValueError(
                    f"`histories` last longer than the {self.moments} moments that the model "
                    "keeps, so that what was popular at the first of them would be forgotten. "
                    "Evaluate fewer at once, or train with more popular_moments."
                )
            yield
        finally:
            self.set_shares(held)

    def held_shares(self) -> RecentShares:
        """Returns what `count` found, or was set."""
        return RecentShares(
            int(self.first_minute),
            self.item_ids.numpy(),
            self.shares.numpy(),
            self.counts.numpy(),
            int(self.last_time),
        )

    def set_shares(self, found: RecentShares) -> None:
        """Sets what was taken often, moment by moment.

        Raises:
            ValueError: other numbers of moments or items than the layer was made for.
        """
        if found.shares.shape != (self.moments, self.size):
            raise ValueError(
                f"`shares` has shape {found.shares.shape}, but this layer was made for "
                f"{self.moments} moments of {self.size} items. Count with moments={self.moments}."
            )
        for name, value in found._asdict().items():
            getattr(self, name).assign(value)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self._numbers.num_digits

    def columns(self, minutes):
        """Returns float (..., width), which moment holds at int minutes (...) since 1970."""
        # int64, as minutes of the year 6053 less a negative one are no int32.
        passed = tf.cast(minutes, tf.int64) - tf.cast(self.first_minute.value, tf.int64)
        passed = tf.clip_by_value(passed, 0, self.moments * self.step_minutes)
        moment = tf.cast(passed, tf.int32) // self.step_minutes
        return self._numbers.split(tf.minimum(moment, self.moments - 1))

    def call(self, hidden, columns, candidates=None, to_train=False):
        hidden = tf.cast(hidden, self.compute_dtype)
        kernel = tf.convert_to_tensor(self.gate_kernel)
        gate = self.amount * tf.sigmoid(tf.linalg.matmul(hidden, kernel) + self.gate_bias)
        if not to_train:
            gate *= tf.cast(self.weight.value, gate.dtype)
        ids, shares = self._taken(columns)
        gains = tf.cast(gate, tf.float32) * tf.math.log1p(shares / FLOOR)
        return tf.cast(self._laid_out(ids, gains, candidates), self.compute_dtype)

    def shares_of(self, columns, candidates=None):
        """Returns p_j(t_0 + r Δ), float32, of the shape of what the layer returns."""
        ids, shares = self._taken(columns)
        return self._laid_out(ids, shares, candidates)

    def _taken(self, columns):
        moment = self._numbers.join(tf.unstack(columns, axis=-1))
        return tf.gather(self.item_ids.value, moment), tf.gather(self.shares.value, moment)

    def _laid_out(self, ids, values, candidates):
        if candidates is None:
            return over_catalogue(ids, values, self.num_items)
        return among(candidates, ids, values, self.num_items)

    def get_config(self):
        return super().get_config() | {
            "num_items": self.num_items,
            "dim": self.dim,
            "size": self.size,
            "hours": self.hours,
            "moments": self.moments,
        }
