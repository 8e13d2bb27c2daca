"""RNN-BPM: three recurrent networks, and a small one that weighs what they say."""

import math

import keras
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.cells import ElmanCell, ReferenceGRUCell
from hrec_tf.layers import ItemEmbedding, ItemScores, Recurrence
from hrec_tf.models.prefix_model import PrefixModel
from hrec_tf.precision import at_least_float32
from hrec_tf.schema import ITEM_IDS, PADDING_ID, POSITIONS

CELLS = {"elman": ElmanCell, "gru": ReferenceGRUCell}
SEQUENCES = ("long", "short", "popular")


@keras.saving.register_keras_serializable(package="hrec_tf")
class RNNBPM(PrefixModel):
    """Next item by three networks, which read the whole history, its end, and its popular items.

        long     all events of the prefix
        short    its last n_s events
        popular  those of its events whose items are among the P N most popular

        m = 1..3:  h = cell_m(E_m[item], h) over sequence m;   p_m = softmax(h_T W_m + b_m)
        r̂_j = σ([log N p_1j, log N p_2j, log N p_3j] A + a) c       A (3, 8), c (8, 1)

    p_3 is a softmax of the popular items; each other has p_3j = ε. Where no event is popular,
    p_3 is 1 / N. (log N p is log p but for what the bias a makes good: 0 for an item as likely as
    any.) The most popular items are those of the lowest ids, as `Vocabulary` numbers them.

    In the first `rnn_epochs` of a `fit` each network learns by a loss and a pass of its own; the
    loss that `fit` logs is then that of "long". In later epochs A, a and c learn alone. Scores
    are r̂ all along; A and c begin from U(0, 1/2), above 0, so that likelier ranks higher then too.

    Source: Qu et al. 2018, RNN-BPM or RNN-PBNCM. Known are the three sequences, a network for
    each and a network that combines them; equations, sizes and stages are reconstructed
    (inferred); docs/equations.md H.4.

    Args:
        num_items: N; ids run 1..N by falling popularity.
        cell: "elman" or "gru".
        item_dim: size of an item's vector in each of the three E_m.
        units: size of h.
        combining_units: columns of A.
        short_events: n_s.
        popular_share: P.
        epsilon: ε.
        rnn_epochs: epochs after which the three networks stay as they are; None trains all
            together, by the loss of r̂.
        max_length: events of a prefix that are read at the most, the latest; all if None.
        seed: of initial values.
    """

    def __init__(
        self,
        *,
        num_items: int,
        cell: str = "elman",
        item_dim: int = 100,
        units: int = 100,
        combining_units: int = 8,
        short_events: int = 20,
        popular_share: float = 0.1,
        epsilon: float = 1e-6,
        rnn_epochs: int | None = 10,
        max_length: int | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, max_length=max_length, seed=seed, **kwargs)
        self.cell_name = checks.require_choice("cell", cell, CELLS)
        self.item_dim, self.units = item_dim, units
        self.combining_units = checks.require_positive_int(
            "combining_units", combining_units, mend="Pass e.g. 8."
        )
        self.short_events = checks.require_positive_int(
            "short_events", short_events, mend="Pass e.g. 20."
        )
        for name, value in (("popular_share", popular_share), ("epsilon", epsilon)):
            if not 0 < value <= 1:
                raise ValueError(f"`{name}` must be in (0, 1], but was {value}. Leave it out.")
        if rnn_epochs is not None:
            mend = "Pass e.g. 10, or None to train all together."
            checks.require_positive_int("rnn_epochs", rnn_epochs, mend=mend)
        self.popular_share, self.epsilon, self.rnn_epochs = popular_share, epsilon, rnn_epochs
        self.num_popular = math.ceil(popular_share * num_items)
        self.networks = []
        for part, sequence in enumerate(SEQUENCES):
            network = _SequenceNetwork(
                self.num_popular if sequence == "popular" else num_items,
                num_items=num_items,
                cell=CELLS[cell](units, seed=self._seed_of(3 * part)),
                item_dim=item_dim,
                epsilon=epsilon,
                seeds=(self._seed_of(3 * part + 1), self._seed_of(3 * part + 2)),
                name=sequence,
            )
            network.build()
            self.networks.append(network)
        self.combining = self._dense(combining_units, "sigmoid", 9, name="combining")
        self.combining.build((None, len(SEQUENCES)))
        # A bias of all items alike would change no probability.
        self.combined = self._dense(1, None, 10, use_bias=False, name="combined")
        self.combined.build((None, combining_units))
        self._networks_learn = rnn_epochs is not None
        self._learner: int | None = None
        self.built = True

    def _dense(self, units, activation, part, **arguments):
        drawn = keras.initializers.RandomUniform(0.0, 0.5, seed=self._seed_of(part))
        return keras.layers.Dense(units, activation, kernel_initializer=drawn, **arguments)

    def compile(self, *args, negatives=None, **kwargs):
        """Sets how the model is trained and measured; see `NextItemModel.compile`."""
        if negatives is not None:
            raise ValueError(
                f"`negatives` was {negatives!r}, but RNNBPM's probabilities are of the whole "
                "catalogue: columns would save nothing. Leave it out."
            )
        super().compile(*args, negatives=negatives, **kwargs)

    def begin_epoch(self, epoch):
        networks_learn = self.rnn_epochs is not None and epoch < self.rnn_epochs
        if networks_learn != self._networks_learn:
            self._networks_learn = networks_learn
            self._compile_chunk_functions()

    def update_groups(self):
        """Yields the variables of each pass, and says meanwhile which network's pass it is."""
        if self._networks_learn:
            for learner in reversed(range(len(self.networks))):
                self._learner = learner
                yield self.networks[learner].trainable_variables
            self._learner = None
        elif self.rnn_epochs is None:
            yield self.trainable_variables
        else:
            yield self.combining.trainable_variables + self.combined.trainable_variables

    def encode(self, events, states, training=False):
        """Returns what the networks remember side by side (batch, 1, 3 (units + 2)), no states."""
        told = zip(self.networks, self._sequences(events), strict=True)
        memories = [network(item_ids, training=training) for network, item_ids in told]
        return tf.concat(memories, axis=-1), []

    def _sequences(self, events):
        """Returns the item ids (batch, steps) of each sequence, 0 at the events of others."""
        item_ids, last = events[ITEM_IDS], events[POSITIONS]
        if last.shape[1] not in (None, 1):
            raise ValueError(
                f"`positions` has {last.shape[1]} targets a row, but the last events are those "
                "before one target. Pass one a row."
            )
        steps = tf.range(tf.shape(item_ids)[1])
        long = tf.where(self.is_read(events), item_ids, PADDING_ID)
        short = tf.where(steps > last - self.short_events, long, PADDING_ID)
        popular = tf.where(long <= self.num_popular, long, PADDING_ID)
        return long, short, popular

    def encode_to_train(self, events, states):
        if self._learner is None:
            return super().encode_to_train(events, states)
        network = self.networks[self._learner]
        memory = network(self._sequences(events)[self._learner], training=True)
        return memory, [], tf.zeros((), tf.float32)

    def score(self, hidden, item_ids=None):
        memories = zip(self.networks, tf.split(hidden, len(SEQUENCES), axis=-1), strict=True)
        log_np = [network.log_np(memory, item_ids) for network, memory in memories]
        return self.combined(self.combining(tf.stack(log_np, axis=-1)))[..., 0]

    def score_to_train(self, hidden, item_ids=None):
        if self._learner is None:
            return self.score(hidden, item_ids)
        return self.networks[self._learner].log_np(hidden, item_ids)

    def get_config(self):
        return super().get_config() | {
            "cell": self.cell_name,
            "item_dim": self.item_dim,
            "units": self.units,
            "combining_units": self.combining_units,
            "short_events": self.short_events,
            "popular_share": self.popular_share,
            "epsilon": self.epsilon,
            "rnn_epochs": self.rnn_epochs,
        }


