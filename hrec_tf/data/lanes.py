"""Lanes: user histories laid side by side, so that state is carried from window to window.

A lane plays one *unit* after the other; the next unit enters the lane that is free first.
What a unit is makes the difference between the published layouts:

| stream                    | unit    | next-item pairs           | published as               |
|---------------------------|---------|---------------------------|----------------------------|
| `session_parallel_stream` | session | inside sessions           | GRU4Rec mini-batches       |
| `user_parallel_stream`    | user    | inside sessions           | HRNN mini-batches          |
| `concatenated_stream`     | user    | also from session to next | RNN Concat                 |
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.schema import (
    CONCATENATED,
    GAP,
    ITEM_IDS,
    LANE_LAYOUTS,
    LARGEST_GAP,
    LATEST_MINUTE,
    MINUTE,
    NEXT_GAP,
    PADDING_ID,
    SECONDS_PER_MINUTE,
    SESSION_PARALLEL,
    SESSION_START,
    USER_IDS,
    USER_PARALLEL,
    USER_START,
)

ORDERS = ("random", "time", "given")

CELLS_AT_ONCE = 16_384
"""Cells of the windows that leave Python together."""


@dataclass(frozen=True, eq=False)
class Lanes:
    """One epoch of histories, packed: which event each cell of (num_lanes, num_steps) is fed.

    It holds a few numbers for each unit, and none for each event: `events` works out where a
    cell's unit began, and from that the cell's next-item pair.

    Attributes:
        first_cell: int64 (1 + num_units,), `lane * stride + step` where each unit begins, rising.
            Before the others stands a unit without pairs, at -1.
        first_pair: int64 (1 + num_units,), the unit's first next-item pair, of all in their order.
        num_pairs: int64 (1 + num_units,).
        pairs_before: int64, pairs up to the end of each row whose last event has no next item;
            empty where that event is fed, too.
        num_lanes: rows of the grid.
        num_steps: columns of the grid, a multiple of the window's steps.
        stride: cells from one lane to the next.
    """

    first_cell: np.ndarray
    first_pair: np.ndarray
    num_pairs: np.ndarray
    pairs_before: np.ndarray
    num_lanes: int
    num_steps: int
    stride: int

    @property
    def fill(self) -> float:
        """Share of the cells that hold something."""
        step = self.first_cell % self.stride
        played = np.clip(self.num_steps - step, 0, self.num_pairs)
        return int(played.sum()) / (self.num_lanes * self.num_steps)

    def events(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns what the lanes are fed in steps first to last - 1.

        Returns:
            int64 (num_lanes, last - first), the event at each cell, -1 where it is idle; and
            bool, whether the cell is its unit's first.
        """
        cell = np.arange(self.num_lanes)[:, None] * self.stride + np.arange(first, last)
        unit = np.searchsorted(self.first_cell, cell, side="right") - 1
        # Before a lane's first unit stands the last one of the lane before, long at its end.
        within = cell - self.first_cell[unit]
        pair = self.first_pair[unit] + within
        event = pair + np.searchsorted(self.pairs_before, pair, side="right")
        is_idle = within >= self.num_pairs[unit]
        return np.where(is_idle, -1, event), (within == 0) & ~is_idle


