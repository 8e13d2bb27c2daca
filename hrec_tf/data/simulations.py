"""Simulated histories of which it is known how well they can be predicted.

Perplexity is exp of the mean of -log p(next item); a model that knows all there is to know has
the bound that the functions here compute, and no model has less for long.

Source: Ma & Narayanaswamy, "Hierarchical Temporal-Contextual Recommenders", section 4;
docs/equations.md D.7.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from hrec_tf import checks
from hrec_tf.data.histories import Histories, offsets_of
from hrec_tf.schema import ITEM, SESSION, TIMESTAMP, USER

SECONDS_INSIDE, SECONDS_BETWEEN = 30, 86_400
"""Time from event to event inside a session, and from session to session."""


def hierarchical_sessions(
    num_users: int = 1_000,
    *,
    max_sessions: int = 5,
    max_len_exclusive: int = 6,
    copies: int | None = None,
    seed: int = 0,
) -> Histories:
    """Simulates users whose sessions are runs of one item.

    A user has 0 to `max_sessions` sessions of 1 to `max_len_exclusive` - 1 events, both uniform.
    All events of a user's m-th session are of item m: who knows when a session ends knows the
    next item. The first item is known in advance, too: the paper does not say which it is, and
    1 for everybody is our choice.

    With `copies`, events are of `copies` items drawn at random, but a session begins with the
    item of the second event of the session before, or of its only one: an item that must be
    remembered through the session, and brought back at the next opening. Our choice: the paper
    says that its model can do such a thing, and not how that was tried.

    Args:
        num_users: users simulated; those without a session leave no trace.
        max_sessions: most sessions of a user.
        max_len_exclusive: one more than the most events of a session.
        copies: number of items of the variant; None is the paper's simulation.
        seed: of all that is drawn.

    Example:
        >>> histories = hierarchical_sessions(2, seed=1)
        >>> histories.item_ids.tolist()
        [1, 1, 1, 1, 2, 2, 2, 2, 2, 1, 2, 3, 3, 3, 3, 3]
    """
    for name, value in (
        ("num_users", num_users),
        ("max_sessions", max_sessions),
        ("max_len_exclusive", max_len_exclusive - 1),
    ):
        checks.require_positive_int(name, value, mend="Leave it out for the paper's.")
    draw = np.random.default_rng(seed)
    sessions_of_user = draw.integers(0, max_sessions + 1, num_users)
    if not sessions_of_user.any():
        raise ValueError(
            f"`num_users` was {num_users}, and none of them drew a session. Pass more users."
        )
    lengths = draw.integers(1, max_len_exclusive, sessions_of_user.sum())
    session_offsets, first_session = offsets_of(lengths), offsets_of(sessions_of_user)
    number = np.arange(len(lengths)) - np.repeat(first_session[:-1], sessions_of_user)
    session_of_event = np.repeat(np.arange(len(lengths)), lengths)
    if copies is None:
        item_ids, num_items = number[session_of_event] + 1, max_sessions
    else:
        num_items = checks.require_positive_int("copies", copies, mend="Pass e.g. 10 items.")
        item_ids = draw.integers(1, num_items + 1, len(session_of_event))
        second = session_offsets[:-1] + np.minimum(1, lengths - 1)
        for place in range(1, max_sessions):
            later = np.flatnonzero(number == place)
            item_ids[session_offsets[later]] = item_ids[second[later - 1]]
    is_first = np.isin(np.arange(len(session_of_event)), session_offsets)
    gaps = np.where(is_first, SECONDS_BETWEEN, SECONDS_INSIDE)
    return Histories(
        item_ids=item_ids.astype(np.int32),
        timestamps=np.cumsum(gaps, dtype=np.int64),
        session_offsets=session_offsets,
        user_offsets=np.unique(session_offsets[first_session]),
        num_items=num_items,
    )


def session_openings(histories: Histories) -> np.ndarray:
    """Returns bool (num_events,), the first events of all sessions but a user's first."""
    return histories.session_starts & ~histories.user_starts


def blind_bound(
    *, max_sessions: int = 5, max_len_exclusive: int = 6, ends_are_known: bool = True
) -> float:
    """Perplexity at the openings of sessions for who counts events, but cannot see sessions.

    After c events of a session it has ended with hazard 1 / (longest - c + 1). Where the last
    event of a user has no target, an event that has one tells that the user goes on, so that
    after session m a next one is as likely as that a user of m sessions has more.

    Args:
        max_sessions, max_len_exclusive: as simulated.
        ends_are_known: whether users end, as in `hierarchical_sessions`; else the bound in an
            endless history.

    Example:
        >>> round(blind_bound(), 2), round(blind_bound(ends_are_known=False), 2)
        (3.14, 2.61)
        >>> round(blind_bound(max_len_exclusive=5, ends_are_known=False), 2)
        2.21
    """
    longest = max_len_exclusive - 1
    logs, weights = [], []
    for session in range(1, max_sessions if ends_are_known else 2):
        goes_on = (max_sessions - session) / (max_sessions - session + 1)
        for count in range(1, longest + 1):
            hazard = 1 / (longest - count + 1)
            if ends_are_known:
                hazard = hazard * goes_on / (hazard * goes_on + 1 - hazard)
            logs.append(-math.log(hazard))
            weights.append(max_sessions - session)
    return math.exp(np.average(logs, weights=weights))


