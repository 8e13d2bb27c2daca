"""HRNN: personalised session-based recommendations."""

from typing import Any

import keras
import tensorflow as tf

from hrec_tf.cells import HierarchicalGRUCell
from hrec_tf.data.gaps import require_gap_moments
from hrec_tf.data.recent_counts import num_moments
from hrec_tf.layers import (
    ItemEmbedding,
    ItemInputs,
    ItemScores,
    Recurrence,
    ScoreHeads,
    log_gap,
    pack_events,
    require_inputs,
)
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.schema import (
    GAP,
    ITEM_IDS,
    MINUTE,
    PADDING_ID,
    SESSION_START,
    USER_PARALLEL,
    USER_START,
)


@keras.saving.register_keras_serializable(package="hrec_tf")
class HRNN(NextItemModel):
    """Next item in a known user's session, informed by the user's earlier sessions.

    `HierarchicalGRUCell` holds the equations; the scores are

        r̂ = s W_yᵀ + b_y  [+ c W_cyᵀ with `user_to_output`]                        (Eq. 2)
              [+ what `Reminders` add to items that the user had before]
              [+ what `NeighbourScores` add to items like the session's last ones]
              [+ what `RecentScores` add to items that many took just before]

    with s the session state and c the user state. "HRNN Init" is `user_gates=None`, "HRNN
    All" `user_gates="rzh"`. The activation of the scores (tanh in the paper) belongs to the
    loss. What GRU_ses reads, `inputs` says:

    * "one_hot": a row of its own table (num_items, 3 H_s). The paper's.
    * "embedding": x, a row of an item table (num_items, item_dim).
    * "constrained": x, a row of W_y, which has H_s columns: the tied form of GRU4Rec+.

    With `gap_input` GRU_ses and the start of a session are told, with Δ the seconds since the
    user's event before, fed or not (0 at the first that is fed),

        δ = (log(1 + Δ / 60) - gap_mean) / gap_sd

    The last event of a session is a target and is not fed (`feed_last_item=False`): GRU_usr
    reads the session state before it. `step` is fed every event and does the same.

    Source: Quadrana et al., RecSys 2017, arXiv:1706.04148; docs/equations.md B. Not in it: vectors
    as inputs, of Hidasi & Karatzoglou, CIKM 2018, arXiv:1706.03847; `item_dropout`, `layer_norm`
    and `gap_input`, whose sources `ItemInputs` and `HierarchicalGRUCell` name.

    Args:
        num_items: N; ids run 1..N.
        session_units, user_units: sizes of s and c.
        inputs: "one_hot" (the paper's), "embedding" or "constrained".
        item_dim: size of an item's vector, for "embedding" only; session_units if None.
        user_gates: None ("Init"), "rzh" ("All") or "rz" ("All" of the authors' code).
        first_session_init: "zero" or "tanh_bias".
        feed_last_item: feed each session's last event too. Streams must be made with the same
            value.
        user_to_output: add the term of c to the scores; the paper reports severe degradation.
        session_dropout, user_dropout, init_dropout: see `HierarchicalGRUCell`.
        embed_dropout, item_dropout: see `ItemInputs`.
        layer_norm: normalise the products of both GRUs; not with "one_hot".
        gap_input: read δ; not with "one_hot".
        gap_mean, gap_sd: of log(1 + Δ / 60) in the training histories, see
            `hrec_tf.data.gaps.gap_moments`.
        reminders: M, the user's last events whose items `Reminders` raise, those that are fed;
            0 has none (ours, not the paper's).
        neighbours: K, similar items of each whose scores `NeighbourScores` raise outside training,
            once `set_neighbours` was told them; 0 has none (ours).
        neighbour_weight: their weight w; None is 0 until one is set, as `hrec_tf.fitting.train`
            does by validation.
        popular: items that `RecentScores` raise at any moment, once `set_popular` counted them; 0
            has none (ours). Timestamps must be seconds.
        popular_hours: the half-life of what counts as popular.
        popular_moments: of `hrec_tf.data.recent_counts.num_moments`; "log" in a recipe.
        popular_weight: how many times as much as was learnt they count outside training; None is
            1 until one is set, as `hrec_tf.fitting.train` does by validation.
        seed: of initial values and dropout.
    """

    layout = USER_PARALLEL

    def __init__(
        self,
        *,
        num_items: int,
        session_units: int = 100,
        user_units: int = 100,
        inputs: str = "one_hot",
        item_dim: int | None = None,
        user_gates: str | None = None,
        first_session_init: str = "zero",
        feed_last_item: bool = False,
        user_to_output: bool = False,
        session_dropout: float = 0.0,
        user_dropout: float = 0.0,
        init_dropout: float = 0.0,
        embed_dropout: float = 0.0,
        item_dropout: float = 0.0,
        layer_norm: bool = False,
        gap_input: bool = False,
        gap_mean: float = 0.0,
        gap_sd: float = 1.0,
        reminders: int = 0,
        neighbours: int = 0,
        neighbour_weight: float | None = None,
        popular: int = 0,
        popular_hours: float = 1.0,
        popular_moments: int = 1,
        popular_weight: float | None = 1.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        self.feed_last_item, self.user_to_output = feed_last_item, user_to_output
        self.cell_arguments: dict[str, Any] = {
            "session_units": session_units,
            "user_units": user_units,
            "user_gates": user_gates,
            "first_session_init": first_session_init,
            "session_dropout": session_dropout,
            "user_dropout": user_dropout,
            "init_dropout": init_dropout,
            "layer_norm": layer_norm,
            "gap_input": gap_input,
        }
        self.inputs_mode, self.item_dim = inputs, item_dim
        self.reads_gaps, self.gap_mean, self.gap_sd = gap_input, gap_mean, gap_sd
        require_inputs(inputs, item_dim=item_dim, embed_dropout=embed_dropout)
        self._refuse_ignored()
        one_hot, dim = inputs == "one_hot", item_dim or session_units
        # First, since it checks the sizes by the names they have here.
        cell = HierarchicalGRUCell(
            num_items=num_items if one_hot else None,
            seed=self._seed_of(2),
            user_to_output=user_to_output,
            **self.cell_arguments,
        )
        self.items = None
        if inputs == "embedding":
            self.items = ItemEmbedding(num_items, dim, seed=self._seed_of(1), name="items")
            self.items.build()
        self.item_inputs = ItemInputs(
            embed_dropout=embed_dropout, item_dropout=item_dropout, seed=self._seed_of(3)
        )
        self.recurrence = Recurrence(cell)
        self.recurrence.build((None, None, (1 if one_hot else dim) + 2 + gap_input))
        self.item_scores = ItemScores(
            num_items, cell.output_size, seed=self._seed_of(0), name="item_scores"
        )
        self.item_scores.build()
        heads = ScoreHeads(
            num_items,
            cell.output_size,
            reminders=reminders,
            neighbours=neighbours,
            neighbour_weight=neighbour_weight,
            popular=popular,
            popular_hours=popular_hours,
            popular_moments=popular_moments,
            popular_weight=popular_weight,
            name="heads",
        )
        heads.build()
        self.head_arguments = heads.arguments
        self.heads = None if heads.is_empty else heads
        self.scores_are_products = heads.is_empty
        self.reads_minutes = self.counts_on = bool(popular)
        self.built = True

    def set_neighbours(self, similarities) -> None:
        """Sets the similar items of each; see `NeighbourScores.set_neighbours`.

        Raises:
            ValueError: a model without neighbours, or similarities that do not fit.
        """
        if self.heads is None or self.heads.neighbour_scores is None:
            raise ValueError(
                "`set_neighbours` was called on a model with neighbours=0, whose scores have no "
                "use for them. Build it with e.g. neighbours=100."
            )
        self.heads.neighbour_scores.set_neighbours(similarities)

    def set_popular(self, histories) -> None:
        """Counts what was taken often of late; see `RecentScores.count`.

        Args:
            histories: `Histories` of the training log.

        Raises:
            ValueError: a model with popular=0, of other items, or with fewer moments than the log
                has.
        """
        recent = self._recent("set_popular")
        there = num_moments(histories, recent.hours)
        if there > recent.moments:
            raise ValueError(
                f"`histories` have {there} moments of popularity, but popular_moments is "
                f"{recent.moments}: of what came before them nothing would be learnt. Build the "
                f'model with popular_moments={there}, or as a recipe\'s "log".'
            )
        recent.count(histories)

    def count_on(self, histories) -> int:
        """Counts later events on top of those that `set_popular` counted; trains nothing.

        Args:
            histories: `Histories` with the events that came since; those up to the last one that
                was counted are passed over. They need not be complete histories of their users.

        Returns:
            How many events were counted.

        Raises:
            ValueError: a model with popular=0, or of other items.
        """
        return self._recent("count_on").count(histories, goes_on=True)

    def counting_on(self, histories):
        """While it lasts, `histories` are counted, too; then the counts are what they were.

        Each event reads what was counted before it, so that nothing is known of what comes. What
        a service scores like whose counts are renewed as often as the moments come, a sixth of
        the half-life.

        Args:
            histories: `Histories` that are evaluated, see `count_on`.

        Raises:
            ValueError: a model with popular=0, or of other items; no event that is later than the
                last one counted; or so many moments of them that the first would be forgotten.

        Example:
            with model.counting_on(log.test):
                found = hrec_tf.evaluation.evaluate(model, log.test)
        """
        return self._recent("counting_on").counting_on(histories)

    def _recent(self, asked):
        recent = None if self.heads is None else self.heads.recent
        if recent is None:
            raise ValueError(
                f"`{asked}` was called on a model with popular=0, whose scores have no use for "
                "it. Build it with e.g. popular=100."
            )
        return recent

    def _refuse_ignored(self) -> None:
        for name in ("layer_norm", "gap_input"):
            if self.inputs_mode == "one_hot" and self.cell_arguments[name]:
                raise ValueError(
                    f"`{name}` was True with inputs='one_hot', where GRU_ses reads no vector. "
                    "Leave it out, or pass inputs='embedding' or 'constrained'."
                )
        require_gap_moments(
            self.gap_mean,
            self.gap_sd,
            is_read=self.reads_gaps,
            unread="gap_input=False",
            mend="pass gap_input=True",
        )
        if self.inputs_mode == "constrained" and self.user_to_output:
            raise ValueError(
                "`user_to_output` was True with inputs='constrained', where an item's vector is as "
                "long as s alone. Leave it out, or pass inputs='embedding'."
            )

    def initial_states(self, batch_size):
        states = self.recurrence.initial_states(batch_size)
        return states if self.heads is None else states + self.heads.initial_states(batch_size)

    def encode(self, events, states, training=False):
        item_ids = events[ITEM_IDS]
        items = self.item_inputs(item_ids, table=self._table, training=training)
        gap = None
        if self.reads_gaps:
            # `step` is told the gap from events that were not fed; a stream starts with 0.
            seconds = tf.where(events[USER_START], 0, events[GAP])
            gap = (log_gap(seconds) - self.gap_mean) / self.gap_sd
        hidden, recurrent = self.recurrence(
            pack_events(items, events[SESSION_START], events[USER_START], gap),
            initial_state=states[:2],
            is_event=item_ids != PADDING_ID,
            training=training,
        )
        if self.heads is None:
            return hidden, recurrent
        # What the heads read goes with the hidden state to where it is scored.
        columns, memory = self.heads.read(events, states[2:])
        return tf.concat([hidden, columns], axis=-1), [*recurrent, *memory]

    @property
    def _table(self):
        """The item table that is read; None for one-hot input."""
        tables = {"embedding": self.items, "constrained": self.item_scores.items}
        return tables.get(self.inputs_mode)

    def asked_at(self, hidden, minutes):
        """Returns the hidden states with the popularity of another moment, e.g. of now.

        Args:
            hidden: float (batch, units), of `step`.
            minutes: int32 (batch,), minutes since 1970.

        Raises:
            ValueError: a model with popular=0.
        """
        recent = self._recent("asked_at")
        columns = tf.cast(recent.columns(minutes), hidden.dtype)
        return tf.concat([hidden[:, : -recent.width], columns], axis=1)

    def taken_of_late(self, hidden, item_ids=None):
        """Returns p_j at the moment that hidden states are of, float32, of the shape of scores.

        Args:
            hidden, item_ids: as for `score`.

        Raises:
            ValueError: a model with popular=0.
        """
        recent = self._recent("taken_of_late")
        return recent.shares_of(hidden[..., -recent.width :], item_ids)

    def score(self, hidden, item_ids=None):
        return self._score(hidden, item_ids, to_train=False)

    def score_to_train(self, hidden, item_ids=None):
        # Of the pairs that are trained on, the neighbours were counted.
        return self._score(hidden, item_ids, to_train=True)

    def _score(self, hidden, item_ids, to_train):
        if self.heads is None:
            return self.item_scores(hidden, item_ids)
        hidden, columns = tf.split(hidden, [self.item_scores.dim, self.heads.width], axis=-1)
        return self.item_scores(hidden, item_ids) + self.heads(
            hidden, columns, item_ids, to_train=to_train
        )

    def as_step_states(self, states, nothing_fed):
        if self.feed_last_item:
            return states
        # Those after the last event, and those before it.
        return [*states, *states, nothing_fed]

    def step(
        self,
        item_ids,
        session_start,
        user_start,
        states,
        gap=None,
        next_gap=None,
        minute=None,
    ):
        """Reads one event per row; see `NextItemModel.step`.

        With `feed_last_item=False` an event counts as fed only once the next one of the same
        session came. The states are therefore those after the last event, those before it,
        and whether nothing at all was fed before it; a session that starts goes on from the
        states before.
        """
        if self.feed_last_item:
            return super().step(item_ids, session_start, user_start, states, gap, minute=minute)
        half = len(states) // 2
        old_after, old_before, nothing_fed = states[:half], states[half:-1], states[-1]
        session_start = tf.convert_to_tensor(session_start) | user_start
        starts = session_start[:, None]
        base = [tf.where(starts, b, a) for b, a in zip(old_before, old_after, strict=True)]
        is_first = tf.convert_to_tensor(user_start)[:, None] | (starts & nothing_fed)
        events = self.one_event(item_ids, session_start, is_first[:, 0])
        for name, values in ((GAP, gap), (MINUTE, minute)):
            if values is not None:
                events[name] = tf.convert_to_tensor(values)[:, None]
        hidden, after = self.encode(events, base)
        # An unknown item is no event: nothing moves.
        is_event = tf.convert_to_tensor(item_ids)[:, None] != PADDING_ID
        before = [tf.where(is_event, b, old) for b, old in zip(base, old_before, strict=True)]
        after = [tf.where(is_event, a, old) for a, old in zip(after, old_after, strict=True)]
        nothing_fed = tf.where(is_event, is_first, nothing_fed)
        return hidden[:, 0], [*after, *before, nothing_fed]

    def get_config(self):
        return (
            super().get_config()
            | self.cell_arguments
            | self.head_arguments
            | {
                "inputs": self.inputs_mode,
                "item_dim": self.item_dim,
                "feed_last_item": self.feed_last_item,
                "user_to_output": self.user_to_output,
                "embed_dropout": self.item_inputs.embed_dropout,
                "item_dropout": self.item_inputs.item_dropout,
                "gap_mean": self.gap_mean,
                "gap_sd": self.gap_sd,
            }
        )
