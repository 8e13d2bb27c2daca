"""Where a log comes from: plain values in, parts of a log out, nothing ignored."""

import pytest

from hrec_tf.data.log_source import LogSource
from tests.reference.tiny_log import COLUMNS, write_ring_log


def test_file_is_prepared_and_split(tmp_path):
    log = LogSource(str(write_ring_log(tmp_path / "log.csv")), reading=COLUMNS)
    prepared = log.load()
    assert prepared.vocabulary.num_items == 20
    assert prepared.train.num_sessions == 12 * 5
    # 12 test sessions of 5 events: their first is no target.
    assert prepared.test.target_weights.sum() == 12 * 4
    train, held_out = prepared.for_validation()
    assert (train.num_sessions, held_out.target_weights.sum()) == (12 * 4, 12 * 4)


def test_validation_of_a_log_without_users_is_its_latest_sessions(tmp_path):
    path = write_ring_log(tmp_path / "log.csv")
    source = LogSource(
        str(path),
        reading=COLUMNS | {"user": None},
        split={"name": "by_users", "fractions": [0.5, 0.5]},
    )
    prepared = source.load()
    train, held_out = prepared.for_validation()
    # The tenth of 36 sessions, rounded up.
    assert (prepared.train.num_sessions, train.num_sessions, held_out.num_sessions) == (36, 32, 4)
    assert train.timestamps.max() < held_out.timestamps.min()
    assert held_out.target_weights.sum() == 4 * 4


def test_validation_needs_sessions_to_hold_back(tmp_path):
    path = write_ring_log(tmp_path / "log.csv")
    source = LogSource(
        str(path),
        reading=COLUMNS | {"user": None, "timestamp": None},
        split={"name": "by_users", "fractions": [0.5, 0.5]},
    )
    with pytest.raises(
        ValueError, match=r"Validation was asked for, .* of the \d+ training ses.*no times.*Use"
    ):
        source.load().for_validation()


def test_plain_values_give_the_same_source(tmp_path, monkeypatch):
    write_ring_log(tmp_path / "log.csv")
    monkeypatch.chdir(tmp_path)
    source = LogSource("log.csv", reading=COLUMNS, preparation={"min_item_support": 2})
    values = source.to_dict()
    assert values["data"] == str(tmp_path / "log.csv")
    assert values["preparation"] == {"idle_minutes": None, "min_item_support": 2}
    monkeypatch.chdir("/")
    assert LogSource.from_dict(values).to_dict() == values
    assert LogSource("online-retail").to_dict() == {"data": "online-retail"}


def test_plain_values_may_name_a_file_that_is_gone(tmp_path):
    path = write_ring_log(tmp_path / "log.csv")
    values = LogSource(str(path), reading=COLUMNS).to_dict()
    path.unlink()
    source = LogSource.from_dict(values)
    assert (source.idle_minutes, source.descriptions()) == (30.0, {})
    assert source.to_dict() == values
    with pytest.raises(FileNotFoundError, match=r"log.csv', but there is no such file"):
        source.load()


def test_log_without_users_is_split_by_time(tmp_path):
    path = write_ring_log(tmp_path / "log.csv")
    source = LogSource(
        str(path),
        reading=COLUMNS | {"user": None},
        split={"name": "temporal", "at": 1_500_500_000},
    )
    prepared = source.load()
    assert prepared.train.num_users == prepared.train.num_sessions
    assert prepared.split.test.counts.sessions > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"data": "online-retial"},
            r"neither a file nor a named log.*Did you mean 'online-retail'",
        ),
        (
            {"data": "online-retail", "preparation": {"min_item_support": 5}},
            r"`min_item_support` was 5, but 'online-retail' is a named log",
        ),
        ({"preparation": {"min_support": 5}}, r"`preparation` was 'min_support'"),
        ({"reading": {"users": "who"}}, r"`reading` was 'users'.*Did you mean 'user'"),
        ({"split": {"name": "last_session"}}, r"Did you mean 'last_session_out'"),
        (
            {"split": {"at": 5}},
            r"`at` was set for the split 'last_session_out', which would ignore",
        ),
    ],
)
def test_bad_source_is_refused(tmp_path, arguments, message):
    arguments = {"data": str(write_ring_log(tmp_path / "log.csv"))} | arguments
    with pytest.raises(ValueError, match=message):
        LogSource(**arguments)


@pytest.mark.parametrize(
    ("arguments", "minutes"),
    [
        ({"data": "online-retail"}, 30),  # sessions of its own
        ({"data": "foursquare-nyc"}, 24 * 60),  # what its preparation cuts by
        ({"data": "ml-100k"}, None),  # a person's whole history is one session
        ({"preparation": {"idle_minutes": 45}}, 45),
        ({}, 30),
        ({"reading": {"session": "visit"}}, 30),
    ],
)
def test_sessions_are_cut_at_serving_as_in_the_preparation(tmp_path, arguments, minutes):
    arguments = {"data": str(write_ring_log(tmp_path / "log.csv"))} | arguments
    assert LogSource(**arguments).idle_minutes == minutes


def test_the_bundled_log_has_texts_for_its_items(tmp_path):
    texts = LogSource("online-retail").descriptions()
    assert texts["85123A"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert LogSource(str(write_ring_log(tmp_path / "log.csv"))).descriptions() == {}
