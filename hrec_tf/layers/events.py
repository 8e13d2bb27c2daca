"""What happens at an event, as cells and tables take it."""

from keras import ops

from hrec_tf.schema import PADDING_ID


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


def known_users(user_ids, num_users):
    """Returns the ids with 0, an unknown user, in place of those above `num_users`.

    `Histories` number users whom no event of training is of after those of training.

    Args:
        user_ids: int (...).
        num_users: U.

    Example:
        >>> known_users(ops.convert_to_tensor([2, 0, 3]), 2).numpy().tolist()
        [2, 0, 0]
    """
    return ops.where(user_ids > num_users, PADDING_ID, user_ids)
