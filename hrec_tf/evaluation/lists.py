"""The lists that would be shown at evaluation points, and how much of the catalogue they show."""

import weakref

import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.baselines import Baseline
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation.playing import SCORE_BYTES, play, rows_that_fit, window_reader
from hrec_tf.evaluation.points import ALL_SESSIONS, evaluation_points, sessions_to_play
from hrec_tf.evaluation.ranking import check_model, check_ranking_options


def best_items(
    model,
    histories: Histories,
    *,
    k: int = 20,
    bootstrap_sessions: int = ALL_SESSIONS,
    session_starts: bool = False,
) -> np.ndarray:
    """Lists the k best items of the catalogue before each evaluation point.

    Args:
        model: a `NextItemModel`, or a fitted `Baseline`.
        histories: evaluation histories; see `evaluation_points`.
        k: length of a list, at most the size of the catalogue.
        bootstrap_sessions, session_starts: as for `rank_model`.

    Returns:
        int64 (num_points, k), item ids, best first; of equally good ones the lower id is first.

    Raises:
        ValueError: bad arguments, or histories without a point.

    Example:
        >>> from hrec_tf.baselines import Popularity
        >>> histories = Histories.from_lists([[[1, 2, 1]]], num_items=3)
        >>> best_items(Popularity().fit(histories), histories, k=2).tolist()
        [[1, 2], [1, 2]]
    """
    checks.require_positive_int("k", k, mend="Pass the length of the list, e.g. 20.")
    if k > histories.num_items:
        raise ValueError(
            f"`k` was {k}, but the catalogue has {histories.num_items} items. Pass a smaller "
            "number."
        )
    points = evaluation_points(histories, session_starts=session_starts)
    if isinstance(model, Baseline):
        check_ranking_options(num_items=histories.num_items, bootstrap_sessions=bootstrap_sessions)
        played = sessions_to_play(histories, points, bootstrap_sessions=bootstrap_sessions)
        part, targets = histories.select(played), np.cumsum(played)[points] - 1
        block = rows_that_fit(SCORE_BYTES // 8, histories.num_items)
        some = [targets[first : first + block] for first in range(0, len(points), block)]
        return np.concatenate([model.best(part, rows, k).item_ids for rows in some])
    check_ranking_options(
        layout=model.layout, num_items=histories.num_items, bootstrap_sessions=bootstrap_sessions
    )
    check_model(model, histories, session_starts)

    @tf.function(autograph=False, reduce_retracing=True)
    def list_rows(hidden, item_ids, block):
        return tf.cast(tf.math.top_k(model.score(hidden), k).indices + 1, tf.int64)

    return play(
        model,
        histories,
        points,
        (window_reader(weakref.ref(model)), list_rows),
        block=rows_that_fit(SCORE_BYTES // 4, histories.num_items),
        bootstrap_sessions=bootstrap_sessions,
    )


def coverage(item_ids: np.ndarray, num_items: int) -> float:
    """Returns the share of the catalogue that stands in at least one list.

        coverage@k = |union of the lists of k| / N

    Source: docs/evaluation.md 1.5; Ge, Delgado-Battenfeld & Jannach, RecSys 2010, "catalogue
    coverage".

    Args:
        item_ids: int (num_lists, k), item ids from 1 on; see `best_items`.
        num_items: N, size of the catalogue.

    Example:
        >>> coverage(np.array([[1, 2], [2, 3]]), num_items=4)
        0.75
    """
    checks.require_positive_int("num_items", num_items, mend="Pass the size of the catalogue.")
    found = np.unique(item_ids)
    if found.size and not 1 <= found[0] <= found[-1] <= num_items:
        raise ValueError(
            f"`item_ids` go from {found[0]} to {found[-1]}, but the catalogue has the items 1 to "
            f"{num_items}. Pass lists of this catalogue, without padding."
        )
    return len(found) / num_items
