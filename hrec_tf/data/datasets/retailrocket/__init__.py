"""Retailrocket (2016) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.retailrocket.retailrocket_dataset_builder import Builder

__all__ = ["Builder"]
