"""Online Retail (Chen, 2015; CC BY 4.0) as a TensorFlow data set; importing it registers it."""

from hrec_tf.data.datasets.online_retail.online_retail_dataset_builder import Builder

__all__ = ["Builder"]
