"""Builder of the TensorFlow data set `globo`."""

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Table, whole
from hrec_tf.schema import ITEM, SESSION, TIMESTAMP, USER

__all__ = ["Builder"]


class Builder(TableBuilder):
    """Globo.com: clicks on the news portal G1, with given sessions.

    `clicks.zip` holds one file `clicks_hour_*.csv` for each hour, with a header. A session may go
    on in the next file.

    Source: G. de Souza Pereira Moreira, page of the data set;
    gabrielspmoreira/chameleon_recsys, nar_module/nar/preprocessing/nar_preprocess_gcom.py.

    Example:
        >>> from hrec_tf.data.datasets.globo import Builder
        >>> list(Builder.TABLES)
        ['events', 'items']
    """

    TABLES = {
        "events": Table(
            "clicks_hour_*.csv",
            archive="clicks.zip",
            columns={
                USER: whole("user_id"),
                ITEM: whole("click_article_id"),
                TIMESTAMP: whole("click_timestamp"),
                SESSION: whole("session_id"),
                "environment": whole("click_environment"),
                "device": whole("click_deviceGroup"),
                "os": whole("click_os"),
                "country": whole("click_country"),
                "region": whole("click_region"),
                "referrer": whole("click_referrer_type"),
            },
        ),
        "items": Table(
            "articles_metadata.csv",
            columns={
                ITEM: whole("article_id"),
                "category": whole("category_id"),
                "created_at_ms": whole("created_at_ts"),
                "words": whole("words_count"),
            },
        ),
    }