class _SequenceNetwork(keras.layers.Layer):
    """The probabilities of the items 1..num_known by one sequence.

    Call:
        item_ids: int (batch, steps), 0 at events that are none of the sequence.
        Returns (batch, 1, units + 2): h_T, log Σ_j exp(h_T W + b)_j, whether there was an event.
    """

    def __init__(self, num_known, *, num_items, cell, item_dim, epsilon, seeds, **kwargs):
        super().__init__(**kwargs)
        self.num_known, self.num_items, self.epsilon = num_known, num_items, epsilon
        self.items = ItemEmbedding(num_known, item_dim, seed=seeds[0], name="items")
        self.recurrence = Recurrence(cell, compile_steps=True)
        self.scores = ItemScores(num_known, cell.units, seed=seeds[1], name="scores")

    def build(self, input_shape=None):
        self.items.build()
        self.recurrence.build((None, None, self.items.dim))
        self.scores.build()

    def call(self, item_ids, training=False):
        is_event = item_ids != PADDING_ID
        _, (h,) = self.recurrence(self.items(item_ids), is_event=is_event, training=training)
        log_sum = tf.reduce_logsumexp(at_least_float32(self.scores(h)), axis=-1, keepdims=True)
        is_told = tf.reduce_any(is_event, axis=1, keepdims=True)
        parts = [tf.cast(part, self.compute_dtype) for part in (h, log_sum, is_told)]
        return tf.concat(parts, axis=-1)[:, None]

    def log_np(self, memory, item_ids=None):
        """Returns log N p of the catalogue or of `item_ids`, as a model's `score` does logits."""
        h, log_sum, is_told = tf.split(memory, [self.scores.dim, 1, 1], axis=-1)
        shift, rare = math.log(self.num_items), math.log(self.num_items * self.epsilon)
        if item_ids is None:
            log_np = self.scores(h) - log_sum + shift
            rest = [[0, 0]] * (len(h.shape) - 1) + [[0, self.num_items - self.num_known]]
            log_np = tf.pad(log_np, rest, constant_values=rare)
        else:
            is_known = item_ids <= self.num_known
            log_np = self.scores(h, tf.where(is_known, item_ids, PADDING_ID)) - log_sum + shift
            log_np = tf.where(is_known[..., None, :], log_np, rare)
        return tf.where(is_told > 0, log_np, 0.0)
