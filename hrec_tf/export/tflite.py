"""LiteRT (TensorFlow Lite): one file for phones and small devices, with builtin operators only.

    recommend   item_ids int32 (1, time), timestamps int64 (1, time), exclude_seen bool (1,)
                                            -> item_ids int32 (1, k), scores, state, state_info
    step        item_ids int32 (1,), timestamps int64 (1,), state, state_info -> the same

A model that reads a session as a whole has no `step`, and its `recommend` no state among the
outputs. One that is told the time of asking has more inputs, see `hrec_tf.export.signatures`.
`hrec_tf.inference` says what they mean.

One user at a time; time is free, but at least 1: of a user without events pass one event with
item id 0. Ids are numbers: line i of `<stem>.vocabulary.txt`, counted from 0, is the raw id of
item id i, and whatever is not in it is 0, unknown. Places beyond the candidates hold item id 0
and the lowest float32, or the lowest float16 where numbers were shortened to it. A LiteRT file
cannot check what it is given: times must not go back, and `state` must be of an answer of this
file, or zeros.

Run the file without LiteRT's default delegate (XNNPACK), as `litert_interpreter` opens it. Where
the number of events is free that delegate at times answers wrongly when it is asked again (LiteRT
2.0, 2.1 and 2.3).
"""

import importlib
import shutil
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import tensorflow as tf

from hrec_tf import checks, manifest
from hrec_tf.export import converter
from hrec_tf.export.line_process import LineProcess
from hrec_tf.export.saved_model import (
    about_of,
    checked_k,
    not_written,
    written_by_tensorflow,
)
from hrec_tf.inference import Inference
from hrec_tf.recommender import Recommender
from hrec_tf.schema import PADDING_ID

KIND = "tflite"
QUANTIZATIONS = ("float16", "float32", "int8")


def export_tflite(
    recommender: Recommender,
    file: str | Path,
    *,
    k: int = 20,
    quantize: str = "float16",
    check: Callable[[Path], Any] | None = None,
    process: "ConverterProcess | None" = None,
) -> Path:
    """Writes a LiteRT file, and beside it `<stem>.vocabulary.txt` and `<stem>.manifest.json`.

    The manifest holds a checksum of the other two, see `check_tflite`.

    Args:
        recommender: what is exported.
        file: to be made, with the suffix ".tflite".
        k: length of the recommended lists.
        quantize: "float16" halves the weights, "float32" keeps them, "int8" quarters those of
            matrix products. Scores then differ by what `hrec_tf.export.parity.TOLERANCES` allows;
            `docs/litert.md` has what they differ by.
        check: called with the file before it takes its place; what it raises leaves nothing.
        process: what converts; one of its own if None.

    Returns:
        The file.

    Raises:
        ValueError: a file that is there already, another suffix, `k` outside 1..num_items, or
            another `quantize`.
        OSError: it cannot be written; nothing is left behind.
        RuntimeError: TensorFlow could not convert the model.
    """
    file, k = _checked_file(file), checked_k(k, recommender)
    checks.require_choice("quantize", quantize, QUANTIZATIONS)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=file.parent, prefix=f".{file.stem}.", suffix=".part"))
    moved: list[Path] = []
    try:
        _, vocabulary, listed = files_of(file)
        with (
            tempfile.TemporaryDirectory() as scratch,
            nullcontext(process) if process is not None else ConverterProcess() as converting,
        ):
            with written_by_tensorflow(file):
                _saved(recommender.inference, scratch, k)
            names = signatures_of(recommender.inference)
            try:
                converting(scratch, aside / file.name, names, quantize)
            except OSError as error:
                raise not_written(file, str(error)) from error
        recommender.vocabulary.save(aside / vocabulary.name)
        form = {"signatures": names, "quantize": quantize}
        manifest.write(aside, kind=KIND, about=about_of(recommender, k) | form)
        (aside / manifest.FILE).rename(aside / listed.name)
        if check is not None:
            check(aside / file.name)
        # The file itself comes last: where it is, the others are.
        for target in (vocabulary, listed, file):
            (aside / target.name).chmod(0o644)
            (aside / target.name).rename(target)
            moved.append(target)
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return file


def check_tflite(file: str | Path) -> dict[str, Any]:
    """Returns what the manifest beside a LiteRT file says of it: k, signatures, quantize, ...

    Args:
        file: written by `export_tflite`.

    Raises:
        FileNotFoundError: one of the three files is missing.
        ValueError: one of them was changed.
    """
    file = Path(file)
    _, vocabulary, listed = files_of(file)
    for path in files_of(file):
        if not path.is_file():
            raise FileNotFoundError(
                f"{str(path)!r} is no file, but a LiteRT export is {file.name}, "
                f"{vocabulary.name} and {listed.name} in one folder. Export it again."
            )
    # A manifest lists a whole folder, and these files may lie among others.
    with tempfile.TemporaryDirectory() as folder:
        for path, name in ((file, file.name), (vocabulary, vocabulary.name)):
            shutil.copyfile(path, Path(folder) / name)
        shutil.copyfile(listed, Path(folder) / manifest.FILE)
        return manifest.check(folder, kind=KIND)


