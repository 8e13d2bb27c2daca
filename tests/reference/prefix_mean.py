"""A small model of prefixes, for what works with any of them: the mean of the items read."""

from types import MappingProxyType

import keras
import tensorflow as tf

from hrec_tf import registry
from hrec_tf.models.prefix_model import PrefixModel
from hrec_tf.schema import PREFIXES


class PrefixMean(PrefixModel):
    """Logits = E mean(x_1..x_j), with dropout on the mean."""

    def __init__(self, *, num_items, item_dim=4, dropout=0.0, max_length=None, seed=None, **kwargs):
        super().__init__(num_items=num_items, max_length=max_length, seed=seed, **kwargs)
        self.item_dim, self.rate = item_dim, dropout
        self.dropout = keras.layers.Dropout(dropout, seed=self._seed_of(1))
        shape, initial = (num_items + 1, item_dim), keras.initializers.GlorotUniform(seed)
        self.table = self.add_weight(shape=shape, initializer=initial, name="items")
        self.built = True

    def encode(self, events, states, training=False):
        is_read = tf.cast(self.is_read(events), tf.float32)[..., None]
        items = tf.gather(self.table, events["item_ids"]) * is_read
        mean = tf.reduce_sum(items, axis=1) / tf.maximum(tf.reduce_sum(is_read, axis=1), 1.0)
        return self.dropout(mean, training=training)[:, None], []

    def score(self, hidden, item_ids=None):
        table = tf.convert_to_tensor(self.table)
        if item_ids is None:
            return tf.matmul(hidden, table[1:], transpose_b=True)
        return tf.matmul(hidden, tf.gather(table, item_ids), transpose_b=True)

    def get_config(self):
        return super().get_config() | {"item_dim": self.item_dim, "dropout": self.rate}


ENTRY = registry.Entry(
    "prefix-mean",
    "Prefix mean",
    registry.MODEL,
    "tests.reference.prefix_mean:PrefixMean",
    PREFIXES,
    "none",
    "for tests",
    use="seeing that a model of one file is trained",
    # Only classes of hrec_tf are asked for their own.
    arguments=MappingProxyType({"dropout": 0.2}),
    variants=MappingProxyType({"dropout": (0.0,)}),
)
VALUES = {
    "model": "prefix-mean",
    "source": "tests",
    "optimizer": {"name": "adam", "learning_rate": 0.05},
    "loss": {"name": "cross_entropy", "normalise": "valid"},
    "stream": {"batch_size": 16},
    "epochs": 12,
}


def register(monkeypatch):
    """Adds the model to the registry, for one test."""
    monkeypatch.setitem(registry._ZOO, ENTRY.name, ENTRY)
