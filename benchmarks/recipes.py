"""Writes docs/recipes.md: every recipe, the command that runs it, and what it is expected to reach.

    python -m benchmarks.recipes

reads the recipes of the package and the means of docs/results.json.
"""

import functools
import sys
from typing import Any

from benchmarks.records import DOCS, is_own_split, metrics_of, read
from benchmarks.report import RESULTS
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.recipe import Recipe
from hrec_tf.recipes import files
from hrec_tf.recipes.keys import EVALUATION
from hrec_tf.reporting.tables import Table, spread

PAGE = DOCS / "recipes.md"

_HEAD = """# Recipes and what they reach

Made from [results.json](results.json) by `python -m benchmarks.recipes`; do not edit. A recipe is
settings as data, in `hrec_tf/recipes/`. On a log of `hrec data list`,

```
hrec compare --data online-retail --models "hrnn+-tuned" --seeds 0,1,2
```

trains one, with as many seeds, and ranks the test part; with `--data` and `--models` of a row it is
to give the row's numbers, up to its spread (mean ± standard deviation over seeds; on the log's own
split, ties as the recipe says). Add `--epochs` where a row names epochs. Which to choose:
[choosing.md](choosing.md). Other metrics, splits and ties: [results.md](results.md).
"""


def epochs_of(command: str) -> str:
    """Returns the epochs that a command of `benchmarks.measure` gave; empty for the recipe's."""
    words = command.split()
    return words[words.index("--epochs") + 1] if "--epochs" in words else ""


@functools.cache
def ties_of(data: str, recipe: str) -> str:
    """Returns how a recipe has equal scores settled."""
    return Recipe.for_data(data, recipe).evaluation.get("ties", EVALUATION["ties"])


def is_of_recipe(record: dict[str, Any]) -> bool:
    """Whether a record has the log's own split and the ties that the recipe says."""
    data, protocol = record["dataset"], record["protocol"]
    ties = ties_of(data, record["recipe"])
    return is_own_split(data, protocol) and protocol.endswith(f"{ties} ties")


def rows_of(recipe: str, records: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Returns a row for each log of a recipe, with two metrics of the longest lists."""
    there = [r for r in records if r["recipe"] == recipe]
    rows = []
    for data in dict.fromkeys(r["dataset"] for r in there):
        held = {r["metric"]: r for r in there if r["dataset"] == data}
        k = metrics_of(data)[-1].rpartition("@")[2]
        names = [name for name in metrics_of(data) if name.endswith(f"@{k}")][:2]
        cells = [f"{name} {spread(held[name]['mean'], held[name]['sd'])}" for name in names]
        first = held[names[0]]
        rows.append((data, recipe, *cells, str(first["seeds"]), epochs_of(first["command"])))
    return rows


def page() -> str:
    """Returns the text of docs/recipes.md."""
    records = [record for record in read(RESULTS) if is_of_recipe(record)]
    rows_by_file: dict[str, list[tuple[str, ...]]] = {}
    for recipe in dict.fromkeys(r["recipe"] for r in records):
        for row in rows_of(recipe, records):
            rows_by_file.setdefault(files.file_of(row[0], recipe), []).append(row)
    parts = [_HEAD]
    for name in files.names():
        content, rows = files.read(name), rows_by_file.get(name, [])
        recipes = content["recipes"]
        head = ("log", "recipe", "first metric", "second", "seeds", "epochs")
        shown = Table(head, tuple(rows)).to_markdown() if rows else "Not measured by itself."
        of = f" Of {content['data']}." if content.get("data") else ""
        source = content.get("source") or next(iter(recipes.values())).get("source", "")
        parts.append(f"## {name}\n\n{source}.{of}\n\n{shown}\n")
    return "\n".join(parts)


def main() -> int:
    write_whole(PAGE, page().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
