"""Negatives that each target has for itself."""

from typing import Any, Self

import keras
import tensorflow as tf

from hrec_tf.checks import require_int_at_least, require_positive_int
from hrec_tf.losses.negatives import random_bits


@keras.saving.register_keras_serializable(package="hrec_tf")
class PerTarget:
    """Items drawn for each target by itself, uniformly and with replacement; never the target.

    With one of them and `BinaryCrossEntropy(normalise="valid")` it is how SASRec is trained. The
    draw of a window is fixed by `(seed, step)` alone.

    Source: Kang & McAuley, ICDM 2018, arXiv:1808.09781, section III.E: one negative item for each
    time step. Differs from it: theirs is none of the user's items, of which a stream knows no more
    than those of its window; here it may be one of them.

    Args:
        number: items drawn for a target.
        seed: first half of the random seed; the step is the second.

    Example:
        >>> negatives = PerTarget(2)
        >>> negatives.build(num_items=2)
        >>> negatives.sample(step=0, next_item_ids=tf.constant([[1, 2]])).numpy().tolist()
        [[[2, 2], [1, 1]]]
    """

    item_supports = None
    """None are counted, so that no loss can correct by them."""

    def __init__(self, number: int = 1, *, seed: int = 0):
        self.number = require_positive_int(
            "number", number, mend="Pass the items to draw for each target, e.g. 1."
        )
        self.seed = require_int_at_least("seed", seed, minimum=0, mend="Pass e.g. seed=0.")
        self._num_items: int | None = None

    def build(self, num_items: int) -> None:
        """Takes the catalogue's size.

        Args:
            num_items: N of the model.

        Raises:
            ValueError: there is no other item than a target.
        """
        self._num_items = require_int_at_least(
            "num_items", num_items, minimum=2, mend="Pass the size of the model's catalogue."
        )

    def num_columns(self, num_lanes: int) -> int:
        """Returns how many scores a row has, its target's included."""
        return 1 + self.number

    def sample(self, step: Any, next_item_ids: tf.Tensor) -> tf.Tensor:
        """Draws the negatives of targets.

        Args:
            step: scalar int, the number of the update; may be a tensor.
            next_item_ids: int32 (...), the targets; 0 is none.

        Returns:
            int32 (..., number), item ids 1..N.

        Raises:
            ValueError: the catalogue's size is not known yet.
        """
        if self._num_items is None:
            raise ValueError(
                "`sample` was called before the catalogue's size was known. Call "
                "build(num_items) first."
            )
        shape = tf.concat([tf.shape(next_item_ids), [self.number]], axis=0)
        others = tf.constant(self._num_items - 1, tf.uint32)
        drawn = 1 + tf.cast(random_bits(self.seed, step, shape) % others, tf.int32)
        targets = tf.maximum(next_item_ids, 1)[..., tf.newaxis]
        return drawn + tf.cast(drawn >= targets, tf.int32)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"number": self.number, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuilds the object from `get_config`."""
        return cls(**config)
