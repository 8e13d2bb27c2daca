"""Named logs: how to read, prepare and split them, so that a name stands for the same points.

All but the bundled one lie outside the package, in the folder that the environment variable
HREC_DATA names, one folder for each.
"""

import gzip
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import polars as pl

from hrec_tf import checks
from hrec_tf.data import filters, sessions, splits
from hrec_tf.data.bundled import load_online_retail, online_retail_path
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.log_features import FIRST_ITEM, FeatureTables, read_table
from hrec_tf.data.preparation import hrnn_preparation
from hrec_tf.data.splits import Split
from hrec_tf.schema import ITEM, RATING, USER

FOLDER_VARIABLE = "HREC_DATA"
"""Environment variable with the folder that holds the logs."""


@dataclass(frozen=True)
class NamedLog:
    """One entry of the catalogue.

    Args:
        name: what commands call it.
        about: kind of events and, in words, preparation and split.
        files: paths inside the folder; with `split_as_given` the training part, the test
            part and, if there is one, the validation part, else pieces of one log.
        reading: arguments of `EventLog.read`.
        prepare: makes the prepared, sessionised log of the log as read.
        split: parts the prepared log; None if the files are the parts.
        idle_minutes: idle time that ends a session where sessions come event by event; None
            if a whole history is one session.
        describe: returns raw item id -> text; None if the log has no texts.
        categories: returns raw item id -> names of its categories, at least one; None if the log
            has none.
        tables: returns features of items and users, and names the columns of feedback; None if
            the log has none.
        terms: what may be done with the log; empty if it does not say.
    """

    name: str
    about: str
    files: tuple[str, ...]
    prepare: Callable[[EventLog], EventLog]
    split: Callable[[EventLog], Split] | None
    reading: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    idle_minutes: float | None = 30.0
    describe: Callable[[], dict[Any, str]] | None = None
    categories: Callable[[], dict[Any, tuple[str, ...]]] | None = None
    tables: Callable[[], FeatureTables] | None = None
    terms: str = ""

    def read(self) -> EventLog:
        """Reads the whole log, unprepared.

        Raises:
            ValueError: HREC_DATA is not set.
            FileNotFoundError: the log is not there.
        """
        first, *others = self._parts()
        if not others:
            return first
        return replace(first, frame=pl.concat([first.frame, *(log.frame for log in others)]))

    def load(self, split: Callable[[EventLog], Split] | None = None) -> Split:
        """Reads, prepares and splits the log.

        Args:
            split: parts the prepared log in place of its own split; only where it has one.
        """
        if self.split is not None:
            return (split or self.split)(self.prepare(self.read()))
        return splits.given(*(self.prepare(part) for part in self._parts()))

    @property
    def is_at_hand(self) -> bool:
        """Whether its files are there to be read."""
        try:
            return all(_located(file) for file in self.files)
        except (ValueError, FileNotFoundError):
            return False

    def _parts(self) -> list[EventLog]:
        return [EventLog.read(_located(file), **self.reading) for file in self.files]


def names() -> tuple[str, ...]:
    """Returns the names of all logs of the catalogue."""
    return tuple(_CATALOGUE)


def entry(name: str) -> NamedLog:
    """Returns the entry of a name.

    Raises:
        ValueError: there is no such log; the message holds the nearest name.
    """
    return _CATALOGUE[checks.require_choice("name", name, _CATALOGUE)]


def read(name: str) -> EventLog:
    """Reads a named log as it is, for inspection."""
    return entry(name).read()


def load(name: str) -> Split:
    """Reads a named log, prepares it by its own settings, and splits it."""
    return entry(name).load()


def _located(file: str) -> Path:
    place = PurePosixPath(file)
    if place.parent.name in _BUNDLED:
        return _BUNDLED[place.parent.name]() / place.name
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        raise ValueError(
            f"{FOLDER_VARIABLE} is not set, but {file} lies in the folder that it names. Set it "
            "to the folder of your logs, or read a log of your own with EventLog.read."
        )
    path = Path(folder) / file
    if not path.is_file():
        raise FileNotFoundError(
            f"{FOLDER_VARIABLE} is {folder!r}, but that folder holds no {file}. Put the log "
            "there, or set the variable to the folder that has it."
        )
    return path


def _online_retail(log: EventLog) -> EventLog:
    # Codes such as POST, M or BANK CHARGES are postage and bookings, not products.
    products = filters.items_matching(log, "^[0-9]{5}")
    return hrnn_preparation(products, idle_minutes=None)


def _online_retail_texts() -> dict[Any, str]:
    items = load_online_retail().items
    return dict(zip(items[ITEM], items["description"], strict=True))


