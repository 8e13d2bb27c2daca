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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.schema import (
    CONCATENATED,
    ITEM_IDS,
    LANE_LAYOUTS,
    PADDING_ID,
    SESSION_PARALLEL,
    SESSION_START,
    USER_PARALLEL,
    USER_START,
)

ORDERS = ("random", "time", "given")


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

    @property
    def fill(self) -> float:
        """Share of the cells that hold something."""
        return len(self.lane) / (self.num_lanes * self.num_steps)

    def windows(self, values: np.ndarray, *, steps: int, idle: object) -> np.ndarray:
        """Lays `values` (n, ...) out as (num_windows, num_lanes, steps, ...)."""
        more = values.shape[1:]
        grid = np.full((self.num_lanes, self.num_steps, *more), idle, values.dtype)
        grid[self.lane, self.step] = values
        by_window = grid.reshape(self.num_lanes, self.num_steps // steps, steps, *more)
        return np.ascontiguousarray(by_window.swapaxes(0, 1))

    def read(self, windows: np.ndarray) -> np.ndarray:
        """The inverse of `windows`: (num_windows, num_lanes, steps, ...) -> (n, ...)."""
        steps = windows.shape[2]
        return windows[self.step // steps, self.lane, self.step % steps]


@dataclass(frozen=True, eq=False)
class Lanes(Grid):
    """One epoch of histories, packed. Pair p feeds event `inputs[p]` at its cell.

    Attributes:
        inputs: int64 (num_pairs,), the event that is fed; its target is the event after it.
    """

    inputs: np.ndarray


def pack_lanes(
    histories: Histories,
    *,
    layout: str,
    num_lanes: int,
    steps: int,
    order: np.ndarray | None = None,
    feed_last_item: bool = False,
) -> Lanes:
    """Assigns every next-item pair a cell of a (num_lanes, num_steps) grid, each once.

    Args:
        histories: what to pack.
        layout: "session_parallel", "user_parallel" or "concatenated".
        num_lanes: units played side by side; the batch size.
        steps: events per lane in one window; the grid is padded to a multiple of it.
        order: permutation of the units (sessions, or users); their own order if None.
        feed_last_item: also feed each session's last event, which has no next item.

    Returns:
        `Lanes` of `inputs` in the histories' order.
    """
    session_layout = layout == SESSION_PARALLEL
    unit_offsets = histories.session_offsets if session_layout else histories.user_offsets
    last_offsets = histories.user_offsets if layout == CONCATENATED else histories.session_offsets

    # The last event has no next item: it is a target, never an input.
    is_input = np.ones(histories.num_events, bool)
    if not feed_last_item:
        is_input[last_offsets[1:] - 1] = False
    inputs = np.flatnonzero(is_input)

    num_units = len(unit_offsets) - 1
    order = np.arange(num_units) if order is None else np.asarray(order)
    unit_of = np.repeat(np.arange(num_units), np.diff(unit_offsets))[inputs]
    pairs_per_unit = np.bincount(unit_of, minlength=num_units)
    first_pair = np.cumsum(pairs_per_unit) - pairs_per_unit

    lane, offset = np.zeros(num_units, np.int64), np.zeros(num_units, np.int64)
    lane[order], offset[order] = first_free_lane(pairs_per_unit[order], num_lanes)
    step = offset[unit_of] + np.arange(len(inputs)) - first_pair[unit_of]
    used_steps = int(step.max()) + 1 if len(step) else 0
    num_steps = max(steps, -(-used_steps // steps) * steps)
    return Lanes(lane[unit_of], step, num_lanes, num_steps, inputs)


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


def lay_out(histories: Histories, lanes: Lanes, *, layout: str, steps: int) -> tuple:
    """Returns one epoch `(events, next_item_ids, weights)`, each (num_windows, lanes, steps)."""
    inputs = lanes.inputs
    starts = histories.session_starts[inputs]
    user_starts = starts
    if layout != SESSION_PARALLEL:
        # The first *pair* of the user: its first session may be too short to give one.
        users = histories.user_of_event()[inputs]
        user_starts = np.ones(len(inputs), bool)
        user_starts[1:] = users[1:] != users[:-1]
    targets = np.minimum(inputs + 1, histories.num_events - 1)
    crosses = histories.user_starts if layout == CONCATENATED else histories.session_starts
    has_target = (inputs + 1 < histories.num_events) & ~crosses[targets]

    def grid(values: np.ndarray, idle: object) -> np.ndarray:
        return lanes.windows(values, steps=steps, idle=idle)

    events = {
        ITEM_IDS: grid(histories.item_ids[inputs], PADDING_ID),
        SESSION_START: grid(starts, True),
        USER_START: grid(user_starts, True),
    }
    next_item_ids = np.where(has_target, histories.item_ids[targets], PADDING_ID)
    weights = np.where(has_target, histories.target_weights[targets], 0)
    return (
        events,
        grid(next_item_ids.astype(np.int32), PADDING_ID),
        grid(weights.astype(np.float32), 0),
    )


def without_tail(lanes: Lanes, *, steps: int) -> Lanes:
    """Cuts the grid at the last window in which every lane still plays; at least one stays."""
    ends = np.zeros(lanes.num_lanes, np.int64)
    np.maximum.at(ends, lanes.lane, lanes.step + 1)
    num_steps = max(int(ends.min()) // steps, 1) * steps
    kept = lanes.step < num_steps
    return Lanes(lanes.lane[kept], lanes.step[kept], lanes.num_lanes, num_steps, lanes.inputs[kept])


def order_of_units(
    histories: Histories, *, layout: str, order: str, seed: int, epoch: int
) -> np.ndarray:
    """Returns the order in which an epoch plays its sessions or users.

    "random" follows from (seed, epoch) alone; "time" is by a unit's first event, ties in the
    histories' order; "given" is the histories' order.
    """
    offsets = histories.session_offsets if layout == SESSION_PARALLEL else histories.user_offsets
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
        first_epoch: number of the first iteration, for a run that is resumed.

    Returns:
        Dataset of `(events, next_item_ids, weights)`: events a dict of `item_ids` int32,
        `session_start` and `user_start` bool; next_item_ids int32; weights float32; each
        (num_lanes, steps).

    Raises:
        ValueError: a bad argument, or histories without a single next-item pair.
    """
    _check_stream_arguments(histories, layout, num_lanes, steps, order, seed, feed_last_item)
    settings: dict[str, Any] = {
        "layout": layout,
        "num_lanes": num_lanes,
        "steps": steps,
        "order": order,
        "seed": seed,
        "feed_last_item": feed_last_item,
        "reference_tail": reference_tail,
    }
    checks.require_int_at_least(
        "first_epoch", first_epoch, minimum=0, mend="Pass the number of epochs already played."
    )
    seed = seed or 0
    epoch_number = first_epoch

    def epochs() -> Iterator[tuple]:
        nonlocal epoch_number
        units = order_of_units(histories, layout=layout, order=order, seed=seed, epoch=epoch_number)
        epoch_number += 1
        lanes = pack_lanes(
            histories,
            layout=layout,
            num_lanes=num_lanes,
            steps=steps,
            order=units,
            feed_last_item=feed_last_item,
        )
        if reference_tail:
            lanes = without_tail(lanes, steps=steps)
        yield lay_out(histories, lanes, layout=layout, steps=steps)

    def spec(dtype: tf.DType) -> tf.TensorSpec:
        return tf.TensorSpec((None, num_lanes, steps), dtype)

    events = {ITEM_IDS: spec(tf.int32), SESSION_START: spec(tf.bool), USER_START: spec(tf.bool)}
    signature = (events, spec(tf.int32), spec(tf.float32))
    whole_epochs = tf.data.Dataset.from_generator(epochs, output_signature=signature)
    windows = whole_epochs.flat_map(lambda *epoch: tf.data.Dataset.from_tensor_slices(epoch))
    stream = windows.prefetch(tf.data.AUTOTUNE)
    # What a model checks before it trains; a stream that was taken further has lost them.
    stream.layout, stream.feed_last_item = layout, feed_last_item
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
    )


def concatenated_stream(
    histories: Histories,
    *,
    num_lanes: int,
    steps: int = 1,
    order: str = "random",
    seed: int | None = None,
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
    )
