"""The last items of each user, kept beside a recurrence."""

import keras
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.layers.exact_numbers import ExactNumbers
from hrec_tf.layers.steps import Window
from hrec_tf.schema import PADDING_ID


@keras.saving.register_keras_serializable(package="hrec_tf")
class EventMemory(keras.layers.Layer):
    """Which items a user's last events had, and which of these events are of this session.

        id_k    the item k events back, from 0: this one; 0 where there are not so many
        f_k     1 if that event is of this session, 0 if of an earlier one or of none

    Both are float columns, so that they can go with a hidden state to where it is scored: of an id
    its digits, see `ExactNumbers`.

    Args:
        num_items: N; ids run 1..N.
        size: M, events that are remembered.

    Call:
        item_ids: int (batch, steps), 0 where a step is padding.
        session_start, user_start: bool (batch, steps).
        states: of `initial_states`, or of the window before.
        Returns columns (batch, steps, width), for `read`, and states.

    Example:
        >>> memory = EventMemory(9, 3)
        >>> never = tf.zeros((1, 2), bool)
        >>> columns, _ = memory(tf.constant([[4, 7]]), never, never, memory.initial_states(1))
        >>> item_ids, in_session = memory.read(columns)
        >>> item_ids.numpy().tolist(), in_session.numpy().tolist()
        ([[[4, 0, 0], [7, 4, 0]]], [[[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]])
    """

    def __init__(self, num_items: int, size: int, **kwargs):
        super().__init__(**kwargs)
        self.num_items = num_items
        self.size = checks.require_positive_int("size", size, mend="Pass events, e.g. 20.")
        self._numbers = ExactNumbers(num_items, self.compute_dtype)
        self._digits = self._numbers.num_digits

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.size * (self._digits + 1)

    def initial_states(self, batch_size) -> list[tf.Tensor]:
        """Returns the memory of users of whom nothing is known: ids, and f."""
        widths = self.size * self._digits, self.size
        return [tf.zeros((batch_size, width), self.compute_dtype) for width in widths]

    def call(self, item_ids, session_start, user_start, states):
        item_ids = tf.convert_to_tensor(item_ids)
        is_event = item_ids != PADDING_ID
        ids = self._numbers.split(item_ids)
        sequences = (ids, user_start), (tf.ones_like(ids[..., :1]), session_start | user_start)
        columns, new_states = [], []
        for state, (values, reset) in zip(states, sequences, strict=True):
            window = Window(values, reset, is_event)
            rows, owners = window.follow(state, window.pack(values), self.size)
            # Row t + size is the step's own event.
            places = tf.range(window.steps)[:, None] + tf.range(self.size, 0, -1)
            # By numbers, as in `Window.carry`.
            others = tf.abs(tf.gather(owners, places, axis=1) - window.users[..., None])
            own = 1.0 - tf.cast(tf.minimum(others, 1), values.dtype)
            held = tf.gather(rows, places, axis=1) * own[..., None]
            width = self.size * values.shape[-1]
            held = tf.reshape(held, (window.batch, window.steps, width))
            columns.append(window.unpack(held))
            new_states.append(window.carry(rows, owners, self.size))
        return tf.concat(columns, axis=-1), new_states

    def read(self, columns):
        """Returns int32 (..., size), the items, and float (..., size), f; the latest are first."""
        digits, in_session = tf.split(columns, [self.width - self.size, self.size], axis=-1)
        places = [digits[..., place :: self._digits] for place in range(self._digits)]
        return self._numbers.join(places), in_session

    def get_config(self):
        return super().get_config() | {"num_items": self.num_items, "size": self.size}
