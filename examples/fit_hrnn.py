"""Fits HRNN on the bundled Online Retail log, and ranks the last session of every user.

python examples/fit_hrnn.py            # the settings of the paper, a few minutes
python examples/fit_hrnn.py --small    # a part of the log, a quarter of a minute
"""

import argparse

from hrec_tf.baselines import ItemKNN
from hrec_tf.data import (
    Vocabulary,
    bootstrapped_histories,
    catalogue,
    filters,
    histories_from_log,
    splits,
)
from hrec_tf.data.lanes import user_parallel_stream
from hrec_tf.evaluation import evaluate
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.models import HRNN
from hrec_tf.optimizers import AdagradMomentum

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--small", action="store_true", help="60 users and small networks")
parser.add_argument("--epochs", type=int, default=None)
options = parser.parse_args()
epochs = options.epochs or (2 if options.small else 10)
units = 20 if options.small else 100

# The log: prepared, and each user's last session held out.
entry = catalogue.entry("online-retail")
log = entry.prepare(entry.read())
if options.small:
    log = filters.first_users(log, 60)
split = splits.last_session_out(log)
print(split.to_text())

# Numbers for item ids, by what is in training; flat arrays of what each user did.
vocabulary = Vocabulary.from_log(split.train)
train = histories_from_log(split.train, vocabulary)
test = bootstrapped_histories(split.train, split.test, vocabulary)

# Users side by side in 50 lanes; each iteration over the stream is the next epoch.
stream = user_parallel_stream(train, num_lanes=10 if options.small else 50, seed=1)

model = HRNN(
    num_items=vocabulary.num_items,
    session_units=units,
    user_units=units,
    user_gates=None,  # "HRNN Init"; "rzh" is "HRNN All"
    session_dropout=0.1,
    seed=1,
)
model.compile(optimizer=AdagradMomentum(0.1), loss=TOP1(), negatives=InBatch())
history = model.fit(stream, epochs=epochs, verbose=0).history
print("loss per epoch:", ", ".join(f"{loss:.4f}" for loss in history["loss"]))

# Both see every earlier session of a user before the one that is ranked.
for name, method in (("HRNN Init", model), ("Item-KNN", ItemKNN(neighbours=300).fit(train))):
    found = evaluate(method, test, ks=(5, 20))
    metrics = "  ".join(f"{m} {found.metrics[m]:.4f}" for m in ("Recall@5", "MRR@5", "Recall@20"))
    print(f"{name:10} {metrics}  ({found.num_points} points, {found.ties} ties)")
