"""What runs beside `fit`: progress."""

from hrec_tf.training.callbacks import TrainingProgress, TrainingStatus, print_status

__all__ = ["TrainingProgress", "TrainingStatus", "print_status"]
