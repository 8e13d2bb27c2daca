"""Foursquare check-ins (Yang et al., 2015) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.foursquare.foursquare_dataset_builder import Builder

__all__ = ["Builder"]
