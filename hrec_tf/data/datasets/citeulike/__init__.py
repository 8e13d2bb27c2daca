"""CiteULike as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.citeulike.citeulike_dataset_builder import Builder

__all__ = ["Builder"]
