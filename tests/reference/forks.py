"""Scripts in processes of their own that have imported TensorFlow before they begin.

Its import takes seconds, which one process spends for all that are forked from it.
"""

import io
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["hrec_tf.fitting", "hrec_tf.tuning.tuner"])


class Fork:
    """Runs a script as `python -c code *arguments` does, but for the time of its imports.

    Args:
        code: the script.
        arguments: end up in `sys.argv`.
        environment: variables that are added.
    """

    def __init__(self, code, arguments, **environment):
        self._folder = tempfile.TemporaryDirectory()
        self._said = [Path(self._folder.name) / name for name in ("out", "err")]
        told = code, list(map(str, arguments)), environment, self._said
        self._process = _FORKS.Process(target=_run, args=told)
        self._process.start()

    def is_running(self):
        return self._process.is_alive()

    def kill(self):
        self._process.kill()

    def finished(self):
        """Waits for the end; returns the status and what was written to stdout and stderr."""
        self._process.join(300)
        if self.is_running():
            self.kill()
            raise TimeoutError(self._said[1].read_text(encoding="utf-8"))
        status = self._process.exitcode
        out, err = (path.read_text(encoding="utf-8") for path in self._said)
        self._folder.cleanup()
        return status, out, err


def _run(code, arguments, environment, said):
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w"), encoding="utf-8", write_through=True)
        for number in (1, 2)
    )
    os.environ.update(environment)
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})
