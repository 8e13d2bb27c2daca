"""Item neighbours inside a model's graph: what often shares a session with the last items."""

import keras
import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.layers.listed_items import among, over_catalogue

FLOOR = 0.01
"""ε: a similarity below which neighbours say little. Cosines of co-occurrence are in [0, 1]."""


@keras.saving.register_keras_serializable(package="hrec_tf")
class NeighbourScores(keras.layers.Layer):
    """What the scores of items gain that are similar to the last items of the session.

        n_j    = Σ_{k<L} f_k d^k sim(id_k, j) / Σ_{k<L} f_k d^k
        gain_j = w log(1 + n_j / ε)

    id_k is the item k events back, f_k whether it is of this session (`EventMemory`), sim the
    similarities that `Item-KNN` counted, of which each item has its K largest. exp(φ + gain) is
    the product of exp(φ) and (ε + n)^w, but for a factor that all items share: two softmaxes,
    blended in their logarithms. With L = 1, or d = 1 and L as long as the session, n is the score
    of `Item-KNN` with query="last", or "session".

    Nothing here is trained: the similarities are counted, and w is chosen on validation data.

    Source: ours; similarities: `hrec_tf.baselines.ItemKNN`; docs/equations.md B.10.

    Args:
        num_items: N; ids run 1..N.
        neighbours: K, similar items of each.
        events: L.
        decay: d, in (0, 1].

    Call:
        item_ids: int (..., at least L), id_k, the latest first; 0 is none.
        in_session: float (..., at least L), f_k.
        candidates: None for the whole catalogue, or int (..., candidates), as of `ItemScores`.
        Returns float (..., num_items), or (..., rows, candidates).
    """

    def __init__(
        self, num_items: int, neighbours: int, *, events: int = 3, decay: float = 0.5, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_items = num_items
        self.neighbours = checks.require_positive_int(
            "neighbours", neighbours, mend="Pass the similar items kept per item, e.g. 100."
        )
        self.events = checks.require_positive_int("events", events, mend="Pass e.g. 3.")
        self.decay = checks.require_number("decay", decay, minimum=0, mend="Pass e.g. 0.5.")
        if not 0 < self.decay <= 1:
            raise ValueError(
                f"`decay` was {decay!r}, but must be above 0 and at most 1: what an event counts "
                "beside the one after it. Pass e.g. 0.5."
            )

    def build(self, input_shape=None):
        shape, known = (self.num_items + 1, self.neighbours), {"trainable": False}
        self.neighbour_ids = self.add_weight(
            name="neighbour_ids", shape=shape, dtype="int32", initializer="zeros", **known
        )
        self.similarities = self.add_weight(
            name="similarities", shape=shape, initializer="zeros", autocast=False, **known
        )
        self.weight = self.add_weight(
            name="weight", shape=(1,), initializer="zeros", autocast=False, **known
        )

    def set_neighbours(self, similarities) -> None:
        """Sets the similarities.

        Args:
            similarities: a sparse matrix (num_items, num_items), `ItemKNN.similarities`: item id
                i in row and column i - 1, at most `neighbours` of a row.

        Raises:
            ValueError: another catalogue, or more neighbours.
        """
        rows = similarities.tocsr()
        counts = np.diff(rows.indptr)
        if rows.shape != (self.num_items,) * 2 or counts.max(initial=0) > self.neighbours:
            raise ValueError(
                f"`similarities` has shape {rows.shape} and up to {counts.max(initial=0)} "
                f"neighbours of an item, but this model has {self.num_items} items with at most "
                f"{self.neighbours}. Count them by ItemKNN(neighbours={self.neighbours}) on "
                "histories of the same vocabulary."
            )
        places = np.arange(rows.nnz) - np.repeat(rows.indptr[:-1], counts)
        item = np.repeat(np.arange(1, self.num_items + 1), counts)
        ids = np.zeros((self.num_items + 1, self.neighbours), np.int32)
        values = np.zeros(ids.shape, np.float32)
        ids[item, places], values[item, places] = rows.indices + 1, rows.data
        self.neighbour_ids.assign(ids)
        self.similarities.assign(values)

    def shares(self, item_ids, in_session, candidates=None):
        """Returns n, float32, of the shape of what the layer returns."""
        item_ids = item_ids[..., : self.events]
        counted = tf.cast(in_session[..., : self.events], tf.float32)
        counted *= tf.constant(self.decay ** np.arange(self.events), tf.float32)
        counted = tf.math.divide_no_nan(counted, tf.reduce_sum(counted, axis=-1, keepdims=True))
        votes = tf.gather(self.similarities.value, item_ids) * counted[..., None]
        listed = tf.concat([tf.shape(item_ids)[:-1], [self.events * self.neighbours]], 0)
        ids = tf.reshape(tf.gather(self.neighbour_ids.value, item_ids), listed)
        votes = tf.reshape(votes, listed)
        if candidates is None:
            return over_catalogue(ids, votes, self.num_items)
        return among(candidates, ids, votes, self.num_items)

    def call(self, item_ids, in_session, candidates=None):
        shares = self.shares(item_ids, in_session, candidates)
        gains = self.weight.value * tf.math.log1p(shares / FLOOR)
        return tf.cast(gains, self.compute_dtype)

    def get_config(self):
        return super().get_config() | {
            "num_items": self.num_items,
            "neighbours": self.neighbours,
            "events": self.events,
            "decay": self.decay,
        }
