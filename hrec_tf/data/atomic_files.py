"""Files and folders that are either whole or not there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a file to write under a temporary name beside `path`; renames it at the end.

    A crash, an error or a full disk leaves the earlier file, if any, as it was.

    Raises:
        OSError: the folder is missing, or the disk is full.
    """
    path = Path(path)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def write_whole(path: str | Path, content: bytes) -> None:
    """Writes a file as `whole_file` does."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Makes a folder to fill under a temporary name beside `path`; renames it at the end.

    A crash, an error or a full disk leaves no `path`; an error leaves nothing at all. That
    `path` is free is for the caller to know, and before the work.

    Raises:
        OSError: it cannot be made.
    """
    path, aside = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
        yield aside
        aside.chmod(0o755)
        aside.rename(path)
    except OSError as error:
        raise OSError(
            f"{str(path)!r} could not be written: {error}. A folder must be allowed there, and the "
            "disk must have room for its files; nothing of it is left. Mend that, or choose "
            "another place, and write it again."
        ) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
