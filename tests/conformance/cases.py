"""Every model that the library offers, one row each, as small as it can be tested."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf import registry
from hrec_tf.data.aligned import aligned_stream
from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import lane_stream
from hrec_tf.data.prefixes import padded_stream
from hrec_tf.data.recent_counts import RecentShares
from hrec_tf.layers import RecentScores
from hrec_tf.losses import TOP1, CrossEntropy, InBatch
from hrec_tf.metrics import MRR, Recall
from hrec_tf.models import (
    HCRNN,
    HMRNN,
    HRNN,
    HSLSTM,
    NARM,
    RNNBPM,
    STAMP,
    CollaborativeRNN,
    GRU4Rec,
    HiRNN,
    HRNNMeta,
    LSTM4Rec,
    NextItemModel,
    PrefixRNN,
    RNNConcat,
    StackedGRU,
    UserGRU,
)
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.schema import (
    ALIGNED,
    FEEDBACK,
    GAP,
    IS_STEP,
    ITEM_IDS,
    MINUTE,
    NEXT_GAP,
    NEXT_SESSION_START,
    PADDED_LAYOUTS,
    POSITIONS,
    PREFIXES,
    SESSION_START,
    USER_FEATURES,
    USER_IDS,
    USER_START,
)
from tests.reference.neighbour_scores import similarities
from tests.reference.padded_rows import padded_events
from tests.reference.weights import fill_distinct, fill_drawn

NUM_ITEMS = 12


def set_popular_shares(layer: RecentScores) -> None:
    """Other items at each moment, with shares all distinct."""
    draw = np.random.default_rng(5)
    ids = [draw.permutation(layer.num_items)[: layer.size] + 1 for _ in range(layer.moments)]
    shares = draw.dirichlet(np.ones(layer.size), layer.moments)
    counts = np.arange(layer.num_items + 1) / 7
    layer.set_shares(RecentShares(0, np.array(ids, np.int32), shares, counts, last_time=3_000))


@dataclass(frozen=True, eq=False)
class Case:
    """A model's class and the arguments that set it apart."""

    name: str
    model: Callable[..., NextItemModel]
    arguments: dict[str, Any] = field(default_factory=dict)
    sampled: bool = True
    """Whether scores of some items cost less than those of all, which probabilities do not."""
    trains_alike: bool = False
    """Whether it differs from another row in what it computes, and not in how it is trained.

    No row of the registry has that alone.
    """

    @functools.cached_property
    def _facts(self) -> tuple[str, bool, bool]:
        model = self.build()
        return model.layout, model.reads_gaps, model.reads_minutes

    @property
    def layout(self) -> str:
        """The stream that the model is trained on."""
        return self._facts[0]

    @property
    def reads_gaps(self) -> bool:
        """Whether its events tell the time since the one before."""
        return self._facts[1]

    @property
    def is_padded(self) -> bool:
        """Whether it reads padded rows, and not lanes."""
        return self.layout in PADDED_LAYOUTS

    @property
    def reads_users(self) -> bool:
        """Whether it is told whose events they are."""
        return self.model.reads_users and not self.arguments.get("shared", False)

    @property
    def is_served(self) -> bool:
        """Whether what serves it can tell it all that it reads; said without building it."""
        return not self.reads_users and not self.arguments.get("use_query_gap", False)

    @property
    def windows_per_chunk(self) -> int:
        return 1 if self.is_padded else 6

    @property
    def reads_minutes(self) -> bool:
        """Whether its events tell when they were."""
        return self._facts[2]

    def build(self, seed: int = 3) -> NextItemModel:
        model = self.model(num_items=NUM_ITEMS, seed=seed, **self.arguments)
        neighbours = self.arguments.get("neighbours")
        if neighbours:
            model.set_neighbours(similarities(NUM_ITEMS, neighbours))
        if self.arguments.get("popular"):
            set_popular_shares(model.heads.recent)
        return model

    def compile(self, model: NextItemModel, histories: Histories) -> None:
        """Sets how the model is trained, as its paper does or nearly so."""
        learns_from_all = self.model in (HiRNN, HMRNN, HSLSTM)
        if self.is_padded or self.layout == ALIGNED or learns_from_all:
            training = {"optimizer": keras.optimizers.Adam(0.02), "loss": CrossEntropy()}
        else:
            supports = histories.item_supports()
            training = {
                "optimizer": AdagradMomentum(0.1, momentum=0.2),
                "loss": TOP1(form="paper"),
                "negatives": InBatch(extra=4, alpha=0.5, item_supports=supports, seed=5),
            }
        model.compile(
            **training,
            metrics=[Recall(3), MRR(3)],
            windows_per_chunk=self.windows_per_chunk,
            jit_compile=False,
        )

    def stream(self, histories: Histories, *, rows: int, **arguments: Any) -> tf.data.Dataset:
        """The stream that the model is trained on; rows are its lanes or its batch."""
        if self.is_padded:
            max_length = self.arguments.get("max_length")
            return padded_stream(
                histories, layout=self.layout, batch_size=rows, max_length=max_length, **arguments
            )
        if self.layout == ALIGNED:
            arguments = {"steps": 1} | arguments  # as the other streams have it
            return aligned_stream(self.as_read(histories), num_lanes=rows, **arguments)
        feed_last_item = self.arguments.get("feed_last_item", False)
        return lane_stream(
            self.as_read(histories),
            layout=self.layout,
            num_lanes=rows,
            feed_last_item=feed_last_item,
            with_gaps=self.reads_gaps,
            with_minutes=self.reads_minutes,
            with_users=self.reads_users,
            **arguments,
        )

    @property
    def widths(self) -> dict[str, int]:
        """Name of what an event of an aligned stream has as features -> how many."""
        names = {FEEDBACK: "num_feedback", USER_FEATURES: "num_user_features"}
        given = {name: self.arguments.get(argument, 0) for name, argument in names.items()}
        return {name: width for name, width in given.items() if width}

    def as_read(self, histories: Histories) -> Histories:
        """The histories with feedback, user features and users' ids, if the model reads them."""
        draw, rows = np.random.default_rng(7), {FEEDBACK: histories.num_events}
        drawn = {
            name: draw.normal(size=(rows.get(name, histories.num_users), width)).astype(np.float32)
            for name, width in self.widths.items()
        }
        ids = np.arange(1, 1 + histories.num_users) if self.reads_users else histories.user_ids
        return replace(histories, user_ids=ids, **drawn)

    def events(self, *, rows: int, steps: int, seed: int = 0) -> dict[str, tf.Tensor]:
        """Random events, as a batch of the stream holds them."""
        generator = np.random.default_rng(seed)
        item_ids = generator.integers(1, NUM_ITEMS + 1, (rows, steps))
        if not self.is_padded:
            user_start = generator.random((rows, steps)) < 0.2
            events = {
                ITEM_IDS: tf.constant(item_ids, tf.int32),
                SESSION_START: tf.constant(user_start | (generator.random((rows, steps)) < 0.3)),
                USER_START: tf.constant(user_start),
            }
            if self.reads_gaps:
                gaps = generator.choice([0, 3, 70, 4000], (rows, steps))
                events[GAP] = tf.constant(np.where(user_start, 0, gaps), tf.int32)
                passes = generator.choice([3, 70, 4000], (rows, steps))
                events[NEXT_GAP] = tf.constant(passes, tf.int32)
            if self.reads_minutes:
                events[MINUTE] = tf.constant(generator.integers(0, 60, (rows, steps)), tf.int32)
            if self.reads_users:
                events[USER_IDS] = tf.constant(generator.integers(0, 13, (rows, steps)), tf.int32)
            if self.layout == ALIGNED:
                events |= {
                    IS_STEP: tf.ones((rows, steps), bool),
                    NEXT_GAP: tf.constant(generator.choice([3, 70, 4000], (rows, steps)), tf.int32),
                    NEXT_SESSION_START: tf.constant(generator.random((rows, steps)) < 0.3),
                }
                for name, width in self.widths.items():
                    values = generator.normal(size=(rows, steps, width))
                    events[name] = tf.constant(values, tf.float32)
            return events
        lengths = generator.permutation(np.arange(rows) % steps) + 1
        histories = [row[:length] for row, length in zip(item_ids, lengths, strict=True)]
        more_padding = steps - lengths.max()
        positions = None if self.layout == PREFIXES else [np.arange(steps)] * rows
        return padded_events(histories, positions, more_padding=more_padding)

    @staticmethod
    def targets(events: dict[str, tf.Tensor]) -> tuple[int, ...]:
        """(rows, targets a row) of events."""
        return tuple(events.get(POSITIONS, events[ITEM_IDS]).shape)


