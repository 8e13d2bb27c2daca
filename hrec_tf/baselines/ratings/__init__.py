"""Predictors of ratings: means, a factorization machine, an autoencoder.

Public names are those that `hrec_tf.baselines` lists.
"""

from hrec_tf.baselines.ratings.autorec import AutoRec as AutoRec
from hrec_tf.baselines.ratings.averages import GlobalAverage as GlobalAverage
from hrec_tf.baselines.ratings.averages import RollingAverage as RollingAverage
from hrec_tf.baselines.ratings.factorization_machine import (
    FactorizationMachine as FactorizationMachine,
)
from hrec_tf.baselines.ratings.rating_baseline import RatingBaseline as RatingBaseline
