"""Last.fm 1K users (Celma, 2010) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.lastfm_1k.lastfm_1k_dataset_builder import Builder

__all__ = ["Builder"]
