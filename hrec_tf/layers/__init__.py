"""Layers that models share."""

from hrec_tf.layers.events import pack_events
from hrec_tf.layers.item_embedding import ItemEmbedding
from hrec_tf.layers.item_scores import ItemScores
from hrec_tf.layers.recurrence import Recurrence

__all__ = ["ItemEmbedding", "ItemScores", "Recurrence", "pack_events"]
