"""A tenth of the items is taken out of training entirely, and recommended by its features.

    python -m benchmarks.cold_start > benchmarks/cold_start.txt

Every event of these items is removed before anything is learnt or counted; the trained model
gets them by `Recommender.with_items`. Points are the events of test users or sessions whose item
is one of them, ranked among them alone: Recall@20 beside that of chance, and of the popularity of
features, the training events of warm items with each feature, added over the item's features.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from hrec_tf import __version__
from hrec_tf.cli import console
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.data.preparation import bootstrapped_histories
from hrec_tf.schema import ITEM

LOGS = ("online-retail", "ml-100k-users")
SHARE, K = 0.1, 20


def without(log: EventLog, items: pl.Series) -> EventLog:
    """Returns a log without the events of some items."""
    kept = log.frame.filter(~log.frame[ITEM].is_in(items.implode()))
    return log.after("cold items taken out", kept)


def measure(data: str, *, seed: int, epochs: int) -> dict[str, float]:
    """Returns Recall@20 among cold items of the model, of feature popularity and of chance."""
    from hrec_tf.fitting import train
    from hrec_tf.recipe import Recipe
    from hrec_tf.recommender import Recommender

    whole = LogSource(data).load()
    assert whole.tables is not None and whole.tables.items is not None
    known = whole.vocabulary.raw_ids
    draw = np.random.default_rng(seed)
    cold = known.gather(draw.permutation(len(known))[: round(SHARE * len(known))])
    split = replace(whole.split, train=without(whole.split.train, cold), validation=None)
    log = PreparedLog(split, whole.tables)
    assert log.features is not None and log.features.items is not None
    recipe = Recipe.for_data(None, "hrnn-meta").with_changes({"epochs": epochs, "num_layers": 1})
    model = train(recipe, log.train, seed=seed, features=log.features)
    recommender = Recommender(model, log.vocabulary, schemas=log.features.schemas)

    table = whole.tables.items
    ids = table[ITEM].cast(known.dtype)
    grown = recommender.with_items(table.with_columns(ids).filter(ids.is_in(cold.implode())))
    test = bootstrapped_histories(
        whole.split.train_and_validation,
        whole.split.test,
        grown.vocabulary,
        continues=whole.split.continues,
        features=log.features,
    )
    first_cold = log.vocabulary.num_items + 1
    cold_ids = np.arange(first_cold, grown.vocabulary.num_items + 1)
    is_point = (test.item_ids >= first_cold) & (test.target_weights > 0) & ~test.user_starts
    scores = _scores(grown.model, test, is_point, cold_ids)
    targets = test.item_ids[is_point] - first_cold

    features = grown.model.decoder.features.numpy()
    warm = features[1:first_cold] * log.vocabulary.supports[:, None]
    by_popularity = features[cold_ids] @ warm.sum(axis=0)
    popular = np.tile(by_popularity, (len(targets), 1))
    return {
        "cold items": len(cold_ids),
        "points": len(targets),
        "HRNN-meta": _recall(scores, targets),
        "feature popularity": _recall(popular, targets),
        "chance": min(K / len(cold_ids), 1.0),
    }


def _scores(model: Any, test: Histories, is_point: np.ndarray, cold: np.ndarray) -> np.ndarray:
    """Returns float (points, cold items), in the order of the events."""
    import tensorflow as tf

    from hrec_tf.evaluation.windows import windows_of

    @tf.function(autograph=False, reduce_retracing=True)
    def read(events, is_here, states):
        hidden, states = model.encode(events, states)
        return model.score(tf.boolean_mask(hidden, is_here), tf.constant(cold)), states

    found = np.full((test.num_events, len(cold)), np.nan, np.float32)
    states: Any = None
    for events, _, point_of in windows_of(
        test, model=model, num_lanes=None, steps=32, is_point=is_point
    ):
        states = model.initial_states(len(point_of)) if states is None else states
        here = {name: tf.constant(values) for name, values in events.items()}
        scores, states = read(here, tf.constant(point_of >= 0), states)
        found[point_of[point_of >= 0]] = scores
    return found[is_point]


def _recall(scores: np.ndarray, targets: np.ndarray) -> float:
    """Share of targets among the first K; who ties with others stands behind them."""
    own = scores[np.arange(len(targets)), targets][:, None]
    return float(np.mean((scores >= own).sum(axis=1) <= K))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start", description=__doc__)
    parser.add_argument("--data", default=",".join(LOGS), help="named logs with item features")
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args(arguments)
    console.import_tensorflow()
    command = f"python -m benchmarks.cold_start --data {options.data}"
    print(f"{command}  # hrec_tf {__version__}, seed 0, Recall@{K}")
    print("of targets that are cold items, among the cold items\n")
    columns = ("cold items", "points", "HRNN-meta", "feature popularity", "chance")
    print(f"{'':18}" + "".join(f"{name:>20}" for name in columns) + f"{'seconds':>9}")
    for data in options.data.split(","):
        begin = time.perf_counter()
        found = measure(data, seed=0, epochs=options.epochs)
        cells = [
            f"{found[c]:>20,}" if isinstance(found[c], int) else f"{found[c]:>20.3f}"
            for c in columns
        ]
        print(f"{data:18}" + "".join(cells) + f"{time.perf_counter() - begin:9.0f}", flush=True)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
