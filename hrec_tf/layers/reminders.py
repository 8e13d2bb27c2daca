"""Reminders: how much likelier an item is because the user had it before."""

import keras
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.layers.listed_items import among, over_catalogue
from hrec_tf.schema import PADDING_ID


@keras.saving.register_keras_serializable(package="hrec_tf")
class Reminders(keras.layers.Layer):
    """What the scores of a user's last items gain, each by how long ago it came.

        gain_j = Σ_k 1[id_k = j] (f_k b_k g + (1 - f_k) b'_k g')
        g = σ(h w + v),   g' = σ(h w' + v')

    id_k is the item k events back, f_k whether it is of this session (`EventMemory`). b and b' are
    learnt for each k and may be below 0: in some logs nothing comes twice in a session. How far
    they count is up to the hidden state h. All begin at 0, where nothing is gained.

    Source: ours, after the two modes of RepeatNet, Ren et al., AAAI 2019, arXiv:1812.02646, whose
    repeat mode is a softmax of its own, and the reminders of Jannach, Ludewig & Lerche, UMUAI 2017,
    doi:10.1007/s11257-017-9194-1, which are counted; docs/equations.md B.9.

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
        self.boosts = self.add_weight(name="boosts", shape=(2, self.size), initializer="zeros")
        self.gate_kernel = self.add_weight(
            name="gate_kernel", shape=(self.dim, 2), initializer="zeros"
        )
        self.gate_bias = self.add_weight(name="gate_bias", shape=(2,), initializer="zeros")

    def gains(self, hidden, item_ids, in_session):
        """Returns float (..., M), what the item of each event gains by it."""
        hidden = tf.cast(hidden, self.compute_dtype)
        gates = tf.sigmoid(
            tf.linalg.matmul(hidden, tf.convert_to_tensor(self.gate_kernel)) + self.gate_bias
        )
        here, before = (
            tf.convert_to_tensor(self.boosts)[kind] * gates[..., kind : kind + 1]
            for kind in range(2)
        )
        gains = in_session * here + (1.0 - in_session) * before
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