HRNN_SIZES = {"session_units": 5, "user_units": 4}
USER_SIZES = {"num_users": 15, "item_dim": 4, "user_dim": 3, "units": 5}
HM_RNN_SIZES = {"item_dim": 5, "units": 6}
HI_RNN_SIZES = {"item_dim": 5, "short_units": 5, "long_units": 4}
HS_LSTM_SIZES = {"item_dim": 5, "lower_units": 5, "upper_units": 4}
META_SIZES: dict[str, Any] = {
    "units": 5,
    "item_dim": 5,
    "num_layers": 1,
    "control_dim": 3,
    "hidden_dropout": 0.0,
}

CASES = [
    Case("GRU4Rec one-hot", GRU4Rec, {"units": (5,)}),
    Case(
        "GRU4Rec embedding",
        GRU4Rec,
        {"units": (5,), "inputs": "embedding", "item_dim": 4, "layer_norm": True},
        trains_alike=True,
    ),
    Case("GRU4Rec constrained", GRU4Rec, {"units": (5,), "inputs": "constrained"}),
    Case(
        "GRU4Rec of two layers",
        GRU4Rec,
        {
            "units": (5, 4),
            "inputs": "embedding",
            "reset_after": True,
            "embed_dropout": 0.1,
            "hidden_dropout": 0.1,
        },
    ),
    Case("LSTM4Rec", LSTM4Rec, {"units": (5,)}),
    Case("Stacked GRU", StackedGRU, {"item_dim": 5}),
    Case(
        "Stacked GRU, residual",
        StackedGRU,
        {
            "item_dim": 4,
            "units": 5,
            "num_layers": 3,
            "residual": True,
            "embed_dropout": 0.1,
            "hidden_dropout": 0.1,
        },
        trains_alike=True,
    ),
    Case("RNN Concat", RNNConcat, {"units": (5,)}),
    Case("HRNN Init", HRNN, HRNN_SIZES),
    Case(
        "HRNN All",
        HRNN,
        HRNN_SIZES
        | {
            "user_gates": "rzh",
            "first_session_init": "tanh_bias",
            "session_dropout": 0.1,
            "user_dropout": 0.1,
            "init_dropout": 0.1,
        },
    ),
    Case(
        "HRNN with an embedding",
        HRNN,
        HRNN_SIZES | {"inputs": "embedding", "item_dim": 3, "user_gates": "rz"},
        trains_alike=True,
    ),
    Case(
        "HRNN with all that is not in its paper",
        HRNN,
        HRNN_SIZES
        | {"inputs": "constrained", "embed_dropout": 0.1, "item_dropout": 0.1}
        | {"layer_norm": True, "gap_input": True, "gap_mean": 1.0, "gap_sd": 2.0}
        | {"user_gates": "rzh", "first_session_init": "tanh_bias"},
    ),
    Case(
        "HRNN with c in the scores", HRNN, HRNN_SIZES | {"user_to_output": True}, trains_alike=True
    ),
    Case("HRNN fed every event", HRNN, HRNN_SIZES | {"feed_last_item": True}, trains_alike=True),
    Case(
        "HRNN with reminders, neighbours and popular items",
        HRNN,
        HRNN_SIZES
        | {"reminders": 4, "neighbours": 4, "neighbour_weight": 0.5}
        | {"popular": 3, "popular_moments": 5},
    ),
    Case("User-based GRU", UserGRU, USER_SIZES),
    Case(
        "User-based GRU, rectified",
        UserGRU,
        USER_SIZES | {"integration": "rectified", "dropout": 0.1},
        trains_alike=True,
    ),
    Case(
        "User-based GRU, linear",
        UserGRU,
        USER_SIZES | {"integration": "linear"},
        trains_alike=True,
    ),
    Case("Collaborative RNN", CollaborativeRNN, {"num_users": 15, "units": 5}),
    Case(
        "Collaborative RNN, shared",
        CollaborativeRNN,
        {"shared": True, "units": 5, "activation": "tanh"},
        trains_alike=True,
    ),
    Case("Hi-RNN", HiRNN, HI_RNN_SIZES | {"segment_minutes": 1.0, "time_dim": 3}),
    Case(
        "Hi-RNN of sessions",
        HiRNN,
        HI_RNN_SIZES | {"segments": "session", "time_dim": 0, "decay": False, "dropout": 0.1},
    ),
    Case(
        "Hi-RNN that is told when it is asked",
        HiRNN,
        HI_RNN_SIZES | {"time_dim": 3, "use_query_gap": True},
        trains_alike=True,
    ),
    Case("HM-RNN", HMRNN, HM_RNN_SIZES),
    Case(
        "HM-RNN of gaps, supervised",
        HMRNN,
        HM_RNN_SIZES
        | {"num_layers": 3, "use_gaps": True, "boundaries": "supervised", "estimator": "gumbel"}
        | {"sparsity": 0.01, "dropout": 0.1, "gap_weight": 1.0},
    ),
    Case("HM-RNN of drawn boundaries", HMRNN, HM_RNN_SIZES | {"estimator": "bernoulli"}),
    Case("HM-RNN of sessions", HMRNN, HM_RNN_SIZES | {"boundaries": "given"}, trains_alike=True),
    Case("HS-LSTM", HSLSTM, HS_LSTM_SIZES | {"dropout": 0.1, "reward": "terminal"}),
    Case("HS-LSTM, supervised", HSLSTM, HS_LSTM_SIZES | {"boundaries": "supervised"}),
    Case(
        "HS-LSTM of sessions",
        HSLSTM,
        HS_LSTM_SIZES | {"boundaries": "given", "use_gaps": False, "dropout": 0.0},
        trains_alike=True,
    ),
    Case("HRNN-meta", HRNNMeta, META_SIZES | {"thresholds": [60, 3600]}),
    Case(
        "HRNN-meta with all there is to know",
        HRNNMeta,
        META_SIZES
        | {
            "control": "session",
            "num_feedback": 2,
            "feedback_dim": 2,
            "num_user_features": 3,
            "user_dim": 2,
            "num_item_features": 4,
            "decoder_hidden": [6],
            "tied": False,
            "num_layers": 2,
            "hidden_dropout": 0.1,
            "input_dropout": 0.1,
        },
    ),
    Case(
        "HRNN-meta on LSTMs",
        HRNNMeta,
        META_SIZES | {"sequence_model": "lstm", "num_item_features": 2, "mix": 0.25},
        trains_alike=True,
    ),
    Case(
        "HRNN-meta on the cell of HRNN",
        HRNNMeta,
        META_SIZES
        | {"sequence_model": "hrnn", "num_layers": 1}
        | {"num_item_features": 2, "mix_by": "example"},
    ),
    Case("HRNN-meta on a TCN", HRNNMeta, META_SIZES | {"sequence_model": "tcn"}, trains_alike=True),
    Case(
        "HRNN-meta on a TCN and a GRU",
        HRNNMeta,
        META_SIZES | {"sequence_model": "tcn-gru"},
        trains_alike=True,
    ),
    Case(
        "HRNN-meta on a Transformer",
        HRNNMeta,
        META_SIZES | {"sequence_model": "transformer", "units": 6, "item_dim": 6, "num_layers": 2},
        trains_alike=True,
    ),
]

