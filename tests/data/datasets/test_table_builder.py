"""TensorFlow Datasets builds the tables from local files, and event logs are read of them."""

import importlib
import zipfile

import pytest

from hrec_tf.data import sessions
from hrec_tf.data.datasets import facts, import_tfds
from hrec_tf.data.datasets.built import build, read_log, read_table
from tests.data.datasets import published

pytestmark = pytest.mark.integration  # the first to build loads TensorFlow

tfds = import_tfds()
BUILT = [name for name in facts.names() if facts.entry(name).origin == facts.BUILDER]


def build_small(name, tmp_path):
    """Builds `data set/table` of the small files, and returns where."""
    (tmp_path / "files").mkdir()
    files = published.write(tmp_path / "files", name.partition("/")[0])
    build(name, files=files, data_dir=tmp_path / "built")
    return tmp_path / "built"


@pytest.mark.parametrize("name", BUILT)
def test_a_builder_cites_its_source_and_tells_the_terms(name, tmp_path):
    importlib.import_module(f"hrec_tf.data.datasets.{name}")
    about = facts.entry(name)
    builder = tfds.builder(name, data_dir=tmp_path)
    assert builder.builder_config.name == "events"
    assert (builder.info.citation, builder.info.redistribution_info.license) == (
        about.citation,
        about.terms,
    )
    assert about.fetch in builder.MANUAL_DOWNLOAD_INSTRUCTIONS


def test_a_built_data_set_is_read_as_an_event_log(tmp_path):
    log = read_log("ml_1m", data_dir=build_small("ml_1m/events", tmp_path))
    assert log.frame.to_dicts() == [
        {
            "user": row["user"],
            "item": row["item"],
            "timestamp": row["timestamp"],
            "rating": row["rating"],
        }
        for row in published.EVENTS["ml_1m"]
    ]
    assert sessions.by_idle_gap(log, minutes=30).num_sessions == 2


def test_items_are_built_as_text(tmp_path):
    items = read_table("ml_1m/items", data_dir=build_small("ml_1m/items", tmp_path))
    assert items.rows() == [(73, "Misérables, Les (1995)", "Drama|Musical")]


def test_what_begins_with_the_latest_row_is_turned_round(tmp_path):
    log = read_log("lastfm_1k", data_dir=build_small("lastfm_1k", tmp_path))
    assert log.frame["item"].to_list() == ["a7f7df4a", 'Ó "Band"', "f1b1cf71"]
    assert log.frame["timestamp"].is_sorted()


def test_sessions_without_users_and_milliseconds(tmp_path):
    log = read_log("yoochoose/events", data_dir=build_small("yoochoose", tmp_path))
    assert not log.has_users
    # Milliseconds order the rows before they are cut.
    assert log.frame.select("session", "timestamp", "category").rows() == [
        (1, 1_396_867_869, "S"),
        (2, 1_396_879_039, "0"),
    ]


