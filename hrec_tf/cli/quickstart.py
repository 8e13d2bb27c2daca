"""`hrec quickstart`: from nothing to a served recommender in a few minutes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrec_tf.cli import console

if TYPE_CHECKING:
    from hrec_tf.data.log_source import PreparedLog
    from hrec_tf.reporting.comparison import Comparison, Result
    from hrec_tf.schema import Recommendation

MODELS = ("pop", "s-pop", "ppop", "item-knn", "gru4rec", "hrnn-init")
EPOCHS = 5
"""The recipes train for 10; half of them show the way in half the time."""
DATA = "online-retail"
K = 5


def quickstart(
    epochs: Annotated[int, typer.Option(help="Passes over the log; the recipes have 10.")] = EPOCHS,
    seed: Annotated[int, typer.Option(help="Of weights, dropout and order.")] = 0,
    out: Annotated[
        str | None,
        typer.Option(help="Folder to make (runs/quickstart, or the next with a number)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Trains, compares, exports and serves on the bundled Online Retail log.

    HRNN Init and GRU4Rec stand beside four baselines. The better of the two is exported as a
    SavedModel, served over gRPC, and asked for recommendations.
    """
    console.import_tensorflow()
    from hrec_tf.cli.compare import run_comparison
    from hrec_tf.data.log_source import LogSource
    from hrec_tf.recipe import Recipe, with_shared_changes

    folder = _new_folder(out)
    source = LogSource(DATA)
    recipes = [Recipe.for_data(DATA, model) for model in MODELS]
    recipes = with_shared_changes(recipes, {"epochs": epochs})
    progress = console.Progress()
    progress.console.print(
        f"Online Retail by the HRNN protocol: the last session of each user is predicted. "
        f"{epochs} epochs each.",
        markup=False,
    )
    folder.mkdir(parents=True)
    comparison, prepared = run_comparison(
        source,
        recipes,
        seeds=[seed],
        metric=None,
        as_json=None if json else False,
        report=str(folder / "report.html"),
        command=f"hrec quickstart --epochs {epochs} --seed {seed}",
        keep=True,
    )
    best = _best_trained(comparison)
    with progress.watch(f"exporting {best.recipe.name}"):
        run, artefact = _export(folder, best, prepared, source, seed)
    with progress.watch("serving"):
        asked = _ask_server(artefact.parent, prepared)
    places = {
        "report": str(folder / "report.html"),
        "run": str(run),
        "artefact": str(artefact),
    }
    if json:
        lists = [
            {"asked": who, "recommended": [r._asdict() for r in found]} for who, found in asked
        ]
        console.print_json({"data": DATA, **comparison.to_dict(), **places, "served": lists})
        return
    _print(best, asked, source.descriptions(), places)


def _new_folder(out: str | None) -> Path:
    if out is not None:
        if Path(out).exists():
            raise ValueError(
                f"`out` was {out!r}, which exists, and nothing is overwritten. Choose another "
                "folder, or leave it out."
            )
        return Path(out)
    number, folder = 1, Path("runs/quickstart")
    while folder.exists():
        number += 1
        folder = Path(f"runs/quickstart-{number}")
    return folder


def _best_trained(comparison: "Comparison") -> "Result":
    trained = [result for result in comparison.results if not result.recipe.entry.is_baseline]
    return max(trained, key=lambda result: result.metric(comparison.metric).mean)


def _export(
    folder: Path, best: "Result", prepared: "PreparedLog", source: Any, seed: int
) -> tuple[Path, Path]:
    """Writes the run folder, reads it back as a user would, and exports it."""
    from hrec_tf import runs
    from hrec_tf.export import export_saved_model
    from hrec_tf.recommender import Recommender

    run = runs.save(
        folder / best.recipe.name,
        best.fitted,
        recipe=best.recipe,
        log=source,
        seed=seed,
        vocabulary=prepared.vocabulary,
        metrics={**best.evaluations[-1].summary(), "training_seconds": best.seconds[-1]},
        histories=prepared.train,
        test=prepared.test,
    )
    card = (run / runs.MODEL_CARD).read_text(encoding="utf-8")
    artefact = export_saved_model(Recommender.load(run), folder / "models/recommender", card=card)
    return run, artefact


def _ask_server(
    base_path: Path, prepared: "PreparedLog"
) -> "list[tuple[list[Any], list[Recommendation]]]":
    """Serves the artefact and asks over gRPC: for a customer of the log, and for a new one."""
    from hrec_tf.schema import ITEM, TIMESTAMP, USER
    from hrec_tf.serving import Client, Server

    test, train = prepared.split.test.frame, prepared.split.train.frame
    user = test[USER][0]
    # The start of the session that was held out, after everything before it.
    basket = test.filter(test[USER] == user).head(2)
    before = train.filter(train[USER] == user)
    history = [
        (item, seconds)
        for frame in (before, basket)
        for item, seconds in zip(frame[ITEM], frame[TIMESTAMP], strict=True)
    ]
    now = history[-2:]
    with Server(base_path) as server, Client(f"127.0.0.1:{server.port}") as client:
        return [(events, client.recommend(events, k=K)) for events in (history, now, [])]


def _print(
    best: "Result", asked: "list[tuple[list[Any], list[Recommendation]]]", texts: Any, places: Any
) -> None:
    whole, now, _ = (events for events, _ in asked)
    basket = " and ".join(texts.get(item, item) for item, _ in now)
    headings = (
        f"a customer with {len(whole) - len(now)} earlier purchases, now looking at {basket}",
        f"somebody new, now looking at {basket}",
        "somebody of whom nothing is known",
    )
    print(f"\n{best.recipe.entry.title}, exported and asked over gRPC, recommends")
    for heading, (_, found) in zip(headings, asked, strict=True):
        print(f"\n  to {heading}:")
        for item, score in found:
            print(f"    {item:8} {score:7.3f}  {texts.get(item, '')}")
    print()
    for name, place in places.items():
        print(f"{name + ':':10} {place}")
    base_path = Path(places["artefact"]).parent
    print(f"\nServe it:  hrec serve {base_path}\nAsk it:    hrec recommend {places['run']} --help")
