"""Joins what happens at an event into the one tensor that a Keras RNN cell takes."""

from keras import ops


def pack_events(items, session_start, user_start):
    """Returns (batch, steps, item features + 2): items, then the two flags.

    Args:
        items: (batch, steps, item_dim) embeddings, or int (batch, steps) item ids.
        session_start: bool (batch, steps), true on the first event of a session.
        user_start: bool (batch, steps), true on the first event of a user.

    Example:
        >>> pack_events([[7, 9]], [[True, False]], [[True, False]]).numpy().tolist()
        [[[7, 1, 1], [9, 0, 0]]]
    """
    items = ops.convert_to_tensor(items)
    if len(items.shape) == 2:
        items = ops.expand_dims(items, -1)
    flags = ops.cast(ops.stack([session_start, user_start], axis=-1), items.dtype)
    return ops.concatenate([items, flags], axis=-1)
