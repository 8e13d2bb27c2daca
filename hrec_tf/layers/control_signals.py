"""Control signals: what the time that passes before the next event tells a model."""

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks


@keras.saving.register_keras_serializable(package="hrec_tf")
class ControlSignals(keras.layers.Layer):
    """A vector for each level of the gap to the event that is to be predicted.

        level = number of thresholds <= gap;  a user's first event has a level of its own

    The gap lies before the next event, not before the last one: at the time of a query it is
    known, and it tells what kind of next item is asked for.

    Source: Ma & Narayanaswamy, "Hierarchical Temporal-Contextual Recommenders", section 3 and
    Table 5; docs/equations.md D.2. Inferred: that a gap equal to a threshold is above it.

    Args:
        dim: size of the vector.
        thresholds: seconds, rising.
        seed: of initial values.

    Call:
        gaps: int (...), seconds.
        is_user_start: bool (...), true where the next event is a user's first.
        Returns float (..., dim).

    Example:
        >>> control = ControlSignals(2, thresholds=(60, 3600))
        >>> control.levels(tf.constant([0, 59, 60, 4000]), tf.constant([False] * 3 + [True]))
        <tf.Tensor: shape=(4,), dtype=int32, numpy=array([0, 0, 1, 3], dtype=int32)>
    """

    def __init__(
        self,
        dim: int,
        *,
        thresholds: Sequence[int] = (60, 3_600, 86_400),
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dim = checks.require_positive_int("dim", dim, mend="Pass e.g. 8.")
        self.thresholds = tuple(
            checks.require_positive_int("thresholds", value, mend="Pass seconds, e.g. (60, 3600).")
            for value in thresholds
        )
        falls = [b for a, b in zip(self.thresholds, self.thresholds[1:], strict=False) if b <= a]
        if falls or not self.thresholds:
            raise ValueError(
                f"`thresholds` was {self.thresholds}, but must be at least one number of seconds, "
                "each above the one before. Pass e.g. (60, 3600, 86400)."
            )
        self.seed = seed

    @property
    def num_levels(self) -> int:
        """Levels of gaps, that of a user's start not counted."""
        return len(self.thresholds) + 1

    def build(self, input_shape=None):
        self.table = self.add_weight(
            name="table",
            shape=(self.num_levels + 1, self.dim),
            initializer=keras.initializers.RandomNormal(stddev=0.1, seed=self.seed),
        )

    def levels(self, gaps, is_user_start):
        """Returns int32 (...), 0..num_levels."""
        above = [tf.cast(gaps >= threshold, tf.int32) for threshold in self.thresholds]
        return tf.where(is_user_start, self.num_levels, tf.add_n(above))

    def call(self, gaps, is_user_start):
        return ops.take(self.table, self.levels(gaps, is_user_start), axis=0)

    def get_config(self):
        return super().get_config() | {
            "dim": self.dim,
            "thresholds": list(self.thresholds),
            "seed": self.seed,
        }
