"""Popularity baselines: over all users, in the session so far, in the user's own past."""

import numpy as np

from hrec_tf import checks
from hrec_tf.baselines.baseline import Baseline, item_counts, session_firsts, user_firsts
from hrec_tf.data.histories import Histories

SUPPORTS = ("events", "sessions")


class Popularity(Baseline):
    """POP: the items with the largest support, the same list for everybody.

        score_j = supp_j                                (top_n=None)
        score_j = supp_j / (1 + supp_j), 0 below the top  (top_n given)

    Source: the GRU4Rec authors' baselines, which use the second form with top_n=100. Of
    items with equal support at the cut, the lowest ids stay.

    Args:
        support: what is counted in training, "events" or "sessions" that hold the item.
        top_n: how many items have a score above 0; all if None.

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2, 1], [1, 3]]])
        >>> Popularity().fit(training).score(training, [1]).tolist()
        [[3.0, 1.0, 1.0]]
    """

    def __init__(self, *, support: str = "events", top_n: int | None = None) -> None:
        self.support = checks.require_choice("support", support, SUPPORTS)
        self.top_n = _optional_top_n(top_n)

    def _fit(self, histories: Histories) -> None:
        supports = _supports(histories, self.support)
        self.item_scores = supports.astype(np.float64)
        if self.top_n is not None:
            self.item_scores = _keep_top(_below_one(supports), self.top_n)

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        return np.tile(self.item_scores, (len(targets), 1))


class SessionPopularity(Baseline):
    """S-POP: what the session held most often so far; general popularity breaks ties.

        score_j = (times j is in the session so far) + supp_j / (1 + supp_j)

    The current item counts. Source: the GRU4Rec authors' baselines, whose popularity part
    covers the top_n most supported items only.

    Args:
        top_n: items whose popularity counts; all if None.

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2, 1], [1, 3]]])
        >>> SessionPopularity().fit(training).score(training, [4]).tolist()
        [[1.75, 0.5, 0.5]]
    """

    def __init__(self, *, top_n: int | None = 100) -> None:
        self.top_n = _optional_top_n(top_n)

    def _fit(self, histories: Histories) -> None:
        self.tie_break = _below_one(histories.item_supports())
        if self.top_n is not None:
            self.tie_break = _keep_top(self.tie_break, self.top_n)

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        so_far = item_counts(histories, session_firsts(histories, targets), targets)
        return so_far.toarray() + self.tie_break


class PersonalPopularity(Baseline):
    """PPOP: what the user took most often so far; general popularity breaks ties.

        score_j = (times j is in the user's past) + supp_j / (1 + supp_j)

    The past is every earlier session of the user in the histories that are scored: the
    sessions that bootstrap a recurrent model. Where nothing is counted yet, as for a user
    never seen before, the order is that of POP.

    Source: Quadrana et al., RecSys 2017, arXiv:1706.04148, section 4.2 (counts of the
    training history). Inferred here: the tie-break and `include_current_session`.

    Args:
        include_current_session: also count the events of the session so far.

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2, 1], [1, 3]]])
        >>> history_only = PersonalPopularity(include_current_session=False).fit(training)
        >>> history_only.score(training, [4]).tolist()
        [[2.75, 1.5, 0.5]]
    """

    def __init__(self, *, include_current_session: bool = True) -> None:
        self.include_current_session = include_current_session

    def _fit(self, histories: Histories) -> None:
        self.tie_break = _below_one(histories.item_supports())

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        # The targets of one session share its user's past: count that once, then copy.
        sessions, session_of = np.unique(session_firsts(histories, targets), return_inverse=True)
        past = item_counts(histories, user_firsts(histories, sessions), sessions)
        past.sum_duplicates()
        counts = past[session_of]
        if self.include_current_session:
            counts = counts + item_counts(histories, sessions[session_of], targets)
        return counts.toarray() + self.tie_break


def _supports(histories: Histories, support: str) -> np.ndarray:
    """Int64 (num_items,), events per item, or sessions that hold it."""
    if support == "events":
        return histories.item_supports()
    in_session = item_counts(
        histories, histories.session_offsets[:-1], histories.session_offsets[1:]
    )
    in_session.sum_duplicates()
    return np.bincount(in_session.indices, minlength=histories.num_items)


def _below_one(supports: np.ndarray) -> np.ndarray:
    """Maps supports to [0, 1), in the same order: they can break ties but not outvote a count."""
    return supports / (1.0 + supports)


def _keep_top(scores: np.ndarray, top_n: int) -> np.ndarray:
    """Sets all but the `top_n` largest scores to 0; of equal ones the lowest ids stay."""
    kept = np.argsort(-scores, kind="stable")[:top_n]
    cut = np.zeros_like(scores)
    cut[kept] = scores[kept]
    return cut


def _optional_top_n(top_n: int | None) -> int | None:
    if top_n is None:
        return None
    return checks.require_positive_int(
        "top_n", top_n, mend="Pass how many items are scored, e.g. 100, or None for all."
    )