def to_frame(histories: Histories) -> pl.DataFrame:
    """Returns simulated histories as a log: user, item, timestamp, session.

    Example:
        >>> to_frame(hierarchical_sessions(2, seed=1)).columns
        ['user', 'item', 'timestamp', 'session']
    """
    return pl.DataFrame(
        {
            USER: histories.user_of_event(),
            ITEM: histories.item_ids,
            TIMESTAMP: histories.timestamps,
            SESSION: histories.session_of_event(),
        }
    )


@dataclass(frozen=True, eq=False)
class Bets:
    """Simulated gamblers.

    Attributes:
        histories: one session a user; its feedback is the outcome of each bet, (1, 0) or (0, 1),
            its user features the first bet, one-hot.
        item_features: float32 (num_items + 1, 2), the parity of each item; row 0 is zero.
    """

    histories: Histories
    item_features: np.ndarray

    def to_frames(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Returns the log with the column `outcome`, a table of items, and one of users."""
        feedback, firsts = (
            np.asarray(values).argmax(axis=1)
            for values in (self.histories.feedback, self.histories.user_features)
        )
        item_ids = np.arange(1, self.histories.num_items + 1)
        parity = np.array(["even", "odd"])[self.item_features[1:].argmax(axis=1)]
        return (
            to_frame(self.histories).with_columns(
                outcome=pl.Series(np.array(["loss", "win"])[feedback])
            ),
            pl.DataFrame({ITEM: item_ids, "parity": parity}),
            pl.DataFrame(
                {USER: np.arange(self.histories.num_users), "first_bet": firsts.astype(str)}
            ),
        )


def gamblers_bets(
    num_sequences: int = 1_000, *, max_length: int = 20, num_items: int = 101, seed: int = 0
) -> Bets:
    """Simulates gamblers who raise a bet by one after a win, and lower it after a loss.

    The first bet is uniform and also the user's feature; a length is uniform in 0 to
    `max_length`; wins are fair coins. At the smallest and largest bet the next one turns back
    (our choice: the paper does not say). Item i stands for a bet of i - 1.

    Args:
        num_sequences: of which those of length 0 leave no trace.
        max_length: most bets of a sequence.
        num_items: bets there are.
        seed: of all that is drawn.

    Example:
        >>> gamblers_bets(1, max_length=5, seed=4).histories.item_ids.tolist()
        [96, 95, 94, 95]
    """
    checks.require_positive_int("num_sequences", num_sequences, mend="Pass e.g. 1000.")
    checks.require_positive_int("max_length", max_length, mend="Pass e.g. 20.")
    checks.require_int_at_least("num_items", num_items, minimum=2, mend="Pass e.g. 101.")
    draw = np.random.default_rng(seed)
    lengths = draw.integers(0, max_length + 1, num_sequences)
    firsts = draw.integers(0, num_items, num_sequences)
    wins = draw.random((num_sequences, max_length)) < 0.5
    bets = np.empty((num_sequences, max_length), np.int64)
    bet = firsts
    for step in range(max_length):
        bets[:, step] = bet
        bet = bet + np.where(wins[:, step], 1, -1)
        bet = num_items - 1 - np.abs(num_items - 1 - np.abs(bet))  # reflected at both ends
    is_event = np.arange(max_length) < lengths[:, None]
    offsets = offsets_of(lengths[lengths > 0])
    if len(offsets) == 1:
        raise ValueError(
            f"`num_sequences` was {num_sequences}, and all of them have length 0. Pass more."
        )
    histories = Histories(
        item_ids=(bets[is_event] + 1).astype(np.int32),
        timestamps=np.arange(is_event.sum(), dtype=np.int64),
        session_offsets=offsets,
        user_offsets=offsets,
        num_items=num_items,
        feedback=np.eye(2, dtype=np.float32)[wins[is_event].astype(int)],
        user_features=np.eye(num_items, dtype=np.float32)[firsts[lengths > 0]],
    )
    parity = np.eye(2, dtype=np.float32)[np.arange(num_items) % 2]
    return Bets(histories, np.concatenate([np.zeros((1, 2), np.float32), parity]))


def bets_bound(
    *,
    sequence: bool = True,
    user: bool = False,
    feedback: bool = False,
    parity: bool = False,
    max_length: int = 20,
    num_items: int = 101,
) -> float:
    """Perplexity over all bets, the first ones included, for who knows what is named.

    The first bet of the 20 in 21 sequences that have one costs log 101, or nothing with the
    user's feature; every later one log 2, or nothing with the outcome. Ends are passed over
    (a bet at the smallest or largest has one successor, not two).

    Args:
        sequence: the bets so far; False knows at most the parity of the last one.
        user, feedback: the user's feature; the outcomes. With `sequence`.
        parity: of the last bet, which the next one has not. Without `sequence`.
        max_length, num_items: as simulated.

    Example:
        >>> round(bets_bound(sequence=False, parity=True), 1), round(bets_bound(), 2)
        (53.9, 2.91)
        >>> round(bets_bound(user=True), 2), round(bets_bound(feedback=True), 2)
        (1.87, 1.55)
    """
    ignored = (user or feedback) if not sequence else parity
    if ignored:
        raise ValueError(
            f"`user`, `feedback` and `parity` were {user}, {feedback} and {parity} with sequence="
            f"{sequence}, which has no use for one of them. See which of them go with it."
        )
    mean_length, share_with_first = max_length / 2, max_length / (max_length + 1)
    later = 1.0 if feedback else 2.0
    if not sequence:
        later = num_items / 2 if parity else num_items
    first = 1 if user else num_items
    total = share_with_first * math.log(first) + (mean_length - share_with_first) * math.log(later)
    return math.exp(total / mean_length)
