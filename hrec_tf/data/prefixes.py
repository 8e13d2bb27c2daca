"""Prefixes: padded rows of events, each read from its first event on, no state carried over.

| stream            | a row is                                  | its targets                |
|-------------------|-------------------------------------------|----------------------------|
| `prefix_stream`   | one prefix x_1..x_j of a session          | x_{j+1}                    |
| `sequence_stream` | a whole session x_1..x_{L-1}              | x_2..x_L, one at each event|

A log whose users are one sequence each (`sessions.one_per_user`) has their whole histories as
sessions. Rows are pairs of indices into the histories; events are laid out batch by batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.schema import ITEM_IDS, PADDED_LAYOUTS, PADDING_ID, POSITIONS, PREFIXES, SEQUENCES

ORDERS = ("random", "given")
BATCHES_PER_POOL = 16


@dataclass(frozen=True, eq=False)
class Rows:
    """Stretches of events: row r reads events `first[r]` to `last[r]`, both included.

    Its targets are the events after those it reads: the one after `last[r]` in a row of
    `prefix_rows`, all from `first[r] + 1` to `last[r] + 1` in a row of `sequence_rows`.

    Attributes:
        first, last: int64 (num_rows,), indices of events.
    """

    first: np.ndarray
    last: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Int64 (num_rows,), events that a row reads."""
        return self.last - self.first + 1

    def take(self, rows: np.ndarray) -> "Rows":
        """Returns some of the rows, in the order given."""
        return Rows(self.first[rows], self.last[rows])


def prefix_rows(
    histories: Histories, targets: np.ndarray, *, max_length: int | None = None
) -> Rows:
    """Returns the prefixes before some events.

    Args:
        histories: `Histories`.
        targets: int64 (num_targets,), events with another one before them in their session.
        max_length: events of a prefix at the most, the latest; all if None.

    Example:
        >>> histories = Histories.from_lists([[[5, 6, 7]], [[8, 9]]])
        >>> rows = prefix_rows(histories, np.array([1, 2, 4]))
        >>> rows.first.tolist(), rows.last.tolist()
        ([0, 0, 3], [0, 1, 3])
    """
    session = np.searchsorted(histories.session_offsets, targets, side="right") - 1
    first = histories.session_offsets[session]
    if max_length is not None:
        first = np.maximum(first, targets - max_length)
    return Rows(first, targets - 1)


def sequence_rows(histories: Histories, targets: np.ndarray) -> Rows:
    """Returns a row for each session that holds some of these targets, up to its last one."""
    session = np.searchsorted(histories.session_offsets, targets, side="right") - 1
    held = np.unique(session)
    last_target = targets[np.searchsorted(session, held, side="right") - 1]
    return Rows(histories.session_offsets[held], last_target - 1)


