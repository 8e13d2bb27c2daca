"""What runs beside `fit`: progress, event files for TensorBoard, and checkpoints."""

from hrec_tf.training.callbacks import TrainingProgress, TrainingStatus, print_status
from hrec_tf.training.event_files import EventFiles
from hrec_tf.training.resume import Checkpoint

__all__ = ["Checkpoint", "EventFiles", "TrainingProgress", "TrainingStatus", "print_status"]
