"""Reminders: how much likelier an item is because the user had it before."""

import keras
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.layers.listed_items import among, over_catalogue
from hrec_tf.schema import PADDING_ID


@keras.saving.register_keras_serializable(package="hrec_tf")
class Reminders(keras.layers.Layer):
    """What the scores of a user's last items gain, by how often and how long ago they came.

        n_j    = Σ_k 1[id_k = j] f_k exp(b_k),   n'_j = Σ_k 1[id_k = j] (1 - f_k) exp(b'_k)
        gain_j = (h w + v) log(1 + n_j) + (h w' + v') log(1 + n'_j)

    id_k is the item k events back, f_k whether it is of this session (`EventMemory`). b and b' are
    learnt for each k: while they are 0, n and n' are counts. What they are worth is up to the
    hidden state h, and may be below 0: in some logs nothing comes twice in a session. w, w', v and
    v' begin at 0, where nothing is gained.

    Source: ours. The logarithm of a sum over the times that an item came is the base-level
    activation of Anderson & Schooler, Psychological Science 1991,
    doi:10.1111/j.1467-9280.1991.tb00174.x; theirs are weighed by a power of the time, ours by the
    place. Two modes as of RepeatNet, Ren et al., AAAI 2019, arXiv:1812.02646, and reminders as of
    Jannach, Ludewig & Lerche, UMUAI 2017, doi:10.1007/s11257-017-9194-1; docs/equations.md B.9.

    Args:
        num_items: N; ids run 1..N.
        dim: size of h.
        size: M, events that may be reminded of.

    Call:
        hidden: float (..., dim).
        item_ids: int (..., at least M), id_k, the latest first; 0 is none.
        in_session: float (..., at least M), f_k.
        candidates: None for the whole catalogue, or int (..., candidates), as of `ItemScores`.
        Returns float (..., num_items), or (..., rows, candidates).
    """

    def __init__(self, num_items: int, dim: int, size: int, **kwargs):
        super().__init__(**kwargs)
        self.num_items, self.dim = num_items, dim
        self.size = checks.require_positive_int("size", size, mend="Pass events, e.g. 20.")

    def build(self, input_shape=None):
        self.weights_of_places = self.add_weight(
            name="weights_of_places", shape=(self.size, 2), initializer="zeros"
        )
        self.worth_kernel = self.add_weight(
            name="worth_kernel", shape=(self.dim, 2), initializer="zeros"
        )
        self.worth_bias = self.add_weight(name="worth_bias", shape=(2,), initializer="zeros")

    def gains(self, hidden, item_ids, in_session):
        """Returns float (..., M): an item that came several times has its gain in equal parts."""
        hidden = tf.cast(hidden, self.compute_dtype)
        worth = tf.linalg.matmul(hidden, tf.convert_to_tensor(self.worth_kernel)) + self.worth_bias
        weights = tf.exp(tf.convert_to_tensor(self.weights_of_places))
        same = tf.cast(item_ids[..., :, None] == item_ids[..., None, :], self.compute_dtype)
        kinds = tf.stack([in_session, 1.0 - in_session], axis=-2) * tf.transpose(weights)
        # n, n' and how often the item is listed, of all places at once: (..., 3, M).
        sums = tf.linalg.matmul(tf.concat([kinds, tf.ones_like(kinds[..., :1, :])], -2), same)
        gains = tf.reduce_sum(worth[..., None] * tf.math.log(1.0 + sums[..., :2, :]), axis=-2)
        gains /= sums[..., 2, :]
        return tf.where(item_ids == PADDING_ID, tf.zeros_like(gains), gains)

    def call(self, hidden, item_ids, in_session, candidates=None):
        item_ids, in_session = item_ids[..., : self.size], in_session[..., : self.size]
        gains = self.gains(hidden, item_ids, in_session)
        if candidates is None:
            return over_catalogue(item_ids, gains, self.num_items)
        return among(candidates, item_ids, gains, self.num_items)

    def get_config(self):
        config = {"num_items": self.num_items, "dim": self.dim, "size": self.size}
        return super().get_config() | config