PREFIX_SIZES = {"item_dim": 4, "units": 5}
RNN_BPM_SIZES = PREFIX_SIZES | {"short_events": 2, "popular_share": 0.5}
HCRNN_SIZES = PREFIX_SIZES | {"num_contexts": 3}

PREFIX_CASES = [
    Case("GRU4REC of prefixes", PrefixRNN, PREFIX_SIZES),
    Case(
        "GRU4REC of sequences",
        PrefixRNN,
        PREFIX_SIZES | {"layout": "sequences", "initial_values": "block_glorot"},
        trains_alike=True,
    ),
    Case("LSTM4REC of prefixes", PrefixRNN, PREFIX_SIZES | {"cell": "lstm"}),
    Case("NARM", NARM, PREFIX_SIZES),
    Case("NARM of sequences", NARM, PREFIX_SIZES | {"layout": "sequences"}, trains_alike=True),
    Case(
        "NARM without a softmax",
        NARM,
        PREFIX_SIZES | {"attention": "none", "max_length": 2},
        trains_alike=True,
    ),
    Case("STAMP", STAMP, {"item_dim": 4}),
    Case(
        "STAMP of Song et al.",
        STAMP,
        {
            "item_dim": 4,
            "residual": False,
            "inner_sigmoid": True,
            "biases": True,
            "item_stddev": 0.1,
            "weight_stddev": None,
        },
        trains_alike=True,
    ),
    Case("RNN-BPM", RNNBPM, RNN_BPM_SIZES | {"rnn_epochs": 3}, sampled=False),
    Case(
        "RNN-BPM of GRUs, joint",
        RNNBPM,
        RNN_BPM_SIZES | {"cell": "gru", "rnn_epochs": None, "max_length": 4},
        sampled=False,
    ),
    Case("HCRNN-1", HCRNN, HCRNN_SIZES | {"version": 1, "pad_class": True}),
    Case("HCRNN-2", HCRNN, HCRNN_SIZES | {"version": 2, "two_phase": True, "tied": False}),
    Case("HCRNN-3 + Bi", HCRNN, HCRNN_SIZES | {"attention": "bi_channel", "max_length": 2}),
    Case("HCRNN-3", HCRNN, HCRNN_SIZES),
    Case(
        "HCRNN-3 + Bi, causal",
        HCRNN,
        HCRNN_SIZES | {"theta": "prefix", "attention": "bi_channel", "std": "exp"},
    ),
]

