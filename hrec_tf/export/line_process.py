"""A process beside this one that is asked by lines of JSON."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from types import ModuleType
from typing import Any, Self


class LineProcess:
    """Runs a file of Python that answers each line of JSON by one: `{}` or `{"error": "..."}`.

    Its start takes seconds, as TensorFlow's does, so that one process may serve many models. It
    sees no GPU, whose memory this process may hold.

    Args:
        module: its file is run, and can import nothing beside it.
        python: the interpreter that runs it.
    """

    def __init__(self, module: ModuleType, python: str = sys.executable) -> None:
        self._notes = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [python, "-P", str(module.__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._notes,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"},
        )

    def ask(self, request: list[Any]) -> str | None:
        """Returns None, or why the request failed: its error, or the end of the process."""
        pipes = self._process.stdin, self._process.stdout
        try:
            print(json.dumps(request), file=pipes[0], flush=True)
            said = pipes[1].readline() if pipes[1] else ""
        except BrokenPipeError:
            said = ""  # it has ended; what it wrote before tells why
        if said:
            return json.loads(said).get("error")
        self._notes.seek(0)
        last = self._notes.read().decode("utf-8", "replace").strip()[-2000:]
        return f"its process ended with exit status {self._process.wait()}: {last}"

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended, with a request unread
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._notes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
