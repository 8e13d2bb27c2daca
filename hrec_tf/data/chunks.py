"""Chunks: several windows of a stream at a time, for one compiled call."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf.schema import ITEM_IDS, PADDED_LAYOUTS, POSITIONS, SESSION_START, USER_START

# A chunk is long enough that a call's overhead (about 0.4 ms) is small beside its events.
EVENTS_PER_CHUNK = 16_384
MAX_WINDOWS_PER_CHUNK = 256


@dataclass(frozen=True, eq=False)
class ChunkEdge:
    """Where a pass over a stream stands between two chunks: all that the next one needs.

    Attributes:
        chunks: how many are done.
        loss_sum, events: sums of the losses and of the weights of their pairs.
        seconds: what they took.
        states: carried over to the next window; None before the first.
    """

    chunks: int = 0
    loss_sum: float = 0.0
    events: float = 0.0
    seconds: float = 0.0
    states: list[tf.Tensor] | None = None

    @property
    def loss(self) -> float:
        """The mean over the pairs so far."""
        return self.loss_sum / max(self.events, 1.0)

    @property
    def logs(self) -> dict[str, float]:
        """What callbacks are told of a training; nothing before the first chunk."""
        if not self.chunks:
            return {}
        speed = self.events / self.seconds
        return {"loss": self.loss, "events": self.events, "events_per_second": speed}


def play(
    stream: tf.data.Dataset,
    run_chunk: Callable,
    *,
    num_items: int,
    windows_per_chunk: int | None,
    initial_states: Callable[[int], list[tf.Tensor]],
    where: str,
    on_begin: Callable[[int], None],
    edge: ChunkEdge,
) -> Iterator[ChunkEdge]:
    """Runs the chunks of a stream one after the other, and yields the edge after each.

    Args:
        stream: of windows.
        run_chunk: (windows, first_window, num_windows, states) -> states, and the sums of the
            chunk's losses and weights.
        num_items, windows_per_chunk: see `chunks_of`.
        initial_states: number of lanes -> states.
        where: names the pass in messages.
        on_begin: takes the number of a chunk that is about to be run.
        edge: where to begin; the chunks before it are passed over.

    Raises:
        ValueError: an item that is not known.
        FloatingPointError: a loss that is NaN or infinite.
    """
    begin = time.perf_counter() - edge.seconds
    chunks = chunks_of(
        stream,
        num_items=num_items,
        windows_per_chunk=windows_per_chunk,
        first_chunk=edge.chunks,
    )
    for windows, first_window, num_windows, stray_id in chunks:
        on_begin(edge.chunks)
        require_known_ids(stray_id, num_items)
        # Every lane begins with a new user, so an epoch begins from any states.
        states = edge.states or initial_states(windows[1].shape[1])
        states, loss, events = run_chunk(windows, first_window, num_windows, states)
        edge = ChunkEdge(
            chunks=edge.chunks + 1,
            loss_sum=edge.loss_sum + float(loss),
            events=edge.events + float(events),
            seconds=time.perf_counter() - begin,
            states=states,
        )
        require_finite(edge.loss_sum, where, int(first_window), int(num_windows))
        yield edge


def chunks_of(
    stream: tf.data.Dataset,
    *,
    num_items: int,
    windows_per_chunk: int | None,
    first_chunk: int = 0,
) -> Iterator[tuple]:
    """Batches the windows of a stream, and pads the last batch to the size of the others.

    Args:
        stream: of windows (events, next_item_ids, weights), each (num_lanes, steps).
        num_items: ids above it are counted.
        windows_per_chunk: size of a chunk; chosen by the window's size if None. Padded batches
            differ in length, so each is a chunk of its own.
        first_chunk: chunks before this one are passed over.

    Yields:
        (windows, first_window, num_windows, stray_id): windows with a leading axis of the chunk's
        size, the number of the first, how many are not padding, and an item id outside
        0..num_items, or 0 if there is none.

    Raises:
        ValueError: `stream` is not a stream of windows.
    """
    num_lanes, steps = window_shape(stream)
    if steps is None:
        size = 1
    else:
        fitting = EVENTS_PER_CHUNK // (num_lanes * steps)
        size = windows_per_chunk or min(MAX_WINDOWS_PER_CHUNK, max(1, fitting))

    def padded() -> Iterator[tuple]:
        chunks = itertools.islice(_in_chunks(stream, size), first_chunk, None)
        for number, windows in enumerate(chunks, first_chunk):
            events, next_item_ids, weights = windows
            ids = (events[ITEM_IDS], next_item_ids)
            lowest, highest = min(map(np.min, ids)), max(map(np.max, ids))
            stray = lowest if lowest < 0 else highest if highest > num_items else 0
            missing = size - len(weights)
            yield (
                tf.nest.map_structure(lambda values, more=missing: _pad(values, more), windows),
                tf.constant(number * size, tf.int32),
                tf.constant(len(weights), tf.int32),
                int(stray),
            )

    return _made_ahead(padded())


def _in_chunks(stream: tf.data.Dataset, size: int) -> Iterator[tuple]:
    # A stream that was taken further knows its windows one by one only.
    if hasattr(stream, "in_chunks"):
        return stream.in_chunks(size)
    return stream.batch(size).as_numpy_iterator()


def _pad(values: np.ndarray, more: int) -> tf.Tensor:
    if more:
        values = np.concatenate([values, np.zeros((more, *values.shape[1:]), values.dtype)])
    return tf.convert_to_tensor(values)


def _made_ahead(chunks: Iterator[tuple]) -> Iterator[tuple]:
    """Yields chunks while a thread makes the next two."""
    with ThreadPoolExecutor(1, "chunks") as thread:
        waiting = deque(thread.submit(next, chunks, None) for _ in range(2))
        while (chunk := waiting.popleft().result()) is not None:
            waiting.append(thread.submit(next, chunks, None))
            yield chunk


def window_shape(stream: Any) -> tuple[int, int | None]:
    """Checks that `stream` is one of windows, and returns their (num_lanes, steps).

    Padded batches are windows, too: their rows are the lanes, and their steps None, since one
    is longer than the other.
    """
    spec: Any = getattr(stream, "element_spec", None)
    if not _is_stream(spec):
        raise ValueError(
            f"`x` must be a stream of (events, next_item_ids, weights), but was {spec or stream!r}"
            ". Make it with `user_parallel_stream(histories, num_lanes=100)` or another stream "
            "of hrec_tf.data."
        )
    num_lanes, steps = spec[0][ITEM_IDS].shape
    return num_lanes, steps


def _is_stream(spec: Any) -> bool:
    is_triple = isinstance(spec, tuple) and len(spec) == 3 and isinstance(spec[0], dict)
    if not is_triple or ITEM_IDS not in spec[0] or spec[0][ITEM_IDS].shape.rank != 2:
        return False
    num_lanes, steps = spec[0][ITEM_IDS].shape
    if POSITIONS in spec[0]:
        return num_lanes is not None
    return {SESSION_START, USER_START} <= set(spec[0]) and None not in (num_lanes, steps)


def _maker(layout: str) -> str:
    return {"prefixes": "prefix_stream", "sequences": "sequence_stream"}.get(
        layout, f"{layout}_stream"
    )


def require_layout(stream: Any, model: Any) -> None:
    """Refuses a stream that says it is packed in a way that this model is not made for."""
    _, steps = window_shape(stream)
    if (steps is None) != (model.layout in PADDED_LAYOUTS):
        kinds = ("lanes", "padded batches")
        raise ValueError(
            f"`x` is a stream of {kinds[steps is None]}, but {type(model).__name__} reads "
            f"{kinds[steps is not None]}. Make it with `{_maker(model.layout)}`."
        )
    layout, layouts = getattr(stream, "layout", None), model.trains_on
    if layout is not None and layout not in layouts:
        raise ValueError(
            f"`x` is a {layout} stream, but {type(model).__name__} is trained on "
            f"{' or '.join(layouts)} streams. Make it with `{_maker(model.layout)}`."
        )
    # A stream that was taken further no longer says how it was made.
    for name in ("feed_last_item", "reads_gaps", "reads_minutes", "reads_users", "max_length"):
        made, wanted = getattr(stream, name, _UNSAID), getattr(model, name)
        if made is not _UNSAID and made != wanted:
            raise ValueError(
                f"`x` was made with {name}={made}, but the model with {name}={wanted}. Make both "
                "with the same value."
            )


_UNSAID = object()


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
