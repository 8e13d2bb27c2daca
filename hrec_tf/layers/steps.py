"""The steps of a window for layers that look back: its events at the front, and whose they are."""

import tensorflow as tf
from keras import ops


class Window:
    """A window of lanes whose events were moved to the front, the padding behind them.

    There, "k events before" is k steps before, and what was carried from the windows before
    stands in front of the first step. Of two steps with one number in `users`, the earlier one
    may be seen from the later; 0 is the user that the window begins with.

    Args:
        inputs: (batch, steps, features), as the window holds them.
        reset: bool (batch, steps), events that begin a user; those of padding do not count; or
            None.
        is_event: bool (batch, steps), false where a step is padding; or None.

    Example:
        >>> inputs = tf.constant([[[1.0], [9], [2], [3]]])
        >>> reset = tf.constant([[False, False, False, True]])
        >>> window = Window(inputs, reset, is_event=tf.constant([[True, False, True, True]]))
        >>> window.pack(inputs).numpy().ravel().tolist(), window.users.numpy().ravel().tolist()
        ([1.0, 2.0, 3.0, 9.0], [0, 0, 1, 1])
    """

    def __init__(self, inputs, reset=None, is_event=None):
        self.batch, self.steps = ops.shape(inputs)[:2]
        self._order = None
        self._num_events = tf.fill([self.batch], self.steps)
        if is_event is not None:
            step = tf.range(self.steps)
            # All keys differ, so that the events stay in their order whatever the sort.
            self._order = tf.argsort(tf.where(is_event, step, step + self.steps))
            self._num_until = tf.cumsum(tf.cast(is_event, tf.int32), axis=1)
            self._num_events = self._num_until[:, -1]
        self.users = tf.zeros((self.batch, self.steps), tf.int32)
        if reset is not None:
            begins = reset if is_event is None else reset & is_event
            self.users = tf.cumsum(self.pack(tf.cast(begins, tf.int32)), axis=1)

    def pack(self, values):
        """Moves the events of (batch, steps, ...) to the front."""
        return values if self._order is None else tf.gather(values, self._order, batch_dims=1)

    def unpack(self, values):
        """Moves them back; padding gets what the last event before it has, or zeros."""
        if self._order is None:
            return values
        last = tf.gather(values, tf.maximum(self._num_until - 1, 0), batch_dims=1)
        return tf.where(self._num_until[..., None] > 0, last, 0.0)

    def follow(self, state, values, num_carried: int):
        """Returns `[carried; values]` (batch, num_carried + steps, width), and their users."""
        carried = ops.reshape(state, (self.batch, num_carried, values.shape[-1]))
        users = tf.pad(self.users, [[0, 0], [num_carried, 0]])
        return tf.concat([carried, values], axis=1), users

    def carry(self, rows, users, num_carried: int):
        """Returns the state (batch, num_carried · width): the last rows, 0 if of users before."""
        last = self._num_events[:, None] + tf.range(num_carried)
        # By numbers: LiteRT's converter trips over a comparison here.
        others = tf.abs(tf.gather(users, last, batch_dims=1) - users[:, -1:])
        own = 1.0 - tf.cast(tf.minimum(others, 1), rows.dtype)
        kept = tf.gather(rows, last, batch_dims=1) * own[..., None]
        return ops.reshape(kept, (self.batch, num_carried * rows.shape[-1]))
