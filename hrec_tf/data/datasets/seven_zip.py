"""Members of 7z archives, which are unpacked to be read; they need the extra `sevenzip`."""

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO


class DamageError(Exception):
    """A file is no 7z archive, or one that cannot be unpacked; says why."""


@contextmanager
def members(archive: Path, pattern: str) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Opens the members whose names fit, in the order of their names.

    They are unpacked into a folder of the system's for temporary files, which goes at the end.

    Raises:
        ImportError: the extra `sevenzip` is not installed.
        DamageError: see there.
        OSError: there is no room for them.
    """
    try:
        py7zr = importlib.import_module("py7zr")
    except ImportError as error:
        raise ImportError(
            f"py7zr could not be imported ({error}). Archives of 7z are read by it, and hrec_tf "
            "does not install it by default. Run: pip install 'hrec-tf[sevenzip]', or unpack "
            f"{archive.name} by hand."
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        try:
            with py7zr.SevenZipFile(archive) as packed:
                names = [n for n in packed.namelist() if PurePosixPath(n).match(pattern)]
                if names:
                    packed.extract(folder, targets=names)
        except OSError:
            raise
        except Exception as error:  # its errors have no class in common
            raise DamageError(str(error) or type(error).__name__) from error
        yield _opened(sorted(path for path in Path(folder).rglob(pattern) if path.is_file()))


def _opened(paths: list[Path]) -> Iterator[tuple[str, IO[bytes]]]:
    for path in paths:
        with path.open("rb") as file:
            yield path.name, file
