"""Builder of the TensorFlow data set `lastfm_1k`."""

import polars as pl

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Column, Table, identifier, texts, time
from hrec_tf.schema import ITEM, TIMESTAMP, USER

__all__ = ["Builder"]

_ARCHIVE = "lastfm-dataset-1K.tar.gz"
_ARTIST = Column(
    "artist",
    pl.coalesce(pl.when(pl.col(field) != "").then(pl.col(field)) for field in ("mbid", "artist")),
    pl.String(),
    "a name where the artist has no MusicBrainz id",
)


class Builder(TableBuilder):
    """Last.fm 1K: who listened to what; the item is the artist.

    A line is user, ISO time, MusicBrainz id of the artist, artist, MusicBrainz id of the track,
    track; the track's id is not kept. Artists without an id (the readme counts 69,420) go by
    their names. Quotes in names are part of the names. The latest event of a user comes first, so
    the file is read backwards.

    Source: Celma (2010), README of the data set. Lines that begin with # are taken for headers.

    Example:
        >>> from hrec_tf.data.datasets.lastfm_1k import Builder
        >>> list(Builder.TABLES)
        ['events', 'users']
    """

    TABLES = {
        "events": Table(
            "userid-timestamp-artid-artname-traid-traname.tsv",
            archive=_ARCHIVE,
            fields=("user", "time", "mbid", "artist", "track_mbid", "track"),
            separator="\t",
            columns={
                USER: identifier("user"),
                ITEM: _ARTIST,
                TIMESTAMP: time("time", "%Y-%m-%dT%H:%M:%SZ"),
                **texts("artist", "track"),
            },
            newest_first=True,
        ),
        "users": Table(
            "userid-profile.tsv",
            archive=_ARCHIVE,
            fields=("user", "gender", "age", "country", "signup"),
            separator="\t",
            comment="#",
            columns={
                USER: identifier("user"),
                **texts("gender", "age", "country", "signup"),
            },
        ),
    }
