"""Event files: what TensorBoard draws."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class EventFiles(keras.callbacks.Callback):
    """Writes the logs of every epoch where TensorBoard looks for them, at once.

    `tensorboard --logdir FOLDER` draws them while the training goes on; it need not be installed
    to write them. Names are those of `keras.callbacks.TensorBoard` ("epoch_loss" of "train" and
    "validation", epochs from 0), which would keep them back for minutes, and lose them if the
    process is killed.

    Args:
        folder: made if it is not there. A training that is resumed adds files to it.
    """

    def __init__(self, folder: str | Path):
        super().__init__()
        self.folder = Path(folder)
        self._writers: dict[str, Any] = {}

    def on_epoch_end(self, epoch, logs=None):
        try:
            for name, value in (logs or {}).items():
                part = "validation" if name.startswith("val_") else "train"
                if part not in self._writers:
                    self._writers[part] = tf.summary.create_file_writer(str(self.folder / part))
                with self._writers[part].as_default():
                    tag, value = f"epoch_{name.removeprefix('val_')}", tf.cast(value, tf.float32)
                    tf.summary.write(tag, value, step=epoch, metadata=_SCALAR)
            for writer in self._writers.values():
                writer.flush()
        except tf.errors.OpError as error:
            raise OSError(
                f"Event files in {str(self.folder)!r} could not be written: {error.message}. Make "
                "room on the disk."
            ) from error

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


# What `tf.summary.scalar` writes; that function needs the package tensorboard.
_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class=1
)
