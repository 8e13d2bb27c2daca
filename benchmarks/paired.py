"""Tests the tuned recipes against one another, paired over users, and by length of history.

    python -m benchmarks.paired --data online-retail

reads the ranks that `python -m benchmarks.measure --ranks runs/ranks` kept and writes
docs/results_paired.json. A user's value is the mean over the user's targets, seeds averaged
first; two methods are compared by Wilcoxon's signed-rank test over users, corrected by Holm for
all comparisons of a log and split. `TRIED` are recipes that a claim is made of, each against
every recipe of `RIVALS`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import DOCS, locked, read, write
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_source import LogSource
from hrec_tf.evaluation import Evaluation, Ranks, by_history_length, holm, mean_sd, paired_wilcoxon
from hrec_tf.evaluation.points import user_of
from hrec_tf.metrics import mrr_at, recall_at

PAIRED, RANKS = DOCS / "results_paired.json", Path("runs/ranks")
METRICS = {"Recall@20": recall_at, "MRR@20": mrr_at}
K = 20
RIVALS = (
    *("pop", "ppop", "item-knn-tuned", "v-sknn-tuned", "stan-tuned"),
    *("gru4rec+-tuned", "gru4rec+-same", "narm-tuned"),
)
"""`gru4rec+-same` is the recipe of `hrnn+-network-same` without the user level."""
TRIED = (
    "hrnn+-tuned",
    "hrnn+-news-tuned",
    "hrnn+-without-times-tuned",
    "hrnn+-network-same",
    "hrnn-meta-tuned",
    "hrnn-meta-control-tuned",
)


def folder_of(ranks: Path, place: tuple[str, str, str]) -> Path:
    """Where the ranks of a recipe's seeds lie: a folder by log, split and recipe."""
    data, protocol, recipe = place
    return ranks / data / protocol.partition(", ")[0] / recipe


def keep(ranks: Path, place: tuple[str, str, str], seed: int, found: Evaluation) -> None:
    """Writes the rank of every target of one seed."""
    folder = folder_of(ranks, place)
    folder.mkdir(parents=True, exist_ok=True)
    held = found.ranks
    with (folder / f"{seed}.npz").open("wb") as file:
        np.savez_compressed(
            file, target=held.target, greater=held.greater, equal=held.equal, of=held.num_candidates
        )


def seeds_held(ranks: Path, place: tuple[str, str, str]) -> list[int]:
    """Returns the seeds of a recipe whose ranks are there, in order."""
    return sorted(int(path.stem) for path in folder_of(ranks, place).glob("*.npz"))


def load(ranks: Path, place: tuple[str, str, str]) -> list[Ranks]:
    """Reads what `keep` wrote, by seed."""
    found = []
    for seed in seeds_held(ranks, place):
        with np.load(folder_of(ranks, place) / f"{seed}.npz", allow_pickle=False) as held:
            found.append(Ranks(held["target"], held["greater"], held["equal"], int(held["of"])))
    return found


def by_user(seeds: Sequence[Ranks], histories: Histories, metric: str) -> np.ndarray:
    """Returns float64 (num_seeds, num_users), each test user's mean over targets."""
    _, user = np.unique(user_of(histories, seeds[0].target), return_inverse=True)
    formula = METRICS[metric]
    return np.stack(
        [
            np.bincount(user, weights=formula(ranks.ranks("conservative"), K)) / np.bincount(user)
            for ranks in seeds
        ]
    )


def tests_of(held: dict[str, list[Ranks]], histories: Histories, about: dict[str, Any]) -> list:
    """Records of every test of a log and split, Holm-corrected together."""
    records = []
    for first in (name for name in TRIED if name in held):
        for second in (name for name in RIVALS if name in held):
            for metric in METRICS:
                test = paired_wilcoxon(
                    by_user(held[first], histories, metric),
                    by_user(held[second], histories, metric),
                )
                difference, users = round(test.mean_difference, 6), test.num_pairs
                records.append(
                    {**about, "kind": "test", "recipe": first, "against": second}
                    | {"metric": metric, "difference": difference, "users": users}
                    | {"p": float(f"{test.p_value:.3g}")}
                )
    for record, p in zip(records, holm([record["p"] for record in records]), strict=True):
        record["p_holm"] = float(f"{p:.3g}")
    return records


def lengths_of(held: dict[str, list[Ranks]], histories: Histories, about: dict[str, Any]) -> list:
    """Records of each recipe's metrics, by the number of sessions that a user had before."""
    records = []
    for recipe, seeds in held.items():
        groups = [by_history_length(ranks, histories, ks=[K]) for ranks in seeds]
        for group in groups[0]:
            for metric in METRICS:
                value = mean_sd([found[group].metrics[metric] for found in groups])
                sd = None if value.sd is None else round(value.sd, 6)
                records.append(
                    {**about, "kind": "history", "recipe": recipe, "group": group}
                    | {"metric": metric, "mean": round(value.mean, 6), "sd": sd}
                    | {"sessions": groups[0][group].num_sessions, "seeds": len(seeds)}
                )
    return records


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paired", description=__doc__)
    parser.add_argument("--data", required=True, help="a named log")
    parser.add_argument("--split", choices=("temporal",), help="in place of the log's own")
    parser.add_argument("--days", type=float, help="how long the test of `temporal` lasts")
    parser.add_argument("--ranks", type=Path, default=RANKS)
    options = parser.parse_args(arguments)
    split = {"name": options.split, "days": options.days}
    more = {name: value for name, value in split.items() if value is not None}
    source = LogSource(options.data, split=more)
    histories = source.load().test
    folder = options.ranks / options.data / source.split_label
    names = sorted(path.name for path in folder.iterdir())
    held = {name: load(options.ranks, (options.data, source.split_label, name)) for name in names}
    command = f"python -m benchmarks.paired --data {options.data}"
    command += f" --split {options.split} --days {options.days:g}" if options.split else ""
    about = {"dataset": options.data, "split": source.split_label, "command": command}
    new = [*tests_of(held, histories, about), *lengths_of(held, histories, about)]
    with locked(DOCS):
        old = [r for r in read(PAIRED) if r["command"] != command]
        write(PAIRED, [*old, *new])
    for record in new:
        if record["kind"] == "test":
            print({key: value for key, value in record.items() if key not in about})
    return 0


if __name__ == "__main__":
    sys.exit(main())
