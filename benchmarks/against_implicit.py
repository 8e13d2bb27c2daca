"""Trains BPR-MF against implicit's, on MovieLens 100K.

    python -m benchmarks.against_implicit --python PYTHON

PYTHON is an interpreter with implicit (`benchmarks/README.md`), the log ml-100k (HREC_DATA) without
its last two events of each user. 100 factors with biases, 20 epochs, an example an event and epoch:
both go through them one by one, implicit in all its threads at once, without locks, ours in one.
Each round runs both in processes of their own, one after the other, and each fits twice; speeds are
those of the second fit, when ours is compiled.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.peers import in_turn, speed_told_by

BENCHMARK = "Training against implicit"
PEER = "implicit BayesianPersonalizedRanking"
CONFIG = "BPR-MF, 100 factors, ml-100k"
FACTORS, EPOCHS = 100, 20
TARGET = 1.0
NOTE = (
    "Both step after every example. implicit's threads write to the same factors without locks; "
    "ours is one thread, whose result a seed repeats."
)

DRIVER = """
import json, sys, time
import numpy as np
from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

file, factors, epochs = sys.argv[1], *map(int, sys.argv[2:4])
users, items = np.load(file)
taken = csr_matrix((np.ones(len(users), np.float32), (users, items)))
for _ in range(2):
    model = BayesianPersonalizedRanking(
        factors=factors, iterations=epochs, learning_rate=0.05, regularization=0.0,
        verify_negative_samples=False, random_state=1,
    )
    begin = time.perf_counter()
    model.fit(taken, show_progress=False)
    speed = epochs * taken.nnz / (time.perf_counter() - begin)
print(json.dumps({"speed": speed, "examples": taken.nnz}))
"""


def training():
    """MovieLens 100K but for the last two events of each user."""
    from hrec_tf.data.log_source import LogSource

    return LogSource("ml-100k").load().for_validation()[0]


def ours() -> dict[str, float]:
    """Examples per second of the second fit, and how many there are."""
    from hrec_tf.baselines import BPRMF

    train = training()
    for _ in range(2):
        model = BPRMF(factors=FACTORS, epochs=EPOCHS, learning_rate=0.05, user="known_user", seed=1)
        begin = time.perf_counter()
        model.fit(train)
        speed = EPOCHS * train.num_events / (time.perf_counter() - begin)
    return {"speed": speed, "examples": train.num_events}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="with implicit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.ours:
        print(json.dumps(ours()))
        return
    from benchmarks.performance import compared, keep

    train = training()
    here = [sys.executable, "-m", "benchmarks.against_implicit", "--ours"]
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.npy"
        np.save(pairs, [train.user_of_event(), train.item_ids - 1])
        there = [options.python, "-c", DRIVER, *map(str, (pairs, FACTORS, EPOCHS))]
        found = in_turn(
            options.rounds,
            [CONFIG],
            ours=lambda _: speed_told_by(CONFIG, here, train.num_events),
            theirs=lambda _: speed_told_by(CONFIG, there, train.num_events),
        )
    mine, peer = found[CONFIG]
    record = compared(
        BENCHMARK,
        CONFIG,
        ours=mine,
        peer=peer,
        peer_name=PEER,
        unit="examples/s",
        target=TARGET,
        direction="at_least",
        command="python -m benchmarks.against_implicit --python PYTHON",
        note=NOTE,
    )
    keep([record])


if __name__ == "__main__":
    main()
