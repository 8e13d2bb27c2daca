"""Trains HRNN for a moment, exports it, and asks the SavedModel with plain TensorFlow.

python examples/export_saved_model.py models/recommender    # about a minute; keeps the export
python examples/export_saved_model.py --small               # two epochs of small networks
"""

import argparse
import tempfile

import tensorflow as tf

from hrec_tf.data import Vocabulary, catalogue, filters, histories_from_log
from hrec_tf.data.lanes import user_parallel_stream
from hrec_tf.export import export_saved_model
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.models import HRNN
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.recommender import Recommender

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("path", nargs="?", help="base path of the SavedModel; a temporary one if none")
parser.add_argument("--small", action="store_true", help="60 users and small networks")
options = parser.parse_args()
units = 20 if options.small else 100

entry = catalogue.entry("online-retail")
log = entry.prepare(entry.read())
if options.small:
    log = filters.first_users(log, 60)
vocabulary = Vocabulary.from_log(log)
histories = histories_from_log(log, vocabulary)

model = HRNN(num_items=vocabulary.num_items, session_units=units, user_units=units, seed=0)
model.compile(optimizer=AdagradMomentum(0.1), loss=TOP1(), negatives=InBatch())
stream = user_parallel_stream(histories, num_lanes=20 if options.small else 50, seed=0)
history = model.fit(stream, epochs=2 if options.small else 5, verbose=0).history
print("loss per epoch:", ", ".join(f"{loss:.4f}" for loss in history["loss"]))

recommender = Recommender(model, vocabulary, idle_minutes=30, descriptions=entry.describe())

with tempfile.TemporaryDirectory() as scratch:
    folder = export_saved_model(recommender, options.path or scratch, k=5)

    # From here on nothing of hrec_tf or Keras is used: a server has only this folder.
    loaded = tf.saved_model.load(str(folder))
    recommend, step = loaded.signatures["recommend"], loaded.signatures["step"]

    # The last five events of the log, as raw ids and Unix seconds. A row is padded at its end;
    # the second one is a user of whom nothing is known.
    last = log.frame.tail(5)
    known = recommend(
        item_ids=tf.constant([last["item"].to_list(), [""] * 5]),
        timestamps=tf.constant([last["timestamp"].to_list(), [0] * 5], tf.int64),
        lengths=tf.constant([5, 0]),
        exclude_seen=tf.constant([True, True]),
    )
    # One more event of the same user: no need to read the history again.
    item = known["item_ids"][:1, 0]
    later = step(
        item_ids=item,
        timestamps=tf.constant([last["timestamp"][-1] + 60], tf.int64),
        state=known["state"][:1],
        state_info=known["state_info"][:1],
    )

for title, answer in (
    (f"after {', '.join(last['item'])}", {name: rows[0] for name, rows in known.items()}),
    (f"and then {item[0].numpy().decode()}", {name: rows[0] for name, rows in later.items()}),
    ("somebody new", {name: rows[1] for name, rows in known.items()}),
):
    print(f"\n{title}")
    for raw_id, score in zip(answer["item_ids"].numpy(), answer["scores"].numpy(), strict=True):
        print(f"    {raw_id.decode():8} {score:8.4f}  {recommender.describe(raw_id.decode())}")
