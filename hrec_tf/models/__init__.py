"""Models: one file per paper."""

from hrec_tf.models.collaborative_rnn import CollaborativeRNN
from hrec_tf.models.explanation import ExplainedHistory, Explanation
from hrec_tf.models.gru4rec import GRU4Rec, LSTM4Rec, RNNConcat
from hrec_tf.models.hcrnn import HCRNN
from hrec_tf.models.hi_rnn import HiRNN
from hrec_tf.models.hm_rnn import HMRNN
from hrec_tf.models.hrnn import HRNN
from hrec_tf.models.hrnn_meta import HRNNMeta
from hrec_tf.models.hs_lstm import HSLSTM
from hrec_tf.models.narm import NARM
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.models.prefix_model import PrefixModel
from hrec_tf.models.prefix_rnn import PrefixRNN
from hrec_tf.models.rnn_bpm import RNNBPM
from hrec_tf.models.stacked_gru import StackedGRU
from hrec_tf.models.stamp import STAMP
from hrec_tf.models.user_gru import UserGRU

__all__ = [
    "HCRNN",
    "HMRNN",
    "HRNN",
    "HSLSTM",
    "NARM",
    "RNNBPM",
    "STAMP",
    "CollaborativeRNN",
    "ExplainedHistory",
    "Explanation",
    "GRU4Rec",
    "HRNNMeta",
    "HiRNN",
    "LSTM4Rec",
    "NextItemModel",
    "PrefixModel",
    "PrefixRNN",
    "RNNConcat",
    "StackedGRU",
    "UserGRU",
]
