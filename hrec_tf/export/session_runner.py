"""Asks a SavedModel as TensorFlow Serving does: in a Session, without Keras and without hrec_tf.

    python -P session_runner.py MODEL REQUEST.npz ANSWER.npz

MODEL is the folder of one version. REQUEST.npz holds `call/signature/input` arrays, ANSWER.npz
gets `call/signature/output` arrays; calls are numbered 0, 1, ... and run in that order. Text is
in arrays of fixed width, as `np.array(["tea", "jam"])` makes them. An input that is left out is
the output of that name of the call before, or zeros: so `step` goes on where it was.

    np.savez("request.npz", **{
        "0/recommend/item_ids": [["tea", "jam"]], "0/recommend/timestamps": [[0, 60]],
        "0/recommend/lengths": [2], "0/recommend/exclude_seen": [True],
        "1/step/item_ids": ["rum"], "1/step/timestamps": [90],
    })

Without arguments it reads lines of JSON, `["MODEL", "REQUEST.npz", "ANSWER.npz"]`, and answers
each by a line, `{}` or `{"error": "..."}`. This file imports TensorFlow and NumPy only, and
refuses whoever else would import Keras or hrec_tf: what runs here needs neither.
"""

import contextlib
import importlib.machinery
import json
import sys
from typing import Any

import numpy as np

REFUSED = ("keras", "tf_keras", "hrec_tf")


class Refusing:
    """Finds the packages of `REFUSED`, as TensorFlow wants, and does not let them be loaded."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] not in REFUSED:
            return None
        return importlib.machinery.ModuleSpec(name, cls, origin="", is_package=True)  # type: ignore[arg-type]

    @classmethod
    def create_module(cls, spec: Any) -> None:
        raise ImportError(f"{spec.name} was imported, but an artefact must not need it.")

    @classmethod
    def exec_module(cls, module: Any) -> None:
        """Is never reached, but importlib takes no loader without it."""


class Model:
    """An artefact in a Session of its own.

    Args:
        folder: of one version, with saved_model.pb in it.
    """

    def __init__(self, folder: str):
        import tensorflow as tf

        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            # What `tf.compat.v1.saved_model.load` names is deprecated, but is what servers do.
            meta = tf.compat.v1.saved_model.load(self._session, ["serve"], folder)
        self._signatures = meta.signature_def

    def __call__(self, signature: str, inputs: dict[str, Any], before: dict[str, Any]) -> dict:
        """Runs a signature; what `inputs` lack comes from `before`, or is zero."""
        if signature not in self._signatures:  # which a map of protobuf would make, without inputs
            raise KeyError(f"The artefact has no signature {signature!r}")
        spec = self._signatures[signature]
        rows = len(next(iter(inputs.values())))
        feeds = {}
        for name, tensor in spec.inputs.items():
            value = inputs.get(name, before.get(name))
            if value is None:
                here = self._session.graph.get_tensor_by_name(tensor.name)
                value = np.zeros((rows, *here.shape[1:]), here.dtype.as_numpy_dtype)
            feeds[tensor.name] = value
        fetches = {name: tensor.name for name, tensor in spec.outputs.items()}
        outputs = self._session.run(fetches, feeds)
        return {name: _plain(values) for name, values in outputs.items()}

    def close(self) -> None:
        self._session.close()


def answer(folder: str, request: str, file: str) -> None:
    """Runs the calls of a request file, and writes their answers."""
    calls: dict[tuple[int, str], dict[str, Any]] = {}
    with np.load(request, allow_pickle=False) as arrays:
        for key in arrays:
            number, signature, name = key.split("/")
            calls.setdefault((int(number), signature), {})[name] = arrays[key]
    outputs: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    with contextlib.closing(Model(folder)) as model:
        for (number, signature), inputs in sorted(calls.items(), key=lambda call: call[0]):
            outputs = model(signature, inputs, outputs)
            answers |= {f"{number}/{signature}/{name}": value for name, value in outputs.items()}
    np.savez(file, **answers)


def _plain(values: np.ndarray) -> np.ndarray:
    """Text of fixed width for the bytes of a string tensor; an npz holds no objects."""
    if values.dtype != object:
        return values
    text = [value.decode("utf-8") for value in values.ravel()]
    return np.array(text, dtype=np.str_).reshape(values.shape)


def main(arguments: list[str]) -> int:
    """Answers one request, or one for each line of standard input."""
    sys.meta_path.insert(0, Refusing)  # type: ignore[arg-type]
    if arguments:
        if len(arguments) != 3:
            print(__doc__, file=sys.stderr)
            return 2
        answer(*arguments)
        return 0
    for line in sys.stdin:
        try:
            answer(*json.loads(line))
            said = {}
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
