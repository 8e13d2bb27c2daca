"""Chunks: several windows of a stream at a time, for one compiled call."""

from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf.schema import ITEM_IDS, SESSION_START, USER_START

# A chunk is long enough that a call's overhead (about 0.4 ms) is small beside its events.
EVENTS_PER_CHUNK = 16_384
MAX_WINDOWS_PER_CHUNK = 256


def chunks_of(
    stream: tf.data.Dataset, *, num_items: int, windows_per_chunk: int | None
) -> tf.data.Dataset:
    """Batches the windows of a stream, and pads the last batch to the size of the others.

    Args:
        stream: of windows (events, next_item_ids, weights), each (num_lanes, steps).
        num_items: ids above it are counted.
        windows_per_chunk: size of a chunk; chosen by the window's size if None.

    Returns:
        Dataset of (windows, first_window, num_windows, stray_id): windows with a leading axis
        of the chunk's size, the number of the first, how many are not padding, and an item id
        outside 0..num_items, or 0 if there is none.

    Raises:
        ValueError: `stream` is not a stream of windows.
    """
    num_lanes, steps = window_shape(stream)
    size = windows_per_chunk or min(
        MAX_WINDOWS_PER_CHUNK, max(1, EVENTS_PER_CHUNK // (num_lanes * steps))
    )

    def pad(number, windows):
        events, next_item_ids, weights = windows
        num_windows = tf.shape(weights)[0]

        def to_size(values):
            padded = tf.pad(values, [[0, size - num_windows], [0, 0], [0, 0]])
            return tf.ensure_shape(padded, (size, num_lanes, steps))

        ids = tf.stack([events[ITEM_IDS], next_item_ids])
        highest, lowest = tf.reduce_max(ids), tf.reduce_min(ids)
        stray = tf.where(lowest < 0, lowest, tf.where(highest > num_items, highest, 0))
        first_window = tf.cast(number, tf.int32) * size
        return tf.nest.map_structure(to_size, windows), first_window, num_windows, stray

    return stream.batch(size).enumerate().map(lambda n, *w: pad(n, *w)).prefetch(2)


def window_shape(stream: Any) -> tuple[int, int]:
    """Checks that `stream` is one of windows, and returns their (num_lanes, steps)."""
    spec: Any = getattr(stream, "element_spec", None)
    fits = (
        isinstance(spec, tuple)
        and len(spec) == 3
        and isinstance(spec[0], dict)
        and {ITEM_IDS, SESSION_START, USER_START} <= set(spec[0])
        and None not in (spec[0][ITEM_IDS].shape.rank, *spec[0][ITEM_IDS].shape)
    )
    if not fits:
        raise ValueError(
            f"`x` must be a stream of (events, next_item_ids, weights), but was {spec or stream!r}"
            ". Make it with `user_parallel_stream(histories, num_lanes=100)` or another stream "
            "of hrec_tf.data."
        )
    num_lanes, steps = spec[0][ITEM_IDS].shape
    return num_lanes, steps


def require_known_ids(stray_id: int, num_items: int) -> None:
    """Raises if a chunk holds an item that the model does not know.

    A look-up compiled by XLA would read some other row without a word.
    """
    if stray_id:
        raise ValueError(
            f"`item_ids` holds {stray_id}, but this model knows ids 1..{num_items}. Encode the "
            "log with the vocabulary that `num_items` was taken from."
        )


def require_finite(loss: float, where: str, first_window: int, num_windows: int) -> None:
    """Raises if a loss is NaN or infinite, naming the windows that made it so."""
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"The loss or a score became {loss} in {where}, in windows {first_window} to "
            f"{first_window + num_windows - 1}. It must stay finite. Lower the learning rate, or "
            "pass `clipnorm` to the optimizer."
        )
