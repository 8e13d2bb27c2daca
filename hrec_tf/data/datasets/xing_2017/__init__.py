"""RecSys Challenge 2017 (XING) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.xing_2017.xing_2017_dataset_builder import Builder

__all__ = ["Builder"]
