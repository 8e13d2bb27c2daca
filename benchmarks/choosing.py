"""Writes docs/choosing.md and its figure: which model for which log.

    python -m benchmarks.choosing

reads the means of docs/results.json and the tests of docs/results_paired.json. A column of the
page is a family; its cell is the highest that one of the family's recipes has there. Which one
that is the test part tells, so that what stands beside HRNN+ is the hardest of them; HRNN+ itself
has one recipe for each log. What was not measured has no cell.
"""

import sys
from collections.abc import Iterable
from typing import Any

from benchmarks.paired import PAIRED
from benchmarks.records import COVERAGE, DOCS, LISTS, SECONDS, read, split_of
from benchmarks.report import REFERENCES, RESULTS
from benchmarks.tuned import RECORDS
from hrec_tf.data import catalogue
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.data.log_source import LogSource
from hrec_tf.reporting.figures import group_figure
from hrec_tf.reporting.tables import Table, spread

PAGE, FIGURE = DOCS / "choosing.md", DOCS / "choosing.svg"
LOGS = ("online-retail", "globo-10k", "foursquare-nyc", "tmall-shan")
FAMILIES = {
    "popularity": ("pop", "ppop", "recent-pop", "recent-pop-tuned"),
    "neighbours": (
        *("item-knn-tuned", "v-sknn-tuned", "stan-tuned"),
        *("item-knn", "sknn", "v-sknn", "stan", "sknn-user", "v-sknn-user", "stan-user"),
    ),
    "GRU4Rec+": ("gru4rec+-tuned", "gru4rec+-same", "gru4rec+"),
    "NARM": ("narm-sampled",),
    "HRNN, paper's settings": ("hrnn-init", "hrnn-all"),
    "HRNN-meta": ("hrnn-meta", "hrnn-meta-control"),
    "HRNN+": ("hrnn+-tuned", "hrnn+-news-tuned", "hrnn+-without-times-tuned"),
    "HRNN+ that counts on": ("hrnn+-rolling",),
}
RIVALS = ("popularity", "neighbours", "GRU4Rec+", "NARM")
OURS, OFFICIAL = "HRNN+", "GRU4Rec_PyTorch_Official"
ROLLING = "HRNN+ that counts on"
BAR = ("item-knn-tuned", "v-sknn-tuned", "stan-tuned", "gru4rec+-tuned")
"""What HRNN+ is to beat: the rivals that were searched as it was."""
GROUPS = {"all": "all", "short": "up to 6 sessions before", "long": "more than 6"}
OUTCOMES = ("ahead", "behind", "not told apart")
LIKELY = 0.01
"""A difference counts whose p, after Holm, is below."""
METRICS = ("Recall@20", "MRR@20")

_HEAD = """# Which model for which log

Made from [results.json](results.json) and [results_paired.json](results_paired.json) by
`python -m benchmarks.choosing`; do not edit. Recipes named `-tuned` were chosen on validation
sessions made of the training part, by {trials} trials each ([tuning.json](tuning.json) has how
many, and their time). Each cell of the tables is the highest that a recipe of the family has
there, as the test part tells, so that rivals look their best. All numbers, with their commands:
[results.md](results.md).

- **Users come back, and you know when:** `hrnn+`. It has the GRUs of the session and of the user,
  and three scores that no GRU learns well: what the user had before, what went with it, and what
  everybody takes at this hour.
- **Users come back, but the log has no times:** `hrnn+-without-times`, the same without the hour.
- **People return to the same few items** (check-ins, listening): measure `ppop` and `sknn-user`
  beside it, which count what each user had and find about as much of it in lists of 20. Ask with
  `--include-seen` (`exclude_seen=False`): else what a user had is left out of every list.
- **You must know what the network alone does** (ablations, a model of GRUs only):
  `hrnn+-network`; `gru4rec+` where nobody comes back or there are no users at all.
- **You cannot train, or need it this afternoon:** `item-knn`, counted in seconds. `stan` and
  `v-sknn` are better on some logs, if they are searched (`hrec tune`): whether items repeat
  (`remind`) decides most.
- **Items live for hours** (news): `hrnn+-news`, trained anew as often as that. What training has
  not seen it cannot recommend; of globo-10k's last day such items are 66% of the clicks
  ([evaluation.md](evaluation.md)), which these tables leave out; `hrnn-meta` can read the features
  of new items, where a log has some. Between trainings let it count on (`hrec count-on`, every
  sixth of its half-life): `hrnn+-rolling` is `hrnn+-news-tuned` told, at each moment of the test,
  what everybody did up to then. By time, where the test lasts a day, that is most of what there
  is to know: `recent-pop-tuned`, which is `rolling` too and has no network, finds more than any
  model here that knows the training log alone: measure it beside `hrnn+-rolling`.
- **You compare with the papers:** `hrnn-init`, `hrnn-all`, with their settings. They are not
  what we would serve.

![Recall@20 of each family on each log](choosing.svg)
"""


