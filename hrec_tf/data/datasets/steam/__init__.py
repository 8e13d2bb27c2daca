"""Steam reviews (Kang & McAuley, 2018) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.steam.steam_dataset_builder import Builder

__all__ = ["Builder"]
