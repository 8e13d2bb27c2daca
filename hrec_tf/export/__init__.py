"""Export of a recommender: SavedModel for TensorFlow Serving, and LiteRT."""

from hrec_tf.export.saved_model import export_saved_model
from hrec_tf.export.tflite import check_tflite, export_tflite, litert_interpreter

__all__ = ["check_tflite", "export_saved_model", "export_tflite", "litert_interpreter"]
