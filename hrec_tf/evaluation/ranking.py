"""Ranks every evaluation point once, for a model or a baseline, against the catalogue."""

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.baselines import Baseline
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation.playing import (
    ROWS_AT_ONCE,
    SCORE_BYTES,
    WITHOUT_PAST,
    play,
    rows_that_fit,
    window_reader,
)
from hrec_tf.evaluation.points import ALL_SESSIONS, evaluation_points, sessions_to_play
from hrec_tf.evaluation.sampled import SampledNegatives
from hrec_tf.metrics import counts_against, rank_counts, rank_from_counts
from hrec_tf.schema import ACROSS_SESSIONS

BLOCKS_BY_XLA = 8
"""Blocks of one compiled call."""

MANY_POINTS = 16_384
"""From so many points on, ranks are counted by XLA."""

_COMPILED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class NonFiniteScoresError(ValueError):
    """Scores were NaN or infinite: their ranks would be invented, so there are none."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where each point's target stands among the candidates, before ties are settled.

    Attributes:
        target: int64 (num_points,), event indices into the evaluated histories, rising.
        greater: int64 (num_points,), candidates with a score above the target's.
        equal: int64 (num_points,), other candidates with a score equal to the target's.
        num_candidates: items ranked; the target comes on top where it is not among them.
        candidates: "full", "top_pop=n" or "sampled=n, ...".
        full: with sampled candidates, the ranks of the same points among all items.

    Example:
        >>> ranks = Ranks(np.array([1, 2]), np.array([0, 3]), np.array([2, 0]), num_candidates=5)
        >>> ranks.ranks("standard").tolist()
        [1.0, 4.0]
        >>> ranks.ranks("conservative").tolist()
        [3.0, 4.0]
    """

    target: np.ndarray
    greater: np.ndarray
    equal: np.ndarray
    num_candidates: int
    candidates: str = "full"
    full: "Ranks | None" = None

    @property
    def num_points(self) -> int:
        """How many points were ranked."""
        return len(self.target)

    @property
    def tie_share(self) -> float:
        """Share of points whose target ties with another candidate."""
        return float(np.mean(self.equal > 0)) if self.num_points else 0.0

    def ranks(self, ties: str = "conservative", *, seed: int = 0) -> np.ndarray:
        """Returns float64 (num_points,), 1-based ranks under a tie mode.

        Args:
            ties: "conservative" (behind all equals), "standard" (before them), "median"
                (in their middle) or "random" (a place drawn among them).
            seed: seed of the "random" places.
        """
        rng = np.random.default_rng(seed) if ties == "random" else None
        return rank_from_counts(self.greater, self.equal, ties, rng=rng)

    def select(self, points: np.ndarray) -> "Ranks":
        """Keeps the points where the bool mask (num_points,) is true."""
        return replace(
            self,
            target=self.target[points],
            greater=self.greater[points],
            equal=self.equal[points],
            full=None if self.full is None else self.full.select(points),
        )


