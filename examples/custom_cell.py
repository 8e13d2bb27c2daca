"""Trains a cell of one's own: any Keras RNN cell runs in our streams, with resets and padding.

    python examples/custom_cell.py            # the bundled log, a few minutes
    python examples/custom_cell.py --small    # a part of it, a quarter of a minute

The cell here is the minimal gated unit (Zhou et al. 2016, arXiv:1603.09420).
"""

import argparse

import keras
from keras import ops

from hrec_tf.data import (
    Vocabulary,
    bootstrapped_histories,
    catalogue,
    filters,
    histories_from_log,
    splits,
)
from hrec_tf.data.lanes import session_parallel_stream
from hrec_tf.evaluation import evaluate
from hrec_tf.layers import ItemEmbedding, ItemScores, Recurrence
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.models import NextItemModel
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.schema import ITEM_IDS, PADDING_ID, SESSION_PARALLEL, SESSION_START


class MinimalGatedCell(keras.layers.Layer):
    """f = σ(W_f [h; x]);  h~ = tanh(W_h [f ⊙ h; x]);  h' = (1 - f) ⊙ h + f ⊙ h~."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units
        self.gate = keras.layers.Dense(units, activation="sigmoid")
        self.content = keras.layers.Dense(units, activation="tanh")

    def build(self, input_shape):
        for dense in (self.gate, self.content):
            dense.build((None, self.units + input_shape[-1]))

    def call(self, inputs, states):
        (h,) = states
        f = self.gate(ops.concatenate([h, inputs], axis=-1))
        h = (1 - f) * h + f * self.content(ops.concatenate([f * h, inputs], axis=-1))
        return h, [h]


class MinimalGated4Rec(NextItemModel):
    """Next item in a session, by a `MinimalGatedCell` over tied item vectors."""

    layout = SESSION_PARALLEL  # the stream it is trained on

    def __init__(self, *, num_items, units=100, seed=None, **kwargs):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        self.items = ItemEmbedding(num_items, units, seed=seed)
        self.items.build()
        self.recurrence = Recurrence(MinimalGatedCell(units))
        self.recurrence.build((None, None, units))
        self.item_scores = ItemScores(num_items, units, table=self.items)
        self.item_scores.build()
        self.built = True

    def initial_states(self, batch_size):
        return self.recurrence.initial_states(batch_size)

    def encode(self, events, states, training=False):
        item_ids = events[ITEM_IDS]
        return self.recurrence(
            self.items(item_ids),
            initial_state=states,
            reset=events[SESSION_START],
            is_event=item_ids != PADDING_ID,
            training=training,
        )

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--small", action="store_true", help="60 users and 20 units")
options = parser.parse_args()
keras.utils.set_random_seed(1)

entry = catalogue.entry("online-retail")
log = entry.prepare(entry.read())
split = splits.last_session_out(filters.first_users(log, 60) if options.small else log)
vocabulary = Vocabulary.from_log(split.train)
model = MinimalGated4Rec(num_items=vocabulary.num_items, units=20 if options.small else 100, seed=1)
model.compile(optimizer=AdagradMomentum(0.1), loss=TOP1(), negatives=InBatch())
train = histories_from_log(split.train, vocabulary)
stream = session_parallel_stream(train, num_lanes=10 if options.small else 50)
history = model.fit(stream, epochs=2 if options.small else 10, verbose=0).history
print("loss per epoch:", ", ".join(f"{loss:.4f}" for loss in history["loss"]))
found = evaluate(model, bootstrapped_histories(split.train, split.test, vocabulary))
print("  ".join(f"{name} {value:.4f}" for name, value in found.metrics.items()))
