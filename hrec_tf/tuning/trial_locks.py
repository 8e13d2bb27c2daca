"""Which trials of a study are being made, told by locks that end with the process they are of."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self


class TrialLocks:
    """Locks on single bytes of a file beside a study.

    The first byte is held by the one process that begins a trial, byte n + 1 by the one that makes
    trial n. The system takes them back when a process ends, however it does, so a trial that is
    running by its study and whose byte is free was left. They are locks of a process: it makes one
    trial of a study at a time. The file holds nothing, and stays.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path):
        # Not the study itself: to close a file gives back all locks that the process has on it,
        # also those of SQLite.
        self._file = path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until no other process is in such a context."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, 0)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, 0)

    def hold(self, number: int) -> None:
        """Says that this process makes a trial."""
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number + 1)

    def release(self, number: int) -> None:
        """Says that it no longer does."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number + 1)

    def is_held(self, number: int) -> bool:
        """Whether another process makes a trial."""
        try:
            self.hold(number)
        except (BlockingIOError, PermissionError):  # systems say it in two ways
            return True
        self.release(number)
        return False
