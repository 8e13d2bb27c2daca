"""Fits HCRNN-3 with bi-channel attention on prefixes of shopping baskets, and reads it.

python examples/fit_hcrnn.py            # the bundled log, ten epochs
python examples/fit_hcrnn.py --small    # a part of it
"""

import argparse

import keras

from hrec_tf.data import (
    Vocabulary,
    bootstrapped_histories,
    catalogue,
    filters,
    histories_from_log,
    splits,
)
from hrec_tf.data.prefixes import prefix_stream
from hrec_tf.evaluation import evaluate
from hrec_tf.losses import CrossEntropy
from hrec_tf.metrics import MRR, Recall
from hrec_tf.models import HCRNN

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--small", action="store_true", help="60 users, 20 units, prefixes of 10")
parser.add_argument("--epochs", type=int, default=None)
options = parser.parse_args()
epochs = options.epochs or (2 if options.small else 10)
longest = 10 if options.small else 50

entry = catalogue.entry("online-retail")
log = entry.prepare(entry.read())
if options.small:
    log = filters.first_users(log, 60)
split = splits.last_session_out(log)
vocabulary = Vocabulary.from_log(split.train)
train = histories_from_log(split.train, vocabulary)
test = bootstrapped_histories(split.train, split.test, vocabulary)

model = HCRNN(
    num_items=vocabulary.num_items,
    units=20 if options.small else 100,
    item_dim=20 if options.small else 100,
    num_contexts=10 if options.small else 50,
    attention="bi_channel",
    max_length=longest,  # of a longer basket the latest are read, in training and in use
    seed=1,
)
model.compile(
    optimizer=keras.optimizers.Adam(0.005 if options.small else 0.001),
    loss=CrossEntropy(normalise="valid"),
    metrics=[Recall(20), MRR(20)],
)
batch_size = 128 if options.small else 512
history = model.fit(
    prefix_stream(train, batch_size=batch_size, max_length=longest, seed=1),
    validation_data=prefix_stream(test, batch_size=batch_size, max_length=longest, order="given"),
    epochs=epochs,
    verbose=0,
).history
for epoch, loss in enumerate(history["loss"]):
    recall, mrr = history["val_recall@20"][epoch], history["val_mrr@20"][epoch]
    print(f"epoch {epoch + 1}: loss {loss:.4f}, Recall@20 {recall:.4f}, MRR@20 {mrr:.4f}")

found = evaluate(model, test, ks=(5, 20))
print("  ".join(f"{name} {value:.4f}" for name, value in found.metrics.items()))

# What the prediction after the tenth event of a basket looks back to.
session = test.session_offsets[-2]
basket = test.item_ids[session : session + 10]
told = model.explain(basket)
texts = entry.describe()
print("\nlast prediction's attention by context and by state, and the drift gate's mean")
for place, raw_id in enumerate(vocabulary.decode(basket)):
    by_context = told.attentions["context_attention"][-1, place]
    by_state = told.attentions["state_attention"][-1, place]
    drift = told.gates["drift"][place].mean()
    print(f"  {by_context:.3f}  {by_state:.3f}  {drift:.3f}  {texts[raw_id]}")
