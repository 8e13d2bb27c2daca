"""Sampled candidates: a target among items that are drawn for it, as some papers measure."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation.points import user_of

SAMPLINGS = ("strict", "sasrec")


@dataclass(frozen=True)
class SampledNegatives:
    """Draws the items that a target is ranked among, the same ones for every method.

    Metrics on drawn candidates are far above those on the whole catalogue, and may order methods
    otherwise (Krichene and Rendle, KDD 2020, doi:10.1145/3394486.3403226): they serve to compare
    with papers that report them. A random order has recall k / (number + 1) at k.

    Args:
        number: items drawn for each target.
        sampling: "strict": uniform, each item once, none of those of the user's events. "sasrec":
            uniform with replacement, none that the user has in training, so that an item may be
            drawn twice, and the target and that of validation, too. Source: Kang and McAuley, ICDM
            2018, and their code, which where there are more than 10,000 users takes as many by
            chance; here all are measured.
        seed: together with the user's place in the histories it fixes the draws.
        training: for "sasrec", the histories that the model was trained on, with `user_ids`. None
            takes all before the target for training.

    Raises:
        ValueError: bad arguments.

    Example:
        >>> histories = Histories.from_lists([[[1, 2]]], num_items=5)
        >>> drawn = SampledNegatives(3).draw(histories, np.array([1]))
        >>> sorted(drawn[0].tolist())
        [3, 4, 5]
    """

    number: int = 100
    sampling: str = "strict"
    seed: int = 0
    training: Histories | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.require_positive_int(
            "sampled_negatives", self.number, mend="Pass the items drawn for a target, e.g. 100."
        )
        checks.require_choice("sampling", self.sampling, SAMPLINGS)
        checks.require_int_at_least("seed", self.seed, minimum=0, mend="Pass e.g. 0.")
        if self.training is not None and self.sampling == "strict":
            raise ValueError(
                "`training` was given with sampling='strict', which leaves out whatever the user "
                "took. Leave it out, or pass sampling='sasrec'."
            )
        if self.training is not None and self.training.user_ids is None:
            raise ValueError(
                "`training` holds no `user_ids`, by which its users are found. Pass histories of "
                "a log with users, or leave it out."
            )

    def __str__(self) -> str:
        return f"sampled={self.number}, {self.sampling}"

    def draw(self, histories: Histories, points: np.ndarray) -> np.ndarray:
        """Returns int32 (num_points, number), item ids.

        Args:
            histories: evaluation histories, whole: what a user took is not drawn.
            points: int64 (num_points,), targets, rising.

        Raises:
            ValueError: fewer items than are to be drawn.
        """
        is_strict = self.sampling == "strict"
        drawn = np.empty((len(points), self.number), np.int32)
        taken = self._taken(histories)
        rng, of_user = np.random.default_rng(self.seed), -1
        for row, (point, user) in enumerate(zip(points, user_of(histories, points), strict=True)):
            if user != of_user:
                rng, of_user = np.random.default_rng([self.seed, user]), user
            is_open = np.ones(histories.num_items, bool)
            is_open[taken(user, point) - 1] = False
            allowed = np.flatnonzero(is_open) + 1
            if len(allowed) < (self.number if is_strict else 1):
                raise ValueError(
                    f"`sampled_negatives` was {self.number}, but {len(allowed)} of "
                    f"{histories.num_items} items may be drawn for the target in event {point}: "
                    "its user took the others. Pass a smaller number, or None for all items."
                )
            drawn[row] = rng.choice(allowed, self.number, replace=not is_strict)
        return drawn

    def _taken(self, histories: Histories) -> Callable[[int, int], np.ndarray]:
        """Returns (user, point) -> the items that are not drawn for a target of a user."""
        items, offsets, training = histories.item_ids, histories.user_offsets, self.training
        if self.sampling == "strict":
            return lambda user, point: items[offsets[user] : offsets[user + 1]]
        if training is None:
            return lambda user, point: items[offsets[user] : point]
        if histories.user_ids is None:
            raise ValueError(
                "`histories` holds no `user_ids`, by which users are found in `training`. Pass "
                "histories of the same log, or leave `training` out."
            )
        parts = np.split(training.item_ids, training.user_offsets[1:-1])
        of_training = dict(zip(np.asarray(training.user_ids).tolist(), parts, strict=True))
        user_ids, nothing = histories.user_ids.tolist(), items[:0]
        return lambda user, point: of_training.get(user_ids[user], nothing)
