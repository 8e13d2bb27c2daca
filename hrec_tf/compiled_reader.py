"""Readers of histories for exports: traced once for all that ask, or compiled by XLA.

XLA compiles anew for each shape, so that it is shown few of them.
"""

from typing import Any

import tensorflow as tf

from hrec_tf.readers import Events, SessionReader, StepReader
from hrec_tf.schema import FEEDBACK

SHORTEST = 8
"""Histories are padded to this length, twice this, and so on, as clients pad them."""
_SIZES = [2**power for power in range(31)]


class TracedReader:
    """What a reader does with whole histories, as one function of every graph that asks for it.

    Args:
        reader: any reader, whose attributes this one has.
    """

    def __init__(self, reader: Any):
        self._reader = reader
        self.replay = tf.function(reader.replay, autograph=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


class CompiledReader:
    """What a reader does with numbers, compiled; for 1, 2, 4, ... rows of 8, 16, 32, ... events.

    Args:
        reader: a `StepReader`, `PendingReader` or `SessionReader`, whose attributes this one has.
    """

    def __init__(self, reader: Any):
        self._reader = reader
        if isinstance(reader, StepReader | SessionReader):
            self._reader = reader.of_fixed_shapes()
        self._replay = tf.function(self._reader.replay, autograph=False, jit_compile=True)
        self._step = tf.function(self._reader.step, autograph=False, jit_compile=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def replay(self, events: Events, **context: tf.Tensor) -> Any:
        """Reads whole histories."""
        num, steps = tf.unstack(tf.shape(events.item_ids))
        rows = _bucket(num, 1) - num
        columns = _bucket(steps - 1, SHORTEST) + 1 - steps  # events have one column more
        padded = Events(*(_padded(part, rows, columns) for part in events))
        told = {
            name: _padded(given, rows, columns if name == FEEDBACK else 0)
            for name, given in context.items()
        }
        return _first_rows(self._replay(padded, **told), num)

    def step(self, *event_and_state: tf.Tensor, **context: tf.Tensor) -> Any:
        """Reads one more event of each user."""
        num = tf.shape(event_and_state[0])[0]
        rows = _bucket(num, 1) - num
        padded = [_padded(part, rows, 0) for part in event_and_state]
        told = {name: _padded(given, rows, 0) for name, given in context.items()}
        return _first_rows(self._step(*padded, **told), num)


def _bucket(size: tf.Tensor, least: int) -> tf.Tensor:
    """The smallest power of two that is not below `size` and `least`."""
    sizes = tf.constant([one for one in _SIZES if one >= least])
    return tf.reduce_min(tf.where(sizes >= size, sizes, sizes[-1]))


def _padded(values: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor | int) -> tf.Tensor:
    more = [[0, rows], [0, columns], [0, 0]]
    return tf.pad(values, more[: values.shape.rank])


def _first_rows(memory: Any, num: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda part: part[:num], memory)
