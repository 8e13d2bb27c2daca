"""Collaborative RNN: a recurrent recommender with matrices of each user."""

import keras
import tensorflow as tf

from hrec_tf.cells import CollaborativeGRUCell
from hrec_tf.layers import ItemEmbedding, Recurrence
from hrec_tf.layers.events import known_users
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.schema import CONCATENATED, ITEM_IDS, PADDING_ID, USER_IDS, USER_START


@keras.saving.register_keras_serializable(package="hrec_tf")
class CollaborativeRNN(NextItemModel):
    """Next item in a known user's whole history, by a GRU whose matrices are the user's own.

        h = GRU(e[item], h; U[user]);   r̂ = h Wᵀ,   W (num_items, units), no bias

    `CollaborativeGRUCell` holds the equations. h is 0 at a user's first event only. All values
    begin from N(0, 1 / H). The matrices are num_users · 3 H² numbers, a row of a table per user.

    Source: Ko, Maystre & Grossglauser, ACML 2016, and the code lca4/collaborative-rnn;
    docs/equations.md H.2. Differs from it: the softmax has no class for padding, and a user that
    training did not have gets the mean of all users' matrices (inferred).

    Args:
        num_items: N; ids run 1..N.
        num_users: U, of training; `Histories.user_ids` run 1..U, 0 or more is an unknown user.
        shared: one U for everybody, the RNN that they compare with. It has no `num_users`, is not
            told who the user is, and is exported as other models are.
        units: H.
        activation: φ of the candidate, "sigmoid" as in the code, or "tanh".
        seed: of initial values.
    """

    layout = CONCATENATED
    reads_users = True

    def __init__(
        self,
        *,
        num_items: int,
        num_users: int | None = None,
        shared: bool = False,
        units: int = 128,
        activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        if shared != (num_users is None):
            raise ValueError(
                f"`num_users` was {num_users} with shared={shared}. Pass the number of training's "
                'users (a recipe says "log"), or shared=True alone for one matrix of all.'
            )
        self.num_users, self.shared, self.reads_users = num_users, shared, not shared
        cell = CollaborativeGRUCell(
            units,
            num_items=num_items,
            num_users=num_users,
            activation=activation,
            seed=self._seed_of(0),
        )
        self.recurrence = Recurrence(cell)
        self.recurrence.build((None, None, 1 if shared else 2))
        self.item_scores = ItemEmbedding(
            num_items, units, stddev=units**-0.5, seed=self._seed_of(1), name="item_scores"
        )
        self.item_scores.build()
        self.built = True

    def initial_states(self, batch_size):
        return self.recurrence.initial_states(batch_size)

    def encode(self, events, states, training=False):
        item_ids = events[ITEM_IDS]
        told = [item_ids] if self.shared else [item_ids, events[USER_IDS]]
        if not (self.shared or training):  # in training every user is known
            told[1] = known_users(told[1], self.num_users)
        return self.recurrence(
            tf.stack(told, axis=-1),
            initial_state=states,
            reset=events[USER_START],
            is_event=item_ids != PADDING_ID,
            training=training,
        )

    def score(self, hidden, item_ids=None):
        return self.item_scores.products(hidden, item_ids)

    def get_config(self):
        return super().get_config() | {
            "num_users": self.num_users,
            "shared": self.shared,
            "units": self.recurrence.cell.units,
            "activation": self.recurrence.cell.activation,
        }
