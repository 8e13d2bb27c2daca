"""The GRU of a collaborative RNN: every user has recurrent matrices of their own."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import TableNormal
from hrec_tf.cells.protocol import dense
from hrec_tf.schema import PADDING_ID

ACTIVATIONS = ("sigmoid", "tanh")


@keras.saving.register_keras_serializable(package="hrec_tf")
class CollaborativeGRUCell(keras.layers.Layer):
    """One event of a GRU whose inputs are the item's and whose matrices are the user's.

        r  = σ(e_r[item] + h U_r[user])
        z  = σ(e_z[item] + h U_z[user])             z is the share of OLD content
        h~ = φ(e_h[item] + (r ⊙ h) U_h[user])
        h  <- z ⊙ h + (1 - z) ⊙ h~                  no biases

    z keeps what `ReferenceGRUCell` replaces with it. A user 0, whom training did not have, gets
    the mean of all users' matrices (inferred). The matrices of a window's users are looked up
    once, for all its steps: memory for users · 3 H² numbers more, and their gradient has no
    other rows.

    Source: Ko, Maystre & Grossglauser, ACML 2016, and the code lca4/collaborative-rnn, whose φ
    is the sigmoid; docs/equations.md H.2.

    Args:
        units: H, size of the state.
        num_items: N; ids run 1..N.
        num_users: U; ids run 1..U. None shares one U_r, U_z, U_h among everybody.
        activation: φ, "sigmoid" or "tanh".

    Call:
        inputs: int (batch, 2), [item id, user id]; (batch, 1), [item id], without `num_users`.
        states: `[h (batch, units)]`. Returns `(h, [h])`.
    """

    def __init__(
        self,
        units: int,
        *,
        num_items: int,
        num_users: int | None,
        activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int(
            "units", units, mend="Pass the size of the state, e.g. 128."
        )
        self.num_items = checks.require_positive_int(
            "num_items", num_items, mend="Pass `vocabulary.num_items`."
        )
        if num_users is not None:
            checks.require_positive_int(
                "num_users",
                num_users,
                mend="Pass the number of training's users, or None to share the matrices.",
            )
        self.num_users, self.seed = num_users, seed
        self.activation = checks.require_choice("activation", activation, ACTIVATIONS)
        self.state_size, self.output_size = self.units, self.units

    def build(self, input_shape=None):
        # Blocks stand in the order r, z, h.
        self.kernel = self._table("kernel", self.num_items, [3 * self.units], 0)
        users = self.num_users
        self.recurrent_gates = self._table("gates", users, [self.units, 2 * self.units], 1)
        self.recurrent_candidate = self._table("candidate", users, [self.units, self.units], 2)

    def _table(self, name, rows, shape, offset):
        """N(0, 1 / H) for each of the ids 1..rows; for all at once if there are no rows."""
        seed, stddev = None if self.seed is None else self.seed + offset, self.units**-0.5
        drawn = TableNormal(stddev, seed=seed)
        if rows is None:
            drawn = keras.initializers.RandomNormal(stddev=stddev, seed=seed)
        shape = shape if rows is None else [rows + 1, *shape]
        # Rows are cast where they are read: the whole table would be, at every step.
        return self.add_weight(name=name, shape=shape, initializer=drawn, autocast=rows is None)

    @property
    def step_weights(self):
        return [] if self.num_users else [self.recurrent_gates, self.recurrent_candidate]

    def project(self, inputs, training=False):
        """Returns e of the items; and the matrices of the users, with where each event has its."""
        item_ids = inputs[..., 0]
        projected = {"items": self._rows(self.kernel, item_ids)}
        if self.num_users is None:
            return projected
        user_ids, places = tf.unique(tf.reshape(inputs[..., 1], [-1]))
        matrices = {}
        for name, table in (("rz", self.recurrent_gates), ("h", self.recurrent_candidate)):
            matrices[name] = self._rows(table, user_ids)
            if not training:
                # Every user of training is known there.
                is_unknown = user_ids == PADDING_ID
                mean = tf.cond(
                    tf.reduce_any(is_unknown),
                    lambda table=table: tf.reduce_mean(tf.stop_gradient(table.value[1:]), axis=0),
                    lambda table=table: tf.zeros_like(table.value[0]),
                )
                mean = tf.cast(mean, self.compute_dtype)
                matrices[name] = tf.where(is_unknown[:, None, None], mean, matrices[name])
        places = tf.reshape(places, tf.shape(item_ids))
        return projected | {"places": places, "constants": matrices}

    def _rows(self, table, ids):
        return tf.cast(tf.gather(table.value, ids), self.compute_dtype)

    def step(self, projected, states, dense=dense):
        (h,) = states

        def product(x, kernel, name):
            if self.num_users is None:
                return dense(x, kernel)
            own = rows_at(projected["constants"][name], projected["places"])
            return tf.matmul(x[:, None], own)[:, 0]

        e_rz, e_h = ops.split(projected["items"], [2 * self.units], axis=-1)
        gates = ops.sigmoid(e_rz + product(h, self.recurrent_gates, "rz"))
        r, z = ops.split(gates, 2, axis=-1)
        phi = ops.sigmoid if self.activation == "sigmoid" else ops.tanh
        h = z * h + (1 - z) * phi(e_h + product(r * h, self.recurrent_candidate, "h"))
        return h, [h]

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "num_items": self.num_items,
            "num_users": self.num_users,
            "activation": self.activation,
            "seed": self.seed,
        }


@tf.custom_gradient
def rows_at(table, places):
    """`tf.gather` of a table so small that its gradient had better be dense.

    `Recurrence` adds the gradients of a constant up, step by step.
    """

    def gradient(of_rows):
        return tf.math.unsorted_segment_sum(of_rows, places, tf.shape(table)[0]), None

    return tf.gather(table, places), gradient
