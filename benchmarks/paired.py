"""Tests recipes against one another, paired over users, and by length of history.

    python -m benchmarks.paired --data online-retail

reads the ranks that `python -m benchmarks.measure --ranks runs/ranks` kept and writes
docs/results_paired.json. A user's value is the mean over the user's targets, seeds averaged
first; two methods are compared by Wilcoxon's signed-rank test over users. `TRIED` are recipes that
a claim is made of, each against every recipe of `RIVALS`, corrected by Holm for all of these on a
log and split. Of its own is the question what the user level gives: `USER_LEVEL`, all users and by
the number of sessions that they had before, corrected by Holm among these. What is tested are
these trained models: how much seeds differ is no part of p.
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
    *("pop", "ppop", "recent-pop", "recent-pop-tuned"),
    *("item-knn-tuned", "v-sknn-tuned", "stan-tuned"),
    *("item-knn", "sknn", "v-sknn", "stan", "sknn-user", "v-sknn-user", "stan-user"),
    *("gru4rec+-tuned", "gru4rec+-same", "gru4rec+", "narm-sampled"),
)
USER_LEVEL = ("hrnn+-network-same", "gru4rec+-same")
"""One network, with and without the user level: all other settings are those of HRNN+."""
TRIED = (
    "hrnn+-tuned",
    "hrnn+-news-tuned",
    "hrnn+-without-times-tuned",
    "hrnn+-rolling",
    "hrnn+-network-same",
    "hrnn-meta",
    "hrnn-meta-control",
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
    """Returns float64 (num_seeds, num_users), each test user's mean over targets.

    Raises:
        ValueError: seeds that ranked other targets.
    """
    if not all(np.array_equal(ranks.target, seeds[0].target) for ranks in seeds):
        raise ValueError(
            f"Ranks of {len(seeds)} seeds are of other targets each, but a pair is one user's. "
            "Measure them again, with --again --ranks."
        )
    _, user = np.unique(user_of(histories, seeds[0].target), return_inverse=True)
    formula = METRICS[metric]
    return np.stack(
        [
            np.bincount(user, weights=formula(ranks.ranks("conservative"), K)) / np.bincount(user)
            for ranks in seeds
        ]
    )


def comparison(
    pair: tuple[str, str], held: dict[str, list[Ranks]], histories: Histories, metric: str
) -> dict[str, Any]:
    """The record of one test, with the users for whom the first is better, and worse."""
    first, second = (by_user(held[name], histories, metric) for name in pair)
    test = paired_wilcoxon(first, second)
    change = np.round(first.mean(axis=0) - second.mean(axis=0), 12)
    return {
        "recipe": pair[0],
        "against": pair[1],
        "metric": metric,
        "difference": round(test.mean_difference, 6),
        "users": test.num_pairs,
        "better": int((change > 0).sum()),
        "worse": int((change < 0).sum()),
        "seeds": [len(held[name]) for name in pair],
        "p": float(f"{test.p_value:.3g}"),
    }


def corrected(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds what Holm makes of the p of all of these."""
    for record, p in zip(records, holm([record["p"] for record in records]), strict=True):
        record["p_holm"] = float(f"{p:.3g}")
    return records


def tests_of(held: dict[str, list[Ranks]], histories: Histories, about: dict[str, Any]) -> list:
    """Records of every test of a log and split, Holm-corrected together."""
    pairs = [(first, second) for first in TRIED for second in RIVALS if {first, second} <= {*held}]
    return corrected(
        [
            {**about, "kind": "test"} | comparison(pair, held, histories, metric)
            for pair in pairs
            for metric in METRICS
        ]
    )


def user_level_of(
    held: dict[str, list[Ranks]], histories: Histories, about: dict[str, Any]
) -> list:
    """Records of what the user level gives to whom, Holm-corrected together."""
    if not set(USER_LEVEL) <= set(held):
        return []
    parts: dict[str, dict[str, list[Ranks]]] = {"all": {}}
    for name in USER_LEVEL:
        parts["all"][name] = held[name]
        for ranks in held[name]:
            for group, found in by_history_length(ranks, histories, ks=[K]).items():
                parts.setdefault(group, {}).setdefault(name, []).append(found.ranks)
    return corrected(
        [
            {**about, "kind": "user level", "group": group}
            | comparison(USER_LEVEL, part, histories, metric)
            for group, part in parts.items()
            if all(ranks.num_points for seeds in part.values() for ranks in seeds)
            for metric in METRICS
        ]
    )


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
    new = [
        *tests_of(held, histories, about),
        *user_level_of(held, histories, about),
        *lengths_of(held, histories, about),
    ]
    with locked(DOCS):
        old = [r for r in read(PAIRED) if r["command"] != command]
        write(PAIRED, [*old, *new])
    for record in new:
        if "p" in record:
            print({key: value for key, value in record.items() if key not in about})
    return 0


if __name__ == "__main__":
    sys.exit(main())
