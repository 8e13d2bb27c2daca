import json

import numpy as np
import pytest

from hrec_tf.data import Histories, histories
from hrec_tf.data.history_files import read_histories, write_histories
from hrec_tf.data.lanes import user_parallel_stream


def drawn(num_users=40, *, seed=0, num_features=0):
    draw = np.random.default_rng(seed)
    users = [
        [draw.integers(1, 30, draw.integers(1, 6)).tolist() for _ in range(draw.integers(1, 4))]
        for _ in range(num_users)
    ]
    made = Histories.from_lists(users, num_items=30)
    rows = {"feedback": made.num_events, "user_features": made.num_users}
    drawn_features = {
        name: draw.normal(size=(size, num_features)).astype(np.float32)
        for name, size in rows.items()
        if num_features
    }
    weights = draw.integers(0, 3, made.num_events).astype(np.float32)
    user_ids = np.arange(1, 1 + num_users) if num_features else None
    return histories.replace(made, target_weights=weights, user_ids=user_ids, **drawn_features)


def cut(whole, user):
    """The users before `user`, and the others."""
    before = whole.user_of_event() < user
    return whole.select(before), whole.select(~before)


@pytest.mark.parametrize("num_features", [0, 2])
def test_what_is_read_is_what_was_written(num_features, tmp_path):
    whole = drawn(num_features=num_features)
    write_histories(whole, tmp_path / "log")
    read = read_histories(tmp_path / "log")
    assert read.fingerprint == whole.fingerprint
    assert isinstance(read.item_ids, np.memmap) and not read.item_ids.flags.writeable


@pytest.mark.parametrize("num_features", [0, 2])
def test_parts_are_joined_user_after_user(num_features, tmp_path):
    whole = drawn(num_features=num_features)
    write_histories((part for part in cut(whole, 13)), tmp_path / "log")
    assert read_histories(tmp_path / "log").fingerprint == whole.fingerprint


def test_a_stream_from_disk_is_the_one_from_memory(tmp_path):
    whole = drawn()
    write_histories(cut(whole, 5), tmp_path / "log")
    streams = [
        user_parallel_stream(source, num_lanes=4, steps=3, seed=2)
        for source in (whole, read_histories(tmp_path / "log"))
    ]
    for mine, other in zip(*(stream.as_numpy_iterator() for stream in streams), strict=True):
        for name, values in mine[0].items():
            np.testing.assert_array_equal(other[0][name], values)
        np.testing.assert_array_equal(other[1], mine[1])
        np.testing.assert_array_equal(other[2], mine[2])


def test_nothing_is_written_over_and_half_a_folder_is_not_there(tmp_path):
    whole = drawn()

    def breaks():
        yield whole
        raise RuntimeError("the log ended in the middle")

    with pytest.raises(RuntimeError):
        write_histories(breaks(), tmp_path / "log")
    assert list(tmp_path.iterdir()) == []
    write_histories(whole, tmp_path / "log")
    with pytest.raises(FileExistsError, match="nothing is written over"):
        write_histories(whole, tmp_path / "log")


def test_parts_that_do_not_belong_together_are_refused(tmp_path):
    whole = drawn()
    for other in (histories.replace(whole, num_items=31), drawn(num_features=2)):
        with pytest.raises(ValueError, match=r"(?s)Part 1 has .*Encode all parts by one"):
            write_histories([whole, other], tmp_path / "log")
    with pytest.raises(ValueError, match="`parts` was empty"):
        write_histories([], tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_folder_is_refused(tmp_path):
    write_histories(drawn(), tmp_path / "log")
    path = tmp_path / "log" / "item_ids.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"item_ids.bin has \d+ bytes.*Write the folder again"):
        read_histories(tmp_path / "log")
    path.write_bytes(content[:-4])
    with pytest.raises(ValueError, match="its index says"):
        read_histories(tmp_path / "log")
    path.write_bytes(content[:-4] + np.int32(31).tobytes())
    with pytest.raises(ValueError, match=r"`item_ids` holds 31"):
        read_histories(tmp_path / "log")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"item_ids.bin' is missing"):
        read_histories(tmp_path / "log")
    index = tmp_path / "log" / "histories.json"
    known = json.loads(index.read_text())
    for arrays in ({}, known["arrays"] | {"prices": {"type": "<f4", "width": []}}):
        index.write_text(json.dumps(known | {"arrays": arrays}))
        with pytest.raises(ValueError, match=r"whole histories \(its arrays are .*again"):
            read_histories(tmp_path / "log")
    index.write_text(json.dumps(json.loads(index.read_text()) | {"format": 2}))
    with pytest.raises(ValueError, match="format 2, not 1"):
        read_histories(tmp_path / "log")
    with pytest.raises(FileNotFoundError, match=r"histories.json' is missing"):
        read_histories(tmp_path / "nowhere")


def test_an_event_in_a_later_block_is_found(monkeypatch):
    monkeypatch.setattr(histories, "EVENTS_AT_ONCE", 2)
    with pytest.raises(ValueError, match=r"holds 9 \(event 3\)"):
        Histories.from_lists([[[1, 2, 3, 9, 1]]], num_items=4)
