"""Counts, neighbours and factors: no network, no Keras, the same evaluation as the models."""

from hrec_tf.baselines.baseline import Baseline
from hrec_tf.baselines.bpr_mf import BPRMF
from hrec_tf.baselines.item_knn import ItemKNN
from hrec_tf.baselines.popularity import PersonalPopularity, Popularity, SessionPopularity

__all__ = [
    "BPRMF",
    "Baseline",
    "ItemKNN",
    "PersonalPopularity",
    "Popularity",
    "SessionPopularity",
]