def best_of(
    records: list[dict[str, Any]], family: str, metric: str = "MRR@20"
) -> dict[str, dict[str, Any]]:
    """Returns metric -> record of a family's best recipe among those of one log and split."""
    by_recipe: dict[str, dict[str, dict[str, Any]]] = {}
    for record in records:
        if record["recipe"] in FAMILIES[family]:
            by_recipe.setdefault(record["recipe"], {})[record["metric"]] = record
    return max(by_recipe.values(), key=lambda held: held[metric]["mean"], default={})


def places_of(records: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """Returns the logs and splits on which HRNN+ was measured, in the order of `LOGS`."""
    there = {
        (r["dataset"], split_of(r["protocol"])) for r in records if r["recipe"] in FAMILIES[OURS]
    }
    return sorted(there, key=lambda place: (LOGS.index(place[0]), place[1]))


def table_of(places: dict[tuple[str, str], list[dict[str, Any]]]) -> Table:
    """Recall@20 and MRR@20 of each family that was measured somewhere."""
    families = [
        family for family in FAMILIES if any(best_of(held, family) for held in places.values())
    ]
    rows = []
    for (data, split), records in places.items():
        for metric in METRICS:
            cells = [best_of(records, family, metric).get(metric) for family in families]
            shown = ["–" if r is None else spread(r["mean"], r["sd"]) for r in cells]
            rows.append((data, split, metric, *shown))
    return Table(("log", "split", "metric", *families), tuple(rows))


def costs_of(places: dict[tuple[str, str], list[dict[str, Any]]]) -> Table:
    """What each family's best recipe by MRR takes and shows, of those where that was measured."""
    rows = []
    for (data, split), records in places.items():
        whole = {r["recipe"] for r in records if r["metric"] == LISTS}
        for family in FAMILIES:
            held = best_of([r for r in records if r["recipe"] in whole], family)
            if held:
                recipe = next(iter(held.values()))["recipe"]
                seconds, lists, coverage = (
                    held[name]["mean"] for name in (SECONDS, LISTS, COVERAGE)
                )
                cells = (f"{seconds:,.1f} s", f"{lists:,.0f}", f"{coverage:.1%}")
                rows.append((data, split, recipe, *cells))
    return Table(("log", "split", "recipe", "training", "lists/s", "coverage@20"), tuple(rows))


def outcome_of(test: dict[str, Any]) -> str:
    """Returns "ahead", "behind" or "" of a test: mean and ranks must say the same, and surely."""
    if test["p_holm"] >= LIKELY:
        return ""
    signs = test["difference"], test["better"] - test["worse"]
    if min(signs) > 0:
        return "ahead"
    return "behind" if max(signs) < 0 else ""


def said_of(test: dict[str, Any]) -> str:
    """A test in words: by how much, for how many users, how surely."""
    word = {"ahead": "ahead of", "behind": "behind"}.get(outcome_of(test), "not told apart from")
    return (
        f"{test['metric']} {word} `{test['against']}` ({test['difference']:+.4f}; better for "
        f"{test['better']:,} users, worse for {test['worse']:,}; p {test['p_holm']:.2g})"
    )


def tests_at(place: tuple[str, str], tests: list[dict[str, Any]], kind: str) -> list:
    """Returns the tests of a kind of one log and split."""
    return [t for t in tests if (t["dataset"], t["split"]) == place and t["kind"] == kind]


def verdict_of(
    place: tuple[str, str],
    records: list[dict[str, Any]],
    tests: list[dict[str, Any]],
    family: str = OURS,
) -> str:
    """Says of each metric whether a family is ahead of the best rival, by how much, how surely."""
    data, split = place
    ours = next(iter(best_of(records, family).values()))["recipe"]
    parts = []
    for metric in METRICS:
        there = [best_of(records, family, metric) for family in RIVALS]
        best = max((held for held in there if held), key=lambda held: held[metric]["mean"])
        rival = best[metric]["recipe"]
        held = {(t["recipe"], t["against"], t["metric"]): t for t in tests_at(place, tests, "test")}
        test = held.get((ours, rival, metric))
        parts.append(said_of(test) if test else f"{metric} not tested against `{rival}`")
    return f"- {data}, {split}: `{ours}` has {'; '.join(parts)}."


def tally_of(
    places: dict[tuple[str, str], list[dict[str, Any]]], tests: list[dict[str, Any]]
) -> str:
    """Says on which logs HRNN+ is ahead of all of `BAR` in both metrics."""
    won, others = [], []
    for (data, split), records in places.items():
        ours = next(iter(best_of(records, OURS).values()))["recipe"]
        outcomes = [
            outcome_of(test)
            for test in tests_at((data, split), tests, "test")
            if test["recipe"] == ours and test["against"] in BAR
        ]
        is_won = len(outcomes) == len(BAR) * len(METRICS) and set(outcomes) == {"ahead"}
        (won if is_won else others).append(f"{data} ({split})")
    rivals = ", ".join(f"`{name}`" for name in BAR)
    text = f"Of {rivals}, all tuned on validation as it was, it is ahead of each in Recall@20 and "
    text += f"in MRR@20, with p below {LIKELY} after Holm, on {', '.join(won) or 'no log'}"
    return f"{text}; not on {', '.join(others)}." if others else f"{text}."


def official_of(place: tuple[str, str], references: list[dict[str, Any]]) -> str:
    """The best that the official GRU4Rec reaches there, of the settings it was run with."""
    data, split = place
    there = [r for r in references if r["dataset"] == data and r["software"] == OFFICIAL]
    if not there or split != LogSource(data).split_label:
        return ""
    best = {name: max(r["mean"] for r in there if r["metric"] == name) for name in METRICS}
    shown = " and ".join(f"{name} {spread(value, None)}" for name, value in best.items())
    return f" The official code of GRU4Rec has at most {shown}."


def returning_of(places: Iterable[tuple[str, str]], tests: list[dict[str, Any]]) -> str:
    """Says where the user level helps those who came back often, by MRR@20."""
    found: dict[str, list[str]] = {}
    for place in places:
        for test in tests_at(place, tests, "user level"):
            if test["group"] == "long" and test["metric"] == "MRR@20":
                what = outcome_of(test) or OUTCOMES[-1]
                found.setdefault(what, []).append(f"{place[0]} ({place[1]})")
    said = [f"{what} on {', '.join(found[what])}" for what in OUTCOMES if what in found]
    return f"For users with more than 6 sessions before, in MRR@20, it is {'; '.join(said)}."


def user_level_of(places: Iterable[tuple[str, str]], tests: list[dict[str, Any]]) -> Table:
    """What the user level changes, for all users and by how many sessions they had before."""
    rows = [
        (
            *(place if test["metric"] == METRICS[0] else ("", "")),
            GROUPS[test["group"]] if test["metric"] == METRICS[0] else "",
            test["metric"],
            f"{test['difference']:+.4f}",
            f"{test['better']:,}",
            f"{test['worse']:,}",
            f"{test['p_holm']:.2g}",
            outcome_of(test) or OUTCOMES[-1],
        )
        for place in places
        for test in tests_at(place, tests, "user level")
    ]
    head = (
        "log",
        "split",
        "users",
        "metric",
        "difference",
        "better for",
        "worse for",
        "p",
        "it is",
    )
    return Table(head, tuple(rows))


def figure_of(places: dict[tuple[str, str], list[dict[str, Any]]]) -> str:
    """A line for each log and split, a mark for each family."""
    groups = {}
    for family in FAMILIES:
        best = {place: best_of(records, family, METRICS[0]) for place, records in places.items()}
        if any(best.values()):
            groups[family] = {
                data if split == LogSource(data).split_label else f"{data} by time": (
                    held["Recall@20"]["mean"] if held else float("nan")
                )
                for (data, split), held in best.items()
            }
    drawn = group_figure(
        groups, name="choosing", metric="Recall@20", title="Recall@20 of each family on each log"
    )
    # A file of its own, where the page's figures stand in the page.
    return drawn.replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" ', 1
    )


