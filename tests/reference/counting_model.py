"""A model whose scores can be written down: whole numbers, exact in float32."""

import numpy as np
import tensorflow as tf

from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.schema import ITEM_IDS, SESSION_PARALLEL, USER_PARALLEL, USER_START
from tests.reference.baseline_scores import contexts, count


class CountingModel(NextItemModel):
    """Scores = (counts of what was fed) A + (one-hot of the last item) B, in whole numbers."""

    def __init__(self, *, num_items, layout=USER_PARALLEL, feed_last_item=False, table=None):
        super().__init__(num_items=num_items)
        self.layout, self.feed_last_item = layout, feed_last_item
        rng = np.random.default_rng(7)
        if table is None:
            table = rng.integers(-9, 9, (2 * num_items, num_items))
        self.numpy_table = np.asarray(table, np.float64)
        self.table = tf.constant(table, tf.float32)
        self.built = True

    def initial_states(self, batch_size):
        return [tf.zeros((batch_size, self.num_items))]

    def encode(self, events, states, training=False):
        (counts,) = states
        one_hot = tf.one_hot(events[ITEM_IDS] - 1, self.num_items)  # zeros for padding
        hidden = []
        for step in range(events[ITEM_IDS].shape[1]):
            counts = tf.where(events[USER_START][:, step, None], 0.0, counts) + one_hot[:, step]
            hidden.append(tf.concat([counts, one_hot[:, step]], axis=-1))
        return tf.stack(hidden, axis=1), [counts]

    def score(self, hidden, item_ids=None):
        table = self.table if item_ids is None else tf.gather(self.table, item_ids - 1, axis=1)
        return tf.matmul(hidden, table)

    def slow_scores(self, histories, target):
        """The scores of one target, from its context alone."""
        past, so_far = contexts(histories, target)
        if self.layout == SESSION_PARALLEL:
            past = []
        elif self.layout == USER_PARALLEL and not self.feed_last_item:
            past = fed_items(histories, target)
        fed = past + so_far
        vector = np.concatenate([count(fed, self.num_items), count(fed[-1:], self.num_items)])
        return vector @ self.numpy_table


def fed_items(histories, target):
    """Items of the user's earlier sessions without the last of each, which is only a target."""
    user = np.searchsorted(histories.user_offsets, target, side="right") - 1
    session = np.searchsorted(histories.session_offsets, target, side="right") - 1
    first = histories.user_offsets[user]
    events = range(first, histories.session_offsets[session])
    last = set((histories.session_offsets[1:] - 1).tolist())
    return [int(histories.item_ids[event]) for event in events if event not in last]


def slow_counts(scores, item_id, candidates=None):
    """How many other candidates score above and equal to `item_id`, one by one."""
    candidates = range(1, len(scores) + 1) if candidates is None else candidates
    others = [scores[item - 1] for item in candidates if item != item_id]
    own = scores[item_id - 1]
    return sum(score > own for score in others), sum(score == own for score in others)
