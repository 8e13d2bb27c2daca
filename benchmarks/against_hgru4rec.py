"""Trains HRNN against the authors' own code (Theano), on online-retail.

    python -m benchmarks.against_hgru4rec CHECKOUT --python PYTHON

CHECKOUT is a checkout of mquad/hgru4rec, PYTHON an interpreter with Theano-PyMC 1.1.2, pandas 1.5
and NumPy below 1.24; benchmarks/README.md says how to make one. One update per step, one-hot
input, TOP1, 100 + 100 units, 50 lanes, no dropout. In every round both run in processes of their
own, one after the other; speeds are those of the last of three epochs.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.peers import in_turn, told_by

BENCHMARK = "HRNN against its authors' code"
PEER = "hgru4rec (Theano)"
# name: our user_gates, their user_propagation_mode, target
CONFIGS: dict[str, tuple[str | None, str, float]] = {
    "HRNN Init, H100+100 B50": (None, "init", 6.0),
    "HRNN All, H100+100 B50": ("rz", "all", 6.0),
}
LANES = 50
NOTE = (
    "Products are above half of an update of HRNN Init, in some twenty parts of 2 to 8 % each; the "
    "branch on whether a list of the starting rows fits is 7 % with what is inside it "
    "(benchmarks/profile.txt, 100 lanes). Tried: the user's GRU on all rows, without lists of "
    "those that start a session, is slower (benchmarks/tried.txt)."
)

DRIVER = """
import inspect, json, sys, time
import numpy as np
import pandas as pd
if not hasattr(inspect, "getargspec"):  # Python 3.11 has it no more
    inspect.getargspec = inspect.getfullargspec
import numpy.distutils.__config__ as built
if not hasattr(built, "blas_opt_info"):
    built.blas_opt_info = {}
import theano.sandbox.rng_mrg as streams
if not hasattr(streams, "MRG_RandomStreams"):
    streams.MRG_RandomStreams = streams.MRG_RandomStream
sys.path.insert(0, sys.argv[1])
from hgru4rec import HGRU4Rec

data = pd.read_csv(sys.argv[2], sep="\\t")
model = HGRU4Rec(
    session_layers=[100], user_layers=[100], batch_size=int(sys.argv[4]), n_epochs=3,
    learning_rate=0.1, loss="top1", user_propagation_mode=sys.argv[3], user_to_output=False,
    session_key="session", item_key="item", user_key="user", time_key="time",
)
iterate, speeds = model.iterate, []

def timed(data, fun, *rest, **named):
    steps = [0]
    def counted(*args):
        steps[0] += 1
        return fun(*args)
    begin = time.perf_counter()
    cost = iterate(data, counted, *rest, **named)
    speeds.append(steps[0] * model.batch_size / (time.perf_counter() - begin))
    return cost

model.iterate = timed
model.fit(data)
print(json.dumps(speeds[-1]))
"""


def log():
    """The training part of online-retail, with HRNN's preparation."""
    from hrec_tf.data.log_source import LogSource

    return LogSource("online-retail").load().train


def write_log(histories, path: Path) -> None:
    """Writes histories as the peer reads them; sessions of one event give it no pair either."""
    columns = (histories.user_of_event(), histories.session_of_event(), histories.item_ids)
    rows = zip(*columns, range(histories.num_events), strict=True)
    lines = ["user\tsession\titem\ttime", *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def ours(name: str) -> dict[str, float]:
    """Events per second of the last epoch."""
    from hrec_tf.data.lanes import user_parallel_stream
    from hrec_tf.losses import TOP1, InBatch
    from hrec_tf.models import HRNN
    from hrec_tf.optimizers import AdagradMomentum

    train = log()
    model = HRNN(num_items=train.num_items, user_gates=CONFIGS[name][0], seed=1)
    loss = TOP1(diagonal_divisor="batch_size")
    model.compile(AdagradMomentum(0.1), loss, negatives=InBatch())
    # Theirs ends an epoch when the first lane finds no user left.
    stream = user_parallel_stream(train, num_lanes=LANES, reference_tail=True)
    history = model.fit(stream, epochs=3, verbose=0).history
    return {name: history["events_per_second"][-1]}


def theirs(name: str, path: Path, options: argparse.Namespace) -> dict[str, float]:
    """What `ours` returns, of the peer."""
    source = str(Path(options.checkout).resolve() / "src")
    command = [options.python, "-c", DRIVER, source, str(path), CONFIGS[name][1], str(LANES)]
    flags = "device=cpu,floatX=float32,blas__ldflags=-lopenblas"
    return {name: told_by(command, THEANO_FLAGS=flags)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkout", help="of mquad/hgru4rec")
    parser.add_argument("--python", default=sys.executable, help="with Theano-PyMC")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours", choices=CONFIGS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.ours:
        print(json.dumps(ours(options.ours)))
        return
    from benchmarks.performance import compared, keep

    here = [sys.executable, "-m", "benchmarks.against_hgru4rec", options.checkout, "--ours"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.tsv"
        write_log(log(), path)
        found = in_turn(
            options.rounds,
            CONFIGS,
            ours=lambda name: told_by([*here, name]),
            theirs=lambda name: theirs(name, path, options),
        )
    records = [
        compared(
            BENCHMARK,
            name,
            ours=mine,
            peer=peer,
            peer_name=PEER,
            unit="events/s",
            target=CONFIGS[name][-1],
            direction="at_least",
            command="python -m benchmarks.against_hgru4rec CHECKOUT --python PYTHON",
            note=NOTE,
        )
        for name, (mine, peer) in found.items()
    ]
    keep(records)


if __name__ == "__main__":
    main()
