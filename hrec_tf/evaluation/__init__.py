"""Ranking every point once, reports, break-downs and tests of significance."""

from hrec_tf.evaluation.breakdown import by_history_length, by_item_age, by_position
from hrec_tf.evaluation.lists import best_items, coverage
from hrec_tf.evaluation.perplexity import Perplexity, perplexity
from hrec_tf.evaluation.protocols import (
    Evaluation,
    compare_sessions,
    confidence_intervals,
    evaluate,
    summarise,
)
from hrec_tf.evaluation.ranking import NonFiniteScoresError, Ranks, rank_baseline, rank_model
from hrec_tf.evaluation.ratings import RatingErrors, rating_errors
from hrec_tf.evaluation.sampled import SampledNegatives
from hrec_tf.evaluation.significance import (
    Interval,
    MeanSd,
    SignificanceTest,
    bootstrap_interval,
    holm,
    mean_sd,
    paired_wilcoxon,
    student_t,
)

__all__ = [
    "Evaluation",
    "Interval",
    "MeanSd",
    "NonFiniteScoresError",
    "Perplexity",
    "Ranks",
    "RatingErrors",
    "SampledNegatives",
    "SignificanceTest",
    "best_items",
    "bootstrap_interval",
    "by_history_length",
    "by_item_age",
    "by_position",
    "compare_sessions",
    "confidence_intervals",
    "coverage",
    "evaluate",
    "holm",
    "mean_sd",
    "paired_wilcoxon",
    "perplexity",
    "rank_baseline",
    "rank_model",
    "rating_errors",
    "student_t",
    "summarise",
]
