"""MovieLens 100K (Harper & Konstan, 2015) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.ml_100k.ml_100k_dataset_builder import Builder

__all__ = ["Builder"]
