"""Export of a recommender: SavedModel for TensorFlow Serving, and LiteRT."""

from hrec_tf.export.saved_model import export_saved_model

__all__ = ["export_saved_model"]