def test_rows_keep_their_order_where_keys_lie_in_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tensorflow_datasets.core.shuffle.MAX_MEM_BUFFER_SIZE", 0)
    monkeypatch.setattr("hrec_tf.data.datasets.table_builder._BETWEEN_KEYS", 2**128 // 64)
    lines = [b"%d::7::3::%d" % (user, 900 - user) for user in range(1, 50)]
    (tmp_path / "ratings.dat").write_bytes(b"\n".join(lines))
    build("ml_1m", files=tmp_path, data_dir=tmp_path / "built")
    log = read_log("ml_1m", data_dir=tmp_path / "built")
    assert log.frame["user"].to_list() == list(range(1, 50))


def test_more_rows_than_there_are_keys_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("hrec_tf.data.datasets.table_builder._MOST_ROWS", 2)
    (tmp_path / "ratings.dat").write_text("1::2::3::4\n" * 2)
    build("ml_1m", files=tmp_path, data_dir=tmp_path / "two")
    (tmp_path / "ratings.dat").write_text("1::2::3::4\n" * 3)
    with pytest.raises(ValueError, match=r"ratings.dat holds more than 2 rows.*Read it with read_"):
        build("ml_1m", files=tmp_path, data_dir=tmp_path / "three")


@pytest.mark.parametrize("name", BUILT)
def test_every_data_set_is_built_and_read(name, tmp_path):
    log = read_log(name, data_dir=build_small(name, tmp_path))
    about = facts.entry(name)
    assert log.num_events == len(published.EVENTS[name])
    assert log.has_users == about.users
    assert ("session" in log.frame.columns) == about.sessions
    unit = {"ms": 1_000}.get(about.timestamp_unit, 1)
    expected = sorted(row["timestamp"] // unit for row in published.EVENTS[name])
    assert sorted(log.frame["timestamp"]) == expected


def stock_builder(tmp_path):
    """The stock builder of MovieLens, told where the archive lies unpacked."""
    folder = tmp_path / "ml-100k"
    with zipfile.ZipFile(published.write(tmp_path, "ml_100k") / "ml-100k.zip") as archive:
        archive.extractall(tmp_path)
    (folder / "u.item").write_text(
        "".join(f"{item}|T|01-Jan-1995||x|{published.GENRES}\n" for item in (242, 302))
    )
    (folder / "u.user").write_text("196|49|M|writer|55105\n186|39|F|executive|00000\n")
    stock = tfds.builder_cls("movielens")

    class Unpacked(stock, skip_registration=True):
        name = "movielens"

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(str(folder))}

    return Unpacked(config="100k-ratings", data_dir=tmp_path / "built")


def test_the_stock_builder_of_movielens_is_read(tmp_path):
    stock_builder(tmp_path).download_and_prepare()
    log = read_log("movielens/100k-ratings", data_dir=tmp_path / "built")
    assert set(log.frame.select("user", "item", "timestamp", "rating").rows()) == {
        ("196", "242", 881_250_949, 3.0),
        ("186", "302", 891_717_742, 4.0),
    }


def test_the_stock_builder_takes_the_archive_from_the_folder(tmp_path):
    # A wrong archive is refused by its checksum: it was read, and nothing was downloaded.
    published.write(tmp_path, "ml_100k")
    with pytest.raises(tfds.download.download_manager.NonMatchingChecksumError):
        build("movielens/100k-ratings", files=tmp_path, data_dir=tmp_path / "built")


def test_the_stock_builder_needs_the_archive_that_it_reads(tmp_path):
    published.write(tmp_path, "ml_100k")
    with pytest.raises(
        FileNotFoundError, match=r"holds no ml-1m.zip, which 'movielens/1m-ratings'"
    ):
        build("movielens/1m-ratings", files=tmp_path, data_dir=tmp_path / "built")


def test_the_stock_builder_is_asked_for_events_alone(tmp_path):
    with pytest.raises(ValueError, match=r"`table` was '100k-movies', but must be one of"):
        read_table("movielens/100k-movies", data_dir=tmp_path)


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no such data set. Build it first"):
        read_log("ml_1m", data_dir=tmp_path)
    with pytest.raises(ValueError, match="whose log is in the package"):
        read_log("online_retail")
    with pytest.raises(ValueError, match="Did you mean 'ml_1m'"):
        read_log("ml-1m")
    with pytest.raises(ValueError, match="`table` was 'movies', but must be one of 'events'"):
        read_log("ml_1m/movies")


def test_what_cannot_be_built_is_told(tmp_path):
    built = build_small("ml_1m", tmp_path)
    with pytest.raises(ValueError, match=r"holds already, so that `files` would be ignored"):
        build("ml_1m", files=tmp_path / "files", data_dir=built)
    for files in (built / "missing", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(FileNotFoundError, match=r"not fetched for you: ml-100k.zip, from Gro"):
            build("ml_100k", files=files, data_dir=built)
    with pytest.raises(FileNotFoundError, match=r"neither ml-100k.zip nor u.data"):
        build("ml_100k", files=tmp_path / "files", data_dir=built)
    (tmp_path / "files" / "ratings.dat").write_text("1::2::3::4\n1::2::3\n")
    (tmp_path / "files" / "ml-1m.zip").unlink()
    with pytest.raises(ValueError, match=r"ratings.dat has 3 fields in line 2"):
        build("ml_1m", files=tmp_path / "files", data_dir=tmp_path / "other")
