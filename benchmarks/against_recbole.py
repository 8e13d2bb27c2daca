"""Trains GRU4Rec against RecBole's, on MovieLens 100K with the softmax over all films.

    python -m benchmarks.against_recbole --python PYTHON

PYTHON is an interpreter with recbole (`benchmarks/README.md`), the log ml-100k (HREC_DATA), whose
last two events of each user RecBole holds out, and so do we. 100 units, Adam, 2,048 next items an
update. RecBole copies the latest 20 events before each of them and reads every copy from its
beginning; here 100 users are read side by side in windows of 20 events, their states carried from
window to window. So what a next item follows from is not the same, but how many are learnt from is:
an example is one of them. In every round both run in processes of their own, one after the other;
speeds are those of the second of two epochs.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.peers import in_turn, speed_told_by

BENCHMARK = "Training against RecBole"
PEER = "RecBole GRU4Rec"
CONFIG = "GRU4Rec, H100, all items, 2,048 examples an update, at most 20 events"
UNITS, LENGTH, BATCH, EPOCHS = 100, 20, 2048, 2
TARGET = 1.0

DRIVER = """
import json, sys, time
import torch
load = torch.load  # what RecBole stores is not weights alone
torch.load = lambda *given, **named: load(*given, **{"weights_only": False, **named})
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender import GRU4Rec
from recbole.trainer import Trainer

folder, units, length, batch, epochs = sys.argv[1], *map(int, sys.argv[2:6])
sys.argv = sys.argv[:1]
config = Config(model="GRU4Rec", dataset="log", config_dict={
    "data_path": folder, "checkpoint_dir": folder + "/saved", "use_gpu": False,
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "MAX_ITEM_LIST_LENGTH": length, "embedding_size": units, "hidden_size": units,
    "num_layers": 1, "dropout_prob": 0.0, "loss_type": "CE", "train_neg_sample_args": None,
    "train_batch_size": batch, "learner": "adam", "learning_rate": 0.001, "show_progress": False,
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
})
train, _, _ = data_preparation(config, create_dataset(config))
model = GRU4Rec(config, train.dataset)
trainer = Trainer(config, model)
for epoch in range(epochs):
    begin = time.perf_counter()
    trainer._train_epoch(train, epoch, show_progress=False)
    speed = len(train.dataset) / (time.perf_counter() - begin)
print(json.dumps({"speed": speed, "examples": len(train.dataset)}))
"""


def log():
    """MovieLens 100K, one sequence a user."""
    from hrec_tf.data.log_source import LogSource

    return LogSource("ml-100k")


def ours() -> dict[str, float]:
    """Examples per second, and how many there are."""
    import keras

    from hrec_tf.data.lanes import session_parallel_stream
    from hrec_tf.losses import CrossEntropy
    from hrec_tf.models import GRU4Rec

    train, _ = log().load().for_validation()
    model = GRU4Rec(num_items=train.num_items, units=(UNITS,), inputs="embedding", seed=1)
    model.compile(keras.optimizers.Adam(0.001), CrossEntropy())
    stream = session_parallel_stream(train, num_lanes=BATCH // LENGTH, steps=LENGTH)
    history = model.fit(stream, epochs=EPOCHS, verbose=0).history
    return {"speed": history["events_per_second"][-1], "examples": train.num_pairs}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="with recbole")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.ours:
        print(json.dumps(ours()))
        return
    from benchmarks.performance import compared, keep

    examples = log().load().for_validation()[0].num_pairs
    here = [sys.executable, "-m", "benchmarks.against_recbole", "--ours"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log").mkdir()
        frame = log().read().frame.select("user", "item", "timestamp")
        names = ["user_id:token", "item_id:token", "timestamp:float"]
        frame.rename(dict(zip(frame.columns, names, strict=True))).write_csv(
            Path(folder) / "log" / "log.inter", separator="\t"
        )
        there = [options.python, "-c", DRIVER, *map(str, (folder, UNITS, LENGTH, BATCH, EPOCHS))]
        found = in_turn(
            options.rounds,
            [CONFIG],
            ours=lambda _: speed_told_by(CONFIG, here, examples),
            theirs=lambda _: speed_told_by(CONFIG, there, examples),
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
        command="python -m benchmarks.against_recbole --python PYTHON",
    )
    keep([record])


if __name__ == "__main__":
    main()
