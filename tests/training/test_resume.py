"""A training that was killed goes on to the same bits."""

import io
import json
import os
import zipfile

import keras
import numpy as np
import pytest

from hrec_tf.data.aligned import aligned_stream
from hrec_tf.data.lanes import lane_stream
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.models import HRNN, GRU4Rec, HRNNMeta
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.schema import ALIGNED
from hrec_tf.training import Checkpoint
from tests.reference.tiny_log import NUM_ITEMS, ring_histories

EPOCHS = 2
HISTORIES = ring_histories(num_users=3, num_sessions=2, length=4)


class Killed(BaseException):
    """Stands for SIGKILL: no part of the library catches it to end in good order."""


class KillAfter(keras.callbacks.Callback):
    """Ends the training when `chunks` more are done."""

    def __init__(self, chunks):
        super().__init__()
        self.left = chunks

    def on_train_batch_begin(self, batch, logs=None):
        if self.left == 0:
            raise Killed
        self.left -= 1


def hrnn(**changes):
    sizes = {"session_units": 4, "user_units": 3, "user_gates": "rzh"}
    rates = {"session_dropout": 0.2, "user_dropout": 0.2, "init_dropout": 0.2}
    model = HRNN(num_items=NUM_ITEMS, seed=1, **{**sizes, **rates, **changes})
    return compiled(model, InBatch())


def gru4rec():
    model = GRU4Rec(
        num_items=NUM_ITEMS, units=(4,), inputs="constrained", hidden_dropout=0.2, seed=3
    )
    return compiled(model, InBatch(extra=3, item_supports=HISTORIES.item_supports(), seed=2))


def meta():
    """With a drawn share of item features, which a training that goes on must draw alike."""
    sizes = {"units": 4, "item_dim": 4, "num_layers": 1, "num_item_features": 2}
    model = HRNNMeta(num_items=NUM_ITEMS, seed=5, hidden_dropout=0.2, **sizes)
    model.set_item_features(np.random.default_rng(1).normal(size=(NUM_ITEMS + 1, 2)))
    return compiled(model, InBatch())


def compiled(model, negatives, **changes):
    options = {"optimizer": AdagradMomentum(0.1, momentum=0.3), "run_eagerly": True}
    model.compile(**{**options, **changes}, loss=TOP1(), negatives=negatives, windows_per_chunk=2)
    return model


def stream(model, histories=HISTORIES, **changes):
    arguments = {"num_lanes": 3, "seed": 4, **changes}
    if model.layout == ALIGNED:
        return aligned_stream(histories, steps=1, **arguments)
    return lane_stream(histories, layout=model.layout, **arguments)


def fit(model, checkpoint=None, *, epochs=EPOCHS, callbacks=(), x=None, validate=False):
    history = model.fit(
        x or stream(model),
        epochs=epochs,
        validation_data=stream(model, order="given", seed=None) if validate else None,
        callbacks=list(callbacks),
        checkpoint=checkpoint,
        verbose=0,
    ).history
    history.pop("events_per_second", None)
    return history


def bits(model):
    """Everything that a training moves, as bytes."""
    return [v.numpy().tobytes() for v in [*model.variables, *model.optimizer.variables]]


@pytest.mark.parametrize(
    "build", [pytest.param(hrnn, marks=pytest.mark.integration), gru4rec, meta]
)
def test_killed_at_every_chunk_it_ends_with_the_same_bits(tmp_path, build):
    """pitfalls 4: a run killed mid-epoch. Dropout, extra negatives and momentum go on, too."""
    whole = build()
    expected = fit(whole, validate=True)
    path, kills = tmp_path / "training.npz", 0
    while True:
        model = build()
        try:
            keeping = Checkpoint(path, every_chunks=1)
            history = fit(model, keeping, callbacks=[KillAfter(1)], validate=True)
            break
        except Killed:
            kills += 1
    assert kills >= 5
    assert set(expected) == {"loss", "events", "val_loss"}
    assert history == expected
    assert list(history) == list(expected), "columns of history.csv"
    assert bits(model) == bits(whole)


def test_a_checkpoint_alone_changes_nothing_and_leaves_nothing_else(tmp_path):
    plain, watched = gru4rec(), gru4rec()
    checkpoint = Checkpoint(tmp_path / "training.npz", every_seconds=0)
    assert fit(watched, checkpoint) == fit(plain)
    assert bits(watched) == bits(plain)
    assert [path.name for path in tmp_path.iterdir()] == ["training.npz"]
    # Three chunks and the end, in each of two epochs, and once more when all was done.
    assert checkpoint.written == 2 * 4 + 1
    assert checkpoint.seconds > 0


def test_it_is_written_after_so_many_chunks(tmp_path):
    counted = Checkpoint(tmp_path / "training.npz", every_chunks=2)
    fit(gru4rec(), counted)
    assert counted.written == 6 // 2 + 1