def trials_text(searches: list[dict[str, Any]]) -> str:
    """Returns how many trials the searches had, e.g. "6 or 12"."""
    return " or ".join(map(str, sorted({r["complete"] + r["pruned"] for r in searches})))


def page() -> tuple[str, str]:
    """Returns the texts of docs/choosing.md and docs/choosing.svg."""
    # Both ways of ties have their records; where scores tie at random, the harder one counts.
    records = [r for r in read(RESULTS) if "conservative ties" in r["protocol"]]
    tests = read(PAIRED)
    places = {
        place: [r for r in records if (r["dataset"], split_of(r["protocol"])) == place]
        for place in places_of(records)
    }
    logs = [name for name in LOGS if name in {data for data, _ in places}]
    about = [f"- {name}: {catalogue.entry(name).about}" for name in logs]
    references = read(REFERENCES)
    verdicts = [
        verdict_of(place, held, tests) + official_of(place, references)
        for place, held in places.items()
    ]
    verdicts += [
        verdict_of(place, held, tests, ROLLING)
        for place, held in places.items()
        if best_of(held, ROLLING)
    ]
    parts = [
        _HEAD.format(trials=trials_text(read(RECORDS))),
        f"## The logs\n\n{chr(10).join(about)}\n",
        f"## What they reach\n\n{table_of(places).to_markdown()}\n\nTies count against a method "
        "(`conservative`): neighbours and counts score most items of some lists alike, most of all "
        "by time, where half of what comes was in no list of theirs.\n",
        f"## HRNN+ against the others\n\n{tally_of(places, tests)}\n\nAgainst the best of all "
        "rivals in these tables, by each metric: means over users, their difference by Wilcoxon's "
        "signed-rank test, corrected by Holm over all tests of a log and split "
        "(`python -m benchmarks.paired`); the test is of these trained models. "
        f"Ahead or behind is what mean and ranks both say, with p below {LIKELY}.\n\n"
        f"{chr(10).join(verdicts)}\n",
        "## What the user level gives\n\n`hrnn+-network-same` against `gru4rec+-same`: one network "
        "without heads, all other settings alike, with and without the user level.\n\n"
        f"{returning_of(places, tests)} What else was tried: "
        "[ablations.md](ablations.md), `benchmarks/trials.txt`.\n\n"
        f"{user_level_of(places, tests).to_markdown()}\n",
        f"## What they take\n\n{costs_of(places).to_markdown()}\n",
    ]
    return "\n".join(parts), figure_of(places)


def main() -> int:
    text, figure = page()
    write_whole(PAGE, text.encode())
    write_whole(FIGURE, f"{figure}\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
