"""RecSys Challenge 2016 (XING) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.xing_2016.xing_2016_dataset_builder import Builder

__all__ = ["Builder"]
