"""The contract of models that read a prefix as a whole, each from its first event on."""

from typing import Any

import tensorflow as tf

from hrec_tf import checks
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.schema import ITEM_IDS, PADDED_LAYOUTS, PADDING_ID, POSITIONS, PREFIXES


class PrefixModel(NextItemModel):
    """Predicts the next item of padded rows: a prefix of a session, or every event of one.

    A model implements, beside `score`,

        encode(events, states, training=False)  -> hidden (batch, targets, units), []

    where events holds `item_ids` (batch, steps), padded at the end by 0, and `positions`
    (batch, targets): the hidden state of a target at position p follows from the events 0..p
    and no others. A model of layout "prefixes" takes one target a row; of layout "sequences",
    as many as there are steps. Nothing is carried from batch to batch, so states are empty and
    there is no exact `step`: a history is replayed.

    Args:
        num_items: N; ids run 1..N.
        max_length: events of a prefix that are read at the most, the latest; all if None.
            Streams must be made with the same value.
        seed: of initial values and dropout.
    """

    layout = PREFIXES
    incremental = False

    def __init__(
        self,
        *,
        num_items: int,
        max_length: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        if max_length is not None:
            mend = "Leave it out to read whole prefixes."
            checks.require_positive_int("max_length", max_length, mend=mend)
        self.max_length = max_length

    def _take_layout(self, layout: str) -> None:
        """Checks and keeps an argument `layout` of a model that reads causally."""
        self.layout = checks.require_choice("layout", layout, PADDED_LAYOUTS)
        if self.max_length is not None and layout != PREFIXES:
            raise ValueError(
                f"`max_length` was {self.max_length} with layout={layout!r}, whose rows are whole "
                "sessions. Leave it out, or pass layout='prefixes'."
            )

    @property
    def trains_on(self) -> tuple[str, ...]:
        # Whoever reads causally finds each prefix of a sequence in it.
        return (PREFIXES,) if self.layout == PREFIXES else PADDED_LAYOUTS

    def initial_states(self, batch_size: Any) -> list[tf.Tensor]:
        return []

    def step(self, item_ids, session_start, user_start, states, *times, **more_times):
        raise NotImplementedError(
            f"`step` was called on {type(self).__name__}, which reads a prefix as a whole, but one "
            "event is not enough for it. Pass the history so far to `recommend`."
        )

    def call(self, events: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns hidden (batch, targets, units)."""
        return self.encode(events, [], training=training)[0]

    @staticmethod
    def is_read(events: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns bool (batch, steps), true at the events up to the last position of a row."""
        steps = tf.range(tf.shape(events[ITEM_IDS])[1])
        last = tf.reduce_max(events[POSITIONS], axis=1, keepdims=True)
        return (steps <= last) & (events[ITEM_IDS] != PADDING_ID)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"max_length": self.max_length}
