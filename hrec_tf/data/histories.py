"""Histories: every event of every user as flat arrays, cut by offsets."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hrec_tf import checks
from hrec_tf.schema import PADDING_ID

EVENTS_AT_ONCE = 1 << 22
"""Events that are checked together, of histories that may be larger than memory."""


@dataclass(frozen=True, eq=False, repr=False)
class Histories:
    """User histories in compressed rows: users hold sessions, sessions hold events.

    Events lie in time order inside their session, sessions in time order inside their
    user. Event e is in session m when `session_offsets[m] <= e < session_offsets[m + 1]`,
    and of user u when `user_offsets[u] <= e < user_offsets[u + 1]`.

    Args:
        item_ids: int32 (num_events,), each in 1..num_items.
        timestamps: int64 (num_events,), seconds, or an order only.
        session_offsets: int64 (num_sessions + 1,), from 0 to num_events, into events.
        user_offsets: int64 (num_users + 1,), from 0 to num_events, into events; each is
            also a session offset.
        num_items: items known, whether or not they occur here.
        target_weights: float32 (num_events,), the weight of each event as a target. All 1
            if not given; evaluation histories carry 0 on the events that only bootstrap.
        feedback: float (num_events, width), what came with each event; None without any.
        user_features: float (num_users, width); None without any.
        user_ids: int32 (num_users,), the number of each user among those of training, from 1
            on; 0, or above all numbers of training, of a user that training did not have. None
            if users are not told apart.

    Raises:
        ValueError: offsets that do not fit, an item id outside 1..num_items, a weight that is
            negative or not finite, or user ids below 0 or twice.
        TypeError: item ids or user ids that are not whole numbers.
    """

    item_ids: np.ndarray
    timestamps: np.ndarray
    session_offsets: np.ndarray
    user_offsets: np.ndarray
    num_items: int
    target_weights: np.ndarray = field(default=None)  # type: ignore[arg-type]
    feedback: np.ndarray | None = None
    user_features: np.ndarray | None = None
    user_ids: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.target_weights is None:
            # One number seen num_events times: it takes no memory.
            ones = np.broadcast_to(np.float32(1), len(self.item_ids))
            object.__setattr__(self, "target_weights", ones)
        self._check_events()
        self._check_offsets()
        self._check_features("feedback", self.feedback, self.num_events, "event")
        self._check_features("user_features", self.user_features, self.num_users, "user")
        self._check_user_ids()

    def __repr__(self) -> str:
        """Sizes, since the arrays of a log fill many pages."""
        sizes = ("num_users", "num_sessions", "num_events", "num_items")
        return f"Histories({', '.join(f'{name}={getattr(self, name)}' for name in sizes)})"

    def _check_events(self) -> None:
        checks.require_positive_int(
            "num_items", self.num_items, mend="Pass the size of the vocabulary."
        )
        if self.item_ids.ndim != 1 or self.item_ids.dtype.kind not in "iu":
            raise TypeError(
                f"`item_ids` has shape {self.item_ids.shape} and type {self.item_ids.dtype}, but "
                "must be a flat array of whole numbers. Encode raw ids with `Vocabulary.encode`."
            )
        for name in ("timestamps", "target_weights"):
            size = len(getattr(self, name))
            if size != self.num_events:
                raise ValueError(
                    f"`{name}` has {size} values, but `item_ids` has {self.num_events}. "
                    "Pass one value per event."
                )
        outside = _first(
            lambda item_ids: (item_ids <= PADDING_ID) | (item_ids > self.num_items), self.item_ids
        )
        if outside is not None:
            raise ValueError(
                f"`item_ids` holds {self.item_ids[outside]} (event {outside}), but this "
                f"vocabulary knows ids 1..{self.num_items}. Drop unknown items before sessions "
                "are cut."
            )
        unsound = _first(
            lambda weights: ~(np.isfinite(weights) & (weights >= 0)), self.target_weights
        )
        if unsound is not None:
            raise ValueError(
                f"`target_weights` holds {self.target_weights[unsound]} (event {unsound}), "
                "but weights are finite and at least 0. Pass 0 for events that only bootstrap."
            )

    def _check_offsets(self) -> None:
        for name in ("session_offsets", "user_offsets"):
            offsets = getattr(self, name)
            if not len(offsets) or offsets[0] != 0 or offsets[-1] != self.num_events:
                raise ValueError(
                    f"`{name}` must run from 0 to {self.num_events}, but was "
                    f"{offsets[:1]}..{offsets[-1:]}. Pass the first event of each row and, "
                    "last, the number of events."
                )
            empty = np.flatnonzero(np.diff(offsets) <= 0)
            if len(empty):
                raise ValueError(
                    f"`{name}` must rise, but row {empty[0]} goes from {offsets[empty[0]]} to "
                    f"{offsets[empty[0] + 1]}. Leave out rows without events."
                )
        stray = np.flatnonzero(~np.isin(self.user_offsets, self.session_offsets))
        if len(stray):
            raise ValueError(
                f"`user_offsets` holds {self.user_offsets[stray[0]]} (row {stray[0]}), which is "
                "not the first event of a session. Cut sessions at every change of user."
            )

    def _check_user_ids(self) -> None:
        ids = self.user_ids
        if ids is None:
            return
        if ids.shape != (self.num_users,) or ids.dtype.kind not in "iu":
            raise TypeError(
                f"`user_ids` has shape {ids.shape} and type {ids.dtype}, but must be whole "
                f"numbers, one for each of {self.num_users} users. Pass 0 for unknown users."
            )
        known = np.sort(ids[ids != PADDING_ID])
        if (known < 0).any() or (np.diff(known) == 0).any():
            raise ValueError(
                "`user_ids` holds a number below 0 or one twice, but each user of training has "
                "one of its own, from 1 on. Number the users of the training log."
            )

    @staticmethod
    def _check_features(name: str, values: np.ndarray | None, rows: int, of: str) -> None:
        if values is None:
            return
        if values.ndim != 2 or len(values) != rows:
            raise ValueError(
                f"`{name}` has shape {values.shape}, but must have one row for each of {rows} "
                f"{of}s. Encode a table of that many rows with `FeatureSchema.encode`."
            )
        unsound = _first(lambda rows: ~np.isfinite(rows).all(axis=1), values)
        if unsound is not None:
            raise ValueError(
                f"`{name}` holds {values[unsound]} ({of} {unsound}), but features are "
                "finite. A schema encodes a missing value as such."
            )

    @classmethod
    def from_lists(
        cls, users: Sequence[Sequence[Sequence[int]]], *, num_items: int | None = None
    ) -> "Histories":
        """Builds histories from users -> sessions -> item ids; time is the event's number.

        Args:
            users: item ids in lists of sessions in lists of users.
            num_items: items known; the largest id if left out.

        Raises:
            ValueError: a row without events, or none at all to tell `num_items` by.

        Example:
            >>> Histories.from_lists([[[1, 2, 3], [4, 5]], [[1, 2]]]).session_offsets.tolist()
            [0, 3, 5, 7]
        """
        sessions = [session for user in users for session in user]
        if num_items is None and not any(len(session) for session in sessions):
            raise ValueError(
                "`users` holds no event to tell `num_items` by. Pass at least one item, or "
                "`num_items`."
            )
        item_ids = np.array([item for session in sessions for item in session], np.int32)
        per_user = [sum(len(session) for session in user) for user in users]
        return cls(
            item_ids=item_ids,
            timestamps=np.arange(len(item_ids), dtype=np.int64),
            session_offsets=offsets_of([len(session) for session in sessions]),
            user_offsets=offsets_of(per_user),
            num_items=int(item_ids.max()) if num_items is None else num_items,
        )

    @property
    def num_events(self) -> int:
        return len(self.item_ids)

    @property
    def num_sessions(self) -> int:
        return len(self.session_offsets) - 1

    @property
    def num_users(self) -> int:
        return len(self.user_offsets) - 1

    @property
    def num_pairs(self) -> int:
        """Next-item pairs inside sessions: the sum over sessions of length - 1."""
        return self.num_events - self.num_sessions

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every array and its type: equal means the same events and weights."""
        digest = hashlib.sha256(f"{self.num_items}".encode())
        arrays = (self.item_ids, self.timestamps, self.session_offsets, self.user_offsets)
        for values in (*arrays, self.target_weights):
            digest.update(f"\n{values.dtype.str} {len(values)}\n".encode())
            digest.update(np.ascontiguousarray(values).data)
        for name in ("feedback", "user_features"):
            features = getattr(self, name)
            if features is not None:
                digest.update(f"\n{name} {features.dtype.str} {features.shape}\n".encode())
                digest.update(np.ascontiguousarray(features).data)
        if self.user_ids is not None:
            digest.update(f"\nuser_ids {self.user_ids.dtype.str}\n".encode())
            digest.update(np.ascontiguousarray(self.user_ids).data)
        return digest.hexdigest()

    @cached_property
    def session_starts(self) -> np.ndarray:
        """Bool (num_events,), true on the first event of each session."""
        starts = np.zeros(self.num_events, bool)
        starts[self.session_offsets[:-1]] = True
        return starts

    @cached_property
    def user_starts(self) -> np.ndarray:
        """Bool (num_events,), true on the first event of each user."""
        starts = np.zeros(self.num_events, bool)
        starts[self.user_offsets[:-1]] = True
        return starts

    @cached_property
    def ratings(self) -> np.ndarray:
        """Float64 (num_events,), the first number of the feedback, NaN where that is missing.

        It is missing where a second number is above 0.5, see `hrec_tf.data.features.Numeric`.

        Raises:
            ValueError: histories without feedback.
        """
        if self.feedback is None or not self.feedback.shape[1]:
            raise ValueError(
                "`histories` has no feedback, but a rating is its first number. Name its column: "
                "feedback=('rating',)."
            )
        ratings = self.feedback[:, 0].astype(np.float64)
        if self.feedback.shape[1] > 1:
            ratings[self.feedback[:, 1] > 0.5] = np.nan
        return ratings

    def session_of_event(self) -> np.ndarray:
        """Int64 (num_events,), the number of each event's session."""
        return np.repeat(np.arange(self.num_sessions), np.diff(self.session_offsets))

    def user_of_event(self) -> np.ndarray:
        """Int64 (num_events,), the number of each event's user."""
        return np.repeat(np.arange(self.num_users), np.diff(self.user_offsets))

    def item_supports(self) -> np.ndarray:
        """Int64 (num_items,), events per item; item id i is at index i - 1."""
        return np.bincount(self.item_ids, minlength=self.num_items + 1)[1:]

    def select(self, events: np.ndarray) -> "Histories":
        """Keeps the events where the bool mask (num_events,) is true; empty rows vanish."""
        session_sizes = np.add.reduceat(events, self.session_offsets[:-1], dtype=np.int64)
        user_sizes = np.add.reduceat(events, self.user_offsets[:-1], dtype=np.int64)
        feedback, of_users, user_ids = self.feedback, self.user_features, self.user_ids
        return replace(
            self,
            feedback=None if feedback is None else feedback[events],
            user_features=None if of_users is None else of_users[user_sizes > 0],
            user_ids=None if user_ids is None else user_ids[user_sizes > 0],
            item_ids=self.item_ids[events],
            timestamps=self.timestamps[events],
            target_weights=self.target_weights[events],
            session_offsets=offsets_of(session_sizes[session_sizes > 0]),
            user_offsets=offsets_of(user_sizes[user_sizes > 0]),
        )


def _first(is_bad: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> int | None:
    """Returns the first row of which it is true, or None."""
    for begin in range(0, len(values), EVENTS_AT_ONCE):
        bad = is_bad(values[begin : begin + EVENTS_AT_ONCE])
        if bad.any():
            return begin + int(bad.argmax())
    return None


def offsets_of(sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns int64 (len(sizes) + 1,): where rows of these sizes begin and end."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
