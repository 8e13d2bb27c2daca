"""Trains and evaluates against the official GRU4Rec, on the same log with the same settings.

    python -m benchmarks.against_official CHECKOUT --python PYTHON

CHECKOUT is a checkout of hidasib/GRU4Rec_PyTorch_Official or hidasib/GRU4Rec_Tensorflow_Official,
PYTHON an interpreter with what it needs (`benchmarks/README.md`). The log is yoochoose-100k
(HREC_DATA). Both make one update per step of each session, on the CPU. In every round both run in
processes of their own, one after the other; speeds are those of a last epoch, after what is
compiled was compiled.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.peers import in_turn, said_by, told_by

BENCHMARK = "Training and evaluation against the official GRU4Rec"
# What a checkout is told by, and whose it is.
PEERS = {
    "gru4rec_pytorch.py": "GRU4Rec_PyTorch_Official",
    "gru4rec_tf.py": "GRU4Rec_Tensorflow_Official",
}
CROSS_ENTROPY, BPR_MAX = "cross-entropy", "bpr-max"
# name: units, lanes, extra negatives, loss, target
CONFIGS: dict[str, tuple[int, int, int, str, float]] = {
    "H100 B100, in-batch": (100, 100, 0, CROSS_ENTROPY, 5.0),
    "H100 B50, 2048 extra": (100, 50, 2048, CROSS_ENTROPY, 3.0),
    "H100 B100, 2048 extra": (100, 100, 2048, CROSS_ENTROPY, 3.0),
    "H100 B100, 2048 extra, BPR-max": (100, 100, 2048, BPR_MAX, 3.0),
    "H100 B512, 2048 extra": (100, 512, 2048, CROSS_ENTROPY, 1.5),
    "H500 B100, 2048 extra": (500, 100, 2048, CROSS_ENTROPY, 2.5),
}
EVALUATED = "H100 B100, in-batch"
EVALUATION, EVALUATION_TARGET = "evaluation, full ranking", 3.0
NOTES = {
    "H100 B100, 2048 extra": (
        "Of an update with 100 lanes and 2,048 drawn items at least 43 % are products "
        "(benchmarks/profile.txt). Tried without gain: XLA's flags."
    ),
    "H100 B512, 2048 extra": (
        "With 512 lanes the two largest products are 34 % of an update, those of the gates 12 %, "
        "masks and exponentials over 512 x 2,560 scores 10 % (benchmarks/profile.txt). Tried "
        "without gain: one product or row blocks of 256, 512 and 1,024 for its gradient (within 3 "
        "%), XLA's flags."
    ),
    "H500 B100, 2048 extra": (
        "With 500 units the products are 61 % of an update, scatters and sums of rows of 2,000 "
        "bytes 19 % (benchmarks/profile.txt). Tried without gain: row blocks of the gradient "
        "(within 3 %), XLA's flags."
    ),
    "evaluation, full ranking": (
        "In an evaluation the products of reading and scoring alone take 0.45 of 0.75 s at the "
        "machine's peak. Tried: blocks of 256 to 1,024 rows (512 is what is used), ranks packed as "
        "integers, reading by XLA (10 to 30 % faster, but it has to be compiled)."
    ),
}
"""Where the time of rows that fall short goes."""


def peer_of(checkout: str) -> str:
    """Whose checkout it is."""
    for file, name in PEERS.items():
        if (Path(checkout) / file).is_file():
            return name
    raise FileNotFoundError(
        f"{checkout!r} holds none of {', '.join(PEERS)}, but a checkout of an official GRU4Rec "
        "does. Clone one, see benchmarks/README.md."
    )


def log():
    """The training part of yoochoose-100k."""
    from hrec_tf.data.log_source import LogSource

    return LogSource("yoochoose-100k").load().train


def write_log(histories, path: Path) -> None:
    """Writes histories as the peer reads them."""
    session = histories.session_of_event()
    rows = zip(session, histories.item_ids, np.arange(histories.num_events), strict=True)
    lines = ["SessionId\tItemId\tTime", *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def compiled_model(name: str, train):
    """Our model of a setting, ready to be trained."""
    from hrec_tf.losses import BPRMax, CrossEntropy, InBatch
    from hrec_tf.models import GRU4Rec
    from hrec_tf.optimizers import AdagradMomentum

    units, _, extra, loss, _ = CONFIGS[name]
    model = GRU4Rec(
        num_items=train.num_items, units=(units,), inputs="constrained", reset_after=True, seed=1
    )
    negatives = InBatch()
    if extra:
        negatives = InBatch(extra=extra, item_supports=np.maximum(train.item_supports(), 1))
    losses = {CROSS_ENTROPY: CrossEntropy(), BPR_MAX: BPRMax(activation="elu", elu_alpha=0.5)}
    model.compile(AdagradMomentum(0.05), losses[loss], negatives=negatives)
    return model


def ours(name: str) -> dict[str, float]:
    """Events per second of training, and of evaluation where the peer's is measured."""
    import time

    from hrec_tf.data.lanes import session_parallel_stream
    from hrec_tf.evaluation import rank_model

    train = log()
    model = compiled_model(name, train)
    stream = session_parallel_stream(train, num_lanes=CONFIGS[name][1])
    history = model.fit(stream, epochs=3, verbose=0).history
    speeds = {name: history["events_per_second"][-1]}
    if name == EVALUATED:
        for _ in range(3):  # the first one compiles
            begin = time.perf_counter()
            ranks = rank_model(model, train)
            speeds[EVALUATION] = ranks.num_points / (time.perf_counter() - begin)
    return speeds


