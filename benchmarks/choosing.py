"""Writes docs/choosing.md and its figure: which model for which log.

    python -m benchmarks.choosing

reads the means of docs/results.json and the tests of docs/results_paired.json. A column of the
page is a family; its cell is the family's best recipe on that log and split by MRR@20 (all of
them were tuned on validation alone, but which of three neighbours is shown is told by the test
part, so that what stands beside HRNN+ is the hardest of them). What was not measured has no cell.
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
    "popularity": ("pop", "ppop"),
    "neighbours": ("item-knn-tuned", "v-sknn-tuned", "stan-tuned"),
    "GRU4Rec+": ("gru4rec+-tuned", "gru4rec+-same"),
    "NARM": ("narm-tuned",),
    "HRNN, paper's settings": ("hrnn-init", "hrnn-all"),
    "HRNN-meta": ("hrnn-meta-tuned", "hrnn-meta-control-tuned"),
    "HRNN+": ("hrnn+-tuned", "hrnn+-news-tuned", "hrnn+-without-times-tuned"),
}
RIVALS = ("popularity", "neighbours", "GRU4Rec+", "NARM")
OURS, OFFICIAL = "HRNN+", "GRU4Rec_PyTorch_Official"
LIKELY = 0.01
"""A difference counts whose p, after Holm, is below."""
METRICS = ("Recall@20", "MRR@20")

_HEAD = """# Which model for which log

Made from [results.json](results.json) and [results_paired.json](results_paired.json) by
`python -m benchmarks.choosing`; do not edit. Recipes named `-tuned` were chosen on validation
sessions made of the training part, by {trials} trials each ([tuning.json](tuning.json) has how
many, and their time). Each cell is the family's best recipe there. All numbers, with their
commands: [results.md](results.md).

- **Users come back, and you know when:** `hrnn+`. It has the GRUs of the session and of the user,
  and three scores that no GRU learns well: what the user had before, what went with it, and what
  everybody takes at this hour.
- **Users come back, but the log has no times:** `hrnn+-without-times`, the same without the hour.
- **People return to the same few items** (check-ins, listening): measure `ppop` beside it, which
  counts what each user had. Where that is most of what comes, it finds more of it.
- **You must know what the network alone does** (ablations, a model of GRUs only):
  `hrnn+-network`; `gru4rec+` where nobody comes back or there are no users at all.
- **You cannot train, or need it this afternoon:** `stan` or `v-sknn`. They are counted in seconds,
  and stand nearer to the networks than the networks' papers say.
- **Items are younger than the training** (news, new arrivals): `hrnn+-news`. `recent-pop` shows
  what recency alone gives; `hrnn-meta` reads the items' features, where a log has some.
- **You compare with the papers:** `hrnn-init`, `hrnn-all`, with their settings. They are not
  what we would serve.

![Recall@20 of each family on each log](choosing.svg)
"""


def best_of(records: list[dict[str, Any]], family: str) -> dict[str, dict[str, Any]]:
    """Returns metric -> record of a family's best recipe among those of one log and split."""
    by_recipe: dict[str, dict[str, dict[str, Any]]] = {}
    for record in records:
        if record["recipe"] in FAMILIES[family]:
            by_recipe.setdefault(record["recipe"], {})[record["metric"]] = record
    return max(by_recipe.values(), key=lambda held: held["MRR@20"]["mean"], default={})


