"""Progress of a training run: events per second, time left, loss."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras

from hrec_tf import checks


@dataclass(frozen=True)
class TrainingStatus:
    """Where a training run stands.

    Args:
        epoch: the current epoch, from 1.
        epochs: how many there will be.
        events_done, events_in_all: next-item pairs over all epochs.
        events_per_second: since the first chunk, whose time is mostly compilation.
        seconds_left: at that speed; None while it is not known.
        seconds: since training began.
        loss: mean of the epoch so far.
        epoch_ended: whether this is the epoch's last status.
    """

    epoch: int
    epochs: int
    events_done: int
    events_in_all: int
    events_per_second: float | None
    seconds_left: float | None
    seconds: float
    loss: float
    epoch_ended: bool

    def to_text(self) -> str:
        """Returns one line."""
        parts = [f"epoch {self.epoch}/{self.epochs}", f"{self.share:4.0%}"]
        if self.events_per_second is not None:
            parts.append(f"{self.events_per_second:,.0f} events/s")
        if self.seconds_left is not None:
            parts.append(f"{as_clock(self.seconds_left)} left")
        return "  ".join([*parts, f"loss {self.loss:.4f}"])

    @property
    def share(self) -> float:
        """Share of the run that is done."""
        return self.events_done / self.events_in_all if self.events_in_all else 1.0


def print_status(status: TrainingStatus) -> None:
    """Prints a status as a line to stderr."""
    print(status.to_text(), file=sys.stderr, flush=True)


class TrainingProgress(keras.callbacks.Callback):
    """Shows where `NextItemModel.fit` stands: nothing before `after` seconds, then at times.

    Args:
        events_per_epoch: next-item pairs of an epoch, for the time left.
        show: takes a `TrainingStatus`; prints a line to stderr if left out.
        every: seconds between two statuses. The end of an epoch is always shown.
        after: seconds before the first.
        clock: seconds now; for tests.
    """

    def __init__(
        self,
        events_per_epoch: int,
        *,
        show: Callable[[TrainingStatus], None] = print_status,
        every: float = 5.0,
        after: float = 2.0,
        clock: Callable[[], float] = time.perf_counter,
    ):
        super().__init__()
        self.events_per_epoch = checks.require_positive_int(
            "events_per_epoch", events_per_epoch, mend="Pass `histories.num_pairs`."
        )
        self.show, self.every, self.after, self.clock = show, every, after, clock

    def on_train_begin(self, logs=None):
        self._begin = self._last_shown = self.clock()
        self._first_chunk: tuple[float, int] | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        now = self.clock()
        done = self._epoch * self.events_per_epoch + int(logs["events"])
        if self._first_chunk is None:
            self._first_chunk = (now, done)
        if now - self._begin >= self.after and now - self._last_shown >= self.every:
            self._show(now, done, logs, epoch_ended=False)

    def on_epoch_end(self, epoch, logs=None):
        now = self.clock()
        if now - self._begin >= self.after:
            self._show(now, (epoch + 1) * self.events_per_epoch, logs, epoch_ended=True)

    def _show(self, now: float, done: int, logs: dict[str, float], *, epoch_ended: bool) -> None:
        self._last_shown = now
        epochs = self.params["epochs"]
        in_all = epochs * self.events_per_epoch
        speed = left = None
        since, before = self._first_chunk or (now, done)
        if now > since and done > before:
            speed = (done - before) / (now - since)
            left = (in_all - done) / speed
        self.show(
            TrainingStatus(
                epoch=self._epoch + 1,
                epochs=epochs,
                events_done=done,
                events_in_all=in_all,
                events_per_second=speed,
                seconds_left=left,
                seconds=now - self._begin,
                loss=logs["loss"],
                epoch_ended=epoch_ended,
            )
        )


def as_clock(seconds: float) -> str:
    """Writes a duration: "7 s", "3:05 min", "2:10 h".

    Example:
        >>> as_clock(7.4), as_clock(185), as_clock(7800)
        ('7 s', '3:05 min', '2:10 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"
