"""Simulated histories: what each model finds out, beside the lowest perplexity that there can be.

    python -m benchmarks.simulations > benchmarks/simulations.txt

The simulations of Ma & Narayanaswamy, see `hrec_tf.data.simulations`: sessions, of which only the
openings are asked, with the seconds of an epoch of each network in one run; the variant in which an
item comes back; and the gamblers' bets, of which all are asked, the first included.
"""

import os
import sys
import time
from statistics import median
from typing import Any

import numpy as np

from hrec_tf import __version__
from hrec_tf.cli import console
from hrec_tf.data import simulations
from hrec_tf.data.histories import Histories

SEEDS = (0, 1, 2)


def fitted(
    histories: Histories, *, lanes: int, steps: int, epochs: int, seed: int, optimizer: Any, **model
) -> tuple[Any, list[float]]:
    """Returns a trained HRNNMeta and the seconds of each epoch."""
    import keras

    from hrec_tf.data.aligned import aligned_stream
    from hrec_tf.losses import CrossEntropy
    from hrec_tf.models import HRNNMeta

    class Watch(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch, logs=None):
            self.begin = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.begin)

    features = model.pop("item_features", None)
    if features is not None:
        model["num_item_features"] = features.shape[1]
    network = HRNNMeta(num_items=histories.num_items, num_layers=1, seed=seed, **model)
    if features is not None:
        network.set_item_features(features)
    network.compile(optimizer, CrossEntropy(normalise="valid"))
    stream = aligned_stream(
        histories, num_lanes=lanes, steps=steps, seed=seed, first_events=network.first_events
    )
    watch = Watch()
    network.fit(stream, epochs=epochs, callbacks=[watch], verbose=0)
    return network, watch.seconds


def with_previous_gaps(histories: Histories) -> Histories:
    """Times that put the gap before the last event where a model looks for that to the next."""
    from dataclasses import replace

    gaps = np.diff(histories.timestamps, prepend=0)
    gaps[1:] = gaps[:-1].copy()
    gaps[histories.user_starts] = 0
    return replace(histories, timestamps=np.cumsum(gaps))


def of_sessions() -> None:
    """Simulation 1 and its variant."""
    import keras

    from hrec_tf.evaluation import perplexity

    rows: dict[str, tuple[dict[str, Any], Any, float]] = {
        "RNN, blind": ({"control": None}, None, simulations.blind_bound()),
        "RNN, told the previous gap": ({}, with_previous_gaps, simulations.blind_bound()),
        "HRNN-meta, told the next gap": ({}, None, 1.0),
        "HRNN-meta, told the next session": ({"control": "session"}, None, 1.0),
        "HGRU, told the next gap": ({"sequence_model": "hrnn"}, None, 1.0),
    }
    print("Sessions that are runs of one item, 2,000 users in training, 500 in the test")
    print(f"{'':34}{'perplexity at openings':>24}{'lowest':>8}{'s/epoch':>9}")
    plain = simulations.hierarchical_sessions
    for name, (arguments, given, bound) in rows.items():
        found, seconds = [], []
        for seed in SEEDS:
            train, test = plain(2_000, seed=100 + seed), plain(500, seed=200 + seed)
            if given:
                train, test = given(train), given(test)
            sizes = {"units": 32, "item_dim": 32, "hidden_dropout": 0.0}
            network, took = fitted(
                train,
                lanes=32,
                steps=32,
                epochs=12,
                seed=seed,
                optimizer=keras.optimizers.Adam(0.01),
                **sizes | arguments,
            )
            openings = simulations.session_openings(test)
            found.append(perplexity(network, test, targets=openings).value)
            seconds += took[1:]
        print(f"{name:34}{_listed(found):>24}{bound:8.3f}{median(seconds):9.2f}", flush=True)
    print(
        "\nThe same, where the second item of a session returns at the opening of the next; ",
        end="",
    )
    print("10 items")
    found, inside = [], []
    for seed in SEEDS:
        train, test = (
            plain(6_000, copies=10, seed=100 + seed),
            plain(500, copies=10, seed=200 + seed),
        )
        network, _ = fitted(
            train,
            lanes=32,
            steps=32,
            epochs=15,
            seed=seed,
            optimizer=keras.optimizers.Adam(0.01),
            units=64,
            item_dim=64,
            hidden_dropout=0.0,
        )
        openings = simulations.session_openings(test)
        found.append(perplexity(network, test, targets=openings).value)
        inside.append(perplexity(network, test, targets=~test.session_starts).value)
    print(f"{'HRNN-meta, at openings':34}{_listed(found):>24}{1.0:8.3f}")
    print(f"{'HRNN-meta, inside sessions':34}{_listed(inside):>24}{10.0:8.3f}", flush=True)


def of_bets() -> None:
    """Simulation 2."""
    import keras

    from hrec_tf.baselines import PopularityFM, PopularityLikelihood
    from hrec_tf.evaluation import perplexity

    known: dict[str, tuple[dict[str, Any], float, str]] = {
        "sequence": ({}, simulations.bets_bound(), "3"),
        "sequence, user": (
            {"num_user_features": 101, "user_dim": 32},
            simulations.bets_bound(user=True),
            "–",
        ),
        "sequence, feedback": ({"num_feedback": 2}, simulations.bets_bound(feedback=True), "–"),
        "sequence, user, feedback": (
            {"num_user_features": 101, "user_dim": 32, "num_feedback": 2},
            simulations.bets_bound(user=True, feedback=True),
            "1",
        ),
    }
    print(
        "\nGamblers' bets, 1,000 sequences in training and in the test; networks have the parity of"
    )
    print("items in their decoder")
    print(f"{'known':34}{'perplexity':>24}{'lowest':>8}{'above it':>10}{'paper':>7}")
    gambles = simulations.gamblers_bets
    parity = simulations.bets_bound(sequence=False, parity=True)
    for name, (arguments, bound, paper) in {
        "nothing": ({}, simulations.bets_bound(sequence=False), "100"),
        "parity of the last bet": ({}, parity, "54"),
        **known,
    }.items():
        found = []
        for seed in SEEDS:
            train, test = gambles(1_000, seed=100 + seed), gambles(1_000, seed=200 + seed)
            if name == "nothing":
                network: Any = PopularityLikelihood().fit(train.histories)
            elif name == "parity of the last bet":
                network = PopularityFM(train.item_features, seed=seed).fit(train.histories)
            else:
                network, _ = fitted(
                    train.histories,
                    lanes=16,
                    steps=16,
                    epochs=30,
                    seed=seed,
                    optimizer=keras.optimizers.AdamW(0.01, weight_decay=0.01),
                    units=64,
                    item_dim=64,
                    hidden_dropout=0.2,
                    tied=False,
                    control=None,
                    first_events=True,
                    item_features=train.item_features,
                    **arguments,
                )
            found.append(perplexity(network, test.histories).value)
        above = np.mean(found) / bound - 1
        print(f"{name:34}{_listed(found):>24}{bound:8.3f}{above:10.1%}{paper:>7}", flush=True)


def _listed(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def main() -> int:
    console.import_tensorflow()
    print(f"python -m benchmarks.simulations  # hrec_tf {__version__}, means of {len(SEEDS)} seeds")
    print("Seconds of an epoch: the median after the first one, on the CPU, in one run.\n")
    of_sessions()
    of_bets()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
