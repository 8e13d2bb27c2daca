"""The time between a user's events, as models take it."""

import numpy as np

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.schema import LARGEST_GAP

UNIT_SECONDS = 60
"""The unit of gaps inside the logarithm of δ."""


def gap_moments(histories: Histories) -> tuple[float, float]:
    """Returns mean and standard deviation of δ = log(1 + gap / 60 s) in training histories.

    Args:
        histories: whose times are seconds. Each event counts that has one of its user before it.

    Returns:
        `(mean, sd)`; (0, 1) where there is no gap, and sd 1 where all are equal.

    Example:
        >>> histories = Histories.from_lists([[[1, 2, 3]]])  # a second apart
        >>> [round(moment, 4) for moment in gap_moments(histories)]
        [0.0165, 1.0]
    """
    gaps = _gaps(histories)
    if not len(gaps):
        return 0.0, 1.0
    deltas = np.log1p(gaps / UNIT_SECONDS)
    sd = float(deltas.std())
    return float(deltas.mean()), sd if sd > 1e-6 else 1.0


def require_gap_moments(
    gap_mean: float, gap_sd: float, *, is_read: bool, unread: str, mend: str
) -> None:
    """Raises if these are no moments of δ, or if nothing reads them.

    Args:
        gap_mean, gap_sd: as `gap_moments` returns them; 0 and 1 leave δ as it is.
        is_read: whether gaps are read.
        unread: what says that they are not, e.g. "use_gaps=False".
        mend: how they would be, e.g. "pass use_gaps=True".
    """
    checks.require_number("gap_mean", gap_mean, minimum=0, mend="Pass the mean of δ.")
    checks.require_number("gap_sd", gap_sd, minimum=1e-6, mend="Pass the deviation of δ.")
    if not is_read and (gap_mean, gap_sd) != (0.0, 1.0):
        raise ValueError(
            f"`gap_mean` was {gap_mean} and `gap_sd` {gap_sd} with {unread}, where no times are "
            f"read. Leave both out, or {mend}."
        )


def gap_quantile(histories: Histories, share: float) -> float:
    """Returns the seconds that a share of the gaps in training histories is not above.

    Args:
        histories: whose times are seconds. Each event counts that has one of its user before it.
        share: from 0, the shortest gap, to 1, the longest; between two gaps it is interpolated.

    Raises:
        ValueError: a share that there is not, or histories without a gap.

    Example:
        >>> histories = Histories.from_lists([[[1, 2, 3]]])  # a second apart
        >>> gap_quantile(histories, 0.9)
        1.0
    """
    checks.require_number("share", share, minimum=0, mend="Pass e.g. 0.9.")
    if share > 1:
        raise ValueError(f"`share` was {share}, but must be at most 1, all gaps. Pass e.g. 0.9.")
    gaps = _gaps(histories)
    if not len(gaps):
        raise ValueError(
            f"`histories` holds {histories.num_events} events of {histories.num_users} users, but "
            "a gap lies between two events of a user. Pass a time instead of a share of gaps."
        )
    return float(np.quantile(gaps, share))


def _gaps(histories: Histories) -> np.ndarray:
    """Seconds before each event that has one of its user before it, as streams tell them."""
    return np.diff(histories.timestamps)[~histories.user_starts[1:]].clip(0, LARGEST_GAP)
