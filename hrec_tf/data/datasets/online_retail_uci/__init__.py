"""Online Retail (Chen, 2015) of UCI's workbook as a TensorFlow data set; importing registers it."""

from hrec_tf.data.datasets.online_retail_uci.online_retail_uci_dataset_builder import Builder

__all__ = ["Builder"]
