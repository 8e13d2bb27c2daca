"""Cells: one event of a recurrent network, the equations of a paper in its own letters."""

from hrec_tf.cells.collaborative_gru import CollaborativeGRUCell
from hrec_tf.cells.elman import ElmanCell
from hrec_tf.cells.gru import ReferenceGRUCell
from hrec_tf.cells.hcrnn import HCRNNCell
from hrec_tf.cells.hi_rnn import HiRNNCell
from hrec_tf.cells.hierarchical_gru import HierarchicalGRUCell
from hrec_tf.cells.hm_lstm import HMLSTMCell
from hrec_tf.cells.hs_lstm import HSLSTMCell
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.layer_norm_gru import LayerNormGRUCell
from hrec_tf.cells.lstm import LSTMCell
from hrec_tf.cells.user_gru import UserGRUCell

__all__ = [
    "BlockGlorot",
    "CollaborativeGRUCell",
    "ElmanCell",
    "HCRNNCell",
    "HMLSTMCell",
    "HSLSTMCell",
    "HiRNNCell",
    "HierarchicalGRUCell",
    "LSTMCell",
    "LayerNormGRUCell",
    "ReferenceGRUCell",
    "UserGRUCell",
]
