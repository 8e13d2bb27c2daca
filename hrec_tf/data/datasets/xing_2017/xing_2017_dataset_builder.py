"""Builder of the TensorFlow data set `xing_2017`."""

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Table, choice, texts, whole
from hrec_tf.schema import EVENT_TYPE, ITEM, TIMESTAMP, USER

__all__ = ["Builder"]

_TYPES = {
    "0": "impression",
    "1": "click",
    "2": "bookmark",
    "3": "reply",
    "4": "delete",
    "5": "recruiter_interest",
}
# fmt: off
_OF_ITEMS = texts(
    "title", "career_level", "discipline_id", "industry_id", "country", "is_payed", "region",
    "latitude", "longitude", "employment", "tags", "created_at",
)
_OF_USERS = texts(
    "jobroles", "career_level", "discipline_id", "industry_id", "country", "region",
    "experience_n_entries_class", "experience_years_experience", "experience_years_in_current",
    "edu_degree", "edu_fieldofstudies", "wtcj", "premium",
)
# fmt: on


class Builder(TableBuilder):
    """XING 2017: what users did with job postings, and which of these they were shown.

    Files are set apart by tabs and have a header, whose names may stand behind that of the
    exported table and a dot; columns of items and users are told by their places. What is known
    of items and users is kept as text.

    Source: page of the challenge, as quoted in cesarebernardis/WSDM-Cup-2022,
    RecSysFramework/DataManager/Reader/XingChallenge2017Reader.py; columns of items and users by
    yansh97/HappyRec, preprocess_scripts/xing.py, and Troublem1/PyTorchRec,
    torchrec/data/process/proprecess/xing.py.

    Example:
        >>> from hrec_tf.data.datasets.xing_2017 import Builder
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
            fields=(ITEM, *_OF_ITEMS),
            skipped=1,
            columns={ITEM: whole(ITEM), **_OF_ITEMS},
        ),
        "users": Table(
            "users.csv",
            separator="\t",
            fields=(USER, *_OF_USERS),
            skipped=1,
            columns={USER: whole(USER), **_OF_USERS},
        ),
    }
