"""Hierarchical recurrent recommenders in TensorFlow and Keras 3."""

from hrec_tf._backend import require_tensorflow_backend

__version__ = "0.1.0"
__all__ = ["__version__"]

require_tensorflow_backend()