class Ticking(keras.callbacks.Callback):
    """A clock by which every chunk takes 35 seconds."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.now += 35.0


@pytest.mark.parametrize(
    ("writing", "every_seconds", "written"),
    [
        # Six chunks, so 210 seconds, and once more at the end.
        (0.0, None, 3 + 1),
        (8.0, None, 1 + 1),  # after 70 seconds, and not again before 20 * 8 more
        (8.0, 70.0, 3 + 1),
        (0.0, 35.0, 6 + 1),
    ],
)
def test_it_is_written_when_it_is_time(tmp_path, monkeypatch, writing, every_seconds, written):
    ticking = Ticking()

    def slow(_):
        ticking.now += writing

    monkeypatch.setattr(os, "fsync", slow)
    path = tmp_path / "training.npz"
    timed = Checkpoint(path, every_seconds=every_seconds, clock=lambda: ticking.now)
    fit(gru4rec(), timed, callbacks=[ticking])
    assert timed.written == written
    assert timed.seconds == 6 * 35.0 + written * writing


@pytest.mark.integration
def test_more_epochs_go_on_where_the_training_ended(tmp_path):
    whole, path = gru4rec(), tmp_path / "training.npz"
    expected = fit(whole, epochs=3)
    fit(gru4rec(), Checkpoint(path), epochs=2)
    again = gru4rec()
    assert fit(again, Checkpoint(path), epochs=2) == {k: v[:2] for k, v in expected.items()}
    more = gru4rec()
    assert fit(more, Checkpoint(path), epochs=3) == expected
    assert bits(more) == bits(whole)


class StopAtOnce(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


def test_a_training_that_was_stopped_is_done(tmp_path):
    stopped, again = gru4rec(), gru4rec()
    path = tmp_path / "training.npz"
    expected = fit(stopped, Checkpoint(path), epochs=9, callbacks=[StopAtOnce()])
    assert fit(again, Checkpoint(path), epochs=9) == expected
    assert len(expected["loss"]) == 1
    assert bits(again) == bits(stopped)
    # That it was stopped is kept, however often it is asked.
    assert fit(gru4rec(), Checkpoint(path), epochs=9) == expected


@pytest.mark.integration
# Keras 3.15 reads the learning rate by np.array(), whose TensorFlow side knows no `copy`.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_the_learning_rate_is_that_of_the_epoch(tmp_path):
    """What a callback sets in the optimizer is in its variables."""

    def run(*more):
        model = gru4rec()
        schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch))
        try:
            fit(model, Checkpoint(path, every_chunks=1), callbacks=[schedule, *more])
        except Killed:
            return None
        return model

    path = tmp_path / "whole.npz"
    whole = run()
    path = tmp_path / "killed.npz"
    assert run(KillAfter(4)) is None
    assert bits(run()) == bits(whole)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A checkpoint in the second epoch of HRNN, never to be changed."""
    path = tmp_path_factory.mktemp("kept") / "training.npz"
    with pytest.raises(Killed):
        fit(hrnn(), Checkpoint(path, every_chunks=1), callbacks=[KillAfter(4)])
    return path


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (lambda: hrnn(session_units=5), {}, "`model.session_units` is 4 in it, but 5 here"),
        (lambda: hrnn(init_dropout=0.1), {}, "`model.init_dropout` is 0.2 in it, but 0.1 here"),
        (
            lambda: compiled(hrnn(), InBatch(), optimizer=AdagradMomentum(0.2, momentum=0.3)),
            {},
            "`compile.optimizer.config.learning_rate` is 0.1.* in it, but 0.2",
        ),
        (
            lambda: compiled(hrnn(), InBatch(extra=2, alpha=0.0)),
            {},
            "`compile.negatives.config.extra` is 0 in it, but 2 here",
        ),
        (hrnn, {"seed": 5}, "`stream.seed` is 4 in it, but 5 here"),
        (hrnn, {"num_lanes": 2}, "`stream.num_lanes` is 3 in it, but 2 here"),
        (
            hrnn,
            {"histories": ring_histories(num_users=5, num_sessions=2, length=5)},
            "`stream.data` is '.*' in it, but '.*' here",
        ),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(kept, model, changes, message):
    model = model()
    before = bits(model)
    with pytest.raises(ValueError, match=f"is the checkpoint of another training: {message}"):
        fit(model, Checkpoint(kept), x=stream(model, **changes))
    assert bits(model)[: len(before)] == before


def test_a_long_setting_is_compared_by_its_checksum(tmp_path):
    path = tmp_path / "training.npz"
    supports = np.arange(1, 500)

    def model(supports):
        model = GRU4Rec(num_items=499, units=(2,), seed=0)
        return compiled(model, InBatch(extra=1, item_supports=supports))

    fit(model(supports), Checkpoint(path), epochs=0)
    with pytest.raises(ValueError, match=r"config.item_supports` is 'sha256 .* but 'sha256"):
        fit(model(supports[::-1]), Checkpoint(path), epochs=0)


