"""Weight averaging: a training ends with the mean of what the weights were after its epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from hrec_tf import checks


class WeightAveraging(keras.callbacks.Callback):
    """Gives a model the mean of the trainable weights it had at the ends of its epochs.

    With w_e the weights after the updates of epoch e, counted from 1:

        w̄_e = w̄_{e-1} + (w_e - w̄_{e-1}) / (e - first_epoch + 1)        e = first_epoch, ...

    Every epoch is trained from w_e, so that it goes as it would without. From its last update
    until the next epoch begins the model has w̄_e: validation measures the mean, whoever saves the
    weights then saves it (`EarlyStopping` the best one), and the model ends with it. Epochs before
    `first_epoch` are as they are. Put it before other callbacks.

    `hrec_tf.training.Checkpoint` keeps the memory of this callback where it is told to
    (`Checkpoint.remember`): a training that was killed then ends with the same mean.

    Source: Izmailov et al., UAI 2018, arXiv:1803.05407 ("stochastic weight averaging"), with the
    optimizer's own learning rate throughout.

    Args:
        first_epoch: the first whose weights count, the first of all being 1.

    Raises:
        ValueError: a bad `first_epoch`.

    Example:
        >>> WeightAveraging(first_epoch=3).settings()
        {'first_epoch': 3}
    """

    name = "weight_averaging"

    def __init__(self, *, first_epoch: int):
        super().__init__()
        self.first_epoch = checks.require_positive_int(
            "first_epoch", first_epoch, mend="Pass 1 to average all epochs."
        )
        self._is_filled = False
        self._epoch, self._count = 0, 0
        # Of the two sets of weights, the mean and those to train on from, the model has one.
        self._has_mean, self._other = False, list[np.ndarray]()

    def on_train_begin(self, logs=None):
        if not self._is_filled:
            self._forget()
        self._is_filled = False

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1
        if self._has_mean:
            self._swap()

    def on_test_begin(self, logs=None):
        self._end_epoch()

    def on_epoch_end(self, epoch, logs=None):
        self._end_epoch()

    def _end_epoch(self) -> None:
        """Takes the weights into the mean, which the model gets; once an epoch."""
        if self._has_mean or self._epoch < self.first_epoch:
            return
        self._count += 1
        weights = _weights_of(self.model)
        means = self._other or weights
        share = np.float32(1 / self._count)
        self._other = [m + share * (w - m) for m, w in zip(means, weights, strict=True)]
        self._swap()

    def _swap(self) -> None:
        now = _weights_of(self.model)
        for weight, value in zip(self.model.trainable_weights, self._other, strict=True):
            weight.assign(value)
        self._other, self._has_mean = now, not self._has_mean

    def settings(self) -> dict[str, Any]:
        """Returns what must be the same in a training that goes on."""
        return {"first_epoch": self.first_epoch}

    def arrays(self) -> list[np.ndarray]:
        """Returns what `fill` takes: how many epochs count, and the set the model has not."""
        return [np.array([self._count, self._has_mean], np.int64), *self._other]

    def fill(
        self, model: Any, logs: Sequence[Mapping[str, float]], arrays: Sequence[np.ndarray]
    ) -> None:
        """Takes up the memory of a training that goes on. Called before it begins.

        Args:
            model: what is trained, with the weights that it had.
            logs: of the epochs that are done.
            arrays: what `arrays` returned after them.

        Raises:
            ValueError: arrays that are not of the model's weights.
        """
        shapes = [tuple(weight.shape) for weight in model.trainable_weights]
        found = [tuple(array.shape) for array in arrays]
        if found not in ([(2,)], [(2,), *shapes]):
            raise ValueError(
                f"`arrays` has the shapes {found}, but the model's weights have {shapes}. Pass "
                "what `arrays` of the same training returned."
            )
        self._count, has_mean = (int(value) for value in arrays[0])
        self._has_mean, self._other = bool(has_mean), list(arrays[1:])
        self._is_filled = True

    def _forget(self) -> None:
        self._epoch, self._count, self._has_mean, self._other = 0, 0, False, []


def _weights_of(model: Any) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.trainable_weights]
