"""What every baseline promises, and how it sees a target's context."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from scipy import sparse

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.schema import PADDING_ID


class Best(NamedTuple):
    """The best items of some targets, best first; of equally good ones the lower id is first.

    Attributes:
        item_ids: int64 (num_targets, k).
        scores: float64 (num_targets, k).
    """

    item_ids: np.ndarray
    scores: np.ndarray


class Baseline(ABC):
    """A recommender without a network: `fit` counts or learns, `score` ranks the catalogue.

    A target is an event, named by its index into histories. Its context is what its user
    did before it: the events of the same session so far, and the sessions before that.
    Nothing later is ever read.

    A new baseline defines `_fit` and `_score`; the checks live here. One that draws sets
    `is_random` and takes a `seed`.

    Example:
        >>> class Rarest(Baseline):
        ...     def _fit(self, histories): self.rarity = 1 / histories.item_supports()
        ...     def _score(self, histories, targets): return np.tile(self.rarity, (len(targets), 1))
        >>> histories = Histories.from_lists([[[1, 2, 1]]])
        >>> Rarest().fit(histories).score(histories, [1]).tolist()
        [[0.5, 1.0]]
    """

    num_items: int | None = None
    """Size of the catalogue this was fitted on, or None before `fit`."""

    scores_are_logits: ClassVar[bool] = False
    """Whether the softmax of its scores is a distribution over the next item."""

    is_random: ClassVar[bool] = False
    """Whether `fit` draws, so that another `seed` gives other scores."""

    def fit(self, histories: Histories) -> Self:
        """Takes what the method needs from training histories and returns itself.

        Args:
            histories: training histories. All events are counted, whatever their
                `target_weights`.

        Raises:
            ValueError: `histories` without a single event.
        """
        if not histories.num_events:
            raise ValueError(
                f"`histories` holds 0 events, but {type(self).__name__} counts events. "
                "Check how the training log was filtered and split."
            )
        self._fit(histories)
        self.num_items = histories.num_items
        return self

    def score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        """Scores every item for each target, from the target's context alone.

        Args:
            histories: evaluation histories, with earlier sessions where the method uses
                them. Encoded with the vocabulary of the training histories.
            targets: int (num_targets,), event indices into `histories`. The result has
                num_targets x num_items values: the caller cuts long lists into blocks.

        Returns:
            float64 (num_targets, num_items); item id i is in column i - 1.

        Raises:
            ValueError: before `fit`, histories of another catalogue, or no such event.
            TypeError: targets that are not whole numbers.
        """
        if self.num_items is None:
            raise ValueError(
                f"`score` was called on a {type(self).__name__} without counts. "
                "Call `fit(training_histories)` first."
            )
        return self._score(histories, checked_targets(self, histories, targets))

    def best(self, histories: Histories, targets: np.ndarray, k: int) -> Best:
        """Finds the k items that `score` puts first, faster where most scores are 0.

        Args:
            histories, targets: as for `score`.
            k: length of a list, at most `num_items`.

        Raises:
            ValueError: what `score` refuses, or a k that is not 1..num_items.
            TypeError: targets that are not whole numbers.

        Example:
            >>> from hrec_tf.baselines import Popularity
            >>> histories = Histories.from_lists([[[1, 2, 1]]], num_items=3)
            >>> Popularity().fit(histories).best(histories, [1], k=2).item_ids.tolist()
            [[1, 2]]
        """
        if self.num_items is None:
            raise ValueError(
                f"`best` was called on a {type(self).__name__} without counts. "
                "Call `fit(training_histories)` first."
            )
        checks.require_positive_int("k", k, mend="Pass the length of the list, e.g. 10.")
        if k > self.num_items:
            raise ValueError(
                f"`k` was {k}, but the catalogue has {self.num_items} items. Pass a smaller number."
            )
        return self._best(histories, checked_targets(self, histories, targets), k)

    @abstractmethod
    def _fit(self, histories: Histories) -> None:
        """Counts or learns; `histories` holds at least one event."""

    @abstractmethod
    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        """Scores; arguments are checked."""

    def _best(self, histories: Histories, targets: np.ndarray, k: int) -> Best:
        """Lists; arguments are checked. One whose scores are sparse has a faster way."""
        scores = self._score(histories, targets)
        places = np.array([best_places(row, k) for row in scores], np.int64).reshape(-1, k)
        return Best(places + 1, np.take_along_axis(scores, places, axis=1))


def best_of_sparse(scores: sparse.csr_matrix, k: int) -> Best:
    """The best of each row; what is left out of it is 0, and no value is below that."""
    item_ids = np.empty((scores.shape[0], k), np.int64)
    values = np.zeros((scores.shape[0], k))
    scores.sum_duplicates()
    for row, (first, end) in enumerate(pairwise(scores.indptr)):
        columns, row_values = scores.indices[first:end], scores.data[first:end]
        places = best_places(row_values, k)
        # Items that were given 0 stand in one order with those that were left out.
        places = places[row_values[places] > 0]
        above = len(places)
        item_ids[row, :above], values[row, :above] = columns[places] + 1, row_values[places]
        if above < k:
            others = np.setdiff1d(np.arange(min(k, scores.shape[1])), columns[places])
            item_ids[row, above:] = others[: k - above] + 1
    return Best(item_ids, values)


def best_places(values: np.ndarray, k: int) -> np.ndarray:
    """Int64 (k,), places of the k largest, largest first; of equal ones the first."""
    kept = largest(values, k)
    return kept[np.argsort(-values[kept], kind="stable")]


def largest(values: np.ndarray, keep: int) -> np.ndarray:
    """Places of the `keep` largest, or of all; of equal ones the first."""
    if len(values) <= keep:
        return np.arange(len(values))
    cut = np.partition(values, len(values) - keep)[len(values) - keep]
    above, equal = np.flatnonzero(values > cut), np.flatnonzero(values == cut)
    return np.concatenate([above, equal[: keep - len(above)]])


def checked_targets(fitted: Any, histories: Histories, targets: np.ndarray) -> np.ndarray:
    """Returns targets as int64, or raises.

    Args:
        fitted: a baseline that was fitted, of items or of ratings.
        histories, targets: what it is asked about.

    Raises:
        ValueError: histories of another catalogue, or no such event.
        TypeError: targets that are not whole numbers.
    """
    if histories.num_items != fitted.num_items:
        raise ValueError(
            f"`histories` has num_items {histories.num_items}, but this "
            f"{type(fitted).__name__} was fitted on {fitted.num_items} items. "
            "Encode both with the vocabulary of the training log."
        )
    targets = np.asarray(targets)
    if targets.ndim != 1 or (targets.size and targets.dtype.kind not in "iu"):
        raise TypeError(
            f"`targets` has shape {targets.shape} and type {targets.dtype}, but must be a "
            "list of event indices. Pass for example np.flatnonzero(...)."
        )
    targets = targets.astype(np.int64)
    outside = np.flatnonzero((targets < 0) | (targets >= histories.num_events))
    if len(outside):
        raise ValueError(
            f"`targets` holds {targets[outside[0]]} (row {outside[0]}), but `histories` has "
            f"events 0..{histories.num_events - 1}. Pass indices into these histories."
        )
    return targets


class UserRows:
    """Finds the users of training again: row r of a table is of user r of these histories.

    Args:
        training: histories with `user_ids`.

    Raises:
        ValueError: histories that do not tell users apart.
    """

    def __init__(self, training: Histories) -> None:
        if training.user_ids is None:
            raise ValueError(
                "`histories` has no `user_ids`, but vectors of users are learnt. Pass `users` to "
                "`histories_from_log`, or histories of a `PreparedLog`."
            )
        ids = np.asarray(training.user_ids)
        self._row_of = np.full(int(ids.max(initial=0)) + 1, -1)
        self._row_of[ids] = np.arange(len(ids))
        self._row_of[PADDING_ID] = -1

    def find(self, histories: Histories, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns bool (num_targets,), whose user training had; and int64, which row that is."""
        if histories.user_ids is None:
            raise ValueError(
                "`histories` has no `user_ids`, but the vectors are of known users. Make them by "
                "the same `users` as the training histories, with 0 for users it did not have."
            )
        user = np.searchsorted(histories.user_offsets, targets, side="right") - 1
        ids = np.asarray(histories.user_ids)[user]
        ids = np.where(ids < len(self._row_of), ids, PADDING_ID)
        rows = self._row_of[ids]
        return rows >= 0, np.maximum(rows, 0)


