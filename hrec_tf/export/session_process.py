"""A process that asks SavedModels in Sessions; see `session_runner.py`, which it runs."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from hrec_tf.export import session_runner

Call = tuple[str, dict[str, Any]]
"""Name of a signature, and its inputs."""


class SessionProcess:
    """Answers calls in a fresh process that can import neither Keras nor hrec_tf.

    Its start takes seconds, so one process may serve many models.

    Example:
        with SessionProcess() as process:
            (answer,) = process("models/recommender/1", [("recommend", inputs)])
    """

    def __init__(self) -> None:
        self._notes = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, "-P", session_runner.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._notes,
            text=True,
            # The same device as in LiteRT, and none whose memory this process may hold.
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        )

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
            self._ask([str(Path(folder).resolve()), str(request), str(file)])
            answers: list[dict[str, np.ndarray]] = [{} for _ in calls]
            with np.load(file, allow_pickle=False) as arrays:
                for key in arrays:
                    number, _, name = key.split("/")
                    answers[int(number)][name] = arrays[key]
        return answers

    def _ask(self, request: list[str]) -> None:
        pipes = self._process.stdin, self._process.stdout
        try:
            print(json.dumps(request), file=pipes[0], flush=True)
            said = pipes[1].readline() if pipes[1] else ""
        except BrokenPipeError:
            said = ""  # it has ended; what it wrote before tells why
        if not said:
            self._notes.seek(0)
            last = self._notes.read().decode("utf-8", "replace").strip()[-2000:]
            raise RuntimeError(
                f"The process that asks {request[0]!r} ended (exit status {self._process.wait()}): "
                f"{last}. It must load an artefact with TensorFlow alone. Run "
                "`session_runner.py` by hand to see more."
            )
        error = json.loads(said).get("error")
        if error is not None:
            raise RuntimeError(
                f"{request[0]!r} could not be asked in a Session: {error}. Every signature must "
                "run without Keras and hrec_tf. Export it again, or report this as a bug."
            )

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._notes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
