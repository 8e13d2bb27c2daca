"""GRU4Rec and what differs from it by one line: LSTM4Rec, and RNN Concat."""

import keras

from hrec_tf import checks
from hrec_tf.cells import LayerNormGRUCell, LSTMCell, ReferenceGRUCell
from hrec_tf.layers import ItemEmbedding, ItemInputs, ItemScores, Recurrence, require_inputs
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.schema import (
    CONCATENATED,
    ITEM_IDS,
    PADDING_ID,
    SESSION_PARALLEL,
    SESSION_START,
    USER_PARALLEL,
    USER_START,
)


@keras.saving.register_keras_serializable(package="hrec_tf")
class GRU4Rec(NextItemModel):
    """Next item in a session from the session's clicks only.

        h_1 = drop_h(GRU_1(drop_e(x), h_1));   h_l = drop_h(GRU_l(h_{l-1}, h_l))
        r̂   = h_L W_yᵀ + b_y                                       W_y (num_items, H_L)

    What x is, `inputs` says:

    * "one_hot": GRU_1 reads a row of its own table (num_items, 3 H_1); no drop_e. (2016)
    * "embedding": x is a row of an item table (num_items, item_dim).
    * "constrained": x is a row of W_y, so H_L = item_dim: the tied form. (2018)

    Every session starts from h = 0. The activation of the scores belongs to the loss.

    Source: Hidasi et al., ICLR 2016, arXiv:1511.06939; Hidasi & Karatzoglou, CIKM 2018,
    arXiv:1706.03847 (with their losses and negatives: "GRU4Rec+"); docs/equations.md A.1, A.2.
    It is also the "RNN" of Quadrana et al. 2017. Not in them: `item_dropout`, and `layer_norm`, of
    Ba et al. 2016, arXiv:1607.06450, in the form of docs/equations.md H.3.

    Args:
        num_items: N; ids run 1..N.
        units: H of each layer, e.g. `(100,)`.
        inputs: "one_hot", "embedding" or "constrained".
        item_dim: size of an item's vector, for "embedding" only; the first layer's H if None.
        reset_after: GRU form, see `ReferenceGRUCell`.
        layer_norm: normalise the products of each GRU, see `LayerNormGRUCell`: the reset then
            comes after them in any case. Not with "one_hot".
        embed_dropout: rate of drop_e; not for "one_hot".
        item_dropout: share of events that are read as ones of no item, see `ItemInputs`.
        hidden_dropout: rate of drop_h.
        seed: of initial values and dropout.
    """

    layout = SESSION_PARALLEL
    # Sessions may also come user by user: each starts from zero all the same.
    trains_on: tuple[str, ...] = (SESSION_PARALLEL, USER_PARALLEL)

    def __init__(
        self,
        *,
        num_items: int,
        units: tuple[int, ...] = (100,),
        inputs: str = "one_hot",
        item_dim: int | None = None,
        reset_after: bool = False,
        layer_norm: bool = False,
        embed_dropout: float = 0.0,
        item_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        require_inputs(inputs, item_dim=item_dim, embed_dropout=embed_dropout)
        self.inputs_mode, self.reset_after, self.layer_norm = inputs, reset_after, layer_norm
        if layer_norm and inputs == "one_hot":
            raise ValueError(
                "`layer_norm` was True with inputs='one_hot', where an event is a row of a table, "
                "and no product. Leave it out, or pass inputs='embedding' or 'constrained'."
            )
        self.units = tuple(
            checks.require_positive_int("units", size, mend="Pass sizes, e.g. (100,).")
            for size in (units if isinstance(units, (tuple, list)) else (units,))
        )
        if not self.units:
            raise ValueError("`units` was empty, but a model needs a layer. Pass e.g. (100,).")
        self.item_dim = item_dim
        self.hidden_dropout = checks.require_rate("hidden_dropout", hidden_dropout)
        if inputs == "constrained" and self.units[0] != self.units[-1]:
            raise ValueError(
                f"`units` was {self.units} with inputs='constrained', where first and last layer "
                "read and score by one table. Pass equal first and last sizes."
            )

        dim = item_dim or self.units[0]
        self.item_scores = ItemScores(
            num_items, self.units[-1], seed=self._seed_of(0), name="item_scores"
        )
        self.item_scores.build()
        self.items = None
        if inputs == "embedding":
            self.items = ItemEmbedding(num_items, dim, seed=self._seed_of(1), name="items")
            self.items.build()
        self.item_inputs = ItemInputs(
            embed_dropout=embed_dropout, item_dropout=item_dropout, seed=self._seed_of(2)
        )
        self.recurrences = []
        for layer, size in enumerate(self.units):
            one_hot = inputs == "one_hot" and layer == 0
            recurrence = Recurrence(self._cell(size, one_hot, self._seed_of(3 + layer)))
            features = 1 if one_hot else (dim, *self.units)[layer]
            recurrence.build((None, None, features))
            self.recurrences.append(recurrence)
        self.built = True

    def _cell(self, units: int, one_hot: bool, seed: int | None):
        if self.layer_norm:
            return LayerNormGRUCell(units, dropout=self.hidden_dropout, seed=seed)
        return ReferenceGRUCell(
            units,
            num_items=self.num_items if one_hot else None,
            reset_after=self.reset_after,
            dropout=self.hidden_dropout,
            seed=seed,
        )

    def initial_states(self, batch_size):
        return [s for layer in self.recurrences for s in layer.initial_states(batch_size)]

    def encode(self, events, states, training=False):
        item_ids = events[ITEM_IDS]
        is_event, reset = item_ids != PADDING_ID, self._resets(events)
        states = iter(states)
        hidden, new_states = self.item_inputs(item_ids, table=self._table, training=training), []
        for recurrence in self.recurrences:
            hidden, new = recurrence(
                hidden,
                initial_state=[next(states) for _ in recurrence.state_sizes],
                reset=reset,
                is_event=is_event,
                training=training,
            )
            new_states += new
        return hidden, new_states

    def _resets(self, events):
        """Where h starts from zero: bool (batch, steps)."""
        return events[SESSION_START] | events[USER_START]

    @property
    def _table(self):
        """The item table that is read; None for one-hot input."""
        tables = {"embedding": self.items, "constrained": self.item_scores.items}
        return tables.get(self.inputs_mode)

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)

    def get_config(self):
        return super().get_config() | {
            "units": list(self.units),
            "inputs": self.inputs_mode,
            "item_dim": self.item_dim,
            "reset_after": self.reset_after,
            "layer_norm": self.layer_norm,
            "embed_dropout": self.item_inputs.embed_dropout,
            "item_dropout": self.item_inputs.item_dropout,
            "hidden_dropout": self.hidden_dropout,
        }


