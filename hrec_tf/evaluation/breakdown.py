"""Where a method gains: by length of the past, position in the session, age of the item."""

from collections.abc import Sequence

import numpy as np

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation.points import session_of, user_of
from hrec_tf.evaluation.protocols import DEFAULT_KS, Evaluation, summarise
from hrec_tf.evaluation.ranking import Ranks

POSITIONS_BY = ("target", "input")
AGES = {"hour": 3_600, "day": 86_400, "week": 604_800}
"""Group -> the highest age of its items, in seconds; what is older is in "older"."""


def by_history_length(
    ranks: Ranks,
    histories: Histories,
    *,
    threshold: int = 6,
    ks: Sequence[int] = DEFAULT_KS,
    ties: str = "conservative",
    average: str = "session",
) -> dict[str, Evaluation]:
    """Splits the points by the number of sessions their user had before: short and long.

    Args:
        ranks: from `rank_model` or `rank_baseline`.
        histories: the histories that were ranked, with the earlier sessions of each user.
        threshold: the longest short history, in sessions.
        ks: lengths of the list.
        ties: how equal scores are settled.
        average: "session" as published, "micro" or "user".

    Returns:
        {"short": ..., "long": ...}; a group without a point has metrics NaN.

    Source: Quadrana et al., RecSys 2017, section 5.2 and its table: short <= 6 < long (the
    text also says "6 or more").
    """
    checks.require_int_at_least(
        "threshold", threshold, minimum=0, mend="Pass a number of sessions, e.g. 6."
    )
    first_session = session_of(histories, histories.user_offsets[:-1])
    sessions_before = (
        session_of(histories, ranks.target) - first_session[user_of(histories, ranks.target)]
    )
    long = sessions_before > threshold
    groups = {"short": ~long, "long": long}
    return _summaries(ranks, histories, groups, ks=ks, ties=ties, average=average)


def by_position(
    ranks: Ranks,
    histories: Histories,
    *,
    by: str = "target",
    min_session_length: int = 5,
    ks: Sequence[int] = DEFAULT_KS,
    ties: str = "conservative",
    average: str = "session",
) -> dict[str, Evaluation]:
    """Splits the points of longer sessions by position: beginning, middle and end.

    Beginning is events 1-2 of the session, middle 3-4, end 5 and later. By target (inferred;
    the paper does not say) the beginning is target 2 alone, and the three groups of a
    session of five events are never empty.

    Args:
        ranks: from `rank_model` or `rank_baseline`.
        histories: the histories that were ranked.
        by: which event's position counts: the "target", or the "input" just before it.
        min_session_length: shorter sessions are left out.
        ks: lengths of the list.
        ties: how equal scores are settled.
        average: "session" as published, "micro" or "user".

    Returns:
        {"beginning": ..., "middle": ..., "end": ...}; a group without a point has metrics
        NaN.

    Source: Quadrana et al., RecSys 2017, section 5.2.
    """
    checks.require_choice("by", by, POSITIONS_BY)
    checks.require_positive_int(
        "min_session_length", min_session_length, mend="Pass a number of events, e.g. 5."
    )
    sessions = session_of(histories, ranks.target)
    position = ranks.target - histories.session_offsets[sessions] + 1
    if by == "input":
        position = position - 1
    counted = np.diff(histories.session_offsets)[sessions] >= min_session_length
    groups = {
        "beginning": counted & (position <= 2),
        "middle": counted & (position > 2) & (position <= 4),
        "end": counted & (position > 4),
    }
    return _summaries(ranks, histories, groups, ks=ks, ties=ties, average=average)


def by_item_age(
    ranks: Ranks,
    histories: Histories,
    training: Histories,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    ties: str = "conservative",
    average: str = "session",
) -> dict[str, Evaluation]:
    """Splits the points by how long before the end of training their target was first seen.

        age_j = T - min{t_e : training event e of item j},  T the time of the last training event

    The groups are age_j <= 1 h < day <= 24 h < week <= 168 h < older. Items that training never
    saw are no candidates and so no points: see `Split.unseen_target_share`. Where timestamps are
    an order only, the groups mean nothing.

    Args:
        ranks: from `rank_model` or `rank_baseline`.
        histories: the histories that were ranked.
        training: the histories that the method was trained on.
        ks: lengths of the list.
        ties: how equal scores are settled.
        average: "session", "micro" or "user".

    Returns:
        {"hour": ..., "day": ..., "week": ..., "older": ...}; a group without a point has metrics
        NaN.

    Raises:
        ValueError: training of another catalogue, or without an event of a target's item.
    """
    if training.num_items != histories.num_items:
        raise ValueError(
            f"`training` has num_items {training.num_items}, but `histories` has "
            f"{histories.num_items}. Encode both with the vocabulary of the training log."
        )
    never = np.iinfo(np.int64).max
    first_seen = np.full(training.num_items + 1, never)
    np.minimum.at(first_seen, training.item_ids, training.timestamps)
    seen = first_seen[histories.item_ids[ranks.target]]
    unseen = np.flatnonzero(seen == never)
    if len(unseen):
        target = ranks.target[unseen[0]]
        raise ValueError(
            f"`training` has no event of item {histories.item_ids[target]}, the target in event "
            f"{target}, so its age is not known. Pass the histories that the vocabulary is of."
        )
    group = np.searchsorted(list(AGES.values()), training.timestamps.max() - seen)
    groups = {name: group == place for place, name in enumerate((*AGES, "older"))}
    return _summaries(ranks, histories, groups, ks=ks, ties=ties, average=average)


def _summaries(
    ranks: Ranks, histories: Histories, groups: dict[str, np.ndarray], **options
) -> dict[str, Evaluation]:
    return {
        name: summarise(ranks.select(points), histories, **options)
        for name, points in groups.items()
    }