def theirs(name: str, path: Path, options: argparse.Namespace, num_pairs: int) -> dict[str, float]:
    """What `ours` returns, of the peer."""
    units, lanes, extra, loss, _ = CONFIGS[name]
    settings = {
        "layers": units,
        "batch_size": lanes,
        "n_sample": extra,
        "loss": loss,
        "constrained_embedding": True,
        "learning_rate": 0.05,
        "sample_alpha": 0.75,
        "elu_param": 0.5,
        "bpreg": 1.0,
        "n_epochs": 2,
    }
    given = ",".join(f"{key}={value}" for key, value in settings.items())
    command = [options.python, str(Path(options.checkout).resolve() / "run.py"), str(path)]
    command += ["-d", "cpu", "-ps", given]
    if name == EVALUATED:
        command += ["-t", str(path), "-e", "conservative"]
    # The optimizer of the official code on TensorFlow is one of Keras 2.
    said = said_by(command, TF_USE_LEGACY_KERAS="1")
    speeds = {name: float(re.findall(r"\| (\d+) e/s\]", said)[-1])}
    if name == EVALUATED:
        speeds[EVALUATION] = num_pairs / float(re.findall(r"Evaluation took ([\d.]+)s", said)[0])
    return speeds


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "checkout", help="of hidasib/GRU4Rec_PyTorch_Official, or of the one on TensorFlow"
    )
    parser.add_argument("--python", default=sys.executable, help="with what the checkout needs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--configs", nargs="*", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--ours", choices=CONFIGS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.ours:
        print(json.dumps(ours(options.ours)))
        return
    from benchmarks.performance import compared, keep

    peer_name, train = peer_of(options.checkout), log()
    here = [sys.executable, "-m", "benchmarks.against_official", options.checkout, "--ours"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.tsv"
        write_log(train, path)
        found = in_turn(
            options.rounds,
            options.configs,
            ours=lambda name: told_by([*here, name]),
            theirs=lambda name: theirs(name, path, options, train.num_pairs),
        )
    records = [
        compared(
            BENCHMARK,
            name,
            ours=mine,
            peer=peer,
            peer_name=peer_name,
            unit="events/s",
            target=EVALUATION_TARGET if name == EVALUATION else CONFIGS[name][-1],
            direction="at_least",
            command="python -m benchmarks.against_official CHECKOUT --python PYTHON",
            note=NOTES.get(name, ""),
        )
        for name, (mine, peer) in found.items()
    ]
    keep(records)


if __name__ == "__main__":
    main()
