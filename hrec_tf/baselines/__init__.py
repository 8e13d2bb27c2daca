"""Counts, neighbours and factors: no network, no Keras, the same evaluation as the models."""

from hrec_tf.baselines.baseline import Baseline
from hrec_tf.baselines.bpr_mf import BPRMF
from hrec_tf.baselines.coevent_mf import CoEventMF
from hrec_tf.baselines.fpmc import FMC, FPMC
from hrec_tf.baselines.item_knn import ItemKNN
from hrec_tf.baselines.likelihoods import PopularityFM, PopularityLikelihood
from hrec_tf.baselines.popularity import PersonalPopularity, Popularity, SessionPopularity
from hrec_tf.baselines.ratings import (
    AutoRec,
    FactorizationMachine,
    GlobalAverage,
    RatingBaseline,
    RollingAverage,
)
from hrec_tf.baselines.recent_popularity import RecentPopularity
from hrec_tf.baselines.session_neighbours import STAN, VSKNN, SessionKNN

__all__ = [
    "BPRMF",
    "FMC",
    "FPMC",
    "STAN",
    "VSKNN",
    "AutoRec",
    "Baseline",
    "CoEventMF",
    "FactorizationMachine",
    "GlobalAverage",
    "ItemKNN",
    "PersonalPopularity",
    "Popularity",
    "PopularityFM",
    "PopularityLikelihood",
    "RatingBaseline",
    "RecentPopularity",
    "RollingAverage",
    "SessionKNN",
    "SessionPopularity",
]
