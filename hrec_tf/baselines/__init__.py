"""Counting and neighbour methods: no gradients, no Keras, the same evaluation as the models."""

from hrec_tf.baselines.baseline import Baseline
from hrec_tf.baselines.item_knn import ItemKNN
from hrec_tf.baselines.popularity import PersonalPopularity, Popularity, SessionPopularity

__all__ = ["Baseline", "ItemKNN", "PersonalPopularity", "Popularity", "SessionPopularity"]
