"""Builder of the TensorFlow data set `foursquare`."""

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Table, identifier, number, text, time, whole
from hrec_tf.schema import ITEM, TIMESTAMP, USER

__all__ = ["Builder"]


def _check_ins(city: str) -> Table:
    return Table(
        f"dataset_TSMC2014_{city}.txt",
        archive="dataset_tsmc2014.zip",
        fields=("user", "venue", "category_id", "category", "lat", "lon", "offset", "utc_time"),
        separator="\t",
        encoding="latin-1",
        columns={
            USER: whole("user"),
            ITEM: identifier("venue"),
            TIMESTAMP: time("utc_time", "%a %b %d %H:%M:%S +0000 %Y"),
            "category": text("category"),
            "latitude": number("lat"),
            "longitude": number("lon"),
            "timezone_minutes": whole("offset"),
        },
    )


class Builder(TableBuilder):
    """Foursquare: check-ins in New York (`events`) and Tokyo (`events_tokyo`).

    A line is user, venue, category id, category, latitude, longitude, offset of the local time in
    minutes, and the UTC time, e.g. "Tue Apr 03 18:00:09 +0000 2012". The text is Latin-1.
    `timestamp` is UTC; `timezone_minutes` added to it is local time.

    Source: Yang et al. (2015), dataset_TSMC2014_readme.txt (a copy is in
    HongZhaoHua/jstarcraft-rns, data/dataset_tsmc2014).

    Example:
        >>> from hrec_tf.data.datasets.foursquare import Builder
        >>> list(Builder.TABLES)
        ['events', 'events_tokyo']
    """

    TABLES = {
        "events": _check_ins("NYC"),
        "events_tokyo": _check_ins("TKY"),
    }
