"""Joins what happens at an event into the one tensor that a Keras RNN cell takes."""

from keras import ops


def pack_events(items, session_start, user_start, gap=None):
    """Returns (batch, steps, item features + 2): items, then the two flags.

    With `gap` one more, between the items and the flags.

    Args:
        items: (batch, steps, item_dim) embeddings, or int (batch, steps) item ids.
        session_start: bool (batch, steps), true on the first event of a session.
        user_start: bool (batch, steps), true on the first event of a user.
        gap: float (batch, steps), how long ago the event before was, for embeddings; or None.

    Example:
        >>> pack_events([[7, 9]], [[True, False]], [[True, False]]).numpy().tolist()
        [[[7, 1, 1], [9, 0, 0]]]
    """
    items = ops.convert_to_tensor(items)
    if len(items.shape) == 2:
        items = ops.expand_dims(items, -1)
    told = [session_start, user_start] if gap is None else [gap, session_start, user_start]
    told = [ops.cast(values, items.dtype) for values in told]
    return ops.concatenate([items, ops.stack(told, axis=-1)], axis=-1)
