"""Proof that every form of a recommender answers alike: Keras, Python, SavedModel, LiteRT."""

from hrec_tf.export.parity.check import TOLERANCES, Parity, ParityError, check_parity

__all__ = ["TOLERANCES", "Parity", "ParityError", "check_parity"]