@keras.saving.register_keras_serializable(package="hrec_tf")
class LSTM4Rec(GRU4Rec):
    """GRU4Rec with an LSTM in place of the GRU.

    Source: baseline of Song et al., AAAI 2019; docs/equations.md A.3.

    Args: as `GRU4Rec`, without `reset_after` and `layer_norm`.
    """

    def __init__(self, *, num_items: int, **kwargs):
        for name, what in (("reset_after", "reset"), ("layer_norm", "normalised form here")):
            if kwargs.pop(name, False):
                raise ValueError(f"`{name}` was True, but an LSTM has no {what}. Leave it out.")
        super().__init__(num_items=num_items, **kwargs)

    def _cell(self, units, one_hot, seed):
        return LSTMCell(
            units,
            num_items=self.num_items if one_hot else None,
            dropout=self.hidden_dropout,
            seed=seed,
        )


@keras.saving.register_keras_serializable(package="hrec_tf")
class RNNConcat(GRU4Rec):
    """GRU4Rec on a user's sessions as one long sequence: h = 0 at a new user only.

    Source: Quadrana et al., RecSys 2017, arXiv:1706.04148, section 4.2; docs/equations.md A.4.

    Args: as `GRU4Rec`.
    """

    layout = CONCATENATED
    trains_on = (CONCATENATED,)

    def _resets(self, events):
        return events[USER_START]
