"""HRNN's cell: a GRU over the events of a session inside a GRU over the sessions of a user."""

from typing import Any

import keras
from keras import ops

from hrec_tf import checks
from hrec_tf.cells import listed_rows
from hrec_tf.cells.gru import ReferenceGRUCell
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.layer_norm_gru import LayerNormGRUCell
from hrec_tf.cells.protocol import dense, drop, keep_mask

USER_GATES = (None, "rzh", "rz")
FIRST_SESSION_INITS = ("zero", "tanh_bias")


@keras.saving.register_keras_serializable(package="hrec_tf")
class HierarchicalGRUCell(keras.layers.Layer):
    """One event of HRNN: sessions inside a user's history.

    With b = `session_start` and a = `user_start` (each 0 or 1) at this event, s the session
    state and c the user state:

        c* = drop_usr(GRU_usr(s, c))                   the ended session informs c   (Eq. 3)
        c  <- b c* + (1 - b) c;  c <- (1 - a) c        a new user starts from zero
        s* = drop_init(tanh(c W_init [+ δ d_init] + b_init))   a session starts from c   (Eq. 4)
        s  <- b s* + (1 - b) s;  s <- (1 - a) s + a FIRST
        s  <- drop_ses(GRU_ses(x, s [, c] [, δ]))      read the item            (Eq. 1 and 5)

    FIRST is 0, or with `first_session_init="tanh_bias"` what Eq. 4 makes of c = 0. In "HRNN Init"
    (`user_gates=None`) c enters through Eq. 4 only. In "HRNN All" it also enters the gates
    of GRU_ses at every event, by terms without bias:

        r = σ(… + c V_r);  z = σ(… + c V_z);  h~ = tanh(… + c V_h)      V_h = 0 with "rz"

    With `gap_input` δ, a number that says how long ago the event before was, enters Eq. 4 and
    the gates likewise:

        r = σ(… + δ d_r);  z = σ(… + δ d_z);  h~ = tanh(… + δ d_h)

    Both GRUs are `ReferenceGRUCell`, or with `layer_norm` `LayerNormGRUCell`, whose LN is that
    of x W and h U alone. The order of these lines is that of the authors' code:
    the user state moves at the first event of the NEXT session.

    Source: Quadrana et al., RecSys 2017, arXiv:1706.04148, Eq. 1-5; docs/equations.md B.2.
    Differs from it: one layer per level; `user_gates="rz"` is the form of the authors' code,
    where the candidate block stays unused. Not in it: `layer_norm` (Ba et al. 2016,
    arXiv:1607.06450) and `gap_input`: Vassøy et al., WSDM 2019, arXiv:1812.01276, have the time
    between sessions in their hierarchical network; its form here is our choice.

    Args:
        session_units: size H_s of the session state s.
        user_units: size H_u of the user state c.
        num_items: if given, an event is an item id (one-hot input); else an embedding.
        user_gates: None (HRNN Init), "rzh" or "rz" (HRNN All).
        first_session_init: "zero" or "tanh_bias", the FIRST above.
        session_dropout, user_dropout, init_dropout: rates of drop_ses, drop_usr, drop_init.
        user_to_output: output [s; c] in place of s.
        layer_norm: normalise the products of both GRUs; not with `num_items`.
        gap_input: read δ; not with `num_items`.

    Call:
        inputs: (batch, item_dim + 2) floats, or (batch, 3) ints with `num_items`: the item,
            with `gap_input` δ, then b, then a. `layers.pack_events` makes it.
        states: `[s (batch, session_units), c (batch, user_units)]`.
        Returns `(s, [s, c])`, or `([s; c], [s, c])` with `user_to_output`.
    """

    def __init__(
        self,
        *,
        session_units: int = 100,
        user_units: int = 100,
        num_items: int | None = None,
        user_gates: str | None = None,
        first_session_init: str = "zero",
        session_dropout: float = 0.0,
        user_dropout: float = 0.0,
        init_dropout: float = 0.0,
        user_to_output: bool = False,
        layer_norm: bool = False,
        gap_input: bool = False,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if user_gates is not None:
            checks.require_choice("user_gates", user_gates, USER_GATES[1:])
        checks.require_choice("first_session_init", first_session_init, FIRST_SESSION_INITS)
        for name, size in (("session_units", session_units), ("user_units", user_units)):
            checks.require_positive_int(name, size, mend="Pass the size of the state, e.g. 100.")
        self.num_items, self.user_gates = num_items, user_gates
        self.first_session_init, self.seed = first_session_init, seed
        self.session_dropout = checks.require_rate("session_dropout", session_dropout)
        self.user_dropout = checks.require_rate("user_dropout", user_dropout)
        self.init_dropout = checks.require_rate("init_dropout", init_dropout)
        for name, value in (("layer_norm", layer_norm), ("gap_input", gap_input)):
            if value and num_items is not None:
                raise ValueError(
                    f"`{name}` was True with num_items={num_items}, where an event is a row of "
                    "ints. Leave it out, or pass num_items=None and vectors of items."
                )
        self.layer_norm, self.gap_input = layer_norm, gap_input
        self.session_cell, self.user_cell = self._grus(session_units, user_units)
        self.session_units, self.user_units = session_units, user_units
        self.state_size = [session_units, user_units]
        self.user_to_output = user_to_output
        self.output_size = session_units + (user_units if user_to_output else 0)
        self.seed_generator = keras.random.SeedGenerator(self._seed(30))

    def _grus(self, session_units, user_units):
        kind: Any = LayerNormGRUCell
        table = {}
        if not self.layer_norm:
            kind, table = ReferenceGRUCell, {"num_items": self.num_items}
        session = kind(
            session_units, dropout=self.session_dropout, seed=self._seed(0), name="session", **table
        )
        return session, kind(user_units, seed=self._seed(10), name="user")

    def _seed(self, offset):
        return None if self.seed is None else self.seed + offset

    def build(self, input_shape):
        self.session_cell.build((None, input_shape[-1] - self._num_told))
        self.user_cell.build((None, self.session_units))
        self.init_kernel = self.add_weight(
            name="init_kernel",
            shape=(self.user_units, self.session_units),
            initializer=BlockGlorot(seed=self._seed(20)),
        )
        self.init_bias = self.add_weight(
            name="init_bias", shape=(self.session_units,), initializer="zeros"
        )
        self.user_kernel = None
        if self.user_gates is not None:
            blocks = len(self.user_gates)
            self.user_kernel = self.add_weight(
                name="user_kernel",
                shape=(self.user_units, blocks * self.session_units),
                initializer=BlockGlorot(blocks=blocks, seed=self._seed(21)),
            )

        if self.gap_input:
            self.gap_kernel = self.add_weight(
                name="gap_kernel",
                shape=(1, 3 * self.session_units),
                initializer=BlockGlorot(blocks=3, seed=self._seed(22)),
            )
            self.gap_init_kernel = self.add_weight(
                name="gap_init_kernel",
                shape=(1, self.session_units),
                initializer=BlockGlorot(seed=self._seed(23)),
            )

    @property
    def _num_told(self) -> int:
        """How many numbers of an event follow the item."""
        return 3 if self.gap_input else 2

    @property
    def step_weights(self):
        weights = [
            *self.session_cell.step_weights,
            *self.user_cell.project_weights,
            *self.user_cell.step_weights,
            self.init_kernel,
            self.init_bias,
        ]
        return weights if self.user_kernel is None else [*weights, self.user_kernel]

    def project(self, inputs, training=False):
        """Returns the session GRU's projection, the flags, and the dropout masks."""
        width = inputs.shape[-1]
        items, *gap, session_start, user_start = ops.split(
            inputs, list(range(width - self._num_told, width)), axis=-1
        )
        session = self.session_cell.project(items, training=training)
        projected = {
            "session": session,
            # A user's first event is a session's first event, whoever made the flags.
            "session_start": ops.maximum(session_start, user_start) > 0,
            "user_start": user_start > 0,
        }
        if self.layer_norm:
            constants = session.pop("constants")
            projected["constants"] = {"session": constants, "user": self.user_cell.constants()}
        if gap:
            session["gates"] += dense(gap[0], self.gap_kernel)
            projected["gap_init"] = dense(gap[0], self.gap_init_kernel)
        for name, rate, units in (
            ("keep_user", self.user_dropout, self.user_units),
            ("keep_init", self.init_dropout, self.session_units),
        ):
            if training and rate:
                projected[name] = keep_mask(session["gates"], units, rate, self.seed_generator)
        if training and self.first_session_init == "zero":
            goes_on = projected["session_start"] & ~projected["user_start"]
            projected["shortcuts"] = listed_rows.shortcuts(goes_on[..., 0])
        return projected

    def step(self, projected, states, dense=dense):
        s, c = states
        session_start, user_start = projected["session_start"], projected["user_start"]

        # Eq. 3: the end of a session is only known at the first event of the next.
        # Eq. 4. Few rows start a session: where they are listed, only they are computed.
        lists = projected.get("shortcut")
        if lists is None:
            ended = self._ended(s, c, projected, dense)
            c = ops.where(session_start, ended, c)
            # A lane plays many users; without this the second inherits the first.
            c = ops.where(user_start, 0.0, c)
            s = ops.where(session_start, self._started(c, projected, dense), s)
            if self.first_session_init == "zero":
                s = ops.where(user_start, 0.0, s)
        else:
            listed = {
                name: listed_rows.take(projected[name], lists)
                for name in ("keep_user", "keep_init", "gap_init")
                if name in projected
            }
            listed |= {name: projected[name] for name in ("constants",) if name in projected}
            ended = self._ended(
                listed_rows.take(s, lists), listed_rows.take(c, lists), listed, dense
            )
            started = self._started(ended, listed, dense)
            goes_on = lists["is_listed"][:, None]
            c = ops.where(user_start, 0.0, ops.where(goes_on, listed_rows.put(ended, lists), c))
            s = ops.where(user_start, 0.0, ops.where(goes_on, listed_rows.put(started, lists), s))

        # Eq. 1, and Eq. 5 with the terms c V.
        session = projected["session"]
        if self.layer_norm:
            session = session | {"constants": projected["constants"]["session"]}
        if self.user_kernel is not None:
            from_user = dense(c, self.user_kernel)
            missing = 3 * self.session_units - from_user.shape[-1]
            if missing:
                from_user = ops.pad(from_user, [[0, 0], [0, missing]])
            session = session | {"gates": session["gates"] + from_user}
        s, _ = self.session_cell.step(session, [s], dense=dense)
        output = ops.concatenate([s, c], axis=-1) if self.user_to_output else s
        return output, [s, c]

    def _ended(self, s, c, projected, dense):
        """c*: what the session that ended makes of the user state (Eq. 3)."""
        given = {"constants": projected["constants"]["user"]} if self.layer_norm else {}
        read = self.user_cell.project(s, dense=dense, **given)
        ended, _ = self.user_cell.step(read, [c], dense=dense)
        return drop(ended, projected, "keep_user")

    def _started(self, c, projected, dense):
        """s*: the state that a session starts from (Eq. 4)."""
        start = dense(c, self.init_kernel, self.init_bias)
        if self.gap_input:
            start += projected["gap_init"]
        return drop(ops.tanh(start), projected, "keep_init")

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {
            "session_units": self.session_units,
            "user_units": self.user_units,
            "num_items": self.num_items,
            "user_gates": self.user_gates,
            "first_session_init": self.first_session_init,
            "session_dropout": self.session_dropout,
            "user_dropout": self.user_dropout,
            "init_dropout": self.init_dropout,
            "user_to_output": self.user_to_output,
            "layer_norm": self.layer_norm,
            "gap_input": self.gap_input,
            "seed": self.seed,
        }
