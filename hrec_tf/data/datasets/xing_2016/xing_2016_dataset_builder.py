"""Builder of the TensorFlow data set `xing_2016`."""

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Table, choice, texts, whole
from hrec_tf.schema import EVENT_TYPE, ITEM, TIMESTAMP, USER

__all__ = ["Builder"]

_TYPES = {"1": "click", "2": "bookmark", "3": "reply", "4": "delete"}
# fmt: off
_OF_ITEMS = texts(
    "title", "career_level", "discipline_id", "industry_id", "country", "region", "latitude",
    "longitude", "employment", "tags", "created_at", "active_during_test",
)
_OF_USERS = texts(
    "jobroles", "career_level", "discipline_id", "industry_id", "country", "region",
    "experience_n_entries_class", "experience_years_experience", "experience_years_in_current",
    "edu_degree", "edu_fieldofstudies",
)
# fmt: on


class Builder(TableBuilder):
    """XING 2016: what users did with job postings.

    All files are set apart by tabs and have a header. What is known of items and users is codes
    and lists of codes set apart by commas, any of which may be missing: it is kept as text.

    Source: Abel, Kohlsdorf & Pálovics, recsyschallenge/2016, TrainingDataset.md; the separator by
    mquad/hgru4rec, data/xing/build_dataset.py.

    Example:
        >>> from hrec_tf.data.datasets.xing_2016 import Builder
        >>> list(Builder.TABLES)
        ['events', 'items', 'users']
    """

    TABLES = {
        "events": Table(
            "interactions.csv",
            separator="\t",
            columns={
                USER: whole("user_id"),
                ITEM: whole("item_id"),
                TIMESTAMP: whole("created_at"),
                EVENT_TYPE: choice("interaction_type", _TYPES),
            },
        ),
        "items": Table(
            "items.csv",
            separator="\t",
            columns={ITEM: whole("id"), **_OF_ITEMS},
        ),
        "users": Table(
            "users.csv",
            separator="\t",
            columns={USER: whole("id"), **_OF_USERS},
        ),
    }
