"""Named logs: the counts that measured numbers rest on, and what is said without the logs."""

import functools
import gzip
import os

import numpy as np
import pytest

from hrec_tf.data import catalogue
from hrec_tf.data.filter_report import Counts
from hrec_tf.data.inspection import inspect
from hrec_tf.data.log_source import LogSource
from hrec_tf.data.prefixes import prefix_rows
from hrec_tf.data.preparation import bootstrapped_histories, histories_from_log
from hrec_tf.data.vocabulary import Vocabulary

needs_logs = pytest.mark.skipif("HREC_DATA" not in os.environ, reason="HREC_DATA is not set")


def points_of(split):
    vocabulary = Vocabulary.from_log(split.train)
    known = split.train_and_validation
    histories = bootstrapped_histories(known, split.test, vocabulary, continues=split.continues)
    return int(histories.target_weights.sum())


COUNTED = {
    "globo-10k": (Counts(328_646, 104_302, 10_000, 8_891), 28_072, 9_887, 18_185),
    # Every item of the test day occurs in training; sessions of two events or more.
    "yoochoose-100k": (Counts(70_278, 17_794, 17_794, 2_933), 13_568, 3_416, 10_152),
    # The HCRNN split as it comes: 9 140 test prefixes.
    "citeulike-hcrnn": (Counts(36_104, 1_294, 1_294, 1_980), 9_500, 360, 9_140),
    # 72/8/20 % of the 270 and 1 299 people whose sequences there are.
    "lastfm-hcrnn-sequences": (Counts(18_078, 194, 194, 4_715), 4_817, 54, 4_763),
    "movielens-hcrnn-sequences": (Counts(35_872, 935, 935, 930), 9_908, 260, 9_648),
}
"""Log -> counts of training, events and sessions of the test, and points."""


def require_known_items(split):
    test_items = split.test.frame["item"].unique()
    assert test_items.is_in(split.train.frame["item"].unique().implode()).all()


@pytest.mark.integration
def test_online_retail_counts_need_no_folder(monkeypatch):
    # The counts at which the authors' HRNN code was measured.
    monkeypatch.delenv("HREC_DATA", raising=False)
    split = catalogue.load("online-retail")
    assert split.train.counts == Counts(events=216_501, sessions=9_321, users=987, items=2_862)
    test = split.test.counts
    assert (test.events, test.sessions, test.users) == (23_268, 987, 987)
    assert points_of(split) == 22_281
    require_known_items(split)
    vocabulary = Vocabulary.from_log(split.train)
    assert histories_from_log(split.train, vocabulary).num_pairs == 216_501 - 9_321


@pytest.mark.integration
@needs_logs
@pytest.mark.parametrize(
    ("name", "train", "test_events", "test_sessions", "points"),
    [(name, *counts) for name, counts in COUNTED.items()],
)
def test_counts_of_prepared_logs(name, train, test_events, test_sessions, points):
    split = catalogue.load(name)
    assert split.train.counts == train
    assert (split.test.counts.events, split.test.counts.sessions) == (test_events, test_sessions)
    assert points_of(split) == points
    require_known_items(split)


@pytest.mark.integration
@needs_logs
def test_citeulike_has_the_counts_of_the_hcrnn_paper():
    """Song et al. 2019, Table 2, whose sequences are prefixes and whose clicks their lengths."""
    prepared = LogSource("citeulike-hcrnn").load()
    train, validation = prepared.for_validation()
    parts = (train, validation, prepared.test)
    prefixes = [
        prefix_rows(part, np.flatnonzero((part.target_weights > 0) & ~part.session_starts))
        for part in parts
    ]
    counts = [len(rows.first) for rows in prefixes]
    assert counts == [34_810, 3_914, 9_140]
    assert counts[0] + counts[1] == 38_724
    # A prefix of the paper holds its target.
    clicks = sum(int((rows.lengths + 1).sum()) for rows in prefixes)
    assert clicks == 1_163_813
    assert f"{clicks / sum(counts):.2f}" == "24.31"
    # Every person is new to the parts before, so that nothing bootstraps.
    assert [part.num_users for part in parts] == [1_294, 144, 360]
    assert all(part.num_sessions == part.num_users for part in parts)
    assert prepared.split.continues is False
    # Ranked are the items of training, which are all there are.
    assert {part.num_items for part in parts} == {1_980}
    assert (train.item_supports() > 0).all()


@pytest.mark.integration
@needs_logs
@pytest.mark.parametrize(
    "name", sorted(set(catalogue.names()) - {"globo-news", "online-retail", *COUNTED})
)
def test_every_other_log_gives_points(name):
    split = catalogue.load(name)
    assert points_of(split) > 0
    require_known_items(split)


@functools.cache
def inspected(name):
    return inspect(catalogue.read(name))


