"""From an event log to histories: reading, sessions, filters, splits, vocabulary.

Example:
    >>> from hrec_tf.data import EventLog, Vocabulary, histories_from_log, sessions
    >>> log = EventLog.from_frame(
    ...     {"user": ["a", "a", "b"], "item": [7, 8, 7], "timestamp": [0, 60, 30]}
    ... )
    >>> log = sessions.by_idle_gap(log, minutes=30)
    >>> histories_from_log(log, Vocabulary.from_log(log)).item_ids.tolist()
    [1, 2, 1]

Streams, which need TensorFlow, are in `hrec_tf.data.lanes` and `hrec_tf.data.prefixes`.
"""

from hrec_tf.data import catalogue, filters, sessions, splits
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.features import FeatureSchema, FeatureTable
from hrec_tf.data.filter_report import FilterReport
from hrec_tf.data.histories import Histories
from hrec_tf.data.inspection import Inspection, inspect
from hrec_tf.data.preparation import (
    bootstrapped_histories,
    histories_from_log,
    hrnn_preparation,
)
from hrec_tf.data.splits import Split
from hrec_tf.data.vocabulary import Vocabulary

__all__ = [
    "EventLog",
    "FeatureSchema",
    "FeatureTable",
    "FilterReport",
    "Histories",
    "Inspection",
    "Split",
    "Vocabulary",
    "bootstrapped_histories",
    "catalogue",
    "filters",
    "histories_from_log",
    "hrnn_preparation",
    "inspect",
    "sessions",
    "splits",
]
