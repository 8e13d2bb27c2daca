"""User-based GRU: a recurrent recommender that knows its users."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells import UserGRUCell
from hrec_tf.layers import ItemEmbedding, ItemScores, Recurrence
from hrec_tf.layers.dropout import Dropout
from hrec_tf.layers.events import known_users
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.schema import CONCATENATED, ITEM_IDS, PADDING_ID, USER_IDS, USER_START


@keras.saving.register_keras_serializable(package="hrec_tf")
class UserGRU(NextItemModel):
    """Next item in a known user's whole history, by a GRU with a vector of each user.

        h = GRU_u([E_a[item]; E_u[user]], h);   r̂ = h Wᵀ + b

    `UserGRUCell` holds the equations. h is 0 at a user's first event only. A user that training
    did not have gets the mean of all users' vectors (inferred).

    Source: Donkers, Loepp & Ziegler, RecSys 2017, doi:10.1145/3109859.3109877, in whose table the
    attentional form is best; equations reconstructed; docs/equations.md H.1.

    Args:
        num_items: N; ids run 1..N.
        num_users: U, of training; `Histories.user_ids` run 1..U, 0 or more is an unknown user.
        item_dim, user_dim: sizes of the vectors.
        units: H.
        integration: "linear", "rectified" or "attentional".
        dropout: rate, on the items' vectors.
        seed: of initial values and dropout.
    """

    layout = CONCATENATED
    reads_users = True

    def __init__(
        self,
        *,
        num_items: int,
        num_users: int,
        item_dim: int = 100,
        user_dim: int = 50,
        units: int = 100,
        integration: str = "attentional",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        self.num_users = checks.require_positive_int(
            "num_users",
            num_users,
            mend='Pass the number of training\'s users; a recipe says "log".',
        )
        self.item_dim, self.user_dim, self.units = item_dim, user_dim, units
        self.integration = integration
        self.dropout = checks.require_rate("dropout", dropout)
        self.items = ItemEmbedding(num_items, item_dim, seed=self._seed_of(0), name="items")
        self.users = ItemEmbedding(num_users, user_dim, seed=self._seed_of(1), name="users")
        self.item_scores = ItemScores(num_items, units, seed=self._seed_of(2), name="item_scores")
        for table in (self.items, self.users, self.item_scores):
            table.build()
        cell = UserGRUCell(units, user_dim=user_dim, integration=integration, seed=self._seed_of(3))
        self.recurrence = Recurrence(cell)
        self.recurrence.build((None, None, item_dim + user_dim))
        self.drop_items = Dropout(dropout, seed=self._seed_of(4))
        self.built = True

    def initial_states(self, batch_size):
        return self.recurrence.initial_states(batch_size)

    def encode(self, events, states, training=False):
        item_ids, user_ids = events[ITEM_IDS], events[USER_IDS]
        if not training:  # where every user is known
            user_ids = known_users(user_ids, self.num_users)
        users = self.users(user_ids)
        if not training:
            mean = tf.reduce_mean(tf.stop_gradient(self.users.table.value[1:]), axis=0)
            mean = tf.cast(mean, users.dtype)
            users = ops.where(ops.expand_dims(user_ids, -1) == PADDING_ID, mean, users)
        items = self.drop_items(self.items(item_ids), training=training)
        return self.recurrence(
            ops.concatenate([items, users], axis=-1),
            initial_state=states,
            reset=events[USER_START],
            is_event=item_ids != PADDING_ID,
            training=training,
        )

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)

    def get_config(self):
        return super().get_config() | {
            "num_users": self.num_users,
            "item_dim": self.item_dim,
            "user_dim": self.user_dim,
            "units": self.units,
            "integration": self.integration,
            "dropout": self.dropout,
        }
