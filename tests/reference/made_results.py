"""Results made up by hand: ranks that were chosen, on a small log with rounds of sessions."""

import numpy as np
import polars as pl

from hrec_tf.data import EventLog, sessions, splits
from hrec_tf.data.log_source import PreparedLog
from hrec_tf.evaluation import Ranks, summarise
from hrec_tf.evaluation.points import evaluation_points
from hrec_tf.recipe import Recipe
from hrec_tf.reporting.comparison import Result
from tests.reference.tiny_log import ring_sessions

START, ROUND = 1_500_000_000, 1_000_000


def ring_log(num_users=12, num_sessions=6, length=5, **columns) -> EventLog:
    """The ring as a sessionised log: all users' first sessions, then all second ones, ..."""
    rows = [
        {
            "user": user,
            "item": item,
            "timestamp": START + ROUND * session + 100 * user + place,
            "session": 1000 * user + session,
        }
        for user, held in enumerate(ring_sessions(num_users, num_sessions, length))
        for session, items in enumerate(held)
        for place, item in enumerate(items)
    ]
    frame = pl.DataFrame(rows).with_columns(**columns)
    names = {"session": "session", **{name: name for name in columns if name == "rating"}}
    return sessions.given(EventLog.from_frame(frame, **names))


def prepared_ring(**sizes) -> PreparedLog:
    """The last session of each user is the test, and comes after all training."""
    return PreparedLog(splits.last_session_out(ring_log(**sizes)))


def evaluation(prepared, greater, *, equal=0, ks=(1, 5), ties="conservative", **ranks):
    """An evaluation whose points have so many candidates above them; repeated to their number."""
    points = evaluation_points(prepared.test)
    made = Ranks(
        points,
        np.resize(np.asarray(greater, np.int64), len(points)),
        np.full(len(points), equal, np.int64),
        **{"num_candidates": prepared.vocabulary.num_items, **ranks},
    )
    return summarise(made, prepared.test, ks=ks, ties=ties)


def result(name, *evaluations, epochs=10, patience=None, seconds=1.0, history=None) -> Result:
    """A result of a recipe of Quadrana et al. 2017; trained ones have a falling loss."""
    recipe = Recipe.load("quadrana2017", name)
    histories = ()
    if not recipe.entry.is_baseline:
        recipe = recipe.with_changes({"epochs": epochs, "patience": patience})
        history = history or {"loss": [0.9 / epoch for epoch in range(1, epochs + 1)]}
        histories = (history,) * len(evaluations)
    return Result(recipe, evaluations, (seconds,) * len(evaluations), histories)