def rank_baseline(
    baseline: Baseline,
    histories: Histories,
    *,
    block: int | None = None,
    top_pop: int | None = None,
    sampled: SampledNegatives | None = None,
    bootstrap_sessions: int = ALL_SESSIONS,
    session_starts: bool = False,
) -> Ranks:
    """Ranks every point with a fitted baseline.

    Args:
        baseline: a fitted `Baseline`.
        histories: evaluation histories; see `evaluation_points`.
        block: points scored at once; by default what fits in 64 MiB of scores, 2048 at
            the most.
        top_pop: rank among the items 1..top_pop, the most supported ones, and the target;
            all items if None.
        sampled: rank among drawn items too; these ranks are returned, and those among all items
            are their `full`.
        bootstrap_sessions: earlier sessions of the user that may be used; -1 for all.
        session_starts: also rank the first event of each session.

    Raises:
        ValueError: bad arguments, or histories without a point.
        NonFiniteScoresError: a score is NaN or infinite.

    Example:
        >>> from hrec_tf.baselines import Popularity
        >>> histories = Histories.from_lists([[[1, 2, 1]]])
        >>> rank_baseline(Popularity().fit(histories), histories).ranks().tolist()
        [2.0, 1.0]
    """
    check_ranking_options(
        num_items=histories.num_items,
        top_pop=top_pop,
        sampled=sampled,
        bootstrap_sessions=bootstrap_sessions,
    )
    if block is None:
        block = rows_that_fit(SCORE_BYTES // 8, histories.num_items)
    checks.require_positive_int("block", block, mend="Pass the points scored at once, e.g. 256.")
    points = evaluation_points(histories, session_starts=session_starts)
    played = sessions_to_play(histories, points, bootstrap_sessions=bootstrap_sessions)
    part = histories.select(played)
    part_points = np.cumsum(played)[points] - 1

    item_ids = _ids_to_rank(histories, points, sampled)

    counts: list[tf.Tensor] = []
    for first in range(0, len(points), block):
        rows = slice(first, first + block)
        scores = tf.constant(baseline.score(part, part_points[rows]))
        if sampled is not None:
            counts.append(_count_sampled(scores, item_ids[rows]))
        elif top_pop is None:
            counts.append(_count(scores, item_ids[rows]))
        else:
            own = tf.gather(scores, item_ids[rows] - 1, axis=1, batch_dims=1)
            counts.append(_count_among(scores[:, :top_pop], own, item_ids[rows]))
    return _ranks(points, np.concatenate(counts), histories, top_pop, sampled)


def rank_model(
    model,
    histories: Histories,
    *,
    num_lanes: int | None = None,
    steps: int = 32,
    top_pop: int | None = None,
    sampled: SampledNegatives | None = None,
    bootstrap_sessions: int = ALL_SESSIONS,
    session_starts: bool = False,
    score_bytes: int = SCORE_BYTES,
    jit_compile: bool = False,
) -> Ranks:
    """Ranks every point with a `NextItemModel`, in one pass over packed lanes or padded rows.

    A model with layout "session_parallel", "prefixes" or "sequences" sees the sessions that
    hold points, each from nothing. Models of other layouts first play the user's earlier
    sessions, without being measured. States are carried from window to window;
    only rows that are measured are scored, and only their counts leave the device, once.

    Args:
        model: a `NextItemModel`: `layout`, `initial_states`, `encode` and `score`.
        histories: evaluation histories; see `evaluation_points`.
        num_lanes: histories played side by side; by default up to 256, fewer where one long
            history would outlast the others. Changes speed only.
        steps: events per lane in a window; padded rows are read whole. Changes speed only.
        top_pop: rank among the items 1..top_pop, the most supported ones, and the target;
            all items if None.
        sampled: rank among drawn items too; these ranks are returned, and those among all items
            are their `full`.
        bootstrap_sessions: earlier sessions of the user that are played; -1 for all.
        session_starts: also rank the first event of each session but a user's first; "concatenated"
            and "aligned" only.
        score_bytes: scores held at once; a block of rows never needs more, unless one row
            does.
        jit_compile: read events by XLA. It compiles for seconds, once for each model and
            shape of window, and pays where long histories are played or many are.

    Raises:
        ValueError: bad arguments, options that this layout would ignore, or histories
            without a point.
        NonFiniteScoresError: a score is NaN or infinite.
    """
    check_ranking_options(
        layout=model.layout,
        num_items=histories.num_items,
        top_pop=top_pop,
        sampled=sampled,
        bootstrap_sessions=bootstrap_sessions,
    )
    for name, value in (("num_lanes", num_lanes), ("steps", steps), ("score_bytes", score_bytes)):
        if name != "num_lanes" or num_lanes is not None:
            checks.require_positive_int(name, value, mend="Leave it out for the default.")
    check_model(model, histories, session_starts)

    points = evaluation_points(histories, session_starts=session_starts)
    rows = _rows_that_fit(score_bytes // 4, top_pop, histories.num_items)
    # Counting by XLA pays where many points are ranked: it compiles for a second.
    by_xla = len(points) >= MANY_POINTS
    how = {"top_pop": top_pop, "is_sampled": sampled is not None, "jit_compile": jit_compile}
    functions = _compiled(model, **how, rows_by_xla=rows if by_xla else None)
    counts = play(
        model,
        histories,
        points,
        functions,
        block=rows * BLOCKS_BY_XLA if by_xla else rows,
        asked=None if sampled is None else _ids_to_rank(histories, points, sampled),
        bootstrap_sessions=bootstrap_sessions,
        num_lanes=num_lanes,
        steps=steps,
    )
    return _ranks(points, counts, histories, top_pop, sampled)


def _compiled(model, **how: Any) -> tuple[Callable, Callable]:
    """Compiles `read_window` and `rank_rows` once for each model that is alive."""
    made, key = _COMPILED.setdefault(model, {}), tuple(how.items())
    if key not in made:
        made[key] = _compile(weakref.ref(model), **how)
    return made[key]


def _compile(
    model_ref: Callable[[], Any],
    *,
    top_pop: int | None,
    is_sampled: bool,
    jit_compile: bool,
    rows_by_xla: int | None,
) -> tuple:
    # A model is held weakly, or what is kept for it would keep it alive.

    def rank_block(hidden, item_ids):
        model = model_ref()
        if is_sampled:
            return _count_sampled(model.score(hidden), item_ids)
        if top_pop is None:
            return _count(model.score(hidden), item_ids)
        # Popular items and the rows' own, in one product: those of two could differ in the last
        # bit where they tie.
        popular = tf.range(1, top_pop + 1, dtype=item_ids.dtype)
        scores = model.score(hidden, tf.concat([popular, item_ids], 0))
        own = tf.linalg.diag_part(scores[:, top_pop:])
        return _count_among(scores[:, :top_pop], own, item_ids)

    @tf.function(autograph=False, jit_compile=True)
    def rank_blocks(hidden, item_ids):
        # One after the other: the next one's scores stand where the last one's were, in a cache.
        parts = tf.reshape(hidden, (-1, rows_by_xla, hidden.shape[-1]))
        ids = tf.reshape(item_ids, (-1, rows_by_xla, *item_ids.shape[1:]))
        counts = tf.map_fn(
            lambda part: rank_block(*part), (parts, ids), fn_output_signature=tf.int64
        )
        return tf.reshape(counts, (-1, counts.shape[-1]))

    @tf.function(autograph=False, reduce_retracing=True)
    def rank_rows(hidden, item_ids, block):
        if rows_by_xla is not None:
            # XLA compiles for one shape: a short block is filled up with its own rows.
            rows = tf.range(block) % tf.shape(item_ids)[0]
            full = rank_blocks(tf.gather(hidden, rows), tf.gather(item_ids, rows))
            return full[: tf.shape(item_ids)[0]]
        return rank_block(hidden, item_ids)

    return window_reader(model_ref, jit_compile=jit_compile), rank_rows


def _count(scores, item_ids) -> tf.Tensor:
    """Returns int64 (rows, 3): items above, items beside, more than 0 if one is not finite.

    Args:
        scores: (rows, num_items), item id i in column i - 1.
        item_ids: int32 (rows,), the targets.
    """
    return tf.cast(tf.stack(rank_counts(scores, item_ids), 1), tf.int64)


def _count_sampled(scores, item_ids) -> tf.Tensor:
    """Returns int64 (rows, 6): what `_count` does, then the same among drawn items.

    Args:
        scores: (rows, num_items), item id i in column i - 1.
        item_ids: int32 (rows, 1 + number), the target and the items drawn for it.
    """
    among = tf.gather(scores, item_ids - 1, axis=1, batch_dims=1)
    drawn = tf.stack(counts_against(among[:, 1:], among[:, :1]), 1)
    return tf.concat([_count(scores, item_ids[:, 0]), tf.cast(drawn, tf.int64)], 1)


def _count_among(scores, own, item_ids) -> tf.Tensor:
    """Returns what `_count` does, of targets among the most supported items.

    Args:
        scores: (rows, top_pop), of the items 1..top_pop.
        own: (rows,), of the targets, wherever they stand.
        item_ids: int32 (rows,), the targets.
    """
    # A popular target keeps to its own column: another product could differ in the last bit.
    is_popular = item_ids <= scores.shape[-1]
    column = tf.where(is_popular, item_ids - 1, 0)
    own = tf.where(is_popular, tf.gather(scores, column, axis=1, batch_dims=1), own)
    greater, equal, nonfinite = counts_against(scores, own[:, None])
    equal -= tf.cast(is_popular, tf.int32)
    nonfinite += tf.cast(~tf.math.is_finite(own), tf.int32)
    return tf.cast(tf.stack([greater, equal, nonfinite], 1), tf.int64)


def _ids_to_rank(
    histories: Histories, points: np.ndarray, sampled: SampledNegatives | None
) -> np.ndarray:
    """Int32 (num_points,), the targets; with drawn items after each (num_points, 1 + number)."""
    targets = histories.item_ids[points].astype(np.int32)
    if sampled is None:
        return targets
    return np.concatenate([targets[:, None], sampled.draw(histories, points)], axis=1)


def _ranks(
    points: np.ndarray,
    counts: np.ndarray,
    histories: Histories,
    top_pop: int | None,
    sampled: SampledNegatives | None,
) -> Ranks:
    greater, equal, nonfinite = counts.T[:3]
    stray = points[nonfinite > 0]
    if len(stray):
        raise NonFiniteScoresError(
            f"Scores of {len(stray)} of {len(points)} points hold NaN or infinity, first at the "
            f"target in event {stray[0]} (item {histories.item_ids[stray[0]]}). Every score "
            "must be finite to have a rank. Look for a loss that diverged: lower the learning "
            "rate, or load the weights of an earlier epoch."
        )
    full = Ranks(points, greater, equal, histories.num_items)
    if sampled is not None:
        greater, equal, _ = counts.T[3:]
        return Ranks(points, greater, equal, sampled.number, str(sampled), full)
    if top_pop is None:
        return full
    return Ranks(points, greater, equal, top_pop, f"top_pop={top_pop}")


def check_ranking_options(
    *,
    layout: str | None = None,
    num_items: int | None = None,
    top_pop: int | None = None,
    sampled: SampledNegatives | None = None,
    bootstrap_sessions: int = ALL_SESSIONS,
) -> None:
    """Raises unless these options fit, so that it can be known before a model is trained.

    Args:
        layout: of the model; None for a baseline.
        num_items: size of the catalogue; None if it is not known yet.
        top_pop, sampled, bootstrap_sessions: see `rank_model`.
    """
    if top_pop is not None and sampled is not None:
        raise ValueError(
            f"`sampled` was {sampled} with top_pop={top_pop}, but targets are ranked among drawn "
            "items or among popular ones. Leave out one of the two."
        )
    if top_pop is not None:
        checks.require_positive_int(
            "top_pop", top_pop, mend="Pass how many items compete, or None for all."
        )
        if num_items is not None and top_pop > num_items:
            raise ValueError(
                f"`top_pop` was {top_pop}, but the catalogue has {num_items} items. "
                "Pass a smaller number, or None for all."
            )
    checks.require_int_at_least(
        "bootstrap_sessions",
        bootstrap_sessions,
        minimum=ALL_SESSIONS,
        mend="Pass how many earlier sessions are played, or -1 for all.",
    )
    if layout in WITHOUT_PAST and bootstrap_sessions > 0:
        raise ValueError(
            f"`bootstrap_sessions` was {bootstrap_sessions}, but a model with layout "
            f"{layout!r} starts every session from nothing. Leave it out."
        )


def check_model(model, histories: Histories, session_starts: bool) -> None:
    """Raises unless a model can be asked about histories."""
    if model.num_items != histories.num_items:
        raise ValueError(
            f"`histories` has num_items {histories.num_items}, but the model knows "
            f"{model.num_items} items. Encode with the vocabulary that it was trained with."
        )
    if session_starts and model.layout not in ACROSS_SESSIONS:
        raise ValueError(
            f"`session_starts` was True, but a model with layout {model.layout!r} makes no "
            "prediction for a session's first event; only "
            f"{' and '.join(map(repr, ACROSS_SESSIONS))} do. Leave it out."
        )


def _rows_that_fit(num_scores: int, top_pop: int | None, num_items: int) -> int:
    """Rows of a block; with `top_pop` each row brings a column of its own."""
    if top_pop is None:
        return rows_that_fit(num_scores, num_items)
    rows = (math.sqrt(top_pop**2 + 4 * num_scores) - top_pop) / 2
    return max(1, min(ROWS_AT_ONCE, int(rows)))
