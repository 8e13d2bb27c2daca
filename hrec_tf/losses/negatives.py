"""Where negatives come from: the batch's other targets, and extra items drawn by support."""

from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from hrec_tf.checks import require_int_at_least, require_number, require_positive_int

DEFAULT_ALPHA = 0.75


@keras.saving.register_keras_serializable(package="hrec_tf")
class InBatch:
    """The other rows' targets, and `extra` items drawn per step and shared by all rows.

        P(item j is drawn) ∝ supp_j^alpha

    In-batch negatives are popular in proportion to their support; alpha between 0 (uniform) and 1
    (like the batch) sets how far the extra ones follow it.

    An item is drawn by Walker's alias method: one gather from two tables of N entries, whatever
    the distribution. Its probability is off by less than 2^-31 / N from rounding the table, and
    by a factor below 1 + N / 2^32 from reducing 32 random bits modulo N. (A table with one entry
    per share, as the references keep, loses the rare items of a catalogue near its own size.)
    The draw of a step is fixed by `(seed, step)` alone, on plain TensorFlow and under XLA.

    Source: Hidasi & Karatzoglou, CIKM 2018, arXiv:1706.03847; alpha = 0.75 and the logQ
    probabilities from the official GRU4Rec code.

    Args:
        extra: items drawn per step; 0 uses the batch's targets alone.
        alpha: exponent of the support, for `extra > 0` alone; None means 0.75.
        item_supports: (num_items,) training events per item, index id - 1. Needed for
            `extra > 0` unless alpha is 0, and for `log_q`.
        seed: first half of the random seed; the step is the second.
        mask_collisions: leave a column out of a row whose own target it repeats. No published
            code does.

    Example:
        >>> negatives = InBatch(extra=3, item_supports=[0, 5, 0])
        >>> negatives.sample(step=0).numpy().tolist()  # only item 2 has support
        [2, 2, 2]
    """

    def __init__(
        self,
        *,
        extra: int = 0,
        alpha: float | None = None,
        item_supports: Any = None,
        seed: int = 0,
        mask_collisions: bool = False,
    ):
        self.extra = require_int_at_least(
            "extra", extra, minimum=0, mend="Pass the items to draw per step, e.g. 2048."
        )
        self.seed = require_int_at_least("seed", seed, minimum=0, mend="Pass e.g. seed=0.")
        if alpha is not None:
            mend = "Pass 0.0 for uniform draws up to 1.0 for draws by popularity."
            require_number("alpha", alpha, minimum=0.0, mend=mend)
            if not extra:
                raise ValueError(
                    f"`alpha` was {alpha}, but `extra` is 0, so nothing is drawn with it. "
                    "Leave alpha out, or pass e.g. extra=2048."
                )
        self.alpha = alpha
        self.mask_collisions = bool(mask_collisions)
        self.item_supports = _checked_supports(item_supports)
        self._tables: tuple[np.ndarray, np.ndarray] | None = None
        if self.extra and self._exponent > 0 and self.item_supports is None:
            raise ValueError(
                f"`item_supports` is missing, but extra={extra} items are to be drawn with "
                f"alpha={self._exponent}. Pass item_supports=vocabulary.supports, or alpha=0.0 "
                "to draw uniformly."
            )
        if self.extra and self.item_supports is not None:
            self.build(len(self.item_supports))

    @property
    def _exponent(self) -> float:
        return DEFAULT_ALPHA if self.alpha is None else float(self.alpha)

    def build(self, num_items: int) -> None:
        """Checks the catalogue's size against the supports, and prepares drawing from it.

        Args:
            num_items: N of the model.

        Raises:
            ValueError: `item_supports` is for another catalogue.
        """
        mend = "Pass the size of the model's catalogue."
        num_items = require_positive_int("num_items", num_items, mend=mend)
        if self.item_supports is not None and len(self.item_supports) != num_items:
            raise ValueError(
                f"`item_supports` has {len(self.item_supports)} entries, but the model has "
                f"{num_items} items. Pass the supports of the vocabulary the model was built for."
            )
        if not self.extra or (self._tables is not None and len(self._tables[0]) == num_items):
            return
        supports = np.ones(num_items) if self.item_supports is None else self.item_supports
        self._tables = alias_tables(supports.astype(np.float64) ** self._exponent)

    def sample(self, step: Any, shape: Any = None) -> tf.Tensor:
        """Draws the extra items of a step, with replacement.

        Args:
            step: scalar int, the number of the update; may be a tensor.
            shape: shape of the draw, `(extra,)` when None; `(steps, extra)` for a window whose
                steps have negatives of their own.

        Returns:
            int32 item ids 1..N of that shape.

        Raises:
            ValueError: there is nothing to draw, or no catalogue to draw from yet.
        """
        if not self.extra:
            raise ValueError(
                "`extra` is 0, so there are no items to draw. Pass e.g. extra=2048, or do not "
                "sample."
            )
        if self._tables is None:
            raise ValueError(
                "`sample` was called before the catalogue's size was known. Call "
                "build(num_items) first, or pass item_supports."
            )
        accept, alias = self._tables
        shape = (self.extra,) if shape is None else tuple(shape)
        cell_bits, coin = tf.unstack(random_bits(self.seed, step, (2, *shape)))
        cell = tf.cast(cell_bits % tf.constant(len(accept), tf.uint32), tf.int32)
        item = tf.where(coin < tf.gather(accept, cell), cell, tf.gather(alias, cell))
        return item + 1

    def num_columns(self, num_lanes: int) -> int:
        """Returns how many scores a row has, its target's included."""
        return num_lanes + self.extra

    def log_q(self, next_item_ids: tf.Tensor, extra_ids: tf.Tensor | None = None) -> tf.Tensor:
        """`log P_j` of every column, as the official code has it.

            P_j = supp_j for in-batch columns, supp_j^alpha for extra columns

        The two groups are not scaled to one total; that is the reference, and it matters. Ids 0
        (idle lanes) and items without support count as support 1, which gives 0.

        Args:
            next_item_ids: (..., B) the rows' targets.
            extra_ids: (..., num_extra) what `sample` drew, or None.

        Returns:
            (..., B + num_extra) float32; multiply by the loss's `logq` before use.

        Raises:
            ValueError: `item_supports` is missing.
        """
        if self.item_supports is None:
            raise ValueError(
                "`item_supports` is missing, but logQ corrects by it. Pass "
                "item_supports=vocabulary.supports, or a loss with logq=0.0."
            )
        supports = np.maximum(self.item_supports, 1).astype(np.float64)
        table = tf.constant(np.log(np.insert(supports, 0, 1.0)), tf.float32)
        in_batch = tf.gather(table, next_item_ids)
        if extra_ids is None:
            return in_batch
        return tf.concat([in_batch, self._exponent * tf.gather(table, extra_ids)], axis=-1)

    def collisions(
        self, next_item_ids: tf.Tensor, extra_ids: tf.Tensor | None = None
    ) -> tf.Tensor | None:
        """Columns that hold the row's own target once more, or None if they stay in.

        Args:
            next_item_ids: (..., B) the rows' targets.
            extra_ids: (..., num_extra) what `sample` drew, or None.

        Returns:
            bool (..., B, B + num_extra), false at each row's own column; None unless
            `mask_collisions`.
        """
        if not self.mask_collisions:
            return None
        columns = next_item_ids if extra_ids is None else tf.concat([next_item_ids, extra_ids], -1)
        same = next_item_ids[..., :, tf.newaxis] == columns[..., tf.newaxis, :]
        own = tf.eye(tf.shape(same)[-2], tf.shape(same)[-1], dtype=tf.bool)
        return same & ~own

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; `item_supports` as a list."""
        supports = None if self.item_supports is None else self.item_supports.tolist()
        return {
            "extra": self.extra,
            "alpha": self.alpha,
            "item_supports": supports,
            "seed": self.seed,
            "mask_collisions": self.mask_collisions,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuilds the object from `get_config`."""
        return cls(**config)


