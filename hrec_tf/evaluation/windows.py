"""The windows in which a model sees evaluation histories, whatever its layout."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import lay_out, pack_lanes
from hrec_tf.data.prefixes import (
    batches_by_length,
    lay_out_rows,
    prefix_rows,
    sequence_rows,
    targets_of,
)
from hrec_tf.schema import PREFIXES, SESSION_PARALLEL

Window = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]
"""Events, next item ids, and at each place the event that it predicts, or -1."""


def padded_windows(
    histories: Histories, *, model: Any, num_lanes: int | None, is_point: np.ndarray
) -> Iterator[Window]:
    """Lays prefixes or sequences out, rows of like lengths side by side."""
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


def lane_windows(
    histories: Histories,
    *,
    model: Any,
    num_lanes: int | None,
    steps: int,
    is_point: np.ndarray,
) -> Iterator[Window]:
    """Lays histories out in lanes, window by window."""
    layout = model.layout
    offsets = histories.session_offsets if layout == SESSION_PARALLEL else histories.user_offsets
    sizes = np.diff(offsets)
    if num_lanes is None:
        num_lanes = int(np.clip(sizes.sum() // sizes.max(), 32, 256))
    lanes = pack_lanes(
        histories,
        layout=layout,
        num_lanes=min(num_lanes, len(sizes)),
        steps=steps,
        order=np.argsort(-sizes, kind="stable"),  # long ones first: the lanes end together
        feed_last_item=model.feed_last_item,
    )
    events, next_item_ids, _ = lay_out(histories, lanes, layout=layout, steps=steps)
    target = np.minimum(lanes.inputs + 1, histories.num_events - 1)
    predicts = is_point[target] & (target > lanes.inputs)
    point_of = lanes.windows(np.where(predicts, target, -1), steps=steps, idle=-1)
    for window in range(len(point_of)):
        here = {name: values[window] for name, values in events.items()}
        yield here, next_item_ids[window], point_of[window]
