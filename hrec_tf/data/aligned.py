"""Windows of equal length over all histories as one long stream, for truncated backpropagation.

The users of an epoch follow one another; the stream of all their steps is cut into `num_lanes`
equal rows, and the rows into windows. Every lane is busy to the end, whatever the lengths of the
histories are. A cut through a user begins its second part without what the first one told.

A step reads the last event and predicts the next. What is known of the next one at the time of
asking is read, too: how long after the last event it comes, and whether it opens a session. With
`first_events`, a user begins with a step that reads nothing and predicts the first event.

Source: Ma & Narayanaswamy, "Hierarchical Temporal-Contextual Recommenders", section 3;
docs/equations.md D.5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import CELLS_AT_ONCE, ORDERS, first_free_lane, window_stream
from hrec_tf.schema import (
    ALIGNED,
    FEEDBACK,
    IS_STEP,
    ITEM_IDS,
    NEXT_GAP,
    NEXT_ITEM,
    NEXT_RATING,
    NEXT_SESSION_START,
    PADDING_ID,
    SESSION_START,
    USER_FEATURES,
    USER_START,
)

LONGEST_GAP = 2**31 - 1
"""Gaps in seconds fit int32: longer ones count as 68 years."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where things are laid: cells of (num_lanes, num_steps), cut into windows of equal steps.

    Attributes:
        lane, step: int64 (n,), the cell of each.
        num_lanes: rows of the grid.
        num_steps: columns of the grid, a multiple of the window's steps.
    """

    lane: np.ndarray
    step: np.ndarray
    num_lanes: int
    num_steps: int

    def windows(self, values: np.ndarray, *, steps: int, idle: object) -> np.ndarray:
        """Lays `values` (n, ...) out as (num_windows, num_lanes, steps, ...)."""
        more = values.shape[1:]
        grid = np.full((self.num_lanes, self.num_steps, *more), idle, values.dtype)
        grid[self.lane, self.step] = values
        by_window = grid.reshape(self.num_lanes, self.num_steps // steps, steps, *more)
        return np.ascontiguousarray(by_window.swapaxes(0, 1))


def rated_targets(histories: Histories) -> np.ndarray:
    """Returns float64 (num_events,), `Histories.ratings`, NaN also where an event is no target."""
    return np.where(histories.target_weights > 0, histories.ratings, np.nan)


def steps_of(histories: Histories, *, order: np.ndarray, first_events: bool) -> np.ndarray:
    """Returns int64 (num_steps,), the target event of each step, user after user.

    Args:
        histories: what is played.
        order: permutation of the users.
        first_events: whether the first event of a user is a target, too.
    """
    sizes = np.diff(histories.user_offsets)[order]
    begins = histories.user_offsets[:-1][order]
    if not first_events:
        sizes, begins = sizes - 1, begins + 1
    before = np.cumsum(sizes) - sizes
    return np.repeat(begins - before, sizes) + np.arange(sizes.sum())


def cut_evenly(num_steps: int, *, num_lanes: int, steps: int) -> Grid:
    """Lays one stream of steps into rows of equal length; the last ones may be short."""
    per_lane = max(-(-num_steps // num_lanes), 1)
    place = np.arange(num_steps)
    columns = -(-per_lane // steps) * steps
    return Grid(place // per_lane, place % per_lane, num_lanes, columns)


def whole_users(histories: Histories, targets: np.ndarray, *, num_lanes: int, steps: int) -> Grid:
    """Lays steps out so that no user is cut, each in the lane that is free first."""
    users = np.searchsorted(histories.user_offsets, targets, side="right") - 1
    starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
    sizes = np.diff(np.append(starts, len(targets)))
    lane, offset = first_free_lane(sizes, num_lanes)
    step = np.repeat(offset - starts, sizes) + np.arange(len(targets))
    columns = -(-int(step.max() + 1) // steps) * steps
    return Grid(np.repeat(lane, sizes), step, num_lanes, columns)


def lay_out_aligned(
    histories: Histories, targets: np.ndarray, grid: Grid, *, steps: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Returns `(events, next_item_ids, weights)`, each (num_windows, lanes, steps, ...).

    Args:
        histories: what is played.
        targets: int64 (num_steps,), the target event of each step.
        grid: the cell of each step.
        steps: of a window.
    """

    def laid(values: np.ndarray, idle: object) -> np.ndarray:
        return grid.windows(values, steps=steps, idle=idle)

    is_first = histories.user_starts[targets]
    inputs = np.where(is_first, targets, targets - 1)  # of a first step nothing is read
    gaps = np.clip(histories.timestamps[targets] - histories.timestamps[inputs], 0, LONGEST_GAP)
    # The first step of a user, whether or not it reads an event.
    users = np.searchsorted(histories.user_offsets, targets, side="right") - 1
    user_starts = np.ones(len(targets), bool)
    user_starts[1:] = users[1:] != users[:-1]
    events = {
        ITEM_IDS: laid(np.where(is_first, PADDING_ID, histories.item_ids[inputs]), PADDING_ID),
        IS_STEP: laid(np.ones(len(targets), bool), False),
        USER_START: laid(user_starts, True),
        SESSION_START: laid(histories.session_starts[inputs], True),
        NEXT_GAP: laid(gaps.astype(np.int32), 0),
        NEXT_SESSION_START: laid(histories.session_starts[targets], False),
    }
    events[ITEM_IDS] = events[ITEM_IDS].astype(np.int32)
    if histories.feedback is not None:
        feedback = np.where(is_first[:, None], 0.0, histories.feedback[inputs])
        events[FEEDBACK] = laid(feedback.astype(np.float32), 0.0)
        # What is to be predicted of the next event, beside which item it is.
        events[NEXT_ITEM] = laid(histories.item_ids[targets].astype(np.int32), PADDING_ID)
        events[NEXT_RATING] = laid(rated_targets(histories)[targets].astype(np.float32), np.nan)
    if histories.user_features is not None:
        events[USER_FEATURES] = laid(histories.user_features[users].astype(np.float32), 0.0)
    next_item_ids = laid(histories.item_ids[targets].astype(np.int32), PADDING_ID)
    weights = laid(histories.target_weights[targets].astype(np.float32), 0.0)
    return events, next_item_ids, weights


