"""From a CSV of your own to recommendations: read, train, ask.

python examples/own_log.py purchases.csv --user customer --item product --timestamp time
python examples/own_log.py            # the bundled Online Retail log, about a minute
python examples/own_log.py --small    # 300 users, two epochs of small networks
"""

import argparse

from hrec_tf.data import EventLog, Vocabulary, filters, histories_from_log, sessions
from hrec_tf.data.bundled import online_retail_path
from hrec_tf.data.lanes import user_parallel_stream
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.models import HRNN
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.recommender import Recommender

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("log", nargs="?", default=online_retail_path() / "purchases.tsv.gz")
parser.add_argument("--user", default="user")
parser.add_argument("--item", default="item")
parser.add_argument("--timestamp", default="timestamp")
parser.add_argument("--small", action="store_true", help="300 users, small networks")
options = parser.parse_args()
units = 20 if options.small else 100

# The log: who, what, when. A pause of more than half an hour ends a session.
log = EventLog.read(options.log, user=options.user, item=options.item, timestamp=options.timestamp)
log = filters.first_users(log, 300) if options.small else log
log = sessions.by_idle_gap(log, minutes=30)
vocabulary = Vocabulary.from_log(log)
histories = histories_from_log(log, vocabulary)

model = HRNN(num_items=vocabulary.num_items, session_units=units, user_units=units, seed=0)
model.compile(optimizer=AdagradMomentum(0.1), loss=TOP1(), negatives=InBatch())
stream = user_parallel_stream(histories, num_lanes=100, seed=0)
history = model.fit(stream, epochs=2 if options.small else 3, verbose=0).history
print("loss per epoch:", ", ".join(f"{loss:.4f}" for loss in history["loss"]))

# Nothing of a user is needed but events. Raw ids go in and come out.
recommender = Recommender(model, vocabulary, idle_minutes=30)
last = log.frame.tail(5)
known = list(zip(last["item"], last["timestamp"], strict=True))
now = known[-1][1]

print("\nthe last user of the log:", *(item for item, _ in known))
for item, score in recommender.recommend(history=known, k=5):
    print(f"    {item:12} {score:.3f}")

print("somebody new who has just taken", known[0][0], "and something never seen before")
unseen = "never seen" if vocabulary.id_type == "text" else -1
for item, score in recommender.recommend([(known[0][0], now - 60), (unseen, now)], k=5):
    print(f"    {item:12} {score:.3f}")

print("somebody of whom nothing is known: the most frequent items")
for item, score in recommender.recommend(history=[], k=5):
    print(f"    {item:12} {score:.3f}")
