"""What every loss over score rows shares: the negatives' mask, the positives, the row mean."""

import abc
from typing import Any, Self

import tensorflow as tf

from hrec_tf.checks import require_choice
from hrec_tf.precision import at_least_float32

NORMALISERS = ("valid", "batch_size")
LOG_FLOOR = 1e-24
# Far below any score, yet finite: exp() of it is 0, and 0 times it is 0 and not NaN.
EXCLUDED_LOGIT = -1e30


class SampledLoss(abc.ABC):
    """A loss per row of scores; row i's positive is column i, other columns are negatives.

    Rows are the B lanes of one step and columns their B targets (shared as one another's
    negatives) followed by extra items that were drawn for all rows. `docs/equations.md`
    section 0.6 lists the equations; `r_ij` is the score of row i for column j, `p_i = r_ii`.

    A loss applies the final activation itself and so takes scores BEFORE activation. All
    activations on offer never decrease, so the raw scores rank the items in the same order,
    without the ties that a saturated tanh (or the flat half of relu) would make.

    Half-precision scores are raised to float32: `log(x + 1e-24)` is `log(x)` in a half type.

    Masks. M in the equations counts the USABLE columns of a row: those of weight > 0, less
    masked collisions, and always the row's own. N_S, the number of negatives, is M - 1. A row
    without any negative has nothing to compare: the paper forms and the -max forms give 0
    (our choice), the reference forms what their constant leaves. Rows of idle lanes get some
    finite number with a finite gradient; give them weight 0 in `reduce_rows`.

    Args:
        normalise: how `reduce_rows` averages this loss, "valid" or "batch_size".

    Example:
        >>> from hrec_tf.losses import CrossEntropy
        >>> two_rows_one_extra_column = tf.zeros((2, 3))
        >>> losses = CrossEntropy().row_losses(two_rows_one_extra_column, tf.ones(3))
        >>> [round(float(loss), 4) for loss in losses]  # log 3 each
        [1.0986, 1.0986]
    """

    #: Exponent of the logQ correction; only `CrossEntropy` has one.
    logq: float = 0.0

    def __init__(self, *, normalise: str = "batch_size"):
        self.normalise = require_choice("normalise", normalise, NORMALISERS)

    def row_losses(
        self,
        logits: tf.Tensor,
        column_weights: tf.Tensor,
        *,
        logq: tf.Tensor | None = None,
        collisions: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The loss of each row over its sampled columns.

        Args:
            logits: (..., B, M) scores before activation, M >= B; column i < B is row i's positive.
            column_weights: (..., M), 0 for the columns of idle lanes and 1 elsewhere. Any
                positive value counts as 1.
            logq: (..., M) `q * log P_j`, subtracted from the scores; for `CrossEntropy` only.
            collisions: (..., B, M) bool, true where a column holds the row's own positive again
                and is to be left out; None leaves such columns in, as the references do.

        Returns:
            (..., B) losses, float32 (float64 for float64 scores).

        Raises:
            ValueError: shapes disagree, or `logq` is set for a loss without the correction, or
                is missing for one that has it.
        """
        self._check_logq(logq)
        _check_columns(logits, column_weights)
        scores = at_least_float32(logits)
        if logq is not None:
            scores -= tf.cast(logq, scores.dtype)[..., tf.newaxis, :]

        num_rows, num_columns = _size(logits, -2), _size(logits, -1)
        own = tf.eye(num_rows, num_columns, dtype=scores.dtype)
        usable = tf.cast(tf.cast(column_weights, scores.dtype) > 0, scores.dtype)
        negatives = usable[..., tf.newaxis, :] * (1.0 - own)
        if collisions is not None:
            negatives = tf.where(collisions, tf.zeros_like(negatives), negatives)
        in_batch = 1.0 + tf.reduce_sum(negatives[..., :num_rows], axis=-1)
        return self._losses(scores, tf.linalg.diag_part(scores), negatives, in_batch)

    def full_row_losses(self, logits: tf.Tensor, next_item_ids: tf.Tensor) -> tf.Tensor:
        """The loss of each row over the whole catalogue: all other items are negatives.

        Args:
            logits: (..., N) scores before activation, column id - 1.
            next_item_ids: (...) ids 1..N; rows of id 0 give a finite number to be ignored.

        Returns:
            (...) losses, float32 (float64 for float64 scores).

        Raises:
            ValueError: this loss corrects for sampling (`logq`), and nothing is sampled here.
        """
        self._check_not_sampled()
        scores = at_least_float32(logits)
        columns = tf.cast(next_item_ids, tf.int32) - 1
        others = 1.0 - tf.one_hot(columns, _size(logits, -1), dtype=scores.dtype)
        own = tf.maximum(columns, 0)[..., tf.newaxis]
        positives = tf.gather(scores, own, axis=-1, batch_dims=len(columns.shape))[..., 0]
        return self._losses(scores, positives, others, in_batch=None)

    @abc.abstractmethod
    def _losses(
        self,
        scores: tf.Tensor,
        positives: tf.Tensor,
        negatives: tf.Tensor,
        in_batch: tf.Tensor | None,
    ) -> tf.Tensor:
        """The equation.

        Args:
            scores: (..., C) before activation.
            positives: (...) each row's own score, before activation.
            negatives: (..., C), 1 where the column is a negative of the row, else 0.
            in_batch: (...) usable columns among the rows' targets; None over the full catalogue.
        """

    def _check_not_sampled(self) -> None:
        if self.logq:
            raise ValueError(
                f"`logq` corrects for sampled columns, but was {self.logq} with the full "
                "catalogue. Pass logq=0.0, or train with sampled negatives."
            )

    def _check_logq(self, logq: tf.Tensor | None) -> None:
        if logq is not None:
            raise ValueError(
                f"`logq` was passed to {type(self).__name__}, but only CrossEntropy has a logQ "
                "correction. Leave it out, or train with CrossEntropy(logq=1.0)."
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"normalise": self.normalise}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuilds the loss from `get_config`."""
        return cls(**config)


def reduce_rows(
    row_losses: tf.Tensor, row_weights: tf.Tensor, normalise: str = "batch_size"
) -> tf.Tensor:
    """The training loss: one number from the losses of all rows.

    Args:
        row_losses: (..., B), one per row.
        row_weights: (..., B), 0 for rows to ignore (their losses are not read, even if NaN).
        normalise: "batch_size" divides the weighted sum by the number of rows, idle ones
            included, as the official code of GRU4Rec does: every pair weighs the same.
            "valid" divides by the sum of weights (0 without any). At the end of an epoch,
            when a few long histories play on alone, their pairs then weigh as much as a
            whole batch.

    Returns:
        Scalar of the losses' type.

    Example:
        >>> row_losses, row_weights = tf.constant([1.0, 3.0, 9.0, 9.0]), [1, 1, 0, 0]
        >>> float(reduce_rows(row_losses, row_weights))  # (1 + 3) / 4
        1.0
        >>> float(reduce_rows(row_losses, row_weights, "valid"))  # (1 + 3) / 2
        2.0
    """
    require_choice("normalise", normalise, NORMALISERS)
    weights = tf.cast(row_weights, row_losses.dtype)
    total = tf.reduce_sum(tf.where(weights > 0, row_losses, 0.0) * weights)
    if normalise == "batch_size":
        return total / tf.cast(tf.size(row_losses), total.dtype)
    return tf.math.divide_no_nan(total, tf.reduce_sum(weights))


def over_negatives(terms: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """Sums (..., C) terms over each row's negatives, to (...)."""
    return tf.reduce_sum(terms * negatives, axis=-1)


def num_negatives(negatives: tf.Tensor) -> tf.Tensor:
    """N_S of each row, (...), but 1 where it is 0: the sum it divides is 0 there."""
    return tf.maximum(tf.reduce_sum(negatives, axis=-1), 1.0)


def softmax_over_negatives(scores: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """`s_ij`: (..., C) softmax over j != i, 0 at the positive, masked columns and empty rows."""
    return tf.nn.softmax(tf.where(negatives > 0, scores, EXCLUDED_LOGIT)) * negatives


def _size(tensor: tf.Tensor, axis: int) -> Any:
    """Static where it is known (always under XLA), else a tensor."""
    static = tensor.shape[axis]
    return tf.shape(tensor)[axis] if static is None else static


def _check_columns(logits: tf.Tensor, column_weights: tf.Tensor) -> None:
    num_rows, num_columns = logits.shape[-2], logits.shape[-1]
    if None not in (num_rows, num_columns) and num_columns < num_rows:
        raise ValueError(
            f"`logits` has {num_rows} rows but {num_columns} columns, and column i must be row "
            "i's positive. Score the rows' targets first, extra items after them."
        )
    if None not in (num_columns, column_weights.shape[-1]) and (
        column_weights.shape[-1] != num_columns
    ):
        raise ValueError(
            f"`column_weights` has {column_weights.shape[-1]} columns, but `logits` has "
            f"{num_columns}. Pass one weight per scored column, 1 for each extra item."
        )
