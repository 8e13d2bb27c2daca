"""Layers that models share."""

from hrec_tf.layers.additive_attention import AdditiveAttention
from hrec_tf.layers.bilinear_scores import BilinearScores
from hrec_tf.layers.causal_attention import CausalAttention
from hrec_tf.layers.causal_convolutions import CausalConvolutions
from hrec_tf.layers.context_attention import ContextAttention
from hrec_tf.layers.control_signals import ControlSignals
from hrec_tf.layers.dropout import Dropout
from hrec_tf.layers.event_memory import EventMemory
from hrec_tf.layers.events import pack_events
from hrec_tf.layers.feature_decoder import FeatureDecoder
from hrec_tf.layers.gaps import log_gap
from hrec_tf.layers.global_context import GlobalContext, bag_of_items
from hrec_tf.layers.item_embedding import ItemEmbedding
from hrec_tf.layers.item_inputs import ItemInputs, require_inputs
from hrec_tf.layers.item_scores import ItemScores
from hrec_tf.layers.neighbour_scores import NeighbourScores
from hrec_tf.layers.positions import at_positions, is_read_at
from hrec_tf.layers.recent_scores import RecentScores
from hrec_tf.layers.recurrence import Recurrence
from hrec_tf.layers.reminders import Reminders
from hrec_tf.layers.score_heads import ScoreHeads

__all__ = [
    "AdditiveAttention",
    "BilinearScores",
    "CausalAttention",
    "CausalConvolutions",
    "ContextAttention",
    "ControlSignals",
    "Dropout",
    "EventMemory",
    "FeatureDecoder",
    "GlobalContext",
    "ItemEmbedding",
    "ItemInputs",
    "ItemScores",
    "NeighbourScores",
    "RecentScores",
    "Recurrence",
    "Reminders",
    "ScoreHeads",
    "at_positions",
    "bag_of_items",
    "is_read_at",
    "log_gap",
    "pack_events",
    "require_inputs",
]
