"""Models of padded rows, as small as they can be: what they read, and in which order, shows."""

import keras
import tensorflow as tf

from hrec_tf.layers.item_embedding import ItemEmbedding
from hrec_tf.layers.item_scores import ItemScores
from hrec_tf.models import PrefixModel
from hrec_tf.schema import ITEM_IDS, POSITIONS, SEQUENCES


@keras.saving.register_keras_serializable(package="hrec_tf_tests")
class TinyPrefixModel(PrefixModel):
    """The hidden state at position p is a weighted mean of the items 0..p, made wider.

    An event weighs half of the one after it:

        m = Σ_j 2^(j - p) x_j / Σ_j 2^(j - p),  j = 0..p
        h = tanh(W m + b)
    """

    def __init__(self, *, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.items = ItemEmbedding(self.num_items, 3, seed=self._seed_of(0))
        self.items.build()
        self.dense = keras.layers.Dense(units, activation="tanh")
        self.dense.build((None, None, 3))
        self.item_scores = ItemScores(self.num_items, units, seed=self._seed_of(1))
        self.item_scores.build()
        self.built = True

    def encode(self, events, states, training=False):
        item_ids, positions = events[ITEM_IDS], events[POSITIONS]
        ages = positions[:, :, None] - tf.range(tf.shape(item_ids)[1])
        is_read = (ages >= 0) & (item_ids != 0)[:, None]
        weights = tf.where(is_read, tf.pow(0.5, tf.cast(tf.maximum(ages, 0), tf.float32)), 0.0)
        weights /= tf.reduce_sum(weights, axis=2, keepdims=True)  # of a row of padding: NaN
        return self.dense(tf.matmul(weights, self.items(item_ids))), []

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)

    def get_config(self):
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable(package="hrec_tf_tests")
class TinySequenceModel(TinyPrefixModel):
    """The same with a target at each event of a row."""

    layout = SEQUENCES
