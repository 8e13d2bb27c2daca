"""`hrec train` that is killed, resumed and stopped by a full disk, in processes of its own."""

import csv
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from tests.reference.forks import Fork
from tests.reference.tiny_log import OPTIONS, write_ring_log

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("forks")]

# `hrec`, with all that makes two runs on a CPU equal bit by bit.
HREC = """
import sys, tensorflow as tf
tf.config.experimental.enable_op_determinism()
from hrec_tf.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
KILLED_WHILE_IT_WRITES = """
import os
written, fsync = [0], os.fsync
def killing(handle):
    written[0] += 1
    if written[0] == 4:  # settings, two checkpoints, and this one, not yet renamed
        os.kill(os.getpid(), 9)
    fsync(handle)
os.fsync = killing
"""
# XLA compiles what is run for a moment: quickly, not well.
ENVIRONMENT = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
SETTINGS = ["--model", "hrnn-init", "--num-lanes", "2", "--epochs", "4", "--validation"]
SIZES = ["session_units=8", "user_units=6", "user_dropout=0.2", "init_dropout=0.2"]
SET = [part for size in SIZES for part in ("--set", f"arguments.{size}")]


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """The command without `--out`: some 400 windows, two chunks, in each of four epochs."""
    log = write_ring_log(tmp_path_factory.mktemp("log") / "log.csv", num_users=50)
    return ["train", "--data", str(log), *OPTIONS, *SETTINGS, *SET, "--checkpoint-seconds", "0"]


def start(arguments, *, first="", limit=None):
    code = first + HREC
    if limit is not None:
        code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, 2 * ({limit},))\n{code}"
    return Fork(code, arguments, **ENVIRONMENT)


def weights(run):
    with h5py.File(run / "model.weights.h5") as file:
        found = {}
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if hasattr(item, "shape") else None
        )
    return found


def history(run):
    with (run / "history.csv").open() as file:
        return [
            {name: value for name, value in row.items() if name != "events_per_second"}
            for row in csv.DictReader(file)
        ]


def require_same(run, whole):
    assert history(run) == history(whole)
    ours, theirs = weights(run), weights(whole)
    assert ours.keys() == theirs.keys() and len(ours) > 10
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)


class Others(NamedTuple):
    """Runs beside the first test's: what each process said, and what it left.

    Attributes:
        whole: a run that nothing happened to.
        at_first: its disk was full at the first checkpoint.
        at_last: its disk was full when all was trained.
        resumed: the same, gone on with.
    """

    whole: Path
    at_first: tuple
    at_last: tuple
    resumed: tuple


def play_others(train, folder):
    def play(name, *more, limit=None):
        (folder / name).mkdir(exist_ok=True)
        run = folder / name / "run"
        said = start([*train, "--out", run, *more], limit=limit).finished()
        return run, *said, [path.name for path in run.parent.iterdir()]

    whole, status, _, err, left = play("whole")
    assert (status, left) == (0, ["run"]), err
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    rare = ["--checkpoint-seconds", "3600"]
    others = Others(
        whole,
        at_first=play("at_first", limit=4_000),
        at_last=play("at_last", *rare, limit=(whole / "model.weights.h5").stat().st_size - 100),
        resumed=play("at_last", *rare, "--resume"),
    )
    assert {path: path.read_bytes() for path in before} == before
    return others


@pytest.fixture(scope="module")
def others(train, tmp_path_factory):
    """A call that waits for `Others`, which are played while the first test kills its own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(play_others, train, tmp_path_factory.mktemp("others")).result


def killed_after_progress(process, checkpoint, seconds):
    """Kills a process that long after it wrote a new checkpoint; says whether it was in time."""
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    while process.is_running():
        if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
            time.sleep(seconds)
            break
        time.sleep(0.005)
    process.kill()
    return process.finished()[0] == -9


def test_killed_at_random_moments_it_ends_with_the_same_weights(train, others, tmp_path):
    """pitfalls 4: a run killed mid-epoch; 5: artefacts are whole or not there."""
    run = tmp_path / "run"
    checkpoint = tmp_path / "run.unfinished" / "training.npz"
    command = [*train, "--out", run]

    status, _, err = start(command, first=KILLED_WHILE_IT_WRITES).finished()
    assert status == -9, err
    assert [path.name for path in checkpoint.parent.glob(".training.npz.*")], "cut short"
    moments, kills = random.Random(7), 0
    for _ in range(2):
        moment = moments.uniform(0.0, 0.2)
        print(f"killed {moment:.3f} s after a new checkpoint")
        kills += killed_after_progress(start([*command, "--resume"]), checkpoint, moment)
    assert kills == 2, "the training is too short for this test"
    assert not run.exists()
    status, _, err = start([*command, "--resume"]).finished()
    assert status == 0, err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]

    require_same(run, others().whole)
    # A file for each process that ended an epoch.
    assert len(list((run / "tensorboard" / "train").iterdir())) >= 2


def test_a_full_disk_is_said_and_leaves_no_half_of_a_run(others):
    """pitfalls 4: a disk that fills up while writing."""
    _, status, out, err, left = others().at_first
    assert (status, out) == (1, "")
    assert "Error: The checkpoint" in err and "could not be written: [Errno 27]" in err
    assert "Make room on the disk" in err and "Traceback" not in err
    assert left == []


def test_what_was_trained_outlives_a_disk_that_was_full_at_the_end(others):
    run, status, out, err, left = others().at_last
    assert (status, out) == (1, "")
    assert f"Error: {str(run)!r} could not be written: [Errno 27]" in err
    assert "the same command with --resume goes on" in err and "Traceback" not in err
    assert left == ["run.unfinished"]
    run, status, _, err, left = others().resumed
    assert (status, left) == (0, ["run"]), err
    require_same(run, others().whole)
