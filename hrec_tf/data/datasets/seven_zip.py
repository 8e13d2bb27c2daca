"""Members of 7z archives, which are unpacked to be read; they need the extra `sevenzip`."""

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO


@contextmanager
def members(archive: Path, pattern: str) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Opens the members whose names fit, in the order of their names.

    They are unpacked into a folder of the system's for temporary files, which goes at the end.

    Raises:
        ImportError: the extra `sevenzip` is not installed.
        OSError: the file is no 7z archive, or a damaged one.
    """
    try:
        py7zr = importlib.import_module("py7zr")
    except ImportError as error:
        raise ImportError(
            f"py7zr could not be imported ({error}). Archives of 7z are read by it, and hrec_tf "
            f"does not install it by default. Run: pip install 'hrec-tf[sevenzip]', or unpack "
            f"{archive.name} by hand."
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        try:
            with py7zr.SevenZipFile(archive) as packed:
                names = sorted(
                    name for name in packed.namelist() if PurePosixPath(name).match(pattern)
                )
                if names:
                    packed.extract(folder, targets=names)
        except (py7zr.exceptions.ArchiveError, LZMAError) as error:
            raise OSError(str(error) or type(error).__name__) from error
        yield _opened(Path(folder), names)


def _opened(folder: Path, names: list[str]) -> Iterator[tuple[str, IO[bytes]]]:
    for name in names:
        with (folder / name).open("rb") as file:
            yield name, file
