"""Writes docs/ablations.md: what each option of the networks changes, on validation sessions.

    python -m benchmarks.ablations --data foursquare-nyc

makes the trials of a log that are not in trials.txt yet, by `python -m benchmarks.trials`, and
writes the page anew; without `--data` it writes the page alone. One seed and one log tell little:
read a row as a hint, not as a law.
"""

import argparse
import sys
from typing import NamedTuple

from benchmarks import trials
from benchmarks.records import DOCS
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.reporting.tables import Table

PAGE = DOCS / "ablations.md"
METRICS = ("Recall@20", "MRR@20")
GRU4REC = "Hidasi & Karatzoglou, CIKM 2018, arXiv:1706.03847"
OURS = "ours, [equations.md](equations.md)"


class Option(NamedTuple):
    """One change of a base recipe, or another recipe in its place."""

    what: str
    source: str
    changes: tuple[str, ...] = ()
    model: str | None = None


class Ablation(NamedTuple):
    """A base recipe and what is changed of it, on some logs."""

    title: str
    base: dict[str, str]
    options: tuple[Option, ...]


NETWORK = (
    Option("without the user level", "Quadrana et al., RecSys 2017", model="gru4rec+-same"),
    Option("users played whole, not in parts", OURS, ("stream.max_events=none",)),
    Option(
        "item vectors of their own, not tied",
        GRU4REC,
        ("arguments.inputs=embedding", "arguments.item_dim=100"),
    ),
    Option(
        "one-hot inputs",
        GRU4REC,
        ("arguments.inputs=one_hot", "arguments.embed_dropout=0.0"),
    ),
    Option("no logQ correction", GRU4REC, ("loss.logq=0.0",)),
    Option(
        "negatives of the batch alone",
        GRU4REC,
        ("negatives.extra=0", "negatives.alpha=none"),
    ),
    Option(
        "BPR-max with the shared extras",
        GRU4REC,
        (
            *("loss.name=bpr_max", "loss.penalty=1.0", "loss.activation=elu"),
            *("loss.elu_alpha=0.5", "optimizer.learning_rate=0.05"),
        ),
    ),
    Option("gradients through windows of 10 steps", "Quadrana et al.: 1", ("stream.steps=10",)),
    Option(
        "layer normalisation",
        "Ba, Kiros & Hinton 2016, arXiv:1607.06450",
        ("arguments.layer_norm=true",),
    ),
    Option(
        "mean of the last epochs' weights",
        "Izmailov et al., UAI 2018, arXiv:1803.05407",
        ("average_from=2",),
    ),
    Option(
        "label smoothing",
        "Szegedy et al., CVPR 2016, arXiv:1512.00567",
        ("loss.label_smoothing=0.1",),
    ),
    Option(
        "time gap as an input",
        f"{OURS} B.12",
        ("arguments.gap_input=true", "arguments.gap_mean=log", "arguments.gap_sd=log"),
    ),
    Option(
        "item dropout",
        "Bowman et al., CoNLL 2016, arXiv:1511.06349",
        ("arguments.item_dropout=0.1",),
    ),
)
HEADS = (
    Option("without reminders", f"{OURS} B.9", ("arguments.reminders=0",)),
    Option(
        "without item neighbours",
        f"{OURS} B.10",
        ("arguments.neighbours=0", "arguments.neighbour_weight=none"),
    ),
    Option(
        "without the popularity of the hour",
        f"{OURS} B.11",
        (
            *("arguments.popular=0", "arguments.popular_moments=1"),
            "arguments.popular_hours=1.0",
        ),
    ),
    Option("with layer normalisation", "as above", ("arguments.layer_norm=true",)),
)
EXTRAS = ("negatives.name=in_batch", "negatives.extra=2048", "negatives.alpha=0.5")
ABLATIONS = (
    Ablation(
        "The network of HRNN+, without its heads",
        dict.fromkeys(("globo-10k", "foursquare-nyc"), "hrnn+-network-same"),
        NETWORK,
    ),
    Ablation(
        "HRNN+, whole",
        {"globo-10k": "hrnn+-news-tuned", "foursquare-nyc": "hrnn+-tuned"},
        HEADS,
    ),
    Ablation(
        "HCRNN-3 + Bi",
        {"citeulike-hcrnn": "hcrnn-3-bi"},
        (
            Option(
                "vectors of their own for the scores, not tied", "ours", ("arguments.tied=false",)
            ),
            Option(
                "sampled cross-entropy with logQ",
                GRU4REC,
                (*EXTRAS, "loss.logq=1.0"),
            ),
            Option(
                "BPR-max with the shared extras",
                GRU4REC,
                (*EXTRAS, "loss.name=bpr_max", "loss.penalty=1.0", "loss.activation=elu"),
            ),
            Option(
                "label smoothing",
                "Szegedy et al., CVPR 2016, arXiv:1512.00567",
                ("loss.label_smoothing=0.05",),
            ),
            Option(
                "more label smoothing",
                "Szegedy et al., CVPR 2016, arXiv:1512.00567",
                ("loss.label_smoothing=0.1",),
            ),
        ),
    ),
)

