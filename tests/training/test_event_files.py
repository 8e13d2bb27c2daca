"""Event files: written at once, by the names TensorBoard groups by."""

import pytest
import tensorflow as tf

from hrec_tf.training import EventFiles


def events(folder):
    """[(tag, epoch, value), ...] of a folder's files, as TensorBoard reads them."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found.append((value.tag, event.step, tf.make_ndarray(value.tensor).item()))
    return found


def test_each_epoch_is_on_the_disk_when_it_ends(tmp_path):
    files = EventFiles(tmp_path / "tensorboard")
    files.on_epoch_end(0, {"loss": 0.5, "val_recall@20": 0.25})
    assert events(tmp_path / "tensorboard" / "train") == [("epoch_loss", 0, 0.5)]
    assert events(tmp_path / "tensorboard" / "validation") == [("epoch_recall@20", 0, 0.25)]
    files.on_epoch_end(1, {"loss": 0.125})
    files.on_train_end()
    assert events(tmp_path / "tensorboard" / "train")[1:] == [("epoch_loss", 1, 0.125)]


def test_a_training_that_goes_on_adds_to_them(tmp_path):
    for epoch in (0, 1):
        files = EventFiles(tmp_path)
        files.on_epoch_end(epoch, {"loss": 1.0})
        files.on_train_end()
    assert sorted(events(tmp_path / "train")) == [("epoch_loss", 0, 1.0), ("epoch_loss", 1, 1.0)]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Event files in .*file' could not be written: .*Make room"):
        EventFiles(tmp_path / "file").on_epoch_end(0, {"loss": 1.0})
