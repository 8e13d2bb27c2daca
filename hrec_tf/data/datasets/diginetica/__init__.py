"""CIKM Cup 2016 Track 2 (Diginetica) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.diginetica.diginetica_dataset_builder import Builder

__all__ = ["Builder"]