SAMPLED_CASES = [case for case in CASES + PREFIX_CASES if case.sampled]
"""Those of a step on sampled columns that costs the same for any catalogue."""


TRAINED_CASES = [case for case in CASES + PREFIX_CASES if not case.trains_alike]
"""A row for each way to be trained: every model, and what of its options changes that."""


def for_each(cases: list[Case]) -> Any:
    """Returns the decorator of a test of each case, in one process for all tests of a case.

    So that each is built, trained and compiled there once.
    """
    marked = [
        pytest.param(case, id=case.name, marks=pytest.mark.xdist_group(case.name)) for case in cases
    ]
    return pytest.mark.parametrize("case", marked)


def cases_of(name: str) -> list[Case]:
    """Returns those of a model of the registry with the arguments that make it what it is."""
    row = registry.entry(name)
    own = [case for case in CASES + PREFIX_CASES if case.model is row.load_class()]
    settings = {case: case.build().get_config() for case in own}
    return [
        case
        for case in own
        if {key: settings[case][key] for key in row.arguments} == dict(row.arguments)
    ]


def cyclic_histories():
    """Twelve users whose next item is always the one after: easy to learn, of uneven lengths."""
    users = [
        [
            [1 + (user + 5 * session + event) % NUM_ITEMS for event in range(2 + (user % 3))]
            for session in range(1 + user % 4)
        ]
        for user in range(12)
    ]
    # A session of one event is passed over, wherever it stands.
    users[0].insert(0, [7])
    users[3].insert(1, [9])
    return Histories.from_lists(users, num_items=NUM_ITEMS)


@functools.cache
def distinct(case):
    """A model whose weights are all different, with `encode` compiled; never to be changed."""
    model = case.build()
    fill = fill_drawn if case.is_padded else fill_distinct
    fill(model)
    return model, tf.function(model.encode, reduce_retracing=case.is_padded, autograph=False)
