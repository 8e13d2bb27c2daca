"""Names that every room of the library shares: columns, the padding id, event keys."""

from typing import Any, NamedTuple

PADDING_ID = 0
"""Item id of padding and of unknown items. Real items are numbered 1..num_items."""

USER = "user"
ITEM = "item"
TIMESTAMP = "timestamp"
SESSION = "session"
EVENT_TYPE = "event_type"
RATING = "rating"

ITEM_IDS = "item_ids"
SESSION_START = "session_start"
USER_START = "user_start"
POSITIONS = "positions"
USER_IDS = "user_ids"
GAP = "gap"
LARGEST_GAP = 2**31 - 1
"""Seconds of the longest gap that is told: 68 years."""
MINUTE = "minute"
SECONDS_PER_MINUTE = 60
LATEST_MINUTE = 2**31 - 1
"""Of the year 6053; later times are told as this one."""
IS_STEP = "is_step"
NEXT_GAP = "next_gap"
NEXT_SESSION_START = "next_session_start"
NEXT_ITEM = "next_item"
NEXT_RATING = "next_rating"
FEEDBACK = "feedback"
USER_FEATURES = "user_features"

SESSION_PARALLEL = "session_parallel"
USER_PARALLEL = "user_parallel"
CONCATENATED = "concatenated"
LANE_LAYOUTS = (SESSION_PARALLEL, USER_PARALLEL, CONCATENATED)
ALIGNED = "aligned"
ACROSS_SESSIONS = (CONCATENATED, ALIGNED)
"""Layouts of models that predict from session to session."""
PREFIXES = "prefixes"
SEQUENCES = "sequences"
PADDED_LAYOUTS = (PREFIXES, SEQUENCES)


class Recommendation(NamedTuple):
    """One item of a recommended list.

    Attributes:
        item: its raw id.
        score: higher is better; comparable inside one list.
    """

    item: Any
    score: float
