"""The folder of a run that is not done: what `hrec train --resume` goes on from."""

import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hrec_tf.data import plain_toml
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.settings import first_difference, flat

_FORMAT = "hrec_tf unfinished run 1"
_CONFIG, _CHECKPOINT, _TENSORBOARD = "config.toml", "training.npz", "tensorboard"


class Unfinished:
    """`<out>.unfinished/`: settings, checkpoint and event files, while a run is trained.

    Args:
        out: the run folder that is to be.
        settings: all that decides the run, see `hrec_tf.runs.settings`.
        resume: whether an unfinished training is to be gone on with.

    Raises:
        ValueError: there is one and it is not to be gone on with, or the other way round, or it
            was begun with other settings.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], *, resume: bool):
        self.path = out.with_name(f"{out.name}.unfinished")
        self._config = plain_toml.to_toml({"format": _FORMAT, **settings})
        if resume:
            self._require_same(out)
        elif self.path.exists():
            raise ValueError(
                f"`out` was {str(out)!r}, whose training was begun before and is unfinished in "
                f"{str(self.path)!r}. Add --resume to go on with it, or remove that folder to "
                "begin anew."
            )

    @property
    def checkpoint(self) -> Path:
        return self.path / _CHECKPOINT

    @property
    def tensorboard(self) -> Path:
        return self.path / _TENSORBOARD

    @contextmanager
    def kept_if_left(self) -> Iterator[None]:
        """Makes the folder; removes it at the end, or if there is nothing to go on from."""
        self.tensorboard.mkdir(parents=True, exist_ok=True)
        try:
            write_whole(self.path / _CONFIG, self._config.encode())
            yield
        except BaseException:
            if self.checkpoint.exists():
                print(
                    f"What was trained is kept in {self.path}: the same command with --resume "
                    "goes on.",
                    file=sys.stderr,
                )
            else:
                shutil.rmtree(self.path, ignore_errors=True)
            raise
        shutil.rmtree(self.path)

    def _require_same(self, out: Path) -> None:
        config = self.path / _CONFIG
        if not config.is_file():
            raise ValueError(
                f"`resume` was set, but there is no unfinished training in {str(self.path)!r}. "
                f"Leave --resume out to begin one, or pass the --out that it was begun with, not "
                f"{str(out)!r}."
            )
        try:
            held = flat(tomllib.loads(config.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{str(config)!r} is not a TOML file: {error}. Remove {str(self.path)!r} and begin "
                "anew."
            ) from error
        other = first_difference(held, flat(tomllib.loads(self._config)))
        if other:
            raise ValueError(
                f"`{other.name}` is {other.held!r} in the unfinished training {str(self.path)!r}, "
                f"but {other.now!r} now. Pass what it was begun with, or remove that folder and "
                "begin anew without --resume."
            )