def litert_interpreter(file: str | Path) -> Any:
    """Returns LiteRT's interpreter of a file, without the delegate that it cannot be run with.

    Elsewhere say the same: `Interpreter.Options().setUseXNNPACK(false)` in Java and Kotlin,
    `BuiltinOpResolverWithoutDefaultDelegates` in C++.

    Args:
        file: written by `export_tflite`.

    Raises:
        ImportError: LiteRT is not installed.
    """
    runtime = require_litert()
    resolver = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return runtime.Interpreter(model_path=str(file), experimental_op_resolver_type=resolver)


def require_litert() -> Any:
    """Returns LiteRT's module `interpreter`, or raises ImportError where it is not installed."""
    try:
        return importlib.import_module("ai_edge_litert.interpreter")
    except ImportError as error:
        raise ImportError(
            f"LiteRT cannot be imported ({error}), but a .tflite file must be tried before it is "
            "used, and LiteRT is what runs it. Run: pip install 'hrec-tf[litert]'"
        ) from error


def signatures_of(inference: Inference) -> list[str]:
    """Returns the names of the signatures that a LiteRT file of it has."""
    return [name for name in inference.signatures if name != "score"]


def files_of(file: Path) -> tuple[Path, Path, Path]:
    """Returns where the file, its vocabulary and its manifest lie."""
    stem = file.stem
    return file, file.with_name(f"{stem}.vocabulary.txt"), file.with_name(f"{stem}.manifest.json")


def _checked_file(file: str | Path) -> Path:
    file = Path(file)
    if file.suffix != ".tflite":
        raise ValueError(
            f"`file` was {str(file)!r}, but the name of a LiteRT file ends in .tflite. Pass for "
            f"example {str(file.with_suffix('.tflite'))!r}."
        )
    for path in files_of(file):
        # A link that leads nowhere would be replaced, too.
        if path.exists() or path.is_symlink():
            raise ValueError(
                f"`file` was {str(file)!r}, but {str(path)!r} exists, and exports are never "
                "overwritten. Choose another name, or remove it."
            )
    return file


class ConverterProcess(LineProcess):
    """Converts SavedModels to LiteRT files; `with ConverterProcess() as converter:`."""

    def __init__(self) -> None:
        super().__init__(converter)

    def __call__(self, source: str, target: Path, names: list[str], quantize: str) -> None:
        """Converts the signatures of those names."""
        # The process has the working folder of when it was started.
        places = [str(Path(path).resolve()) for path in (source, target)]
        error = self.ask([*places, names, quantize])
        if error is not None and error.startswith("OSError: "):
            raise OSError(error.removeprefix("OSError: "))
        if error is not None:
            raise RuntimeError(
                f"The model could not be converted to LiteRT: {error}. Every operator of it must "
                "be among LiteRT's builtin ones. Export a SavedModel instead, or report this as a "
                "bug."
            )


def _saved(inference: Inference, folder: str, k: int) -> None:
    module = _Signatures(inference, k)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, folder, module.functions(), options)


class _Signatures(tf.Module):
    """The signatures on numbered items, for one user."""

    def __init__(self, inference: Inference, k: int):
        super().__init__()
        self._inference, self._k = inference, k
        # Without these the converter finds no values: Keras' variables are not tracked from here.
        self.weights = [weight.value for weight in inference.model.weights]

    def functions(self) -> dict[str, Any]:
        spec, inference = tf.TensorSpec, self._inference
        inputs = {
            "recommend": [
                spec((1, None), tf.int32, "item_ids"),
                spec((1, None), tf.int64, "timestamps"),
                spec((1,), tf.bool, "exclude_seen"),
                *inference.context_specs(batch_size=1),
            ],
            "step": [
                spec((1,), tf.int32, "item_ids"),
                spec((1,), tf.int64, "timestamps"),
                spec((1, inference.state_size), tf.float32, "state"),
                spec((1, inference.info_size), tf.int64, "state_info"),
                *inference.context_specs(of_event=True, batch_size=1),
            ],
        }
        return {
            name: tf.function(
                getattr(self, f"_{name}"), autograph=False, input_signature=inputs[name]
            ).get_concrete_function()
            for name in signatures_of(self._inference)
        }

    def _recommend(self, item_ids, timestamps, exclude_seen, *context):
        lengths = tf.fill([1], tf.shape(item_ids)[1])
        history = self._known(item_ids), timestamps, lengths, exclude_seen
        return self._inference.recommend(*history, k=self._k, **self._named(context)).outputs()

    def _step(self, item_ids, timestamps, state, state_info, *context):
        event = self._known(item_ids), timestamps, state, state_info
        return self._inference.step(*event, k=self._k, **self._named(context)).outputs()

    def _named(self, context) -> dict[str, tf.Tensor]:
        return dict(zip(self._inference.context, context, strict=True))

    def _known(self, item_ids: tf.Tensor) -> tf.Tensor:
        # An id beyond the table would read whatever lies there.
        is_known = (item_ids > PADDING_ID) & (item_ids <= self._inference.model.num_items)
        return tf.where(is_known, item_ids, PADDING_ID)
