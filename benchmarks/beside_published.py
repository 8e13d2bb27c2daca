"""The parts of docs/results.md that set a published table beside ours, and test the difference."""

from collections.abc import Sequence
from typing import Any

from benchmarks import published
from benchmarks.by_seed import place_of
from benchmarks.records import metrics_of
from hrec_tf import registry
from hrec_tf.reporting.tables import Table, spread

Record = dict[str, Any]


def beside(table: Record, records: Sequence[Record], seeds: Sequence[Record]) -> list[str]:
    """Returns the parts that follow our table of one log and protocol.

    Args:
        table: published, comparable, with the same ties.
        records: means of that log and protocol.
        seeds: values by seed, of any log and protocol.
    """
    metrics = metrics_of(table["dataset"])
    rows, single = [], []
    for row in table["rows"]:
        ours = {r["metric"]: r for r in records if r["recipe"] == row["recipe"]}
        if not ours or row["note"]:
            continue
        if next(iter(ours.values()))["seeds"] == 1:
            single.append(row["name"])
        else:
            cells = (_compared(row["values"].get(m), ours.get(m)) for m in metrics)
            rows.append((row["name"], *cells))
    parts = []
    if rows:
        compared = Table(("model", *metrics), tuple(rows))
        parts.append(
            f"Beside the published numbers ({_source(table)}); each cell is published → ours, and "
            f"in brackets ours less published.\n\n{compared.to_markdown()}\n"
        )
    if single:
        parts.append(f"Not compared, since one seed is no mean: {', '.join(single)}.\n")
    for row in table["rows"]:
        if row["note"]:
            parts.append(f"{row['name']} is not compared: {row['note']}\n")
    parts += _missing(table, records)
    return parts + _tested(table, records, seeds)


def apart(table: Record, records: Sequence[Record]) -> list[str]:
    """Returns the parts that follow our tables of a log whose published numbers are of others."""
    metrics = metrics_of(table["dataset"])
    rows = [
        (row["name"], *(_share(row["values"].get(m)) for m in metrics)) for row in table["rows"]
    ]
    return [
        *_missing(table, records),
        f"### Published, on other data than {table['dataset']}\n\n"
        f"{_source(table)}. Not comparable with the numbers above: {table['note']}\n\n"
        f"{Table(('model', *metrics), tuple(rows)).to_markdown()}\n",
        *(f"{row['name']}: {row['note']}\n" for row in table["rows"] if row["note"]),
    ]


def _missing(table: Record, records: Sequence[Record]) -> list[str]:
    held = {record["recipe"] for record in records}
    names = [row["name"] for row in table["rows"] if row["recipe"] not in held]
    return [f"Not measured: {', '.join(names)}.\n"] if names else []


def _tested(table: Record, records: Sequence[Record], seeds: Sequence[Record]) -> list[str]:
    """The paper's test, of one recipe against the best baseline by mean Recall."""
    from hrec_tf.evaluation import holm, student_t

    metrics = metrics_of(table["dataset"])
    by = metrics[-2]  # Recall at the largest k
    # Recipes that the table does not have, such as a rival in its authors' own form, count too;
    # other settings of the paper's own methods do not.
    methods = {row["recipe"] for row in table["rows"] if not row["baseline"]}
    means = {r["recipe"]: r for r in records if r["metric"] == by}
    baselines = [record for record in means.values() if record["model"] not in methods]
    if table["tested"] not in means or not baselines:
        return []
    best = max(baselines, key=lambda record: record["mean"])
    samples = [
        [record["values"] for record in seeds if place_of(record) == place_of(mean)]
        for mean in (means[table["tested"]], best)
    ]
    titles = [
        title_of(mean["dataset"], mean["model"], mean["recipe"])
        for mean in (means[table["tested"]], best)
    ]
    head = f"{titles[0]} against {titles[1]}, the best baseline by mean {by}"
    if min(map(len, samples)) < 2:
        return [f"{head}, is not tested: it takes two seeds of each.\n"]
    tests = [student_t(*([v[metric] for v in sample] for sample in samples)) for metric in metrics]
    corrected = holm([test.p_value for test in tests])
    table_of_tests = Table(
        ("", *metrics),
        (
            ("difference of means", *(_signed(test.mean_difference) for test in tests)),
            ("t", *(f"{test.statistic:.2f}" for test in tests)),
            ("p", *(_p(test.p_value) for test in tests)),
            (f"p, Holm over {len(metrics)}", *(_p(p) for p in corrected)),
        ),
    )
    sizes = " and ".join(str(len(sample)) for sample in samples)
    return [
        f"{head}: Student's t-test over {sizes} seeds, two samples, equal variances, two-sided.\n\n"
        f"{table_of_tests.to_markdown()}\n"
    ]


def _source(table: Record) -> str:
    ties = f", {table['ties']} ties" if table["ties"] else ""
    return f"{table['source']}, {table['published_as']}{ties}"


def _compared(theirs: float | None, ours: Record | None) -> str:
    if theirs is None or ours is None:
        return "–"
    mean = spread(ours["mean"], ours["sd"])
    return f"{_share(theirs)} → {mean} ({_signed(ours['mean'] - theirs)})"


def _share(value: float | None) -> str:
    return "–" if value is None else spread(value, None)


def _signed(value: float) -> str:
    text = f"{value:+.4f}".replace("0.", ".", 1)
    return text if text[1:] != ".0000" else ".0000"


def _p(value: float) -> str:
    return "< .0001" if value < 0.0001 else f"{value:.4f}".replace("0.", ".", 1)


def title_of(dataset: str, model: str, recipe: str) -> str:
    """Returns what our tables call a recipe: as a published table, if there is one, calls it."""
    table = published.table_of(dataset)
    for row in table["rows"] if table else ():
        if row["recipe"] == recipe:
            return row["name"]
    title = registry.entry(model).title
    return title if model == recipe else f"{title} ({recipe})"
