"""The rank of the next item among all scores, and what to do when scores tie."""

from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf.checks import require_choice

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
        the same score; `nonfinite`, scores of the row that are NaN or infinite.

    Example:
        >>> greater, equal, nonfinite = rank_counts([[5.0, 3.0, 3.0, 1.0]], [2])
        >>> int(greater[0]), int(equal[0]), int(nonfinite[0])
        (1, 1, 0)
    """
    logits = tf.convert_to_tensor(logits)
    columns = tf.maximum(tf.cast(next_item_ids, tf.int32) - 1, 0)[..., tf.newaxis]
    target = tf.gather(logits, columns, axis=-1, batch_dims=len(columns.shape) - 1)

    greater = tf.math.count_nonzero(logits > target, axis=-1, dtype=tf.int32)
    equal = tf.math.count_nonzero(logits == target, axis=-1, dtype=tf.int32) - 1
    nonfinite = tf.math.count_nonzero(
        tf.logical_not(tf.math.is_finite(logits)), axis=-1, dtype=tf.int32
    )
    last = tf.shape(logits)[-1] - 1
    return (
        tf.where(nonfinite > 0, last, greater),
        tf.where(nonfinite > 0, 0, equal),
        nonfinite,
    )


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