def rewritten(kept, path, **changes):
    with np.load(kept) as arrays:
        arrays = dict(arrays)
    about = json.loads(arrays["about"].tobytes())
    for name, value in changes.items():
        if name in about:
            about[name] = value
        else:
            arrays[name] = value
    text = arrays.pop("about_bytes", json.dumps(about).encode())
    arrays["about"] = np.frombuffer(text, np.uint8)
    np.savez(path, **arrays)


def claiming(kept, path):
    """A header that claims 2^42 floats for a few bytes."""
    header = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": (2**42,)}
    np.lib.format.write_array_header_1_0(header, described)
    with zipfile.ZipFile(kept) as archive, zipfile.ZipFile(path, "w") as changed:
        for name in archive.namelist():
            content = header.getvalue() if name == "variable0.npy" else archive.read(name)
            changed.writestr(name, content)


def packed(kept, path):
    with np.load(kept) as arrays:
        np.savez_compressed(path, **arrays)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda kept, path: path.write_bytes(b"text"), "is no whole checkpoint: File is not a zip"),
        (
            lambda kept, path: path.write_bytes(kept.read_bytes()[:-30]),
            "is no whole checkpoint: File is not a zip",
        ),
        (packed, "is no whole checkpoint: it holds packed arrays"),
        (lambda kept, path: np.savez(path, a=1), "is no whole checkpoint"),
        (lambda kept, path: rewritten(kept, path, format="x"), "its format is 'x'"),
        (lambda kept, path: rewritten(kept, path, edge={"steps": 1}), "is no whole checkpoint"),
        *(
            (lambda kept, path, bad=bad: rewritten(kept, path, **bad), "is no whole checkpoint")
            for bad in (
                {"edge": [1]},
                {"edge": {"chunks": None}},
                {"finished": [3]},
                {"finished": [[0, "loss"]]},
                {"epoch": float("inf")},
                {"seconds": "soon"},
                {"settings": 5},
            )
        ),
        (lambda kept, path: claiming(kept, path), r"an array of shape \(4398046511104,\) has"),
        (
            lambda kept, path: rewritten(kept, path, about_bytes=b"[" * 10**5),
            "is no whole checkpoint",
        ),
        (
            lambda kept, path: rewritten(kept, path, variable0=np.array([{}])),
            "is no whole checkpoint: Object arrays cannot be loaded",
        ),
        (
            lambda kept, path: rewritten(kept, path, variable0=np.zeros(3)),
            "variables whose shapes are not those of the",
        ),
    ],
)
def test_a_damaged_checkpoint_is_refused(kept, tmp_path, damage, message):
    """pitfalls 5: nothing is unpickled or unpacked."""
    path = tmp_path / "training.npz"
    damage(kept, path)
    with pytest.raises(ValueError, match=message):
        fit(hrnn(), Checkpoint(path))


def test_a_changed_byte_is_noticed(kept, tmp_path):
    content = bytearray(kept.read_bytes())
    with zipfile.ZipFile(kept) as archive:
        place = archive.getinfo("variable1.npy").header_offset - 1
    content[place] ^= 1
    (tmp_path / "training.npz").write_bytes(content)
    with pytest.raises(ValueError, match="is no whole checkpoint: Bad CRC-32"):
        fit(hrnn(), Checkpoint(tmp_path / "training.npz"))


def test_a_disk_that_is_full_leaves_the_checkpoint_before(kept, tmp_path, monkeypatch):
    """pitfalls 4: a disk that fills up while writing."""
    path = tmp_path / "training.npz"
    path.write_bytes(kept.read_bytes())
    # What a kill in the middle of writing leaves is cleared away.
    (tmp_path / ".training.npz.abc.part").write_bytes(b"part")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"training.npz' could not be written: .*No space.* is whole"):
        fit(hrnn(), Checkpoint(path, every_chunks=1))
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["training.npz"]
    assert path.read_bytes() == kept.read_bytes()


def test_a_stream_that_cannot_be_started_anywhere_is_refused(tmp_path):
    model = gru4rec()
    with pytest.raises(ValueError, match=r"`x` was .* which cannot be started at an epoch"):
        fit(model, Checkpoint(tmp_path / "a.npz"), x=stream(model).take(3))
    with pytest.raises(ValueError, match="`x` begins with epoch 2, but `initial_epoch` was 0"):
        fit(model, Checkpoint(tmp_path / "a.npz"), x=stream(model, first_epoch=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every_seconds": -1}, "`every_seconds` must be a finite number of at least 0, but"),
        ({"every_chunks": 0}, "`every_chunks` must be a positive int, but was 0. Leave it out"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Checkpoint("a.npz", **arguments)


@pytest.mark.integration
def test_compiled_it_goes_on_alike(tmp_path):
    """With XLA: tests/cli/test_resume.py."""

    def run(path, *callbacks):
        model = compiled(hrnn(), InBatch(), run_eagerly=False, jit_compile=False)
        fit(model, Checkpoint(path, every_chunks=1), callbacks=callbacks)
        return model

    whole = run(tmp_path / "whole.npz")
    with pytest.raises(Killed):
        run(tmp_path / "training.npz", KillAfter(4))
    assert bits(run(tmp_path / "training.npz")) == bits(whole)
