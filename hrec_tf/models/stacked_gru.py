"""Stacked GRUs with layer normalisation and tied item vectors."""

import keras

from hrec_tf import checks
from hrec_tf.cells import LayerNormGRUCell
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.layers import ItemInputs, ItemScores, Recurrence
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.schema import (
    ITEM_IDS,
    PADDING_ID,
    SESSION_PARALLEL,
    SESSION_START,
    USER_PARALLEL,
    USER_START,
)


@keras.saving.register_keras_serializable(package="hrec_tf")
class StackedGRU(NextItemModel):
    """Next item in a session by a stack of layer-normalised GRUs that read and score by one table.

        h_0 = drop_e(E[item]);   h_l = GRU_l(h_{l-1})  [+ h_{l-1} with `residual`]
        r̂   = h_L [W_o] Eᵀ + b            W_o (units, item_dim) only where the two differ

    `LayerNormGRUCell` holds the equations of a layer.

    Source: Villatel et al. 2018, arXiv:1807.09142, "Recurrent Neural Networks for Long and
    Short-Term Sequential Recommendation": stacked, layer-normalised and tied is what is known of
    their best model; sizes, the form of the GRU and the residual are inferred; docs/equations.md
    H.3.

    Args:
        num_items: N; ids run 1..N.
        item_dim: D, size of an item's vector.
        units: H of every layer; D if None.
        num_layers: L.
        layer_norm: False leaves LN out.
        residual: add a layer's input to its output; the first layer's only if D = H.
        embed_dropout, hidden_dropout: rates of drop_e and of each layer's new state.
        item_dropout: share of events that are read as ones of no item, see `ItemInputs`.
        seed: of initial values and dropout.
    """

    layout = SESSION_PARALLEL
    # Sessions may also come user by user: each starts from zero all the same.
    trains_on: tuple[str, ...] = (SESSION_PARALLEL, USER_PARALLEL)

    def __init__(
        self,
        *,
        num_items: int,
        item_dim: int = 100,
        units: int | None = None,
        num_layers: int = 2,
        layer_norm: bool = True,
        residual: bool = False,
        embed_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        item_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        self.item_dim = checks.require_positive_int(
            "item_dim", item_dim, mend="Pass the vectors' size, e.g. 100."
        )
        if units is not None:
            checks.require_positive_int("units", units, mend="Leave it out for item_dim.")
        self.num_layers = checks.require_positive_int("num_layers", num_layers, mend="Pass 1 to 3.")
        self.units, self.layer_norm, self.residual = units, layer_norm, residual
        self.hidden_dropout = checks.require_rate("hidden_dropout", hidden_dropout)
        size = units or item_dim
        self.item_scores = ItemScores(
            num_items, item_dim, seed=self._seed_of(0), name="item_scores"
        )
        self.item_scores.build()
        self.item_inputs = ItemInputs(
            embed_dropout=embed_dropout, item_dropout=item_dropout, seed=self._seed_of(1)
        )
        self.recurrences = []
        for layer in range(num_layers):
            cell = LayerNormGRUCell(
                size, layer_norm=layer_norm, dropout=hidden_dropout, seed=self._seed_of(3 + layer)
            )
            recurrence = Recurrence(cell)
            recurrence.build((None, None, size if layer else item_dim))
            self.recurrences.append(recurrence)
        self.output_map = None
        if size != item_dim:
            drawn = BlockGlorot(seed=self._seed_of(2))
            self.output_map = keras.layers.Dense(
                item_dim, use_bias=False, kernel_initializer=drawn, name="output"
            )
            self.output_map.build((None, size))
        self.built = True

    def initial_states(self, batch_size):
        return [s for layer in self.recurrences for s in layer.initial_states(batch_size)]

    def encode(self, events, states, training=False):
        item_ids = events[ITEM_IDS]
        hidden = self.item_inputs(item_ids, table=self.item_scores.items, training=training)
        new_states = []
        for recurrence, state in zip(self.recurrences, states, strict=True):
            below = hidden
            hidden, new = recurrence(
                below,
                initial_state=[state],
                reset=events[SESSION_START] | events[USER_START],
                is_event=item_ids != PADDING_ID,
                training=training,
            )
            if self.residual and below.shape[-1] == hidden.shape[-1]:
                hidden += below
            new_states += new
        return hidden if self.output_map is None else self.output_map(hidden), new_states

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)

    def get_config(self):
        return super().get_config() | {
            "item_dim": self.item_dim,
            "units": self.units,
            "num_layers": self.num_layers,
            "layer_norm": self.layer_norm,
            "residual": self.residual,
            "embed_dropout": self.item_inputs.embed_dropout,
            "item_dropout": self.item_inputs.item_dropout,
            "hidden_dropout": self.hidden_dropout,
        }
