"""The windows in which a model sees evaluation histories, whatever its layout."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from hrec_tf.data.aligned import lay_out_aligned, steps_of, whole_users
from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import CELLS_AT_ONCE, lay_out, pack_lanes
from hrec_tf.data.prefixes import (
    batches_by_length,
    lay_out_rows,
    prefix_rows,
    sequence_rows,
    targets_of,
)
from hrec_tf.schema import ALIGNED, PADDED_LAYOUTS, PREFIXES, SESSION_PARALLEL

Window = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]
"""Events, next item ids, and at each place the event that it predicts, or -1."""


def windows_of(
    histories: Histories,
    *,
    model: Any,
    num_lanes: int | None,
    steps: int,
    is_point: np.ndarray,
) -> Iterator[Window]:
    """Lays histories out as the model reads them, window by window.

    Args:
        histories: what is played.
        model: a `NextItemModel`.
        num_lanes: histories side by side; chosen by their lengths if None.
        steps: events per lane in a window; padded rows are laid out whole.
        is_point: bool (num_events,), the targets that are asked for.
    """
    if model.layout in PADDED_LAYOUTS:
        return _padded_windows(histories, model, num_lanes, is_point)
    by_session = model.layout == SESSION_PARALLEL
    sizes = np.diff(histories.session_offsets if by_session else histories.user_offsets)
    if num_lanes is None:
        num_lanes = int(np.clip(sizes.sum() // sizes.max(), 32, 256))
    shape = {"num_lanes": min(num_lanes, len(sizes)), "steps": steps}
    order = np.argsort(-sizes, kind="stable")  # long ones first: the lanes end together
    lay = _aligned_windows if model.layout == ALIGNED else _lane_windows
    return lay(histories, model, order, shape, is_point)


def _padded_windows(
    histories: Histories, model: Any, num_lanes: int | None, is_point: np.ndarray
) -> Iterator[Window]:
    # Prefixes or sequences, rows of like lengths side by side.
    targets = np.flatnonzero(is_point)
    if model.layout == PREFIXES:
        rows = prefix_rows(histories, targets, max_length=model.max_length)
    else:
        rows = sequence_rows(histories, targets)
    batch_size = min(num_lanes or 256, len(rows.first))
    for batch in batches_by_length(rows.lengths, batch_size=batch_size, rng=None):
        some, shape = rows.take(batch), {"layout": model.layout, "batch_size": batch_size}
        events, next_item_ids, _ = lay_out_rows(histories, some, **shape)
        target = targets_of(some, **shape)
        yield events, next_item_ids, np.where((target >= 0) & is_point[target], target, -1)


def _lane_windows(
    histories: Histories,
    model: Any,
    order: np.ndarray,
    shape: dict[str, int],
    is_point: np.ndarray,
) -> Iterator[Window]:
    steps = shape["steps"]
    lanes = pack_lanes(
        histories,
        layout=model.layout,
        order=order,
        feed_last_item=model.feed_last_item,
        **shape,
    )
    at_once = max(1, CELLS_AT_ONCE // (lanes.num_lanes * steps))
    num_windows = lanes.num_steps // steps
    for first in range(0, num_windows, at_once):
        part = {"first": first, "last": min(first + at_once, num_windows)}
        events, next_item_ids, _, fed = lay_out(
            histories,
            lanes,
            layout=model.layout,
            steps=steps,
            with_gaps=model.reads_gaps,
            with_minutes=model.reads_minutes,
            with_users=model.reads_users,
            **part,
        )
        target = np.minimum(fed + 1, histories.num_events - 1)
        predicts = (fed >= 0) & is_point[target] & (target > fed)
        yield from _one_by_one(events, next_item_ids, np.where(predicts, target, -1))


def _aligned_windows(
    histories: Histories,
    model: Any,
    order: np.ndarray,
    shape: dict[str, int],
    is_point: np.ndarray,
) -> Iterator[Window]:
    steps = shape["steps"]
    targets = steps_of(histories, order=order, first_events=model.first_events)
    grid = whole_users(histories, targets, **shape)
    events, next_item_ids, _ = lay_out_aligned(histories, targets, grid, steps=steps)
    point_of = grid.windows(np.where(is_point[targets], targets, -1), steps=steps, idle=-1)
    yield from _one_by_one(events, next_item_ids, point_of)


def _one_by_one(events, next_item_ids, point_of) -> Iterator[Window]:
    for window in range(len(point_of)):
        here = {name: values[window] for name, values in events.items()}
        yield here, next_item_ids[window], point_of[window]
