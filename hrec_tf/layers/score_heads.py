"""What is added to a network's scores by what the user's last events were, and when they were."""

from typing import Any

import keras
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.layers.event_memory import EventMemory
from hrec_tf.layers.neighbour_scores import NeighbourScores
from hrec_tf.layers.recent_scores import RecentScores
from hrec_tf.layers.reminders import Reminders
from hrec_tf.schema import ITEM_IDS, MINUTE, SESSION_START, USER_START


@keras.saving.register_keras_serializable(package="hrec_tf")
class ScoreHeads(keras.layers.Layer):
    """`Reminders`, `NeighbourScores` and `RecentScores` beside a network, as far as there are any.

    What they read of an event goes with its hidden state to where it is scored, as float columns.

    Args:
        num_items: N; ids run 1..N.
        dim: size of the hidden state h.
        reminders: M, the user's last events whose items are raised; 0 has none.
        neighbours: K, similar items of each that are raised; 0 has none.
        neighbour_weight: their weight outside training; None is 0 until one is set.
        popular: items that are raised where many took them of late; 0 has none.
        popular_hours, popular_moments: the half-life of `RecentScores`, and its moments.
        popular_weight: how many times as much as it learnt it counts outside training; None is 1
            until one is set.

    Call:
        hidden: float (..., dim).
        columns: float (..., width), of `read`.
        candidates: None for the whole catalogue, or int (..., candidates), as of `ItemScores`.
        to_train: whether only what is learnt counts, as far as it was learnt.
        Returns float (..., num_items), or (..., rows, candidates).

    Raises:
        ValueError: a bad argument, or one that would be ignored.
    """

    def __init__(
        self,
        num_items: int,
        dim: int,
        *,
        reminders: int = 0,
        neighbours: int = 0,
        neighbour_weight: float | None = None,
        popular: int = 0,
        popular_hours: float = 1.0,
        popular_moments: int = 1,
        popular_weight: float | None = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_items, self.dim = num_items, dim
        self.arguments: dict[str, Any] = {
            "reminders": reminders,
            "neighbours": neighbours,
            "neighbour_weight": neighbour_weight,
            "popular": popular,
            "popular_hours": popular_hours,
            "popular_moments": popular_moments,
            "popular_weight": popular_weight,
        }
        for name in ("reminders", "neighbours", "popular"):
            checks.require_int_at_least(
                name, self.arguments[name], minimum=0, mend="Pass 0 for none, or e.g. 20."
            )
        self._refuse_ignored()
        self.memory = self.reminders = self.neighbour_scores = self.recent = None
        size = reminders
        if reminders:
            self.reminders = Reminders(num_items, dim, reminders, name="reminders")
        if neighbours:
            self.neighbour_scores = NeighbourScores(num_items, neighbours, name="neighbours")
            size = max(size, self.neighbour_scores.events)
        if size:
            self.memory = EventMemory(num_items, size, name="memory")
        if popular:
            self.recent = RecentScores(
                num_items,
                dim,
                popular,
                hours=popular_hours,
                moments=popular_moments,
                name="recent",
            )

    def _refuse_ignored(self) -> None:
        held = self.arguments
        weight = held["neighbour_weight"]
        if weight is not None:
            checks.require_number("neighbour_weight", weight, minimum=0, mend="Pass e.g. 0.5.")
            if not held["neighbours"]:
                raise ValueError(
                    f"`neighbour_weight` was {weight}, but neighbours is 0, so it would be "
                    "ignored. Leave it out, or pass e.g. neighbours=100."
                )
        if (weight := held["popular_weight"]) is not None:
            checks.require_number("popular_weight", weight, minimum=0, mend="Pass e.g. 2.0.")
        defaults = {"popular_hours": 1.0, "popular_moments": 1, "popular_weight": 1.0}
        for name, default in defaults.items():
            if held[name] != default and not held["popular"]:
                raise ValueError(
                    f"`{name}` was {held[name]}, but popular is 0, so it would be ignored. Leave "
                    "it out, or pass e.g. popular=100."
                )

    def build(self, input_shape=None):
        for head in (self.reminders, self.neighbour_scores, self.recent):
            if head is not None:
                head.build()
        if self.neighbour_scores is not None:
            self.set_weight("neighbour_weight", self.arguments["neighbour_weight"] or 0.0)
        if self.recent is not None and self.arguments["popular_weight"] is not None:
            self.set_weight("popular_weight", self.arguments["popular_weight"])

    def set_weight(self, name: str, weight: float) -> None:
        """Sets "neighbour_weight" or "popular_weight".

        Raises:
            ValueError: there is no such head.
        """
        self._weighed(name).weight.assign([weight])

    def weight_of(self, name: str) -> float:
        """Returns what `set_weight` set.

        Raises:
            ValueError: there is no such head.
        """
        return round(float(self._weighed(name).weight[0]), 6)

    def _weighed(self, name):
        head = {"neighbour_weight": self.neighbour_scores, "popular_weight": self.recent}[name]
        if head is None:
            raise ValueError(
                f"`{name}` is of a head that this model does not have. Build it with e.g. "
                "neighbours=100 or popular=100."
            )
        return head

    @property
    def is_empty(self) -> bool:
        """Whether there is no head at all."""
        return self.memory is None and self.recent is None

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(part.width for part in (self.memory, self.recent) if part is not None)

    def initial_states(self, batch_size) -> list[tf.Tensor]:
        """Returns the states of users of whom nothing is known."""
        return [] if self.memory is None else self.memory.initial_states(batch_size)

    def read(self, events, states) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns columns (batch, steps, width) of events, and states; None without a head."""
        columns = []
        if self.memory is not None:
            flags = events[SESSION_START], events[USER_START]
            remembered, states = self.memory(events[ITEM_IDS], *flags, states)
            columns.append(remembered)
        if self.recent is not None:
            columns.append(self.recent.columns(events[MINUTE]))
        return tf.concat(columns, axis=-1), states

    def call(self, hidden, columns, candidates=None, to_train=False):
        remembered, recent = tf.split(
            columns, [0 if self.memory is None else self.memory.width, -1], axis=-1
        )
        gains = []
        if self.memory is not None:
            last = self.memory.read(remembered)
            if self.reminders is not None:
                gains.append(self.reminders(hidden, *last, candidates))
            if self.neighbour_scores is not None and not to_train:
                gains.append(self.neighbour_scores(*last, candidates))
        if self.recent is not None:
            gains.append(self.recent(hidden, recent, candidates, to_train=to_train))
        return tf.add_n(gains) if gains else 0.0

    def get_config(self):
        own = {"num_items": self.num_items, "dim": self.dim}
        return super().get_config() | own | self.arguments
