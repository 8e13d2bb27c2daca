"""What each part of HRNN-meta is worth on ratings of movies: perplexity, lists, and RMSE.

    python -m benchmarks.meta_tables --data ml-100k --seeds 0

Rows as in Tables 2 and 3 of Ma & Narayanaswamy; what is held in docs/results_meta.json is passed
over, and `python -m benchmarks.report` puts it into docs/results.md. Users are split 72/8/20 %, so
that test users are new; targets are all their events but the first. A network is trained until its
validation loss has not fallen for two epochs, and has the weights of the best one.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.records import DOCS, locked, read, write
from hrec_tf import __version__, checks
from hrec_tf.cli import console
from hrec_tf.data.log_source import LogSource, PreparedLog

RESULTS = DOCS / "results_meta.json"
LOGS = ("ml-100k", "ml-1m-part")
USERS_FILE, FIRST_ITEM = "users", "first-item"
"""The two ways a log describes its users, by the ends of their names in the catalogue."""

PATIENCE = 2
CONTROL = {"control": "gap"}
ITEMS = {"num_item_features": "log"}
FEEDBACK = {"num_feedback": "log"}
USERS = {"num_user_features": "log"}
RATINGS = {"rating_weight": 1.0, "rank_weight": 0.0}

LISTS = "perplexity"
ERRORS = "ratings"
BASELINES = {
    LISTS: ("popularity", "popularity + item features"),
    ERRORS: ("global average", "rolling average", "FM", "U-AutoRec"),
}
NETWORKS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    LISTS: {
        "sequence": (USERS_FILE, {}),
        "sequence + control": (USERS_FILE, CONTROL),
        "sequence + items": (USERS_FILE, ITEMS),
        "sequence + feedback": (USERS_FILE, FEEDBACK),
        "sequence + users": (USERS_FILE, USERS),
        "sequence + first item": (FIRST_ITEM, USERS),
        "all": (FIRST_ITEM, CONTROL | ITEMS | FEEDBACK | USERS),
    },
    ERRORS: {
        "RNN without feedback": (USERS_FILE, RATINGS),
        "RNN with feedback": (USERS_FILE, RATINGS | FEEDBACK),
        "all with feedback": (FIRST_ITEM, RATINGS | CONTROL | ITEMS | FEEDBACK | USERS),
        "all, lists and ratings": (
            FIRST_ITEM,
            RATINGS | CONTROL | ITEMS | FEEDBACK | USERS | {"rank_weight": 1.0},
        ),
    },
}
PUBLISHED = {
    LISTS: "ml-20m, published: popularity 2228, + item FM 1342, RNN 447, all 410",
    ERRORS: "ml-20m, published: rolling average .933, FM .916, I-AutoRec .871, RNN without "
    "feedback .941, with feedback .857, HRNN with feedback .846",
}


def network(arguments: dict[str, Any], log: PreparedLog, seed: int) -> tuple[Any, int]:
    """Returns a trained model and its best epoch."""
    import keras

    from hrec_tf.data.aligned import aligned_stream
    from hrec_tf.losses import CrossEntropy
    from hrec_tf.models import HRNNMeta
    from hrec_tf.recipes.keys import WIDTHS

    assert log.features is not None
    widths = log.features.schemas.widths
    held = {name: widths[WIDTHS[name]] if v == "log" else v for name, v in arguments.items()}
    sizes: dict[str, Any] = {"units": 128, "item_dim": 128, "num_layers": 1, "control": None}
    model = HRNNMeta(num_items=log.vocabulary.num_items, seed=seed, **sizes | held)
    if model.num_item_features and log.features.items is not None:
        model.set_item_features(log.features.items.values)
    model.compile(keras.optimizers.Adam(0.003), CrossEntropy(normalise="valid"))
    train, validation = log.for_validation()
    stopping = _stopping(validation, by_ratings=model.rank_weight == 0)
    model.fit(
        aligned_stream(train, num_lanes=64, steps=32, seed=seed),
        validation_data=aligned_stream(validation, num_lanes=16, order="given"),
        epochs=40,
        callbacks=[stopping],
        verbose=0,
    )
    return model, stopping.losses.index(min(stopping.losses)) + 1


def _stopping(validation: Any, *, by_ratings: bool) -> Any:
    """Ends a training that gets no better, and restores the best epoch; holds its `losses`."""
    import keras

    from hrec_tf.evaluation import rating_errors

    class Stopping(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.losses, self.best = [], None

        def on_epoch_end(self, epoch, logs=None):
            loss = logs["val_loss"]
            if by_ratings:  # the error of ratings is in no loss that `fit` logs
                loss = rating_errors(self.model, validation).rmse
            self.losses.append(loss)
            since_best = len(self.losses) - 1 - self.losses.index(min(self.losses))
            if not since_best:
                self.best = self.model.get_weights()
            elif since_best >= PATIENCE:
                self.model.stop_training = True

        def on_train_end(self, logs=None):
            self.model.set_weights(self.best)

    return Stopping()


def baseline(table: str, name: str, log: PreparedLog, seed: int) -> Any:
    """Returns a fitted baseline of a table."""
    from hrec_tf import baselines

    assert log.features is not None and log.features.items is not None
    values = log.features.items.values
    makers: dict[str, Callable[[], Any]] = {
        "popularity": baselines.PopularityLikelihood,
        "popularity + item features": lambda: baselines.PopularityFM(values, seed=seed),
        "global average": baselines.GlobalAverage,
        "rolling average": baselines.RollingAverage,
        "FM": lambda: baselines.FactorizationMachine(item_features=values, seed=seed),
        "U-AutoRec": lambda: baselines.AutoRec(view="users", mask=0.5, seed=seed),
    }
    checks.require_choice("row", name, BASELINES[table])
    return makers[name]().fit(log.train)


def measure(table: str, row: str, log: PreparedLog, seed: int) -> dict[str, float]:
    """Trains a row and returns its values on the test users."""
    from hrec_tf.evaluation import evaluate, perplexity, rating_errors

    begin, values = time.perf_counter(), {}
    if row in BASELINES[table]:
        fitted = baseline(table, row, log, seed)
    else:
        fitted, values["best epoch"] = network(NETWORKS[table][row][1], log, seed)
    values["seconds"] = round(time.perf_counter() - begin, 1)
    if table == LISTS:
        targets = ~log.test.user_starts
        values["PPL"] = round(perplexity(fitted, log.test, targets=targets).value, 2)
        metrics = evaluate(fitted, log.test, ks=(20,)).metrics
        values |= {name: round(metrics[name], 5) for name in ("Recall@20", "MRR@20")}
    else:
        assert log.features is not None and log.features.schemas.feedback is not None
        units: Any = log.features.schemas.feedback.columns["rating"]
        values["RMSE"] = round(rating_errors(fitted, log.test, units=units, clip=True).rmse, 4)
    return values


def section(records: list[dict[str, Any]]) -> str:
    """Returns the part of docs/results.md."""
    from hrec_tf.reporting.tables import Table

    parts = ["## HRNN-meta, part by part\n"]
    parts.append(" ".join((__doc__ or "").split("docs/results.md. ")[1].split()) + "\n")
    for table, columns in ((LISTS, ("PPL", "Recall@20", "MRR@20")), (ERRORS, ("RMSE",))):
        for data in LOGS:
            here = [r for r in records if (r["table"], r["data"]) == (table, data)]
            if not here:
                continue
            names = [*BASELINES[table], *NETWORKS[table]]
            rows = []
            for name in names:
                held = [r["values"] for r in here if r["row"] == name]
                if held:
                    cells = (_mean([v[column] for v in held], column) for column in columns)
                    epochs = [v["best epoch"] for v in held if "best epoch" in v]
                    more = "–" if not epochs else f"{sum(epochs) / len(epochs):.0f}"
                    rows.append((name, *cells, more, str(len(held))))
            missing = [name for name in names if name not in {r["row"] for r in here}]
            text = Table(("", *columns, "best epoch", "seeds"), tuple(rows)).to_markdown()
            parts.append(f"### {data}, {table}\n\n{text}\n")
            if missing:
                parts.append(f"Not measured: {', '.join(missing)}.\n")
        parts.append(f"Of {PUBLISHED[table]}; other data, not comparable.\n")
    commands = dict.fromkeys(record["command"] for record in records)
    return "\n".join([*parts, "```", *commands, "```", ""])


def _mean(values: list[float], column: str) -> str:
    mean = sum(values) / len(values)
    return f"{mean:,.1f}" if column == "PPL" else f"{mean:.4f}"


def keep(record: dict[str, Any]) -> None:
    """Adds a record to the file, in place of one of the same row and seed."""
    key = ("data", "table", "row", "seed")
    with locked(DOCS):
        held = [r for r in read(RESULTS) if any(r[name] != record[name] for name in key)]
        order = [name for table in NETWORKS for name in (*BASELINES[table], *NETWORKS[table])]
        held = sorted(
            [*held, record],
            key=lambda r: (LOGS.index(r["data"]), r["table"], order.index(r["row"]), r["seed"]),
        )
        write(RESULTS, held)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.meta_tables", description=__doc__)
    parser.add_argument("--data", required=True, choices=LOGS)
    parser.add_argument("--seeds", default="0", help="e.g. 0,1,2")
    parser.add_argument("--rows", default="", help="some rows only, with ; between them")
    options = parser.parse_args(arguments)
    console.import_tensorflow()
    logs: dict[str, PreparedLog] = {}
    command = f"python -m benchmarks.meta_tables --data {options.data} --seeds {options.seeds}"
    for seed in map(int, options.seeds.split(",")):
        for table in NETWORKS:
            for row in (*BASELINES[table], *NETWORKS[table]):
                place = {"data": options.data, "table": table, "row": row, "seed": seed}
                is_held = any(place.items() <= record.items() for record in read(RESULTS))
                if is_held or (options.rows and row not in options.rows.split(";")):
                    continue
                kind = NETWORKS[table][row][0] if row in NETWORKS[table] else USERS_FILE
                if kind not in logs:
                    logs[kind] = LogSource(f"{options.data}-{kind}").load()
                values = measure(table, row, logs[kind], seed)
                keep(place | {"values": values, "command": command, "version": __version__})
                print(f"{options.data}, {table}, {row}, seed {seed}: {values}", flush=True)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