def _online_retail_features() -> FeatureTables:
    held = load_online_retail()
    return FeatureTables(items=held.items, users=held.users, kinds={"description": "text"})


def _movielens(folder: str, items: str, *, users: str | None = None) -> FeatureTables:
    """Genres of movies, what is known of the raters, and ratings as feedback."""
    table = read_table(_located(f"{folder}/{items}")).select(ITEM, "genres")
    genres = pl.col("genres").str.replace_all(" ", "|") if folder == "ml-100k" else pl.col("genres")
    known = [USER, "age", "gender", "occupation"]
    return FeatureTables(
        items=table.with_columns(genres),
        users=users or read_table(_located(f"{folder}/users.tsv.gz")).select(known),
        feedback=(RATING,),
        kinds={"genres": "multi_hot", "occupation": "categorical"},
    )


def _globo_news(log: EventLog, first_users: int | None = None) -> EventLog:
    # 2017-10-17 04:00 UTC: later clicks are a few stragglers.
    log = filters.before(log, 1_508_212_800)
    log = hrnn_preparation(log, idle_minutes=None, min_session_length=2)
    return log if first_users is None else filters.first_users(log, first_users)


def _whole_users(log: EventLog, min_events: int = 5) -> EventLog:
    return sessions.one_per_user(filters.min_user_events(log, min_events))


def _movie_titles() -> dict[Any, str]:
    return {movie: title for movie, title, _ in _movies()}


def _movie_genres() -> dict[Any, tuple[str, ...]]:
    return {movie: tuple(genres.split("|")) for movie, _, genres in _movies()}


def _movies() -> Iterator[tuple[int, str, str]]:
    # Fields are set apart by "::", which readers of tables do not take.
    with gzip.open(_located("movielens-hcrnn-part/item2genre.txt.gz"), "rt", encoding="utf-8") as f:
        for line in f:
            movie, title, genres = line.rstrip("\n").split("::")
            yield int(movie), title, genres


_BUNDLED = {"online-retail": online_retail_path}
_HCRNN = {"user": "SessionId", "item": "ItemId", "timestamp": "Time"}
# Shares of people in training, validation and test that the published splits have.
_hcrnn_shares = partial(splits.by_users, fractions=(0.72, 0.08, 0.2), seed=0)
_SHARES = "72/8/20 %"
_NOT_COMPARABLE = (
    "The published training people are missing, so these are the validation and test people, "
    f"split by person anew, {_SHARES}, seed 0: not comparable with the published rows."
)

