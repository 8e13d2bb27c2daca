"""Optimizers whose step costs what the batch touches, not what the catalogue holds."""

from hrec_tf.optimizers.adagrad_momentum import AdagradMomentum

__all__ = ["AdagradMomentum"]