def aligned_stream(
    histories: Histories,
    *,
    num_lanes: int,
    steps: int = 32,
    order: str = "random",
    seed: int | None = None,
    first_events: bool = False,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """Streams histories in rows of equal length, whose state is carried from window to window.

    Row i of every window goes on where row i of the window before ended. Never shuffle what this
    returns. Each iteration is the next epoch, in the order that follows from (seed, epoch) alone.

    Args:
        histories: `Histories`. Without `first_events` a user of one event gives no step.
        num_lanes: rows; the batch size.
        steps: events per row in one window; gradients stop at its edge.
        order: of the users: "random" (a new one each epoch), "time" (of their first event) or
            "given" (the histories').
        seed: of the random orders, and of no use for the others; 0 if None.
        first_events: also predict each user's first event, from nothing but what is known of the
            user.
        first_epoch: number of the first iteration, for a run that is resumed.

    Returns:
        Dataset of `(events, next_item_ids, weights)`, each (num_lanes, steps): events a dict of
        `item_ids` int32, 0 where nothing is read; `is_step` bool, false in what is left over at
        the end; `user_start` bool, the first step of a user; `session_start` bool, of the event
        that is read; `next_gap` int32, seconds from it to the next; `next_session_start` bool;
        and if the histories have them, `feedback` and `user_features` float32 with an axis more.
        With feedback, `next_item` int32 and `next_rating` float32 say again what comes next, for
        a loss on ratings alone: NaN where there is no rating.

    Raises:
        ValueError: a bad argument, or histories without a step.
    """
    settings: dict[str, Any] = {
        "num_lanes": checks.require_positive_int(
            "num_lanes", num_lanes, mend="Pass the batch size, e.g. 64."
        ),
        "steps": checks.require_positive_int("steps", steps, mend="Pass e.g. 32."),
        "order": checks.require_choice("order", order, ORDERS),
        "seed": seed,
        "first_events": first_events,
    }
    if seed is not None and order != "random":
        raise ValueError(
            f"`seed` was {seed} with order={order!r}, where nothing is drawn. Leave it out, or "
            "pass order='random'."
        )
    checks.require_int_at_least("seed", seed or 0, minimum=0, mend="Pass e.g. seed=0.")
    checks.require_int_at_least(
        "first_epoch", first_epoch, minimum=0, mend="Pass the number of epochs already played."
    )
    if not first_events and histories.num_events == histories.num_users:
        raise ValueError(
            f"`histories` holds {histories.num_events} events of {histories.num_users} users, so "
            "none has a next one. At least one user of two events is needed."
        )

    def play(epoch: int, size: int) -> Iterator[tuple]:
        users = np.arange(histories.num_users)
        if order == "random":
            users = np.random.default_rng((seed or 0, epoch)).permutation(users)
        elif order == "time":
            begins = histories.timestamps[histories.user_offsets[:-1]]
            users = np.argsort(begins, kind="stable")
        targets = steps_of(histories, order=users, first_events=first_events)
        grid = cut_evenly(len(targets), num_lanes=num_lanes, steps=steps)
        windows = lay_out_aligned(histories, targets, grid, steps=steps)
        for first in range(0, grid.num_steps // steps, size):
            yield tf.nest.map_structure(lambda values, at=first: values[at : at + size], windows)

    def spec(dtype: tf.DType, *more: int) -> tf.TensorSpec:
        return tf.TensorSpec((None, num_lanes, steps, *more), dtype)

    events = {
        ITEM_IDS: spec(tf.int32),
        IS_STEP: spec(tf.bool),
        USER_START: spec(tf.bool),
        SESSION_START: spec(tf.bool),
        NEXT_GAP: spec(tf.int32),
        NEXT_SESSION_START: spec(tf.bool),
    }
    if histories.feedback is not None:
        events |= {NEXT_ITEM: spec(tf.int32), NEXT_RATING: spec(tf.float32)}
    for name, features in (
        (FEEDBACK, histories.feedback),
        (USER_FEATURES, histories.user_features),
    ):
        if features is not None:
            events[name] = spec(tf.float32, features.shape[1])
    stream = window_stream(
        play,
        signature=(events, spec(tf.int32), spec(tf.float32)),
        size=max(1, CELLS_AT_ONCE // (num_lanes * steps)),
        first_epoch=first_epoch,
    )
    # What a model checks before it trains; a stream that was taken further has lost them.
    stream.layout = ALIGNED
    # What a training that is resumed asks of it.
    stream.first_epoch = first_epoch
    stream.from_epoch = lambda epoch: aligned_stream(histories, first_epoch=epoch, **settings)
    stream.identity = lambda: settings | {"data": histories.fingerprint}
    return stream