@pytest.mark.xdist_group("inspected")
@pytest.mark.integration
@needs_logs
@pytest.mark.parametrize(
    ("name", "minutes", "summary"),
    [
        ("online-retail", 30, (17_043, "23.35/16", 1_040)),
        ("online-retail", None, (18_536, "21.47/15", 1_115)),
        ("foursquare-nyc", 30, (118_149, "1.25/1", 1_082)),
        ("foursquare-nyc", 60, (110_056, "1.34/1", 1_082)),
        ("foursquare-nyc", 1440, (47_028, "3.15/2", 1_078)),
        ("ml-100k", 30, (2_793, "35.80/11", 144)),
        ("tmall-shan", None, (116_869, "3.30/2", 17_616)),
        ("lastfm-hcrnn-part", 30, (8_323, "3.07/2", 267)),
    ],
)
def test_sessions_are_those_counted_elsewhere(name, minutes, summary):
    # Counted with other code when the logs were collected.
    found = inspected(name)
    chosen = next(
        each
        for each in (found.given_sessions, *found.idle_sessions)
        if each is not None and each.minutes == minutes
    )
    lengths = f"{chosen.mean_length:.2f}/{chosen.median_length:g}"
    assert (chosen.sessions, lengths, chosen.users_with_many) == summary


@pytest.mark.xdist_group("inspected")
@pytest.mark.integration
def test_habits_of_online_retail():
    found = inspected("online-retail")
    assert f"{found.tie_share:.1%}" == "95.4%"
    assert f"{found.repeat_in_session_share:.1%}" == "2.5%"
    assert found.protocol == "last_session_out"


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(ValueError, match=r"`name` was 'globo-1k', .* Did you mean 'globo-10k'\?"):
        catalogue.load("globo-1k")


def test_logs_outside_the_package_need_the_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("HREC_DATA", raising=False)
    with pytest.raises(ValueError, match=r"HREC_DATA is not set, but globo-news/.* Set it to"):
        catalogue.read("globo-10k")
    monkeypatch.setenv("HREC_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"that folder holds no globo-news/.* Put the log"):
        catalogue.read("globo-10k")


def test_a_log_of_pieces_is_read_as_one_and_of_parts_as_parts(monkeypatch, tmp_path):
    monkeypatch.setenv("HREC_DATA", str(tmp_path))
    folder = tmp_path / "yoochoose-100k"
    folder.mkdir()
    for part, first in (("train_full", 0), ("test", 10)):
        rows = "".join(f"{first + s}\t{i}\t{first + s}.{i}\n" for s in range(3) for i in (1, 2))
        text = "SessionId\tItemId\tTime\n" + rows
        (folder / f"{part}.txt.gz").write_bytes(gzip.compress(text.encode()))
    assert catalogue.read("yoochoose-100k").num_events == 12
    split = catalogue.load("yoochoose-100k")
    assert (split.train.num_sessions, split.test.num_sessions) == (3, 3)
    assert points_of(split) == 3


MOVIES = "1::Toy Story (1995)::Animation|Comedy\r\n2::Léon: The Professional (1994)::Crime"


@pytest.fixture
def movielens(monkeypatch, tmp_path):
    """A folder with ten people who saw two films each, and with a film that nobody saw."""
    monkeypatch.setenv("HREC_DATA", str(tmp_path))
    folder = tmp_path / "movielens-hcrnn-part"
    folder.mkdir()
    head = "\tItemId\tTime\tSessionId\titem_idx\tsess_idx\r\n"
    for part, people in (("valid", range(3)), ("test", range(3, 10))):
        rows = "".join(f"0\t{film}\t{film}\t{who}\t0\t0\r\n" for who in people for film in (1, 3))
        (folder / f"{part}.txt.gz").write_bytes(gzip.compress((head + rows).encode()))
    (folder / "item2genre.txt.gz").write_bytes(gzip.compress(MOVIES.encode()))
    return folder


def test_sequences_of_the_people_there_are_are_split_by_person(movielens):
    source = LogSource("movielens-hcrnn-sequences")
    prepared = source.load()
    users = [
        set(log.frame["user"])
        for log in (prepared.split.train, prepared.split.validation, prepared.split.test)
    ]
    assert [len(part) for part in users] == [7, 1, 2]
    assert set.union(*users) == set(range(10))
    assert (source.split_name, source.idle_minutes) == ("by_users", None)
    assert "not comparable" in catalogue.entry("movielens-hcrnn-sequences").about


def test_films_have_titles_and_genres(movielens):
    source = LogSource("movielens-hcrnn-sequences")
    assert source.descriptions() == {1: "Toy Story (1995)", 2: "Léon: The Professional (1994)"}
    assert source.categories() == {1: ("Animation", "Comedy"), 2: ("Crime",)}
    assert LogSource("online-retail").categories() == {}


def test_titles_are_left_out_where_the_log_is_gone_but_genres_are_asked_for(movielens):
    (movielens / "test.txt.gz").unlink()
    (movielens / "item2genre.txt.gz").unlink()
    source = LogSource("movielens-hcrnn-sequences")
    assert source.descriptions() == {}
    with pytest.raises(FileNotFoundError, match=r"that folder holds no movielens-hcrnn-part/item2"):
        source.categories()
