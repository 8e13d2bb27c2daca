"""Finds the next items of HRNN through an index of TensorFlow Recommenders, block by block.

pip install 'hrec-tf[tfrs]'
python examples/tfrs_index.py            # the bundled log, a minute
python examples/tfrs_index.py --small    # a part of it, a quarter of a minute

`Streaming` never holds the scores of the whole catalogue; `BruteForce` copies the vectors and
multiplies once. Both list what the model itself scores highest. TensorFlow Recommenders needs
Keras 2 under the name `tf.keras`, which has to be said before TensorFlow is imported; the models
of hrec_tf are Keras 3 all the same.
"""

import argparse
import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf

from hrec_tf.data import Vocabulary, catalogue, filters, histories_from_log
from hrec_tf.data.lanes import user_parallel_stream
from hrec_tf.integrations.tfrs import brute_force_index, streaming_index
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.models import HRNN
from hrec_tf.optimizers import AdagradMomentum

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--small", action="store_true", help="60 users, 20 units")
options = parser.parse_args()

entry = catalogue.entry("online-retail")
log = entry.prepare(entry.read())
if options.small:
    log = filters.first_users(log, 60)
vocabulary = Vocabulary.from_log(log)
histories = histories_from_log(log, vocabulary)

units = 20 if options.small else 100
model = HRNN(num_items=vocabulary.num_items, session_units=units, user_units=units, seed=1)
model.compile(AdagradMomentum(0.1), loss=TOP1(), negatives=InBatch())
stream = user_parallel_stream(histories, num_lanes=16, steps=8)
losses = model.fit(stream, epochs=2 if options.small else 10, verbose=0).history["loss"]
print("loss per epoch: " + ", ".join(f"{loss:.4f}" for loss in losses))

# The hidden states of three users who have just bought something.
bought = tf.constant([1, 2, 3])
yes = [True, True, True]
hidden, _ = model.step(bought, yes, yes, model.step_states(3))

best = tf.math.top_k(model.score(hidden), k=5).indices + 1
for index in (streaming_index(model, k=5, block=256), brute_force_index(model, k=5)):
    scores, item_ids = index(hidden)
    equal = bool(np.array_equal(item_ids, best))
    print(f"{type(index).__name__}: the model's own list: {equal}")
    if not equal:
        raise SystemExit("The index and the model disagree.")
for item, following in zip(vocabulary.decode(bought), item_ids.numpy(), strict=True):
    print("after", item, "come", list(vocabulary.decode(following)))