def random_bits(seed: int, step: Any, shape: Any) -> tf.Tensor:
    """Uint32 of that shape, fixed by `(seed, step)`.

    Integers only: XLA and plain TensorFlow agree on random bits, not on random floats.
    """
    seeds = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
    return tf.random.stateless_uniform(
        shape, seeds, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )


def alias_tables(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walker's alias tables (in Vose's order) for drawing index j with probability ∝ shares_j.

    Draw a cell uniformly and 32 random bits; take the cell if the bits are below `accept[cell]`,
    else `alias[cell]`.

    Args:
        shares: (N,) non-negative, not all zero.

    Returns:
        `accept` uint32 (N,) and `alias` int32 (N,).
    """
    heights = (shares * (len(shares) / shares.sum())).tolist()
    alias = list(range(len(heights)))
    low = [cell for cell, height in enumerate(heights) if height < 1]
    high = [cell for cell, height in enumerate(heights) if height >= 1]
    while low and high:
        short, tall = low.pop(), high[-1]
        alias[short] = tall
        heights[tall] -= 1 - heights[short]
        if heights[tall] < 1:
            low.append(high.pop())
    # What is left differs from 1 by rounding alone, and is its own alias.
    full = np.float64(2**32 - 1)
    accept = np.rint(np.clip(heights, 0, 1) * full).astype(np.uint32)
    return accept, np.asarray(alias, np.int32)


def _checked_supports(item_supports: Any) -> np.ndarray | None:
    if item_supports is None:
        return None
    supports = np.asarray(item_supports)
    if supports.ndim != 1 or not np.issubdtype(supports.dtype, np.integer) or not len(supports):
        raise ValueError(
            f"`item_supports` must be a list of whole numbers, but has shape {supports.shape} and "
            f"type {supports.dtype}. Pass vocabulary.supports."
        )
    if supports.min() < 0 or not supports.any():
        row = int(supports.argmin())
        raise ValueError(
            f"`item_supports` holds {supports[row]} at row {row}, but counts must be at least 0 "
            "and not all 0. Pass the training events per item, vocabulary.supports."
        )
    return supports.astype(np.int64)
