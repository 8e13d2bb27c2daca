"""User interactions of Globo.com as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.globo.globo_dataset_builder import Builder

__all__ = ["Builder"]
