"""Losses over sampled or full score rows, and where their negatives come from."""

from hrec_tf.losses.binary_cross_entropy import BinaryCrossEntropy
from hrec_tf.losses.bpr import BPR, BPRMax
from hrec_tf.losses.cross_entropy import CrossEntropy
from hrec_tf.losses.negatives import InBatch
from hrec_tf.losses.per_target import PerTarget
from hrec_tf.losses.sampled_loss import SampledLoss, reduce_rows
from hrec_tf.losses.top1 import TOP1, TOP1Max

__all__ = [
    "BPR",
    "TOP1",
    "BPRMax",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "InBatch",
    "PerTarget",
    "SampledLoss",
    "TOP1Max",
    "reduce_rows",
]