def lay_out_rows(
    histories: Histories, rows: Rows, *, layout: str, batch_size: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Lays rows out in a padded batch, as long as the longest.

    Args:
        histories: `Histories`.
        rows: at most `batch_size`; the rest of the batch is padding of weight 0.
        layout: "prefixes" or "sequences".
        batch_size: rows of the batch.

    Returns:
        `(events, next_item_ids, weights)`, see `padded_stream`.
    """
    first, lengths = (_filled(values, batch_size) for values in (rows.first, rows.lengths))
    steps = np.arange(lengths.max())
    is_event = steps < lengths[:, None]
    event = np.where(is_event, first[:, None] + steps, 0)
    item_ids = np.where(is_event, histories.item_ids[event], PADDING_ID)
    positions = np.broadcast_to(steps, is_event.shape)
    if layout == PREFIXES:
        positions = np.maximum(lengths - 1, 0)[:, None]
    events = {ITEM_IDS: item_ids.astype(np.int32), POSITIONS: positions.astype(np.int32)}
    target = targets_of(rows, layout=layout, batch_size=batch_size)
    next_item_ids = np.where(target >= 0, histories.item_ids[target], PADDING_ID)
    weights = np.where(target >= 0, histories.target_weights[target], 0)
    return events, next_item_ids.astype(np.int32), weights.astype(np.float32)


def targets_of(rows: Rows, *, layout: str, batch_size: int) -> np.ndarray:
    """Returns int64 (batch_size, targets), the event that is predicted at each place, or -1."""
    first, lengths = (_filled(values, batch_size) for values in (rows.first, rows.lengths))
    if layout == PREFIXES:
        return np.where(lengths > 0, first + lengths, -1)[:, None]
    steps = np.arange(lengths.max())
    return np.where(steps < lengths[:, None], first[:, None] + steps + 1, -1)


def _filled(values: np.ndarray, size: int) -> np.ndarray:
    return np.pad(values, (0, size - len(values)))


def batches_by_length(
    lengths: np.ndarray, *, batch_size: int, rng: np.random.Generator | None
) -> list[np.ndarray]:
    """Cuts rows into batches of like lengths.

    With a generator the rows are shuffled and cut into pools of 16 batches; inside a pool they
    are sorted by length, then all batches are shuffled. Without one they are sorted by length,
    long ones first.

    Returns:
        Numbers of the rows of each batch; one batch may be shorter than the others.
    """
    if rng is None:
        order = np.argsort(-lengths, kind="stable")
        return np.split(order, range(batch_size, len(order), batch_size))
    order, batches, size = rng.permutation(len(lengths)), [], BATCHES_PER_POOL * batch_size
    for pool in np.split(order, range(size, len(order), size)):
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += np.split(pool, range(batch_size, len(pool), batch_size))
    return [batches[number] for number in rng.permutation(len(batches))]


def padded_stream(
    histories: Histories,
    *,
    layout: str,
    batch_size: int,
    order: str = "random",
    seed: int | None = None,
    augment: bool = True,
    max_length: int | None = None,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """Streams sessions in padded rows of like lengths; nothing is carried between batches.

    Each iteration is the next epoch, batched in the order that follows from (seed, epoch)
    alone; `skip(n)` starts it at any batch, and the stream's own `from_epoch(n)` at any epoch.

    Args:
        histories: `Histories`. Targets of weight 0 are no examples.
        layout: "prefixes" or "sequences" (see the module).
        batch_size: rows of a batch. The one short batch of an epoch, which may stand anywhere
            in it, is filled up with rows of weight 0.
        order: "random" (see `batches_by_length`) or "given" (by length alone).
        seed: of the random orders; 0 if None.
        augment: every prefix is an example; False keeps each session's longest.
        max_length: events of a prefix at the most, the latest; all if None.
        first_epoch: number of the epoch that the first iteration is.

    Returns:
        Dataset of `(events, next_item_ids, weights)`: events a dict of `item_ids` int32
        (batch_size, steps), padded at the end by 0, and `positions` int32 (batch_size, targets),
        the step after which each target is to be predicted; next_item_ids int32 and weights
        float32 (batch_size, targets). Prefixes have one target, sequences one per step.

    Raises:
        ValueError: a bad argument, one that would be ignored, or histories without a target.
    """
    settings: dict[str, Any] = {
        "layout": layout,
        "batch_size": batch_size,
        "order": order,
        "seed": seed,
        "augment": augment,
        "max_length": max_length,
    }
    targets = _targets(histories, first_epoch=first_epoch, **settings)
    if layout == PREFIXES:
        rows, num_targets = prefix_rows(histories, targets, max_length=max_length), 1
    else:
        rows, num_targets = sequence_rows(histories, targets), None
    epoch_number = first_epoch

    def batches() -> Iterator[tuple]:
        nonlocal epoch_number
        rng = np.random.default_rng((seed or 0, epoch_number)) if order == "random" else None
        epoch_number += 1
        for batch in batches_by_length(rows.lengths, batch_size=batch_size, rng=rng):
            yield lay_out_rows(histories, rows.take(batch), layout=layout, batch_size=batch_size)

    def spec(size: int | None, dtype: tf.DType) -> tf.TensorSpec:
        return tf.TensorSpec((batch_size, size), dtype)

    events = {ITEM_IDS: spec(None, tf.int32), POSITIONS: spec(num_targets, tf.int32)}
    signature = (events, spec(num_targets, tf.int32), spec(num_targets, tf.float32))
    stream = tf.data.Dataset.from_generator(batches, output_signature=signature)
    stream = stream.prefetch(tf.data.AUTOTUNE)
    # What a model checks before it trains; a stream that was taken further has lost them.
    stream.layout, stream.max_length = layout, max_length
    # What a training that is resumed asks of it.
    stream.first_epoch = first_epoch
    stream.from_epoch = lambda epoch: padded_stream(histories, first_epoch=epoch, **settings)
    stream.identity = lambda: settings | {"data": histories.fingerprint}
    return stream


def _targets(
    histories: Histories,
    *,
    layout: str,
    batch_size: int,
    order: str,
    seed: int | None,
    augment: bool,
    max_length: int | None,
    first_epoch: int,
) -> np.ndarray:
    """Checks the arguments of a stream and returns its targets, indices of events."""
    checks.require_choice("layout", layout, PADDED_LAYOUTS)
    checks.require_choice("order", order, ORDERS)
    checks.require_positive_int("batch_size", batch_size, mend="Pass e.g. 512.")
    checks.require_int_at_least("seed", seed or 0, minimum=0, mend="Pass e.g. seed=0.")
    checks.require_int_at_least(
        "first_epoch", first_epoch, minimum=0, mend="Pass the number of epochs already played."
    )
    if seed is not None and order != "random":
        raise ValueError(
            f"`seed` was {seed} with order={order!r}, where nothing is drawn. Leave it out, or "
            "pass order='random'."
        )
    if max_length is not None:
        checks.require_positive_int("max_length", max_length, mend="Leave it out for all events.")
    for name, is_set in (("max_length", max_length is not None), ("augment", not augment)):
        if is_set and layout != PREFIXES:
            raise ValueError(
                f"`{name}` was set for a {layout!r} stream, whose rows are whole sessions, so it "
                "would be ignored. Leave it out, or use `prefix_stream`."
            )
    is_target = (histories.target_weights > 0) & ~histories.session_starts
    if not augment:
        is_last = np.zeros(histories.num_events, bool)
        is_last[histories.session_offsets[1:] - 1] = True
        is_target &= is_last
    targets = np.flatnonzero(is_target)
    if not len(targets):
        raise ValueError(
            f"`histories` holds {histories.num_events} events but no target with an event before "
            "it. At least one session of two events is needed. Check how sessions were cut and "
            "filtered."
        )
    return targets


def prefix_stream(
    histories: Histories,
    *,
    batch_size: int,
    order: str = "random",
    seed: int | None = None,
    augment: bool = True,
    max_length: int | None = None,
) -> tf.data.Dataset:
    """Every prefix of every session an example: x_1..x_j -> x_{j+1}.

    Arguments, result and errors are those of `padded_stream`.

    Source: the batches of NARM, STAMP and HCRNN. Those are drawn at random and padded to the
    longest of all lengths; ours hold like lengths.
    """
    return padded_stream(
        histories,
        layout=PREFIXES,
        batch_size=batch_size,
        order=order,
        seed=seed,
        augment=augment,
        max_length=max_length,
    )


def sequence_stream(
    histories: Histories, *, batch_size: int, order: str = "random", seed: int | None = None
) -> tf.data.Dataset:
    """Whole sessions, a target at each event: for models that read causally.

    Arguments, result and errors are those of `padded_stream`.
    """
    return padded_stream(histories, layout=SEQUENCES, batch_size=batch_size, order=order, seed=seed)
