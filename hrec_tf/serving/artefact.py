"""One version of an exported model, loaded as TensorFlow Serving loads it, and asked like it.

A SavedModel in a Session of its own graph: no Keras, no class of this library.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import prediction_log_pb2

from hrec_tf import checks, manifest
from hrec_tf.serving import requests, tensors
from hrec_tf.serving.requests import Limits, RefusedError

KIND = "saved_model"
DEFAULT_SIGNATURE = "serving_default"
WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_WARMUP_RECORDS = 1000
"""As many as TensorFlow Serving accepts."""
_HIGHEST_VERSION = 2**63 - 1
_PREDICT_METHOD = "tensorflow/serving/predict"
_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}


def versions_of(base_path: str | Path) -> dict[int, Path]:
    """Returns number -> folder of the versions under a base path, rising.

    A name may begin with zeros. Of two folders with one number the last by its name counts, as in
    TensorFlow Serving: 4, not 04.
    """
    held = {
        int(entry.name): entry
        for entry in sorted(Path(base_path).iterdir())
        if entry.name.isascii() and entry.name.isdecimal() and entry.is_dir()
    }
    return dict(sorted(held.items()))


def newest_version(base_path: str | Path) -> tuple[int, Path]:
    """Returns the highest whole number among the folders of a base path, and that folder.

    Raises:
        FileNotFoundError: there is no such folder, or it is itself a version.
        ValueError: that number is beyond int64, in which replies give it.
    """
    base = Path(base_path)
    if not base.is_dir():
        raise FileNotFoundError(
            f"{str(base)!r} is no folder, but a base path with one folder per version is needed. "
            f"Write one: hrec export RUN --saved-model {base}."
        )
    versions = versions_of(base)
    if versions:
        newest = max(versions)
        if newest > _HIGHEST_VERSION:
            raise ValueError(
                f"{str(base)!r} has the version {newest}, but versions are at most "
                f"{_HIGHEST_VERSION}: int64. Remove that folder, or give it a smaller number."
            )
        return newest, versions[newest]
    if (base / "saved_model.pb").is_file():
        raise FileNotFoundError(
            f"{str(base)!r} holds a saved_model.pb itself, but a base path with one folder per "
            f"version is needed, like {base}/1/saved_model.pb. Pass the folder above it: "
            f"{base.resolve().parent}."
        )
    raise FileNotFoundError(
        f"{str(base)!r} holds no version: no folder whose name is a whole number, as in "
        f"{base}/1/saved_model.pb. Write one: hrec export RUN --saved-model {base}."
    )


Outputs = dict[str, tuple[tensors.DataType, np.ndarray]]
"""Output name -> its type and values."""


class Call(NamedTuple):
    """A request that was read and found sound.

    Attributes:
        signature: name.
        wanted: names of the outputs to compute.
        feeds: values of the inputs, in the order of their names; rows are their first axis.
        rows: how many.
    """

    signature: str
    wanted: tuple[str, ...]
    feeds: list[np.ndarray]
    rows: int


class Artefact:
    """A loaded version.

    Args:
        folder: of the version, with `saved_model.pb` and `manifest.json`.
        version: its number.
        limits: of one request.

    Attributes:
        signatures: name -> SignatureDef, those that `predict` answers.
        about: what the manifest says of it.

    Raises:
        FileNotFoundError, ValueError: it is not whole, was changed, or is no such model.
    """

    def __init__(self, folder: Path, version: int, *, limits: Limits):
        self.about = manifest.check(folder, kind=KIND)
        _require_servable(folder, self.about, limits)
        _require_own_vocabulary(folder, self.about)
        self.folder, self.version, self._limits = folder, version, limits
        config = tf.compat.v1.ConfigProto()
        config.gpu_options.allow_growth = True  # a GPU may have other guests
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                meta = _load(self._session, folder)
        except (OSError, RuntimeError, tf.errors.OpError) as error:
            self._session.close()
            raise ValueError(
                f"{str(folder)!r} holds no model that can be loaded: {error}. Expected a "
                'SavedModel with the tag "serve". Export it again.'
            ) from error
        self.signatures = {
            name: signature
            for name, signature in sorted(meta.signature_def.items())
            if signature.method_name == _PREDICT_METHOD
        }
        self._functions: dict[tuple[str, tuple[str, ...]], Callable[..., list[np.ndarray]]] = {}
        self._making = threading.Lock()
        for name, signature in self.signatures.items():
            _require_known_types(folder, name, signature)

    def warm_up(self, until: threading.Event | None = None) -> int:
        """Runs the requests that lie beside the model; returns how many.

        Args:
            until: once it is set no further record is run.

        Raises:
            ValueError: a record that is no request of this model, or `until` was set.
        """
        path = self.folder / WARMUP
        if not path.is_file():
            return 0
        count, records = 0, iter(tf.data.TFRecordDataset(str(path)))
        while True:
            try:
                record = next(records, None)
                if record is None:
                    return count
                if until is not None and until.is_set():
                    raise ValueError("the server ends")
                if count == MAX_WARMUP_RECORDS:
                    raise ValueError(f"at most {MAX_WARMUP_RECORDS} records are run")
                log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
                if log.WhichOneof("log_type") != "predict_log":
                    raise ValueError("it is no predict_log")
                request = log.predict_log.request
                self.predict(
                    request.model_spec.signature_name, request.inputs, request.output_filter
                )
            except Exception as error:
                reason = str(error).rstrip(".")
                raise ValueError(
                    f"Warm-up record {count + 1} of {str(path)!r} could not be run: {reason}. "
                    "Expected requests of this model. Export it again."
                ) from error
            count += 1

    def predict(
        self, signature_name: str, inputs: Any, output_filter: Iterable[str] = ()
    ) -> tuple[str, Outputs]:
        """Runs a signature by itself; see `call`, which says what it takes and raises."""
        call = self.call(signature_name, inputs, output_filter)
        return call.signature, self.outputs(call, self.run(call, call.feeds))

    def call(self, signature_name: str, inputs: Any, output_filter: Iterable[str] = ()) -> Call:
        """Reads a request, and checks all of it that can be checked before a model sees it.

        Args:
            signature_name: "" for `serving_default`.
            inputs: input name -> TensorProto.
            output_filter: names of the wanted outputs; empty for all.

        Raises:
            RefusedError: with the code that TensorFlow Serving answers.
        """
        name = signature_name or DEFAULT_SIGNATURE
        signature = self.signature(name)
        wanted = requests.wanted_outputs(name, signature, output_filter)
        feeds = requests.read_inputs(name, signature, inputs, self._limits, self.about["num_items"])
        values = [feeds[alias] for alias in sorted(signature.inputs)]
        return Call(name, wanted, values, max(len(value) for value in values))

    def signature(self, name: str) -> Any:
        """Returns the SignatureDef of that name, or raises RefusedError."""
        if name not in self.signatures:
            raise RefusedError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name}" not found. The model has '
                f"{', '.join(self.signatures)}. {checks.did_you_mean(name, self.signatures)}",
            )
        return self.signatures[name]

    def run(self, call: Call, feeds: list[np.ndarray]) -> list[np.ndarray]:
        """Returns the wanted outputs of a call, of other values than its own, too.

        Raises:
            RefusedError: the graph refuses what it is fed.
        """
        run = self._function(call.signature, self.signatures[call.signature], call.wanted)
        try:
            return run(*feeds)
        except tf.errors.OpError as error:
            code = _STATUS_CODES.get(error.error_code, grpc.StatusCode.INTERNAL)
            raise RefusedError(code, _said_by_graph(error.message)) from error

    def outputs(self, call: Call, values: list[np.ndarray]) -> Outputs:
        """Returns output name -> its type and values."""
        infos = self.signatures[call.signature].outputs
        kinds = (tensors.DATA_TYPES[infos[alias].dtype] for alias in call.wanted)
        return dict(zip(call.wanted, zip(kinds, values, strict=True), strict=True))

    def close(self) -> None:
        """Frees the model. Nothing may be asked any more."""
        self._session.close()

    def _function(self, name: str, signature: Any, wanted: tuple[str, ...]) -> Callable[..., Any]:
        """A function of the inputs in the order of their names."""
        with self._making:
            if (name, wanted) not in self._functions:
                self._functions[name, wanted] = prepared(
                    self._session,
                    [signature.inputs[alias].name for alias in sorted(signature.inputs)],
                    [signature.outputs[alias].name for alias in wanted],
                )
            return self._functions[name, wanted]


def prepared(session: Any, feeds: list[str], fetches: list[str]) -> Callable[..., list[np.ndarray]]:
    """Returns a function of the values of the feeds, in their order.

    Args:
        session: a Session of TensorFlow 1.
        feeds: names of tensors.
        fetches: names of tensors whose values it returns.
    """
    # `Session.run`, and in TensorFlow 2.21 `Session.make_callable` with feeds, which is the
    # same, look every name up at each call: 0.6 ms for a `step` that takes 0.4 ms this way.
    make = getattr(session, "_make_callable_from_options", None)
    if make is None:  # it is no part of the public interface
        return lambda *values: session.run(fetches, dict(zip(feeds, values, strict=True)))
    # Operators run in the thread that asks: to hand them to a pool costs more than most of them do.
    options = config_pb2.RunOptions(inter_op_thread_pool=-1)
    return make(config_pb2.CallableOptions(feed=feeds, fetch=fetches, run_options=options))


def _require_own_vocabulary(folder: Path, about: dict[str, Any]) -> None:
    """Refuses ids that are not those of the weights: items would stand for one another."""
    path = folder / "assets" / "vocabulary.txt"
    if "signatures" in about:  # as every export says; what others wrote need not
        _require_sealed(folder, about)
    elif "vocabulary" not in about:
        return
    # The fingerprint is over id type and raw ids; the file's first line is a heading.
    raw_ids = path.read_bytes().partition(b"\n")[2].removesuffix(b"\n")
    found = hashlib.sha256(f"{about.get('id_type')}\n".encode() + raw_ids).hexdigest()
    if found != about["vocabulary"]:
        raise ValueError(
            f"{str(path)!r} is not the vocabulary that the model was exported with: its "
            "fingerprint is another than that of manifest.json. Use the files of one export."
        )


def _require_sealed(folder: Path, about: dict[str, Any]) -> None:
    """Refuses a manifest of an export that lacks what the checks of the others stand on."""
    # `manifest.check` lets runs of earlier versions go without a seal.
    is_sealed = "seal" in json.loads((folder / manifest.FILE).read_bytes())
    if not is_sealed or "vocabulary" not in about:
        missing = "`vocabulary`" if is_sealed else "`seal`"
        raise ValueError(
            f"{manifest.FILE} of {str(folder)!r} has `signatures`, but no {missing}, and an export "
            "has both. Use the folder as it was written; one of an earlier version has to be "
            "exported again."
        )


def _load(session: Any, folder: Path) -> Any:
    # Deprecated for programs that could keep the object; a server has but the graph.
    level = tf.compat.v1.logging.get_verbosity()
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    try:
        return tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
    finally:
        tf.compat.v1.logging.set_verbosity(level)


def _require_servable(folder: Path, about: dict[str, Any], limits: Limits) -> None:
    """The size of the catalogue says how much work one row is."""
    num_items = about.get("num_items")
    if isinstance(num_items, bool) or not isinstance(num_items, int) or num_items < 1:
        raise ValueError(
            f"The manifest of {str(folder)!r} says `num_items` {num_items!r}, but must give the "
            "size of the catalogue. Export the model again."
        )
    if num_items > limits.max_scores:
        raise ValueError(
            f"`max_scores` was {limits.max_scores}, but one row of {str(folder)!r} has {num_items} "
            "scores: no request could be answered. Raise it, e.g. to the scores of 32 rows: "
            f"{32 * num_items}."
        )


def _require_known_types(folder: Path, name: str, signature: Any) -> None:
    for alias, info in [*signature.inputs.items(), *signature.outputs.items()]:
        sizes = [dim.size for dim in info.tensor_shape.dim]
        if info.tensor_shape.unknown_rank or sizes[:1] != [-1]:
            raise ValueError(
                f"Signature {name!r} of {str(folder)!r} has {alias!r} of shape {sizes}, but its "
                "first axis must be the rows of a request, of any number. Export it so."
            )
        if info.dtype not in tensors.DATA_TYPES:
            known = ", ".join(kind.name for kind in tensors.DATA_TYPES.values())
            raise ValueError(
                f"Signature {name!r} of {str(folder)!r} has {alias!r} of type number {info.dtype}, "
                f"but only {known} are served. Export the model with those."
            )


def _said_by_graph(message: str) -> str:
    """What an operator said, without the graph's names; an assertion says it in brackets."""
    text = message.partition("\n\t [[")[0].removeprefix("Graph execution error:").strip()
    _, is_assertion, asserted = text.partition("assertion failed: [")
    if is_assertion:
        said, _, values = asserted.partition("]")
        text = f"{said}{values}"
    return text or "The model could not answer."
