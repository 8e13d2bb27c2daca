"""`hrec export`: a run as a SavedModel for servers, and as a LiteRT file for devices."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrec_tf.cli import console

if TYPE_CHECKING:
    from hrec_tf.export.parity import Parity
    from hrec_tf.recommender import Recommender


def export(
    run: Annotated[str, typer.Argument(help="A folder that `hrec train` wrote.")],
    saved_model: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Base path of a SavedModel: DIR/<version> is made."),
    ] = None,
    tflite: Annotated[
        str | None, typer.Option(metavar="FILE", help="LiteRT file to make, FILE.tflite.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Number of the SavedModel's version (the next free one).")
    ] = None,
    k: Annotated[
        str,
        typer.Option(help="Length of the recommended lists; of a SavedModel several: 10,50,200."),
    ] = "20",
    idle_minutes: Annotated[
        str | None,
        typer.Option(help="Idle time that ends a session, or `none` (that of the run's log)."),
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option(help="Weights of the LiteRT file: float32 or int8 (float16)."),
    ] = None,
    xla: Annotated[
        bool, typer.Option("--xla", help="Compile the SavedModel's signatures by XLA.")
    ] = False,
    tables: Annotated[
        str, typer.Option(help="Type of the SavedModel's item tables: float32 or bfloat16.")
    ] = "float32",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Exports a trained model, and checks that what was written answers as the model does."""
    ks = _lengths(k)
    _check_options(saved_model, tflite, version, quantize)
    _check_forms(saved_model, tflite, xla=xla, tables=tables, ks=ks)
    minutes = _minutes(idle_minutes)
    console.import_tensorflow()
    from hrec_tf import runs
    from hrec_tf.export import export_saved_model, export_tflite
    from hrec_tf.export.parity import Parity, check_parity
    from hrec_tf.export.tflite import require_litert
    from hrec_tf.recommender import Recommender

    if tflite is not None:
        console.require(require_litert)
    progress = console.Progress()
    with progress.watch(f"loading {run}"):
        recommender = Recommender.load(run, **minutes)
    made: dict[str, Path] = {}
    found: list[Parity] = []

    def check(**form: Path) -> None:
        with progress.watch("comparing with the model"):
            found.append(check_parity(recommender, **form))  # type: ignore[arg-type]

    if saved_model is not None:
        card = Path(run) / runs.MODEL_CARD
        text = card.read_text(encoding="utf-8") if card.is_file() else None
        options: dict[str, Any] = {"version": version, "k": ks, "xla": xla, "tables": tables}
        with progress.watch("exporting a SavedModel"):
            made["saved_model"] = export_saved_model(
                recommender,
                saved_model,
                **options,
                card=text,
                check=lambda made: check(saved_model=made),
            )
    if tflite is not None:
        options = {"k": ks[0], "quantize": quantize or "float16"}
        with progress.watch("converting to LiteRT"):
            made["tflite"] = export_tflite(
                recommender, tflite, **options, check=lambda made: check(tflite=made)
            )
    parity = _together(found)
    if json:
        paths = {
            name: str(made[name]) if name in made else None for name in ("saved_model", "tflite")
        }
        compared = {
            "histories": parity.num_histories,
            "differences": parity.differences,
            "agreements": parity.agreements,
        }
        lengths = ks[0] if len(ks) == 1 else sorted(ks)
        console.print_json({"run": run, **paths, "k": lengths, "parity": compared})
        return
    _print_result(recommender, made, parity, ks)


def _check_options(
    saved_model: str | None, tflite: str | None, version: int | None, quantize: str | None
) -> None:
    if saved_model is None and tflite is None:
        raise ValueError(
            "Neither `--saved-model` nor `--tflite` was given, but one must say what to make. "
            "Pass for example --saved-model models/recommender."
        )
    if version is not None and saved_model is None:
        raise ValueError(
            f"`version` was {version}, but only a SavedModel has versions. Pass --saved-model "
            "too, or leave it out."
        )
    if quantize is not None and tflite is None:
        raise ValueError(
            f"`quantize` was {quantize!r}, but only a LiteRT file is shortened. Pass --tflite "
            "too, or leave it out."
        )


def _check_forms(
    saved_model: str | None, tflite: str | None, *, xla: bool, tables: str, ks: list[int]
) -> None:
    """Refuses what would be ignored, or is of one form alone."""
    for name, value, usual in (("xla", xla, False), ("tables", tables, "float32")):
        if saved_model is None and value != usual:
            raise ValueError(
                f"`{name}` was {value!r}, but only a SavedModel has it. Pass --saved-model too, or "
                "leave it out."
            )
    if tflite is not None and len(ks) > 1:
        raise ValueError(
            f"`k` was {ks}, but a LiteRT file has lists of one length. Export it in a command of "
            f"its own, e.g. with --k {ks[0]}."
        )


def _lengths(text: str) -> list[int]:
    """The lengths of lists, as they were given."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"`k` was {text!r}, but must be a length of lists, or several with commas between "
            "them. Pass for example 20, or 10,50,200."
        ) from None


def _minutes(text: str | None) -> dict[str, float | None]:
    """The argument of `Recommender.load`, if one was given."""
    if text is None:
        return {}
    if text == "none":
        return {"idle_minutes": None}
    try:
        return {"idle_minutes": float(text)}
    except ValueError:
        raise ValueError(
            f"`idle_minutes` was {text!r}, but must be a number of minutes, or none for histories "
            "that are one session. Pass for example 30."
        ) from None


def _together(found: "list[Parity]") -> "Parity":
    """The greatest differences of what was compared."""
    differences: dict[str, float] = {}
    for parity in found:
        for form, difference in parity.differences.items():
            differences[form] = max(difference, differences.get(form, 0.0))
    agreements = {form: share for parity in found for form, share in parity.agreements.items()}
    return replace(found[0], differences=differences, agreements=agreements)


def _print_result(
    recommender: "Recommender", made: dict[str, Path], parity: "Parity", ks: list[int]
) -> None:
    from hrec_tf import manifest
    from hrec_tf.export.tflite import signatures_of

    inference, minutes = recommender.inference, recommender.idle_minutes
    rule = "a history is one session" if minutes is None else f"{minutes:g} idle minutes"
    for name, path in made.items():
        files = path.rglob("*") if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in files if file.is_file())
        kind, signatures = "LiteRT", signatures_of(inference)
        if name == "saved_model":
            about = manifest.check(path, kind="saved_model")
            kind = "SavedModel"
            signatures = [name for name in about["signatures"] if name != "serving_default"]
        answers, lists = " + ".join(signatures), ", ".join(map(str, sorted(ks)))
        print(
            f"{path}  {kind}, {size / 1000:,.0f} kB, {answers}, lists of {lists}, sessions: {rule}"
        )
    largest = max(parity.differences, key=lambda form: parity.differences[form])
    print(
        f"Checked: {len(parity.differences)} ways to ask answer alike on {parity.num_histories} "
        f"histories; the greatest difference is {parity.differences[largest]:.1e} ({largest})."
    )
    least = min(parity.agreements, key=lambda form: parity.agreements[form])
    print(
        f"Of the items in its lists {parity.agreements[least]:.2%} at least are those of the model "
        f"({least})."
    )
    if "saved_model" in made:
        print(f"Serve it: hrec serve {made['saved_model'].parent}")
    if "tflite" in made:
        print(f"Item id i is line i of {made['tflite'].stem}.vocabulary.txt, beside the file.")
