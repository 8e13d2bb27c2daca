"""Early stopping: a training ends when it no longer gets better, with the weights of its best."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from hrec_tf import checks


class EarlyStopping(keras.callbacks.Callback):
    """Ends a training after epochs without a better value, and goes back to the best epoch.

    The best epoch is the first of those with the highest value; when the training ends, however
    it does, the model gets the weights it had there. `hrec_tf.training.Checkpoint` keeps the
    memory of this callback where it is told to (`Checkpoint.remember`), which it cannot do for
    that of Keras: a training that was killed then stops at the same epoch, with the same weights.

    Args:
        monitor: name in the logs of an epoch; more is better.
        patience: epochs without a better value after which the training ends.

    Raises:
        ValueError: a bad `patience`; in `fit`, logs without the value.

    Example:
        >>> EarlyStopping("val_recall@20", patience=10).best_epoch is None
        True
    """

    name = "early_stopping"

    def __init__(self, monitor: str, *, patience: int):
        super().__init__()
        self.monitor = monitor
        self.patience = checks.require_positive_int("patience", patience, mend="Pass e.g. 10.")
        self._is_filled = False
        self._values: list[float] = []
        self._best: list[np.ndarray] = []
        self._last: list[np.ndarray] = []

    @property
    def best_epoch(self) -> int | None:
        """The best epoch so far, the first being 1; None before it has ended."""
        return best_epoch(self._values)

    def on_train_begin(self, logs=None):
        if not self._is_filled:
            self._forget()
        self._is_filled = False

    def on_epoch_end(self, epoch, logs=None):
        self._values.append(self._value(logs or {}))
        since_best = len(self._values) - int(np.argmax(self._values)) - 1
        if since_best == 0:
            self._best = _weights_of(self.model)
        elif since_best >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self._best:
            self._last = _weights_of(self.model)
            _assign(self.model, self._best)

    def settings(self) -> dict[str, Any]:
        """Returns what must be the same in a training that goes on."""
        return {"monitor": self.monitor, "patience": self.patience}

    def arrays(self) -> list[np.ndarray]:
        """Returns what `fill` takes: the best epoch's weights, and after the end the last ones."""
        return [*self._best, *self._last]

    def fill(
        self, model: Any, logs: Sequence[Mapping[str, float]], arrays: Sequence[np.ndarray]
    ) -> None:
        """Takes up the memory of a training that goes on. Called before it begins.

        Args:
            model: what is trained; of a training that had ended it gets the last weights back.
            logs: of the epochs that are done.
            arrays: what `arrays` returned after them.

        Raises:
            ValueError: arrays that are not the model's weights.
        """
        self._forget()
        self._values = [self._value(held) for held in logs]
        shapes = [tuple(weight.shape) for weight in model.weights]
        sets = len(arrays) // max(len(shapes), 1)
        fits = [tuple(array.shape) for array in arrays] == sets * shapes
        if not fits or sets not in ((1, 2) if self._values else (0,)):
            raise ValueError(
                f"`arrays` holds {len(arrays)} after {len(self._values)} epochs, but the model has "
                f"{len(shapes)} weights. Pass what `arrays` of the same training returned."
            )
        self._best, self._last = list(arrays[: len(shapes)]), list(arrays[len(shapes) :])
        if self._last:
            _assign(model, self._last)
            self._last = []
        self._is_filled = True

    def _forget(self) -> None:
        self._values, self._best, self._last = [], [], []

    def _value(self, logs: Mapping[str, float]) -> float:
        if self.monitor not in logs:
            raise ValueError(
                f"`monitor` was {self.monitor!r}, but an epoch logged {', '.join(logs)}. Pass "
                "`validation_data` to `fit`, and compile with the metric."
            )
        return float(logs[self.monitor])


def best_epoch(values: Sequence[float]) -> int | None:
    """Returns the epoch of the highest value, the first of equals; None without any.

    Args:
        values: one per epoch, of which the first is 1.

    Example:
        >>> best_epoch([0.1, 0.3, 0.2, 0.3])
        2
    """
    return int(np.argmax(values)) + 1 if len(values) else None


def _weights_of(model: Any) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.weights]


def _assign(model: Any, values: Sequence[np.ndarray]) -> None:
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)
