"""Fits GRU4Rec as of 2018 (tied item vectors, extra negatives, cross-entropy with logQ).

python examples/fit_gru4rec.py            # the bundled log, a few minutes
python examples/fit_gru4rec.py --small    # a part of it, a quarter of a minute
"""

import argparse

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
from hrec_tf.losses import CrossEntropy, InBatch
from hrec_tf.metrics import MRR, Recall
from hrec_tf.models import GRU4Rec
from hrec_tf.optimizers import AdagradMomentum

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--small", action="store_true", help="60 users, 20 units, 64 negatives")
parser.add_argument("--epochs", type=int, default=None)
options = parser.parse_args()
epochs = options.epochs or (2 if options.small else 10)

entry = catalogue.entry("online-retail")
log = entry.prepare(entry.read())
if options.small:
    log = filters.first_users(log, 60)
split = splits.last_session_out(log)
vocabulary = Vocabulary.from_log(split.train)
train = histories_from_log(split.train, vocabulary)
test = bootstrapped_histories(split.train, split.test, vocabulary)

model = GRU4Rec(
    num_items=vocabulary.num_items,
    units=(20,) if options.small else (100,),
    inputs="constrained",  # the output matrix is also the item embedding
    hidden_dropout=0.2,
    seed=1,
)
model.compile(
    optimizer=AdagradMomentum(0.1),
    loss=CrossEntropy(logq=1.0),
    negatives=InBatch(
        extra=64 if options.small else 2048,
        alpha=0.5,
        item_supports=vocabulary.supports,
        seed=1,
    ),
    metrics=[Recall(20), MRR(20)],
)
lanes = 16 if options.small else 64
history = model.fit(
    session_parallel_stream(train, num_lanes=lanes),
    validation_data=session_parallel_stream(test, num_lanes=lanes),
    epochs=epochs,
    verbose=0,
).history
for epoch, loss in enumerate(history["loss"]):
    recall, mrr = history["val_recall@20"][epoch], history["val_mrr@20"][epoch]
    print(f"epoch {epoch + 1}: loss {loss:.4f}, Recall@20 {recall:.4f}, MRR@20 {mrr:.4f}")

found = evaluate(model, test, ks=(5, 20))
print("  ".join(f"{name} {value:.4f}" for name, value in found.metrics.items()))

# The five items that come next, for somebody who has just bought two things.
states = model.step_states(1)
for position, raw_id in enumerate(vocabulary.decode([1, 2])):
    item_ids = vocabulary.encode([raw_id])
    hidden, states = model.step(item_ids, [position == 0], [position == 0], states)
best = model.score(hidden).numpy()[0].argsort()[::-1][:5] + 1
print("after", list(vocabulary.decode([1, 2])), "come", list(vocabulary.decode(best)))
