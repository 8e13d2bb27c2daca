"""`hrec data`: named logs, and what a log is like."""

from typing import Annotated

import typer

from hrec_tf.cli import console
from hrec_tf.cli.options import LogOptions, takes

app = typer.Typer(no_args_is_help=True, help="Named logs, and what a log is like.")

_COLUMN = {"show_default": False, "rich_help_panel": "Columns of a file"}


@app.command(name="list")
def list_logs(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Lists the named logs, the recipes that are kept for each, and public data sets to build."""
    from hrec_tf.data import catalogue
    from hrec_tf.data.datasets import facts
    from hrec_tf.recipes import files

    datasets = [facts.entry(name) for name in facts.names()]

    if json:
        logs = [
            {"name": name, "about": catalogue.entry(name).about, "recipes": files.of_data(name)}
            for name in catalogue.names()
        ]
        console.print_json(
            {
                "logs": logs,
                "folder_variable": catalogue.FOLDER_VARIABLE,
                "datasets": [dataset.to_dict() for dataset in datasets],
            }
        )
        return
    print("Named logs\n")
    for name in catalogue.names():
        print(f"{name}\n    {catalogue.entry(name).about}")
    print(
        f"\nonline-retail is in the package; the others lie in the folder that "
        f"{catalogue.FOLDER_VARIABLE} names.\nRecipes for all: {', '.join(files.of_data(None))}."
    )
    print(
        "\nPublic data sets; `hrec data build` makes logs of those marked (builder), from the\n"
        "files of their publishers, as docs/datasets.md tells\n"
    )
    for dataset in datasets:
        print(
            f"{dataset.name} ({dataset.origin})\n    {dataset.title}: {dataset.about}.\n"
            f"    Has {dataset.has}.\n    Fetch by hand: {dataset.fetch}\n"
            f"    Terms: {dataset.terms}"
        )


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="A public data set, or data set/table.")],
    *,
    files: Annotated[str, typer.Option(help="Folder with its publisher's files.")],
    out: Annotated[str, typer.Option(help="Parquet file to write.")],
) -> None:
    """Makes a log, or another table, of the files of a public data set."""
    from hrec_tf.data import atomic_files
    from hrec_tf.data.datasets import built, facts

    origin = facts.entry(name.partition("/")[0]).origin
    if origin == facts.BUNDLED:
        raise ValueError(
            f"`name` was {name!r}, whose log is in the package and needs no building. Pass "
            "--data online-retail to the other commands."
        )
    if origin == facts.STOCK:
        raise ValueError(
            f"`name` was {name!r}, which a builder of TensorFlow Datasets builds, from Python "
            "alone. Use `hrec data build ml_1m` or `hrec data build ml_100k`."
        )
    with console.Progress().watch(f"reading {name}"):
        table = built.read_files(name, files=files)
    with atomic_files.whole_file(out) as file:
        table.write_parquet(file)
    print(f"{table.height:,} rows of {', '.join(table.columns)}. Written to {out}.")


@app.command()
def inspect(
    log: Annotated[str, typer.Argument(help="A named log, or a file.")],
    user: Annotated[str | None, typer.Option(help="Column; `none` for none.", **_COLUMN)] = None,
    item: Annotated[str | None, typer.Option(help="Column.", **_COLUMN)] = None,
    timestamp: Annotated[
        str | None, typer.Option(help="Column; `none` for none.", **_COLUMN)
    ] = None,
    session: Annotated[str | None, typer.Option(help="Column.", **_COLUMN)] = None,
    timestamp_unit: Annotated[
        str | None, typer.Option(help="s, ms, us, ns or auto.", **_COLUMN)
    ] = None,
    text_ids: Annotated[
        str | None, typer.Option(help="Those of user,item,session to keep as text.", **_COLUMN)
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Names for a file without a header.", **_COLUMN)
    ] = None,
    separator: Annotated[str | None, typer.Option(help="Between fields.", **_COLUMN)] = None,
    format: Annotated[
        str | None, typer.Option(help="csv, tsv, jsonl or parquet.", **_COLUMN)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Counts what matters for preparing a log, and proposes a split."""
    from hrec_tf.data.inspection import inspect as inspect_log

    source = LogOptions(
        data=log,
        user=user,
        item=item,
        timestamp=timestamp,
        session=session,
        timestamp_unit=timestamp_unit,
        text_ids=text_ids,
        columns=columns,
        separator=separator,
        format=format,
    ).source()
    with console.Progress().watch(f"reading {log}"):
        found = inspect_log(source.read())
    if json:
        console.print_json({"log": log, **found.to_dict()})
    else:
        print(found.to_text())


@app.command()
@takes(log=LogOptions)
def features(
    *,
    out: Annotated[str, typer.Option(help="TOML to write; edit it where the guess is wrong.")],
    log: LogOptions,
) -> None:
    """Guesses what each feature column is, from what is trained on; pass it on by --schemas."""
    with console.Progress().watch(f"reading {log.data}"):
        found = log.source().load().features
    if found is None:
        raise ValueError(
            f"{log.data!r} has no features: neither --items, --users nor --feedback was given. "
            "Pass one of them."
        )
    found.schemas.save(out)
    for part, width in found.schemas.widths.items():
        print(f"{part}: {width} numbers")
    print(f"Written to {out}. Edit it, then: hrec train ... --schemas {out}")
