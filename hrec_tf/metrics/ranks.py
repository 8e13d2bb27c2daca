"""The rank of the next item among all scores, and what to do when scores tie."""

from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf.checks import require_choice

BLOCK = 2048
"""Scores that are counted in one pass."""
MOST_BLOCKS = 64
"""A larger catalogue is counted whole, in three passes: so many blocks make a large graph."""

TIES = ("conservative", "standard", "median", "random")


def rank_counts(
    logits: tf.Tensor, next_item_ids: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Counts the items scored above the next item, and those scored the same.

    Comparisons with NaN are false, so a NaN would rank first or the others last. A row with a
    score that is not finite is therefore ranked last, greater = N - 1 and equal = 0, and counted:
    callers stop with an error where `nonfinite` is above 0 at a point that counts.

    Args:
        logits: (..., N) scores before any saturating activation, column id - 1.
        next_item_ids: (...) ids 1..N; a row of id 0 gives numbers without meaning.

    Returns:
        Three int32 tensors (...): `greater`, items with a higher score; `equal`, OTHER items with
        the same score; `nonfinite`, above 0 where a score of the row is NaN or infinite.

    Example:
        >>> greater, equal, nonfinite = rank_counts([[5.0, 3.0, 3.0, 1.0]], [2])
        >>> int(greater[0]), int(equal[0]), int(nonfinite[0])
        (1, 1, 0)
    """
    logits = tf.convert_to_tensor(logits)
    columns = tf.maximum(tf.cast(next_item_ids, tf.int32) - 1, 0)[..., tf.newaxis]
    target = tf.gather(logits, columns, axis=-1, batch_dims=len(columns.shape) - 1)
    greater, equal, nonfinite = counts_against(logits, target)
    last = tf.shape(logits)[-1] - 1
    return (
        tf.where(nonfinite > 0, last, greater),
        tf.where(nonfinite > 0, 0, equal - 1),
        nonfinite,
    )


def counts_against(logits: tf.Tensor, target: tf.Tensor) -> list[tf.Tensor]:
    """Counts the scores above one of each row, and those equal to it.

    Args:
        logits: (..., N).
        target: (..., 1), a score of each row or of another column.

    Returns:
        Three int32 tensors (...): scores above, scores equal, the target's own included if it is
        one of the columns, and a number above 0 where one of the columns is NaN or infinite.
    """
    num_items = logits.shape[-1]
    if num_items is None or num_items > MOST_BLOCKS * BLOCK:
        return _counts(logits, target)
    blocks = [logits[..., first : first + BLOCK] for first in range(0, num_items, BLOCK)]
    counted = [_counts_in_one_pass(block, target) for block in blocks]
    return [tf.add_n(parts) for parts in zip(*counted, strict=True)]


def _counts(logits, target):
    """Counts scores above the target, those equal to it, and those that are not finite."""
    return [
        tf.math.count_nonzero(found, axis=-1, dtype=tf.int32)
        for found in (logits > target, logits == target, ~tf.math.is_finite(logits))
    ]


def _counts_in_one_pass(logits, target):
    """What `_counts` returns, of a block, but for the third: 1 if any score is not finite.

    A score above counts 1 and an equal one 2^-12, so that one float32 sum over 2^11 scores holds
    both counts exactly; a score that is not finite makes it NaN.
    """
    counts = tf.where(logits > target, 1.0, tf.where(logits == target, 2.0**-12, 0.0))
    total = tf.reduce_sum(counts + tf.cast(logits * 0.0, tf.float32), axis=-1)
    is_finite = tf.math.is_finite(total)
    total = tf.where(is_finite, total, 0.0)
    greater = tf.floor(total)
    counted = (greater, (total - greater) * 2.0**12, tf.where(is_finite, 0.0, 1.0))
    return [tf.cast(count, tf.int32) for count in counted]


def rank_from_counts(
    greater: Any,
    equal: Any,
    ties: str = "conservative",
    *,
    rng: np.random.Generator | None = None,
) -> Any:
    """The 1-based rank, with G = `greater` and E = `equal` of the OTHER items.

        standard      G + 1                    ties are won
        conservative  G + E + 1                ties are lost
        median        G + E/2 + 1              may be x.5
        random        G + 1 + Uniform{0..E}    drawn, since noise on the scores drowns in float32

    A model whose scores are all the same has recall 1 under "standard".

    Args:
        greater: (...) ints, array or tensor.
        equal: (...) ints of the same kind.
        ties: the mode.
        rng: for "random" alone, which takes arrays and no tensors.

    Returns:
        (...) float64 array, or float32 tensor for tensors.

    Raises:
        ValueError: unknown mode, "random" without `rng` or with tensors, `rng` without "random".

    Example:
        >>> [float(rank_from_counts(1, 2, ties)) for ties in ("standard", "median", "conservative")]
        [2.0, 3.0, 4.0]
    """
    require_choice("ties", ties, TIES)
    if (rng is not None) != (ties == "random"):
        raise ValueError(
            f"`rng` was {rng!r} with ties={ties!r}, but it is for ties='random' and needed there. "
            "Pass rng=np.random.default_rng(seed) with 'random', and none otherwise."
        )
    if tf.is_tensor(greater):
        if rng is not None:
            raise ValueError(
                "`ties` was 'random' with tensors, but ranks are drawn with NumPy. Pass arrays, "
                "e.g. greater.numpy(), or ties='median'."
            )
        greater, equal = tf.cast(greater, tf.float32), tf.cast(equal, tf.float32)
    else:
        greater, equal = np.asarray(greater, np.float64), np.asarray(equal)

    if ties == "standard":
        return greater + 1.0
    if ties == "median":
        return greater + equal / 2.0 + 1.0
    if rng is not None:
        return greater + 1.0 + rng.integers(0, equal, endpoint=True)
    return greater + equal + 1.0
