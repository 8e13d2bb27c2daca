"""One user, asked at once, after a minute, an hour and a day: the list changes with the gap.

python examples/ask_at.py            # the bundled Online Retail log, a few minutes
python examples/ask_at.py --small    # a part of it, two epochs of a small network
"""

import argparse

import numpy as np

from hrec_tf.data.log_source import LogSource
from hrec_tf.fitting import train
from hrec_tf.recipe import Recipe
from hrec_tf.recommender import Recommender

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--small", action="store_true", help="60 000 events and a small network")
options = parser.parse_args()

# Descriptions, prices and countries come with the log; the recipe reads whatever there is.
source = LogSource("online-retail")
log = source.load()
recipe, events = Recipe.for_data(None, "hrnn-meta"), log.train
if options.small:
    recipe = recipe.with_changes({"epochs": 2, "units": 16, "item_dim": 16, "num_layers": 1})
    events = events.select(np.arange(events.num_events) < 60_000)
else:
    recipe = recipe.with_changes({"epochs": 8})
model = train(recipe, events, seed=0, features=log.features)
losses = model.history.history["loss"]
print("loss per epoch:", ", ".join(f"{loss:.4f}" for loss in losses))

recommender = Recommender(
    model,
    log.vocabulary,
    idle_minutes=source.idle_minutes,
    descriptions=source.descriptions(),
    schemas=log.features.schemas,
)

# The last purchases of one customer.
frame = log.split.train.frame
rows = frame.filter(frame["user"] == frame["user"][-1]).tail(8)
history = list(zip(rows["item"].to_list(), rows["timestamp"].to_list(), strict=True))
print("bought:", "; ".join(recommender.describe(item) for item, _ in history))

supports = dict(zip(log.vocabulary.raw_ids.to_list(), log.vocabulary.supports, strict=True))
for name, gap in (("at once", 0), ("after a minute", 60), ("an hour", 3_600), ("a day", 86_400)):
    found = recommender.recommend(history, k=20, at=history[-1][1] + gap)
    popularity = np.mean([supports[item] for item, _ in found])
    print(f"\n{name}: the 20 items were sold {popularity:.0f} times on average, the first of them")
    for item, score in found[:5]:
        print(f"    {item:8} {score:7.3f}  {recommender.describe(item)}")
