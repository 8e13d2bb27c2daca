"""Optimizers whose step costs what the batch touches, not what the catalogue holds."""

from hrec_tf.optimizers.adagrad_momentum import AdagradMomentum
from hrec_tf.optimizers.lazy_adam import LazyAdam

__all__ = ["AdagradMomentum", "LazyAdam"]