_CATALOGUE = {
    log.name: log
    for log in (
        NamedLog(
            "online-retail",
            "Purchases at a gift wholesaler, sessions are invoices. Items with a product code; "
            "HRNN preparation (support 10, sessions 3, users 5); last session out.",
            # The package carries this one.
            ("online-retail/purchases.tsv.gz",),
            _online_retail,
            splits.last_session_out,
            {"session": "session"},
            describe=_online_retail_texts,
            tables=_online_retail_features,
            terms="Chen (2015), Online Retail, UCI Machine Learning Repository, "
            "doi:10.24432/C5BW33, CC BY 4.0",
        ),
        NamedLog(
            "globo-10k",
            "News clicks, given sessions, before 2017-10-17 04:00 UTC. HRNN preparation "
            "(support 10, sessions 2, users 5), the 10 000 smallest user ids; last session out.",
            ("globo-news/clicks.tsv.gz",),
            partial(_globo_news, first_users=10_000),
            splits.last_session_out,
            {"session": "session"},
        ),
        NamedLog(
            "globo-news",
            "News clicks, given sessions, before 2017-10-17 04:00 UTC. HRNN preparation "
            "(support 10, sessions 2, users 5); last session out.",
            ("globo-news/clicks.tsv.gz",),
            _globo_news,
            splits.last_session_out,
            {"session": "session"},
        ),
        NamedLog(
            "foursquare-nyc",
            "Check-ins, sessions by 24 hours idle, since 30 minutes leave most sessions "
            "with one event. HRNN preparation (support 10, sessions 3, users 5) with repeats "
            "kept, since people return to places; last session out.",
            ("foursquare-nyc/checkins.tsv.gz",),
            partial(hrnn_preparation, idle_minutes=24 * 60, drop_repeats=False),
            splits.last_session_out,
            idle_minutes=24 * 60,
        ),
        NamedLog(
            "foursquare-nyc-sequences",
            "Check-ins as one sequence per person; users with 5 events; last event out.",
            ("foursquare-nyc/checkins.tsv.gz",),
            _whole_users,
            splits.leave_one_out,
            idle_minutes=None,
        ),
        NamedLog(
            "tmall-shan",
            "Purchases by day, no times; given sessions as they are; last session out.",
            ("tmall-shan/events.tsv.gz",),
            sessions.given,
            splits.last_session_out,
            {"session": "session", "timestamp": None},
        ),
        NamedLog(
            "yoochoose-100k",
            "Shop clicks without users; a week of training and the day after as they come; test "
            "events of unseen items and then sessions of one event dropped.",
            ("yoochoose-100k/train_full.txt.gz", "yoochoose-100k/test.txt.gz"),
            sessions.given,
            None,
            {"user": None, "session": "SessionId", "item": "ItemId", "timestamp": "Time"},
        ),
        NamedLog(
            "citeulike-hcrnn",
            "Saved articles, one sequence per person, the HCRNN split as it comes.",
            tuple(f"citeulike-hcrnn/{part}.txt.gz" for part in ("train", "test", "valid")),
            sessions.one_per_user,
            None,
            _HCRNN,
            idle_minutes=None,
        ),
        NamedLog(
            "lastfm-hcrnn-part",
            "Artists heard, the validation and test people of the HCRNN split. HRNN preparation "
            "(30 minutes idle, support 10, sessions 3, users 5) with repeats kept; last session "
            "out.",
            ("lastfm-hcrnn-part/valid.txt.gz", "lastfm-hcrnn-part/test.txt.gz"),
            partial(hrnn_preparation, idle_minutes=30, drop_repeats=False),
            splits.last_session_out,
            _HCRNN,
        ),
        NamedLog(
            "lastfm-hcrnn-sequences",
            f"Artists heard, one sequence per person, repeats kept. {_NOT_COMPARABLE}",
            ("lastfm-hcrnn-part/valid.txt.gz", "lastfm-hcrnn-part/test.txt.gz"),
            sessions.one_per_user,
            _hcrnn_shares,
            _HCRNN,
            idle_minutes=None,
        ),
        NamedLog(
            "movielens-hcrnn-sequences",
            f"Best ratings, one sequence per person. {_NOT_COMPARABLE}",
            ("movielens-hcrnn-part/valid.txt.gz", "movielens-hcrnn-part/test.txt.gz"),
            sessions.one_per_user,
            _hcrnn_shares,
            _HCRNN,
            idle_minutes=None,
            describe=_movie_titles,
            categories=_movie_genres,
        ),
        NamedLog(
            "ml-100k",
            "Ratings as a sequence; users with 5 events; last event out.",
            ("ml-100k/ratings.tsv.gz",),
            _whole_users,
            splits.leave_one_out,
            {"rating": "rating"},
            idle_minutes=None,
        ),
        NamedLog(
            "ml-1m-part",
            "Ratings of half the users as a sequence; users with 5 events; last event out.",
            ("ml-1m-part/ratings.tsv.gz",),
            _whole_users,
            splits.leave_one_out,
            {"rating": "rating"},
            idle_minutes=None,
        ),
        *(
            NamedLog(
                f"{folder}-{name}",
                f"Ratings as a sequence; users with 5 events, {_SHARES} new users in the test; "
                f"genres, ratings as feedback, {about}.",
                (f"{folder}/ratings.tsv.gz",),
                _whole_users,
                _hcrnn_shares,
                {"rating": "rating"},
                idle_minutes=None,
                tables=partial(_movielens, folder, items, users=users),
            )
            for folder, items in (("ml-100k", "items.tsv.gz"), ("ml-1m-part", "movies.tsv.gz"))
            for name, users, about in (
                ("users", None, "age, gender and occupation of users"),
                ("first-item", FIRST_ITEM, "users described by their first movie"),
            )
        ),
        NamedLog(
            "ml-latest-small",
            "Ratings as a sequence; users with 5 events; last event out.",
            ("ml-latest-small/ratings.tsv.gz",),
            _whole_users,
            splits.leave_one_out,
            {"rating": "rating"},
            idle_minutes=None,
        ),
        NamedLog(
            "steam-reviews",
            "Reviews by day as a sequence; users with 5 events; last event out.",
            ("steam-reviews/reviews.tsv.gz",),
            _whole_users,
            splits.leave_one_out,
            idle_minutes=None,
        ),
        NamedLog(
            "amazon-video-sasrec",
            "Reviews in order, no times; users with 5 events; last event out.",
            ("amazon-video-sasrec/Video.txt.gz",),
            _whole_users,
            splits.leave_one_out,
            {"timestamp": None, "columns": ("user", "item")},
            idle_minutes=None,
        ),
    )
}
