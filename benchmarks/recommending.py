"""How many lists a second each model of the zoo recommends after real histories.

    python -m benchmarks.recommending > benchmarks/recommending.txt

Logs yoochoose-100k and globo-news (HREC_DATA). After the last event but one of up to 500 test
histories, the 20 best of all items, 100 histories at a time, read from their first event on;
median of five rounds after one that compiles. Models have their default sizes and fresh weights,
on which their speed does not depend; baselines are fitted. Models that read who the user is are
not served, and have no row.
"""

import statistics
import time

import numpy as np

COMMAND = "python -m benchmarks.recommending > benchmarks/recommending.txt"
LOGS = ("yoochoose-100k", "globo-news")
ASKED, AT_ONCE, K, ROUNDS = 500, 100, 20, 5


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
    return lambda part: recommender.recommend_batch(histories[part], k=K)


def lists_per_second(recommend) -> float:
    """Median over the rounds; every round asks for all lists."""
    rates = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        for first in range(0, ASKED, AT_ONCE):
            recommend(slice(first, first + AT_ONCE))
        rates.append(ASKED / (time.perf_counter() - begin))
    return statistics.median(rates[1:])


def of_log(fitted, log):
    """Asks after the last event but one of `ASKED` test histories, chosen at random."""
    from hrec_tf.baselines import Baseline

    test = log.test
    targets = np.flatnonzero((test.target_weights > 0) & ~test.session_starts)
    targets = np.random.default_rng(0).choice(targets, ASKED, replace=len(targets) < ASKED)
    if isinstance(fitted, Baseline):
        return of_baseline(fitted, test, np.sort(targets))
    return of_network(fitted, log.vocabulary, test, np.sort(targets))


def main() -> None:
    from benchmarks.performance import machine
    from hrec_tf import registry
    from hrec_tf.data.log_source import LogSource

    print(f"# {COMMAND}\n# {machine()}")
    for data in LOGS:
        log = LogSource(data).load()
        train = log.train
        print(f"\n{data}: {train.num_events:,} events, {train.num_items:,} items")
        for name in registry.names():
            entry = registry.entry(name)
            if entry.is_baseline:
                model = entry.build(num_items=train.num_items, seed=0).fit(train)
            elif entry.is_served:
                model = entry.build(num_items=train.num_items, seed=0)
            else:
                continue
            print(f"{name:22} {lists_per_second(of_log(model, log)):8,.0f} lists/s", flush=True)


if __name__ == "__main__":
    main()
