"""Tmall repeat buyers (IJCAI-15) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.tmall.tmall_dataset_builder import Builder

__all__ = ["Builder"]