def pack_lanes(
    histories: Histories,
    *,
    layout: str,
    num_lanes: int,
    steps: int,
    order: np.ndarray | None = None,
    feed_last_item: bool = False,
    max_events: int | None = None,
) -> Lanes:
    """Assigns every next-item pair a cell of a (num_lanes, num_steps) grid, each once.

    Args:
        histories: what to pack.
        layout: "session_parallel", "user_parallel" or "concatenated".
        num_lanes: units played side by side; the batch size.
        steps: events per lane in one window; the grid is padded to a multiple of it.
        order: permutation of the units (sessions, or users); their own order if None.
        feed_last_item: also feed each session's last event, which has no next item.
        max_events: of a user's part; whole users if None.
    """
    unit_offsets = offsets_of_units(histories, layout, max_events=max_events)
    ends = last_offsets(histories, layout)[1:]
    if feed_last_item:
        ends = ends[:0]
    # The last event of a row has no next item: it is a target, never an input.
    pairs_before = ends - np.arange(1, len(ends) + 1)
    unit_ends = unit_offsets - np.searchsorted(ends, unit_offsets, side="right")
    sizes = np.diff(unit_ends)
    order = np.arange(len(sizes)) if order is None else np.asarray(order)
    order = order[sizes[order] > 0]
    lane, offset = first_free_lane(sizes[order], num_lanes)
    used_steps = int((offset + sizes[order]).max()) if len(order) else 0
    num_steps = max(steps, -(-used_steps // steps) * steps)
    first_cell = lane * num_steps + offset
    rising = np.argsort(first_cell)
    units = order[rising]
    return Lanes(
        np.append(-1, first_cell[rising]),
        np.append(0, unit_ends[:-1][units]),
        np.append(0, sizes[units]),
        pairs_before,
        num_lanes,
        num_steps,
        stride=num_steps,
    )


def offsets_of_units(
    histories: Histories, layout: str, *, max_events: int | None = None
) -> np.ndarray:
    """Returns the offsets of what a lane plays one after the other.

    Users of more than `max_events` are parts of as many whole sessions as that holds, and at
    least one.
    """
    if layout == SESSION_PARALLEL:
        return histories.session_offsets
    users, sessions = histories.user_offsets, histories.session_offsets
    if max_events is None:
        return users
    cuts = []
    for user in np.flatnonzero(np.diff(users) > max_events):
        begins, end = users[user : user + 2]
        of_user = sessions[np.searchsorted(sessions, begins) : np.searchsorted(sessions, end) + 1]
        while end - begins > max_events:
            held = np.searchsorted(of_user, begins + max_events, side="right") - 1
            begins = max(of_user[held], of_user[np.searchsorted(of_user, begins, side="right")])
            cuts.append(begins)
    return np.union1d(users, np.array(cuts, users.dtype))


def last_offsets(histories: Histories, layout: str) -> np.ndarray:
    """Returns the offsets of the rows inside which a next item is predicted."""
    return histories.user_offsets if layout == CONCATENATED else histories.session_offsets


def first_free_lane(sizes: np.ndarray, num_lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gives each unit, in order, the lane that is free first (of several, the lowest).

    Args:
        sizes: int (num_units,), steps each unit takes. Units of size 0 are passed over.
        num_lanes: number of lanes.

    Returns:
        `(lane, offset)`, int64 (num_units,): where each unit plays, and from which step.
    """
    lane, offset = np.zeros(len(sizes), np.int64), np.zeros(len(sizes), np.int64)
    busy = np.flatnonzero(sizes)
    # One int per lane, `free_from * num_lanes + lane`: ordered by time, then by lane.
    free = list(range(num_lanes))
    taken = [0] * len(busy)
    for position, size in enumerate((sizes[busy] * num_lanes).tolist()):
        taken[position] = free[0]
        heapq.heapreplace(free, free[0] + size)
    offset[busy], lane[busy] = np.divmod(np.array(taken, np.int64), num_lanes)
    return lane, offset


def lay_out(
    histories: Histories,
    lanes: Lanes,
    *,
    layout: str,
    steps: int,
    first: int = 0,
    last: int | None = None,
    with_gaps: bool = False,
    with_minutes: bool = False,
    with_users: bool = False,
) -> tuple:
    """Returns windows first to last - 1, each of `steps`, and the events that they are fed.

    Returns:
        `(events, next_item_ids, weights)` as `lane_stream` has them, with an axis of windows in
        front; and int64 (windows, lanes, steps), the event at each cell, -1 where it is idle.
    """
    last = lanes.num_steps // steps if last is None else last
    fed, begins = (
        np.ascontiguousarray(values.reshape(lanes.num_lanes, last - first, steps).swapaxes(0, 1))
        for values in lanes.events(first * steps, last * steps)
    )
    is_idle, target = fed < 0, np.minimum(fed + 1, histories.num_events - 1)
    crosses = histories.user_starts if layout == CONCATENATED else histories.session_starts
    has_target = ~is_idle & (target > fed) & ~crosses[target]
    events = {
        ITEM_IDS: np.where(is_idle, PADDING_ID, histories.item_ids[fed]).astype(np.int32),
        SESSION_START: is_idle | histories.session_starts[fed],
        # The first *pair* of the user: its first session may be too short to give one.
        USER_START: is_idle | begins,
    }
    if with_gaps:
        passed = histories.timestamps[fed] - histories.timestamps[np.maximum(fed - 1, 0)]
        passes = histories.timestamps[target] - histories.timestamps[fed]
        for name, there_is, gaps in (
            (GAP, ~is_idle & ~begins, passed),
            (NEXT_GAP, has_target, passes),
        ):
            events[name] = np.where(there_is, gaps, 0).clip(0, LARGEST_GAP).astype(np.int32)
    if with_minutes:
        minutes = histories.timestamps[fed] // SECONDS_PER_MINUTE
        minutes = np.where(is_idle, 0, minutes).clip(-LATEST_MINUTE, LATEST_MINUTE)
        events[MINUTE] = minutes.astype(np.int32)
    if with_users:
        user = np.searchsorted(histories.user_offsets, np.maximum(fed, 0), side="right") - 1
        known = np.asarray(histories.user_ids)[user]
        events[USER_IDS] = np.where(is_idle, PADDING_ID, known).astype(np.int32)
    next_item_ids = np.where(has_target, histories.item_ids[target], PADDING_ID)
    weights = np.where(has_target, histories.target_weights[target], 0)
    return events, next_item_ids.astype(np.int32), weights.astype(np.float32), fed


def without_tail(lanes: Lanes, *, steps: int) -> Lanes:
    """Cuts the grid at the last window in which every lane still plays; at least one stays."""
    lane, offset = np.divmod(lanes.first_cell[1:], lanes.stride)
    ends = np.zeros(lanes.num_lanes, np.int64)
    np.maximum.at(ends, lane, offset + lanes.num_pairs[1:])
    return replace(lanes, num_steps=max(int(ends.min()) // steps, 1) * steps)


def window_stream(
    play: Callable[[int, int], Iterator[tuple]], *, signature: Any, size: int, first_epoch: int
) -> tf.data.Dataset:
    """Streams the windows of one epoch after the other; each iteration is the next epoch.

    Args:
        play: (number of the epoch, size) -> its windows, `size` at a time.
        signature: of what `play` yields.
        size: windows that leave Python together.
        first_epoch: number of the first iteration.

    Returns:
        Dataset of windows. Its `in_chunks(size)` is an iterator over the next epoch, too: of
        arrays that hold `size` windows, the last of them fewer.
    """
    epoch_number = first_epoch

    def in_chunks(size: int) -> Iterator[tuple]:
        nonlocal epoch_number
        number, epoch_number = epoch_number, epoch_number + 1
        yield from play(number, size)

    some = tf.data.Dataset.from_generator(lambda: in_chunks(size), output_signature=signature)
    one_by_one = some.flat_map(lambda *windows: tf.data.Dataset.from_tensor_slices(windows))
    stream = one_by_one.prefetch(tf.data.AUTOTUNE)
    stream.in_chunks = in_chunks
    return stream


def order_of_units(
    histories: Histories,
    *,
    layout: str,
    order: str,
    seed: int,
    epoch: int,
    max_events: int | None = None,
) -> np.ndarray:
    """Returns the order in which an epoch plays its sessions or users.

    "random" follows from (seed, epoch) alone; "time" is by a unit's first event, ties in the
    histories' order; "given" is the histories' order.
    """
    offsets = offsets_of_units(histories, layout, max_events=max_events)
    if order == "random":
        return np.random.default_rng((seed, epoch)).permutation(len(offsets) - 1)
    if order == "time":
        return np.argsort(histories.timestamps[offsets[:-1]], kind="stable")
    return np.arange(len(offsets) - 1)


def lane_stream(
    histories: Histories,
    *,
    layout: str,
    num_lanes: int,
    steps: int = 1,
    order: str = "random",
    seed: int | None = None,
    feed_last_item: bool = False,
    reference_tail: bool = False,
    max_events: int | None = None,
    with_gaps: bool = False,
    with_minutes: bool = False,
    with_users: bool = False,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """Streams histories in lanes whose state is carried from window to window.

    Row i of every window is lane i, so the final state of row i is the initial state of
    row i in the next window. Never shuffle what this returns. Each iteration is the next
    epoch, packed in the order that follows from (seed, epoch) alone; `skip(n)` starts it at
    any window, and the stream's own `from_epoch(n)` at any epoch.

    Args:
        histories: `Histories`. Sessions of one event give no pair and are passed over, unless
            `feed_last_item` feeds that event.
        layout: "session_parallel", "user_parallel" or "concatenated" (see the module).
        num_lanes: units played side by side; the batch size. Idle lanes have weight 0.
        steps: events per lane in one window; gradients stop at its edge.
        order: of the units: "random" (a new one each epoch), "time" (of their first event)
            or "given" (the histories').
        seed: seed of the random orders, and of no use for the others; 0 if None.
        feed_last_item: also feed each session's last event, with weight 0.
        reference_tail: end an epoch as soon as a lane finds no unit left, as the HRNN
            authors' code does. The pairs after that step are NOT seen in that epoch.
        max_events: play a longer user in parts of as many whole sessions as that holds (a longer
            session alone), each from nothing, as if it were a user; whole users if None. No
            pair inside a session is lost. Where few users have most events, the other lanes do
            not idle until the longest user has ended.
        with_gaps: also say how long ago the event before was, and how long it takes to the next
            one, for a model that `reads_gaps`.
        with_minutes: also say when each event was, for a model that `reads_minutes`.
        with_users: also say whose event it is, for a model that `reads_users`.
        first_epoch: number of the first iteration, for a run that is resumed.

    Returns:
        Dataset of `(events, next_item_ids, weights)`: events a dict of `item_ids` int32,
        `session_start` and `user_start` bool, and `with_gaps` `gap` int32, seconds since the
        unit's event before, 0 at its first, and `next_gap` int32, seconds to the event that is
        predicted, 0 where none is, `with_minutes` `minute` int32 since 1970, `with_users`
        `user_ids` int32 as the histories number them; next_item_ids int32; weights float32;
        each (num_lanes, steps).

    Raises:
        ValueError: a bad argument, or histories without a single next-item pair.
    """
    _check_stream_arguments(histories, layout, num_lanes, steps, order, seed, feed_last_item)
    _check_max_events(max_events, layout)
    settings: dict[str, Any] = {
        "layout": layout,
        "num_lanes": num_lanes,
        "steps": steps,
        "order": order,
        "seed": seed,
        "feed_last_item": feed_last_item,
        "reference_tail": reference_tail,
        "max_events": max_events,
        "with_gaps": with_gaps,
        "with_minutes": with_minutes,
        "with_users": with_users,
    }
    if with_users and histories.user_ids is None:
        raise ValueError(
            "`with_users` was True, but `histories` has no `user_ids`. Pass `users` to "
            "`histories_from_log`, or histories of a `PreparedLog`."
        )
    checks.require_int_at_least(
        "first_epoch", first_epoch, minimum=0, mend="Pass the number of epochs already played."
    )

    def play(epoch: int, size: int) -> Iterator[tuple]:
        units = order_of_units(
            histories,
            layout=layout,
            order=order,
            seed=seed or 0,
            epoch=epoch,
            max_events=max_events,
        )
        lanes = pack_lanes(
            histories,
            layout=layout,
            num_lanes=num_lanes,
            steps=steps,
            order=units,
            feed_last_item=feed_last_item,
            max_events=max_events,
        )
        if reference_tail:
            lanes = without_tail(lanes, steps=steps)
        num_windows = lanes.num_steps // steps
        for first in range(0, num_windows, size):
            last = min(first + size, num_windows)
            *windows, _ = lay_out(
                histories,
                lanes,
                layout=layout,
                steps=steps,
                first=first,
                last=last,
                with_gaps=with_gaps,
                with_minutes=with_minutes,
                with_users=with_users,
            )
            yield tuple(windows)

    def spec(dtype: tf.DType) -> tf.TensorSpec:
        return tf.TensorSpec((None, num_lanes, steps), dtype)

    events = {ITEM_IDS: spec(tf.int32), SESSION_START: spec(tf.bool), USER_START: spec(tf.bool)}
    if with_gaps:
        events[GAP] = events[NEXT_GAP] = spec(tf.int32)
    if with_minutes:
        events[MINUTE] = spec(tf.int32)
    if with_users:
        events[USER_IDS] = spec(tf.int32)
    stream = window_stream(
        play,
        signature=(events, spec(tf.int32), spec(tf.float32)),
        size=max(1, CELLS_AT_ONCE // (num_lanes * steps)),
        first_epoch=first_epoch,
    )
    # What a model checks before it trains; a stream that was taken further has lost them.
    stream.layout, stream.feed_last_item = layout, feed_last_item
    stream.reads_gaps, stream.reads_minutes = with_gaps, with_minutes
    stream.reads_users = with_users
    # What a training that is resumed asks of it.
    stream.first_epoch = first_epoch
    stream.from_epoch = lambda epoch: lane_stream(histories, first_epoch=epoch, **settings)
    stream.identity = lambda: settings | {"data": histories.fingerprint}
    return stream


def _check_stream_arguments(
    histories: Histories,
    layout: str,
    num_lanes: int,
    steps: int,
    order: str,
    seed: int | None,
    feed_last_item: bool,
) -> None:
    checks.require_choice("layout", layout, LANE_LAYOUTS)
    checks.require_choice("order", order, ORDERS)
    checks.require_positive_int("num_lanes", num_lanes, mend="Pass the batch size, e.g. 100.")
    checks.require_positive_int("steps", steps, mend="Pass the events per window, e.g. 1.")
    if seed is not None and order != "random":
        raise ValueError(
            f"`seed` was {seed} with order={order!r}, where nothing is drawn. Leave it out, or "
            "pass order='random'."
        )
    checks.require_int_at_least("seed", seed or 0, minimum=0, mend="Pass e.g. seed=0.")
    if feed_last_item and layout != USER_PARALLEL:
        raise ValueError(
            f"`feed_last_item` was True with layout {layout!r}, which has no use for it: only "
            "'user_parallel' carries a session's last state onward. Leave it out."
        )
    num_pairs = histories.num_events - (
        histories.num_users if layout == CONCATENATED else histories.num_sessions
    )
    if num_pairs == 0:
        raise ValueError(
            f"`histories` holds {histories.num_events} events but no next-item pair. At least "
            "one session of two events is needed. Check how sessions were cut and filtered."
        )


def _check_max_events(max_events: int | None, layout: str) -> None:
    if max_events is None:
        return
    checks.require_positive_int("max_events", max_events, mend="Pass e.g. 1000, or leave it out.")
    if layout == SESSION_PARALLEL:
        raise ValueError(
            f"`max_events` was {max_events} with layout {layout!r}, which plays sessions, not "
            "users. Leave it out."
        )


def session_parallel_stream(
    histories: Histories,
    *,
    num_lanes: int,
    steps: int = 1,
    order: str = "time",
    seed: int | None = None,
) -> tf.data.Dataset:
    """GRU4Rec's mini-batches: a lane plays sessions, whoever they belong to.

    Arguments, result and errors are those of `lane_stream`; `user_start` equals
    `session_start`, because every session begins from nothing.

    The reference plays sessions by the time of their first event, in every epoch alike.

    Source: Hidasi et al., ICLR 2016, arXiv:1511.06939, section 3.1.1.
    """
    return lane_stream(
        histories,
        layout=SESSION_PARALLEL,
        num_lanes=num_lanes,
        steps=steps,
        order=order,
        seed=seed,
    )


def user_parallel_stream(
    histories: Histories,
    *,
    num_lanes: int,
    steps: int = 1,
    order: str = "random",
    seed: int | None = None,
    feed_last_item: bool = False,
    reference_tail: bool = False,
    max_events: int | None = None,
) -> tf.data.Dataset:
    """HRNN's mini-batches: a lane plays a user's sessions one after the other, then a new user.

    Arguments, result and errors are those of `lane_stream`.

    Source: Quadrana et al., RecSys 2017, arXiv:1706.04148, section 3.3 and Figure 2.
    """
    return lane_stream(
        histories,
        layout=USER_PARALLEL,
        num_lanes=num_lanes,
        steps=steps,
        order=order,
        seed=seed,
        feed_last_item=feed_last_item,
        reference_tail=reference_tail,
        max_events=max_events,
    )


def concatenated_stream(
    histories: Histories,
    *,
    num_lanes: int,
    steps: int = 1,
    order: str = "random",
    seed: int | None = None,
    max_events: int | None = None,
) -> tf.data.Dataset:
    """RNN Concat's mini-batches: a user's sessions are one long sequence.

    The last event of a session has the first of the next as its next item. Arguments,
    result and errors are those of `lane_stream`.

    Source: Quadrana et al., RecSys 2017, arXiv:1706.04148, section 4.2.
    """
    return lane_stream(
        histories,
        layout=CONCATENATED,
        num_lanes=num_lanes,
        steps=steps,
        order=order,
        seed=seed,
        max_events=max_events,
    )