_HEAD = """# What each option changes

Made from `benchmarks/trials.txt` by `python -m benchmarks.ablations`; do not edit. A row is the
base recipe with one change, trained on the training part without its validation sessions and
ranked on these, one seed (0), ties by `standard`; the test part is not read. With one seed a
difference of some thousandths may be chance. A row is measured anew by
`python -m benchmarks.trials --data <log> --model <base> --set <change>`, with all changes of the
row; all that are missing of a log, by `python -m benchmarks.ablations --data <log>`. Rows of
globo-10k are of the recipes before the last search, which played users whole; those of HRNN+,
whole, are of the reminders before, too, a sum of what each place was worth.
"""


def arguments_of(data: str, base: str, option: Option) -> list[str]:
    """Returns the command line of `benchmarks.trials` that measures a row."""
    sets = [text for change in option.changes for text in ("--set", change)]
    return ["--data", data, "--model", option.model or base, "--seed", "0", *sets]


def rows_of(ablation: Ablation, data: str, held: dict[str, dict[str, float]]) -> list[tuple]:
    """Returns the rows of a log: the base, and every option that was measured beside it."""
    base = ablation.base[data]
    zero = held.get(trials.key_of(arguments_of(data, base, Option("", ""))))
    if zero is None:
        return []
    cells = [f"{zero[metric]:.2f}%" for metric in METRICS]
    rows = [(data, f"`{base}`", "", *cells, "")]
    for option in ablation.options:
        found = held.get(trials.key_of(arguments_of(data, base, option)))
        if found is None:
            continue
        change = ", ".join(f"`{change}`" for change in option.changes) or f"`{option.model}`"
        cells = [f"{found[m]:.2f}% ({found[m] - zero[m]:+.2f})" for m in METRICS]
        rows.append(("", option.what, change, *cells, option.source))
    return rows


def page() -> str:
    """Returns the text of docs/ablations.md."""
    held = trials.read()
    parts = [_HEAD]
    head = ("log", "option", "change", *METRICS, "source")
    for ablation in ABLATIONS:
        rows = [row for data in ablation.base for row in rows_of(ablation, data, held)]
        parts.append(f"## {ablation.title}\n\n{Table(head, tuple(rows)).to_markdown()}\n")
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__)
    parser.add_argument("--data", help="a named log whose missing trials are made")
    options = parser.parse_args(arguments)
    for ablation in ABLATIONS:
        if options.data in ablation.base:
            base = ablation.base[options.data]
            for option in (Option("", ""), *ablation.options):
                asked = arguments_of(options.data, base, option)
                if trials.key_of(asked) not in trials.read():
                    trials.main(asked)
    write_whole(PAGE, page().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
