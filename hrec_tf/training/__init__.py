"""What runs beside `fit`: progress, and checkpoints to resume from."""

from hrec_tf.training.callbacks import TrainingProgress, TrainingStatus, print_status
from hrec_tf.training.resume import Checkpoint

__all__ = ["Checkpoint", "TrainingProgress", "TrainingStatus", "print_status"]
