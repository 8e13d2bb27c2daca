"""A process that asks SavedModels in Sessions; see `session_runner.py`, which it runs."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hrec_tf.export import session_runner
from hrec_tf.export.line_process import LineProcess

Call = tuple[str, dict[str, Any]]
"""Name of a signature, and its inputs."""


class SessionProcess(LineProcess):
    """Answers calls in a fresh process that can import neither Keras nor hrec_tf.

    Example:
        with SessionProcess() as process:
            (answer,) = process("models/recommender/1", [("recommend", inputs)])

    Args:
        python: the interpreter of another environment, which needs TensorFlow and NumPy alone;
            by default this one.
    """

    def __init__(self, python: str = sys.executable) -> None:
        super().__init__(session_runner, python)

    def __call__(self, folder: str | Path, calls: Sequence[Call]) -> list[dict[str, np.ndarray]]:
        """Runs calls in their order, and returns the outputs of each.

        Args:
            folder: of one version of an artefact.
            calls: an input that is left out is the output of that name of the call before.

        Raises:
            RuntimeError: the artefact cannot be loaded or refuses a call, or the process ended.
        """
        with tempfile.TemporaryDirectory() as scratch:
            request, file = Path(scratch) / "request.npz", Path(scratch) / "answer.npz"
            named = {
                f"{number}/{signature}/{name}": value
                for number, (signature, inputs) in enumerate(calls)
                for name, value in inputs.items()
            }
            np.savez(request, **named)
            error = self.ask([str(Path(folder).resolve()), str(request), str(file)])
            if error is not None:
                raise RuntimeError(
                    f"{str(folder)!r} could not be asked in a Session: {error}. Every signature "
                    "must run with TensorFlow alone. Export it again, or run `session_runner.py` "
                    "by hand to see more, and report this as a bug."
                )
            answers: list[dict[str, np.ndarray]] = [{} for _ in calls]
            with np.load(file, allow_pickle=False) as arrays:
                for key in arrays:
                    number, _, name = key.split("/")
                    answers[int(number)][name] = arrays[key]
        return answers
