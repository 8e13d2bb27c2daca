"""What runs beside `fit`: progress, early stopping, event files for TensorBoard, checkpoints."""

from hrec_tf.training.callbacks import TrainingProgress, TrainingStatus, print_status
from hrec_tf.training.early_stopping import EarlyStopping, best_epoch
from hrec_tf.training.event_files import EventFiles
from hrec_tf.training.neighbour_weight import choose_neighbour_weight
from hrec_tf.training.resume import Checkpoint

__all__ = [
    "Checkpoint",
    "EarlyStopping",
    "EventFiles",
    "TrainingProgress",
    "TrainingStatus",
    "best_epoch",
    "choose_neighbour_weight",
    "print_status",
]
