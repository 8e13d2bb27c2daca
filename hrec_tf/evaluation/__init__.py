"""Ranking every point once, reports, break-downs and tests of significance."""

from hrec_tf.evaluation.significance import (
    MeanSd,
    SignificanceTest,
    holm,
    mean_sd,
    paired_wilcoxon,
    student_t,
)

__all__ = [
    "MeanSd",
    "SignificanceTest",
    "holm",
    "mean_sd",
    "paired_wilcoxon",
    "student_t",
]