def item_counts(histories: Histories, first: np.ndarray, end: np.ndarray) -> sparse.csr_matrix:
    """Counts items in many stretches of events at once, without a loop over events.

    Args:
        histories: `Histories`.
        first: int64 (num_rows,), the first event of each stretch.
        end: int64 (num_rows,), one past its last event; equal to `first` if it is empty.

    Returns:
        Sparse float64 (num_rows, num_items): how often item i is in stretch r, in column
        i - 1. An item that repeats has several entries, which add up.
    """
    row_offsets = np.concatenate([[0], np.cumsum(end - first)])
    columns = histories.item_ids[stretch_events(first, end)] - 1
    values = np.ones(len(columns))
    return sparse.csr_matrix(
        (values, columns, row_offsets), shape=(len(first), histories.num_items)
    )


def stretch_events(first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Int64 (Σ(end - first),), the events of many stretches, one stretch after another."""
    sizes = end - first
    return np.arange(sizes.sum()) + np.repeat(first - (np.cumsum(sizes) - sizes), sizes)


def blocks_within(costs: np.ndarray, budget: int) -> Iterator[tuple[int, int]]:
    """Cuts rows into runs (first, end) whose costs together stay within a budget.

    A row that costs more than the budget is a run of its own.
    """
    done = np.concatenate([[0], np.cumsum(costs)])
    first = 0
    while first < len(costs):
        end = int(np.searchsorted(done, done[first] + budget, side="right")) - 1
        yield first, max(end, first + 1)
        first = max(end, first + 1)


def session_firsts(histories: Histories, targets: np.ndarray) -> np.ndarray:
    """Int64 (num_targets,), the first event of each target's session."""
    return _row_starts(histories.session_offsets, targets)


def user_firsts(histories: Histories, targets: np.ndarray) -> np.ndarray:
    """Int64 (num_targets,), the first event of each target's user."""
    return _row_starts(histories.user_offsets, targets)


def _row_starts(offsets: np.ndarray, events: np.ndarray) -> np.ndarray:
    return offsets[np.searchsorted(offsets, events, side="right") - 1]
