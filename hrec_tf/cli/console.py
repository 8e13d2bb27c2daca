"""What the commands print: tables and JSON to stdout, progress to stderr."""

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.status import Status
from rich.table import Table as RichTable

QUIET_SECONDS = 2.0
"""What takes longer than this shows where it stands."""
LINE_SECONDS = 10.0
"""Without a terminal, a line at least this often."""


class Progress:
    """Shows on stderr what is being done, once it takes longer than two seconds.

    On a terminal one line that changes; elsewhere, lines.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)

    @contextmanager
    def watch(self, what: str) -> Iterator["Activity"]:
        """Shows `what` while the context lasts; its value takes a `TrainingStatus`."""
        activity = Activity(what, self.console)
        activity.start()
        try:
            yield activity
        finally:
            activity.stop()


class Activity:
    """One thing being done. Call it with a `TrainingStatus`, or `count`, to say how far it is."""

    def __init__(self, what: str, console: Console):
        self.what, self.console = what, console
        self._begin = self._last_line = time.monotonic()
        self._detail = ""
        self._shown = False
        self._stopped = threading.Event()
        self._status = Status("", console=console) if console.is_terminal else None
        self._thread = threading.Thread(target=self._keep_showing, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        if self._status is not None:
            self._status.stop()
        if self._shown:
            self.console.print(f"{self.what}: {self._seconds():.0f} s", markup=False)

    def __call__(self, status: Any) -> None:
        self._detail = status.to_text()
        if self._status is None:
            self._line()

    def count(self, done: int, in_all: int) -> None:
        """Says how many parts are done, for the next time that it is shown."""
        self._detail = f"{done:,} of {in_all:,}"

    def _keep_showing(self) -> None:
        wait = QUIET_SECONDS
        while not self._stopped.wait(wait):
            if self._status is not None:
                self._shown, wait = True, 0.25
                self._status.update(self._text())
                self._status.start()
            else:
                wait = 1.0
                if not self._shown or time.monotonic() - self._last_line > LINE_SECONDS:
                    self._line()

    def _line(self) -> None:
        self._shown, self._last_line = True, time.monotonic()
        self.console.print(self._text(), markup=False, soft_wrap=True)

    def _text(self) -> str:
        return f"{self.what}  {self._detail or f'{self._seconds():.0f} s'}"

    def _seconds(self) -> float:
        return time.monotonic() - self._begin


def print_json(values: Mapping[str, Any]) -> None:
    """Prints JSON, and nothing else, to stdout."""
    print(json.dumps(values, indent=2, allow_nan=False))


def print_table(table: Any) -> None:
    """Prints a `hrec_tf.reporting.tables.Table`; wider than the terminal rather than cut."""
    rich = RichTable(box=SIMPLE_HEAD)
    for place, name in enumerate(table.head):
        rich.add_column(name, justify="left" if place == 0 else "right", no_wrap=True)
    for row in table.rows:
        rich.add_row(*row)
    console = Console(highlight=False)
    needed = len(table.to_text().splitlines()[0]) + 4 * len(table.head)
    wide = Console(highlight=False, width=max(console.width, needed))
    wide.print(rich, soft_wrap=False)
    for note in table.notes:
        console.print(note, markup=False)


def require(importing: Callable[[], Any]) -> None:
    """Says what the machine lacks as any other mistake is said."""
    try:
        importing()
    except ImportError as error:
        raise ValueError(str(error)) from error


def stop_signals() -> threading.Event:
    """Returns what is set once the command is interrupted or ended, which it then outlives."""
    asked_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_stop.set())
    return asked_to_stop


def wait_for(asked_to_stop: threading.Event) -> None:
    """Returns once it is set, by a signal too that the system gave to another thread.

    Such a one is seen only when the main thread runs.
    """
    while not asked_to_stop.wait(0.5):
        pass


@contextmanager
def _left_out(package: str) -> Iterator[None]:
    """Lets nobody import a package in the block that was not imported before."""
    is_absent = package not in sys.modules
    if is_absent:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if is_absent:
            sys.modules.pop(package, None)


def import_tensorflow(*, with_keras: bool = True) -> None:
    """Imports TensorFlow without the notes that it writes to stderr while it starts.

    Some come before its log levels hold, whatever TF_CPP_MIN_LOG_LEVEL says, and would hide
    what the command prints. If the import fails they are shown after all.

    TensorFlow imports Keras, and Keras scikit-learn where it is installed, for wrappers of its
    own. That is two fifths of the time, the latter half of them, and commands need one or none.

    Args:
        with_keras: False for what runs artefacts alone.
    """
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            with _left_out("sklearn" if with_keras else "keras"):
                import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            notes.seek(0)
            os.write(shown, notes.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