def places_of(records: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """Returns the logs and splits on which HRNN+ was measured, in the order of `LOGS`."""
    there = {
        (r["dataset"], split_of(r["protocol"])) for r in records if r["recipe"] in FAMILIES[OURS]
    }
    return sorted(there, key=lambda place: (LOGS.index(place[0]), place[1]))


def table_of(places: dict[tuple[str, str], list[dict[str, Any]]]) -> Table:
    """Recall@20 and MRR@20 of each family."""
    rows = []
    for (data, split), records in places.items():
        for metric in METRICS:
            cells = [best_of(records, family).get(metric) for family in FAMILIES]
            shown = ["–" if r is None else spread(r["mean"], r["sd"]) for r in cells]
            rows.append((data, split, metric, *shown))
    return Table(("log", "split", "metric", *FAMILIES), tuple(rows))


def costs_of(places: dict[tuple[str, str], list[dict[str, Any]]]) -> Table:
    """What each family's best recipe takes and shows, where that was measured."""
    rows = []
    for (data, split), records in places.items():
        for family in FAMILIES:
            held = best_of(records, family)
            if LISTS in held:
                recipe = next(iter(held.values()))["recipe"]
                seconds, lists, coverage = (
                    held[name]["mean"] for name in (SECONDS, LISTS, COVERAGE)
                )
                cells = (f"{seconds:,.1f} s", f"{lists:,.0f}", f"{coverage:.1%}")
                rows.append((data, split, recipe, *cells))
    return Table(("log", "split", "recipe", "training", "lists/s", "coverage@20"), tuple(rows))


def verdict_of(
    place: tuple[str, str], records: list[dict[str, Any]], tests: list[dict[str, Any]]
) -> str:
    """Says of each metric whether HRNN+ is ahead of the best rival, by how much, how surely."""
    data, split = place
    ours = next(iter(best_of(records, OURS).values()))["recipe"]
    parts = []
    for metric in METRICS:
        there = [best_of(records, family) for family in RIVALS]
        best = max((held for held in there if held), key=lambda held: held[metric]["mean"])
        rival = best[metric]["recipe"]
        here = [
            t
            for t in tests
            if t["kind"] == "test"
            and (t["dataset"], t["split"], t["recipe"], t["against"], t["metric"])
            == (data, split, ours, rival, metric)
        ]
        if not here:
            continue
        difference, p = here[0]["difference"], here[0]["p_holm"]
        word = "ahead of" if difference > 0 else "behind"
        sure = f"p {p:.2g}" if p < LIKELY else f"p {p:.2g}, which is no difference"
        parts.append(f"{metric} {word} `{rival}` by {abs(difference):.4f} ({sure})")
    if not parts:
        return f"- {data}, {split}: not tested."
    return f"- {data}, {split}: `{ours}` has {'; '.join(parts)}."


def official_of(place: tuple[str, str], references: list[dict[str, Any]]) -> str:
    """The best that the official GRU4Rec reaches there, of the settings it was run with."""
    data, split = place
    there = [r for r in references if r["dataset"] == data and r["software"] == OFFICIAL]
    if not there or split != LogSource(data).split_label:
        return ""
    best = {name: max(r["mean"] for r in there if r["metric"] == name) for name in METRICS}
    shown = " and ".join(f"{name} {spread(value, None)}" for name, value in best.items())
    return f" The official code of GRU4Rec has at most {shown}."


def histories_of(place: tuple[str, str], tests: list[dict[str, Any]]) -> Table | None:
    """The network with and without the user level, by how many sessions a user had before."""
    names = ("gru4rec+-same", "hrnn+-network-same")
    held = {
        (t["group"], t["recipe"]): t
        for t in tests
        if (t["dataset"], t["split"]) == place and t["kind"] == "history"
        if t["recipe"] in names and t["metric"] == "MRR@20"
    }
    groups = list(dict.fromkeys(group for group, _ in held))
    groups = [group for group in groups if all((group, name) in held for name in names)]
    if not groups:
        return None
    rows = []
    for group in groups:
        cells = [held[group, name] for name in names]
        means = [spread(cell["mean"], cell["sd"]) for cell in cells]
        rows.append((*place, group, f"{cells[0]['sessions']:,}", *means))
    return Table(("log", "split", "sessions before", "test sessions", *names), tuple(rows))


def figure_of(places: dict[tuple[str, str], list[dict[str, Any]]]) -> str:
    """A line for each log and split, a mark for each family."""
    groups = {}
    for family in FAMILIES:
        best = {place: best_of(records, family) for place, records in places.items()}
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
    about = [f"- {name}: {catalogue.entry(name).about}" for name in LOGS]
    references = read(REFERENCES)
    verdicts = [
        verdict_of(place, held, tests) + official_of(place, references)
        for place, held in places.items()
    ]
    groups = [table for place in places if (table := histories_of(place, tests))]
    parts = [
        _HEAD.format(trials=trials_text(read(RECORDS))),
        f"## The logs\n\n{chr(10).join(about)}\n",
        f"## What they reach\n\n{table_of(places).to_markdown()}\n",
        "## HRNN+ against the best of the others\n\nMeans over users, their difference by "
        "Wilcoxon's signed-rank test, corrected by Holm over all tests of a log and split "
        f"(`python -m benchmarks.paired`).\n\n{chr(10).join(verdicts)}\n",
        "## What the user level gives\n\nMRR@20 of the network without heads, and of the same "
        "recipe without the user level, by how many sessions the user had before.\n",
        *(f"{table.to_markdown()}\n" for table in groups),
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
