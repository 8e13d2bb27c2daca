"""HS-LSTM: segments of a user's history whose ends are learnt by policy gradient."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells import HSLSTMCell
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.layers import ItemScores, Recurrence, log_gap
from hrec_tf.layers.dropout import Dropout
from hrec_tf.models.explanation import Explanation, flagged_history
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.precision import at_least_float32
from hrec_tf.schema import CONCATENATED, GAP, ITEM_IDS, PADDING_ID, SESSION_START, USER_START

REWARDS = ("following", "terminal")
HEURISTICS = ("session", "every_third")
PRETRAIN, POLICY, JOINT = "pretrain", "policy", "joint"
FOLLOWED_SHARE = 0.1
"""How far the policy that acts goes towards the one that learns in an update."""
BASELINE_DECAY = 0.99
BASELINE_PARTS = 8
"""Parts of a window, each with a moving average of its rewards."""
ENTROPY_WEIGHT = 0.01
LEARNING = {
    "gamma": 0.1,
    "reward": "following",
    "heuristic": "session",
    "pretrain_epochs": 1,
    "policy_epochs": 1,
}
"""Defaults of what only boundaries that are learnt make use of."""


@keras.saving.register_keras_serializable(package="hrec_tf")
class HSLSTM(NextItemModel):
    """Next item in a user's whole history, which the model itself cuts into segments.

    `HSLSTMCell` holds the equations of h^w, of the segment that goes on, of h^p, of those that
    ended, and of the policy π. It reads x = [drop(E[item]); δ], δ = log(1 + Δ / 60) with Δ the
    seconds since the event before, and

        r̂ = drop([h^p; h^w]) W_o;    scores = r̂ Eᵀ + b

    With b_t whether a segment ended before event t of a window (boundaries="learned"):

        G_t = mean over t' >= t of log p(a_{t'+1}) - γ (L' / T + T / (10 L'))         the reward
        A_t = G_t - moving average of G at that part of the window, standardised over the batch
        loss = cross-entropy - mean_t (A_t log π(b_t) + H(π_t) / 100)

    over the T events of one user in the window that have a next item, L' = 1 + Σ b the segments
    they lie in, and log p what the rows' loss is the negative of. Θ = (w_π, b_π) learns from the
    second term alone, all else from the first one alone. Epochs go through three phases: the
    segments are those of a heuristic, and all but Θ is trained; only Θ is; all is. b is drawn
    from the policy's slow copy Θ' <- 0.1 Θ + 0.9 Θ', one step an update. Θ' also decides
    outside of training, where b = 1[π > 1/2]: the LSTMs were trained on its segments. In the first
    phase a validation therefore measures a policy that has learnt nothing yet.

    With boundaries="supervised" there is one phase: b is the start of a session in training, and

        loss = cross-entropy - mean_t log π(b_t)

    moves all weights; Θ' follows as above and decides outside of training.

    Source: Zhang, Huang and Zhao, AAAI 2018, a classifier of texts, from which are the two LSTMs,
    π, γ and its term, Θ' and the phases; docs/equations.md F.2. All of its use for items is
    inferred: what `HSLSTMCell` says, [h^p; h^w] as output and h^w in it, the rewards of a window,
    their baseline and the entropy, that Θ alone is moved by them, and supervision.

    Args:
        num_items: N; ids run 1..N.
        item_dim: size of an item's vector, which is read and scored by.
        lower_units, upper_units: sizes of h^w and h^p.
        boundaries: "learned"; "supervised", told in training which events begin a session; or
            "given", where b is the start of a session.
        use_gaps: read δ.
        gamma: γ, weight of the term of the segments' number, least at L' = T √0.1.
        reward: "following" as above; or "terminal", the mean over all t' for every t.
        heuristic: segments of the first phase: "session", the sessions of the log, or
            "every_third", each third event of a window begins one. Where users have one session
            each, as in logs without users, the first ends none, and the upper level learns
            nothing in that phase.
        pretrain_epochs, policy_epochs: lengths of the first two phases, from epoch 0.
        dropout: rate of drop.
        seed: of initial values, dropout and b.
    """

    layout = CONCATENATED
    explains_with_flags = True

    def __init__(
        self,
        *,
        num_items: int,
        item_dim: int = 100,
        lower_units: int = 100,
        upper_units: int = 100,
        boundaries: str = "learned",
        use_gaps: bool = True,
        gamma: float = 0.1,
        reward: str = "following",
        heuristic: str = "session",
        pretrain_epochs: int = 1,
        policy_epochs: int = 1,
        dropout: float = 0.5,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        self.item_dim = checks.require_positive_int(
            "item_dim", item_dim, mend="Pass the vectors' size, e.g. 100."
        )
        self.learning: dict[str, Any] = {
            "gamma": checks.require_number("gamma", gamma, minimum=0, mend="Pass γ, e.g. 0.1."),
            "reward": checks.require_choice("reward", reward, REWARDS),
            "heuristic": checks.require_choice("heuristic", heuristic, HEURISTICS),
        }
        for name, epochs in (
            ("pretrain_epochs", pretrain_epochs),
            ("policy_epochs", policy_epochs),
        ):
            self.learning[name] = checks.require_int_at_least(
                name, epochs, minimum=0, mend="Pass 0 to leave the phase out."
            )
        self._refuse_ignored(boundaries)
        self.reads_gaps, self.dropout = use_gaps, checks.require_rate("dropout", dropout)
        self.cell_arguments: dict[str, Any] = {
            "lower_units": lower_units,
            "upper_units": upper_units,
            "boundaries": boundaries,
        }
        cell = HSLSTMCell(seed=self._seed_of(1), **self.cell_arguments)
        self.item_scores = ItemScores(
            num_items, item_dim, seed=self._seed_of(0), name="item_scores"
        )
        self.item_scores.build()
        self.recurrence = Recurrence(cell)
        self.recurrence.build((None, None, item_dim + use_gaps + 2))
        self.output_map = keras.layers.Dense(
            item_dim,
            use_bias=False,
            kernel_initializer=BlockGlorot(seed=self._seed_of(2)),
            name="output",
        )
        self.output_map.build((None, upper_units + lower_units))
        self.drop_items = Dropout(dropout, seed=self._seed_of(3))
        self.drop_output = Dropout(dropout, seed=self._seed_of(4))
        if boundaries == "learned":
            self.seed_generator = keras.random.SeedGenerator(self._seed_of(5))
            self.baseline = self.add_weight(
                name="baseline", shape=(BASELINE_PARTS,), initializer="zeros", trainable=False
            )
        self.phase = self._phase_of(0)
        self.built = True

    def _refuse_ignored(self, boundaries) -> None:
        for name, default in LEARNING.items():
            if boundaries != "learned" and self.learning[name] != default:
                raise ValueError(
                    f"`{name}` was {self.learning[name]!r} with boundaries={boundaries!r}, where "
                    "nothing is learnt from rewards. Leave it out, or pass boundaries='learned'."
                )
        if not self.learning["pretrain_epochs"] and self.learning["heuristic"] != "session":
            raise ValueError(
                f"`heuristic` was {self.learning['heuristic']!r} with pretrain_epochs=0, where no "
                "epoch uses it. Leave it out, or pass e.g. pretrain_epochs=1."
            )

    @property
    def cell(self) -> HSLSTMCell:
        return self.recurrence.cell

    def initial_states(self, batch_size):
        return self.recurrence.initial_states(batch_size)

    def encode(self, events, states, training=False):
        hidden, states, _ = self._read(events, states, self._bar(events, training), training)
        return hidden, states

    def _bar(self, events, training):
        """Returns υ (batch, steps), which the policy has to pass to end a segment."""
        starts, step = events[SESSION_START], tf.range(tf.shape(events[ITEM_IDS])[1])
        if self.cell.boundaries != "given" and not training:
            return tf.zeros_like(events[ITEM_IDS], tf.float32)
        if self.cell.boundaries == "learned":
            if self.phase != PRETRAIN:
                u = keras.random.uniform(ops.shape(starts), seed=self.seed_generator)
                return tf.math.log(u) - tf.math.log1p(-u)
            if self.learning["heuristic"] == "every_third":
                starts = tf.broadcast_to((step > 0) & (step % 3 == 0), tf.shape(starts))
        return tf.where(starts, -np.inf, np.inf)

    def _read(self, events, states, bar, training=False):
        """Returns hidden, states, and the cell's outputs."""
        item_ids = events[ITEM_IDS]
        x = self.drop_items(self.item_scores.items(item_ids), training=training)
        told = [bar, events[USER_START]]
        if self.reads_gaps:
            # The logarithm before anything is cast: seconds are no half numbers.
            told = [log_gap(events[GAP]), *told]
        told = ops.stack([tf.cast(values, x.dtype) for values in told], axis=-1)
        outputs, states = self.recurrence(
            ops.concatenate([x, told], axis=-1),
            initial_state=states,
            is_event=item_ids != PADDING_ID,
            training=training,
        )
        o = outputs[..., : self.cell.upper_units + self.cell.lower_units]
        return self.output_map(self.drop_output(o, training=training)), states, outputs

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)

    def begin_epoch(self, epoch):
        phase = self._phase_of(epoch)
        if phase != self.phase:
            self.phase = phase
            self._compile_chunk_functions()

    def _phase_of(self, epoch):
        pretrain, policy = self.learning["pretrain_epochs"], self.learning["policy_epochs"]
        if self.cell.boundaries != "learned" or epoch >= pretrain + policy:
            return JOINT
        return PRETRAIN if epoch < pretrain else POLICY

    def update_groups(self):
        if self.phase == JOINT:
            return super().update_groups()
        policy = list(self.cell.policy)
        if self.phase == POLICY:
            return [policy]
        ids = {id(variable) for variable in policy}
        return [[v for v in self.trainable_variables if id(v) not in ids]]

    def encode_to_train(self, events, states):
        bar = self._bar(events, training=True)
        if self.phase != PRETRAIN:
            self.cell.follow(FOLLOWED_SHARE)
        hidden, states, outputs = self._read(events, states, bar, training=True)
        if self.cell.boundaries == "given" or self.phase == PRETRAIN:
            return hidden, states, tf.zeros((), tf.float32)
        z, _, ends = tf.unstack(at_least_float32(outputs[..., -3:]), axis=-1)
        if self.cell.boundaries == "supervised":
            decides = (events[ITEM_IDS] != PADDING_ID) & ~events[USER_START]
            return hidden, states, -_mean(log_policy(z, ends), tf.cast(decides, tf.float32))

        def policy_loss(row_losses, weights):
            return self._policy_loss(z, ends, events[USER_START], row_losses, weights)

        return hidden, states, policy_loss

    def _policy_loss(self, z, ends, user_start, row_losses, weights):
        is_pair = tf.cast(weights > 0, tf.float32)
        log_p = tf.stop_gradient(tf.where(weights > 0, -row_losses, 0.0))
        rewards = segment_rewards(
            log_p,
            ends,
            user_start,
            is_pair,
            gamma=self.learning["gamma"],
            reward=self.learning["reward"],
        )
        # Before a user's first event there is nothing to end.
        decides = tf.where(user_start, 0.0, is_pair)
        advantages = self._advantages(rewards, decides)
        entropy = tf.nn.softplus(z) - z * tf.sigmoid(z)
        gains = advantages * log_policy(z, ends) + ENTROPY_WEIGHT * entropy
        return -_mean(gains, decides)

    def _advantages(self, rewards, decides):
        """Returns A (batch, steps), and moves the averages of G that it is measured from."""
        steps = rewards.shape[1]
        part = tf.one_hot(np.arange(steps) * BASELINE_PARTS // steps, BASELINE_PARTS)
        expected = tf.identity(self.baseline.value)  # before it is assigned
        totals, counts = (
            tf.einsum("bt,tk->k", values, part) for values in (rewards * decides, decides)
        )
        means = tf.where(counts > 0, tf.math.divide_no_nan(totals, counts), expected)
        self.baseline.assign(BASELINE_DECAY * expected + (1 - BASELINE_DECAY) * means)
        advantages = rewards - tf.linalg.matvec(part, expected)
        advantages -= _mean(advantages, decides)
        return advantages / tf.sqrt(_mean(advantages**2, decides) + 1e-8)

    def explain(self, item_ids, *, gaps=None, session_start=None) -> Explanation:
        """Returns the segments and states of one history.

        Args:
            item_ids: int (events,), each in 1..num_items.
            gaps: int (events,), seconds since the event before; read with `use_gaps` alone.
            session_start: bool (events,); read where boundaries are given, alone.

        Raises:
            ValueError: not one history, or gaps or starts that are missing or do not fit.
        """
        given = self.cell.boundaries == "given"
        history, events = flagged_history(
            item_ids,
            num_items=self.num_items,
            gaps=gaps,
            session_start=session_start,
            needed=("gaps",) * self.reads_gaps + ("session_start",) * given,
        )
        bar = self._bar(events, training=False)
        *_, outputs = self._read(events, self.initial_states(1), bar)
        outputs = tf.cast(outputs[0], tf.float32)
        upper, lower = self.cell.upper_units, self.cell.lower_units
        boundaries = {}
        if not given:
            pi = tf.sigmoid(outputs[:, -2])
            boundaries["segment"] = np.where(events[USER_START][0], 0.0, pi)
        return Explanation(
            item_ids=history,
            boundaries=boundaries,
            states={
                "lower": outputs[:, upper : upper + lower].numpy(),
                "upper": outputs[:, :upper].numpy(),
            },
        )

    def get_config(self):
        return (
            super().get_config()
            | self.cell_arguments
            | self.learning
            | {"item_dim": self.item_dim, "use_gaps": self.reads_gaps, "dropout": self.dropout}
        )


def segment_rewards(log_p, ends, user_start, is_pair, *, gamma, reward):
    """Returns G (batch, steps), the reward of each decision; see `HSLSTM`.

    Args:
        log_p: (batch, steps), of the event's next item.
        ends: (batch, steps), b.
        user_start: bool (batch, steps); what one user does is no other user's reward.
        is_pair: (batch, steps), 1 where the event has a next item, 0 where it does not count.
        gamma: γ.
        reward: of `REWARDS`.
    """
    user = tf.cumsum(tf.cast(user_start, tf.int32), axis=1)
    own = tf.cast(user[:, :, None] == user[:, None], log_p.dtype) * is_pair[:, None]
    num_events = tf.reduce_sum(own, axis=-1)
    num_segments = 1.0 + tf.linalg.matvec(own, ends)
    lengths = num_segments / tf.maximum(num_events, 1.0) + 0.1 * num_events / num_segments
    told = tf.linalg.band_part(own, 0, -1) if reward == "following" else own
    mean = tf.math.divide_no_nan(tf.linalg.matvec(told, log_p), tf.reduce_sum(told, axis=-1))
    return mean - gamma * lengths


def log_policy(z, ends):
    """Returns log π(b): log σ(z) where b = 1, log σ(-z) where it is 0."""
    return ends * z - tf.nn.softplus(z)


def _mean(values, counts):
    return tf.math.divide_no_nan(tf.reduce_sum(values * counts), tf.reduce_sum(counts))
