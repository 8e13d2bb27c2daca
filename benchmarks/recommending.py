"""How many lists a second each recipe of docs/results.md makes, on two logs of sessions.

    python -m benchmarks.recommending [--data yoochoose-100k,globo-news]

After the last event but one of up to 500 test histories, the 20 best of all items, 100 histories
at a time, read from their first event on; median of five rounds after one that compiles. Networks
have fresh weights, on which their speed does not depend; baselines are fitted. Networks that read
who the user is are not served: of them it is the lists at all points of the test part, in one go.
Written to docs/lists_per_second.json, from which `python -m benchmarks.report` takes a column of
the tables whose trainings were measured without.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from hrec_tf.schema import USER_FEATURES

COMMAND = "python -m benchmarks.recommending --data"
LOGS = ("yoochoose-100k", "globo-news")
SPEEDS = Path(__file__).parents[1] / "docs" / "lists_per_second.json"
ASKED, AT_ONCE, K, ROUNDS = 500, 100, 20, 5


def kept(data: str | None = None) -> dict:
    """Returns what was measured of a log, or of all; nothing if there is none."""
    held = json.loads(SPEEDS.read_text(encoding="utf-8")) if SPEEDS.is_file() else {}
    return held if data is None else held.get(data, {})


def speeds(data: str) -> dict[str, float]:
    """Returns recipe -> lists a second."""
    return kept(data).get("lists_per_second", {})


def told(data: str) -> list[str]:
    """Returns the command and the machine that gave them; nothing if there is none."""
    held = kept(data)
    return [f"{held['command']}  # {held['machine']}"] if held else []


def of_baseline(model, test, targets):
    return lambda part: model.best(test, targets[part], K)


def of_network(model, vocabulary, test, targets):
    """Recommends as `Recommender` does, which is what the commands and the server run, too."""
    from hrec_tf.recommender import Recommender

    recommender = Recommender(model, vocabulary)
    raw_ids, users = vocabulary.decode(test.item_ids).tolist(), test.user_of_event()
    histories = []
    for target in targets:
        events = slice(int(test.user_offsets[users[target]]), int(target))
        # Sessions of some logs overlap, which no live history does.
        seconds = np.maximum.accumulate(test.timestamps[events]).tolist()
        histories.append(list(zip(raw_ids[events], seconds, strict=True)))
    features = None
    if USER_FEATURES in recommender.inference.context:
        features = test.user_features[users[targets]]

    def recommend(part):
        said = None if features is None else features[part]
        return recommender.recommend_batch(histories[part], k=K, user_features=said)

    return recommend


def lists_per_second(recommend, asked: int = ASKED, at_once: int = AT_ONCE) -> float:
    """Median over the rounds; every round asks for all lists."""
    rates = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        for first in range(0, asked, at_once):
            recommend(slice(first, first + at_once))
        rates.append(asked / (time.perf_counter() - begin))
    return statistics.median(rates[1:])


def of_recipe(recipe, log) -> float:
    """Lists a second of a recipe: of its baseline, fitted, or of its network with fresh weights."""
    from hrec_tf.evaluation import best_items
    from hrec_tf.evaluation.points import evaluation_points
    from hrec_tf.fitting import train

    if recipe.entry.is_baseline:
        return lists_per_second(of_log(train(recipe, log.train, seed=0), log))
    arguments = recipe.fitted_to(log.features, log.train).arguments
    model = recipe.entry.build(num_items=log.train.num_items, seed=0, **arguments)
    if recipe.entry.is_served:
        return lists_per_second(of_log(model, log))
    points = len(evaluation_points(log.test))
    return lists_per_second(lambda _: best_items(model, log.test, k=K), points, points)


def of_log(fitted, log):
    """Asks after the last event but one of `ASKED` test histories, chosen at random."""
    from hrec_tf.baselines import Baseline

    test = log.test
    targets = np.flatnonzero((test.target_weights > 0) & ~test.session_starts)
    targets = np.random.default_rng(0).choice(targets, ASKED, replace=len(targets) < ASKED)
    if isinstance(fitted, Baseline):
        return of_baseline(fitted, test, np.sort(targets))
    return of_network(fitted, log.vocabulary, test, np.sort(targets))


def main(arguments: list[str] | None = None) -> None:
    from benchmarks.performance import machine
    from benchmarks.records import DOCS, read
    from hrec_tf.data.atomic_files import write_whole
    from hrec_tf.data.log_source import LogSource
    from hrec_tf.recipe import Recipe

    parser = argparse.ArgumentParser(prog="python -m benchmarks.recommending", description=__doc__)
    parser.add_argument("--data", default=",".join(LOGS), help="named logs, with commas between")
    for data in parser.parse_args(arguments).data.split(","):
        log = LogSource(data).load()
        held = (r["recipe"] for r in read(DOCS / "results.json") if r["dataset"] == data)
        rates = {}
        for name in dict.fromkeys(held):
            rates[name] = round(of_recipe(Recipe.for_data(data, name), log), 1)
            print(f"{data} {name:22} {rates[name]:8,.0f} lists/s", flush=True)
        found = {"command": f"{COMMAND} {data}", "machine": machine(), "lists_per_second": rates}
        write_whole(SPEEDS, f"{json.dumps(kept() | {data: found}, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
