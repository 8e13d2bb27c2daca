"""What runs beside `fit`: progress, early stopping, averages, TensorBoard files, checkpoints."""

from hrec_tf.training.callbacks import TrainingProgress, TrainingStatus, print_status
from hrec_tf.training.early_stopping import EarlyStopping, best_epoch
from hrec_tf.training.event_files import EventFiles
from hrec_tf.training.head_weights import choose_head_weight
from hrec_tf.training.resume import Checkpoint
from hrec_tf.training.weight_averaging import WeightAveraging

__all__ = [
    "Checkpoint",
    "EarlyStopping",
    "EventFiles",
    "TrainingProgress",
    "TrainingStatus",
    "WeightAveraging",
    "best_epoch",
    "choose_head_weight",
    "print_status",
]
