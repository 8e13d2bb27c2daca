"""MovieLens 1M (Harper & Konstan, 2015) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.ml_1m.ml_1m_dataset_builder import Builder

__all__ = ["Builder"]
