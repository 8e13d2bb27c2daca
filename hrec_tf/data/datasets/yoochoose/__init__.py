"""RecSys Challenge 2015 (YooChoose) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.yoochoose.yoochoose_dataset_builder import Builder

__all__ = ["Builder"]
