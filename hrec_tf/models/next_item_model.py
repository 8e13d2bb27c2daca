"""The contract of every neural model, and how `fit` trains it."""

import abc
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.data.chunks import ChunkEdge, play, require_layout
from hrec_tf.losses import InBatch, PerTarget, reduce_rows
from hrec_tf.losses.window import require_loss, sampled_row_losses
from hrec_tf.metrics.window import require_rank_metrics, update_rank_metrics
from hrec_tf.schema import (
    GAP,
    ITEM_IDS,
    MINUTE,
    NEXT_GAP,
    PADDED_LAYOUTS,
    SESSION_PARALLEL,
    SESSION_START,
    USER_START,
)


class NextItemModel(keras.Model):
    """Predicts the next item at the events of a stream.

    A model implements

        initial_states(batch_size)                  -> states
        encode(events, states, training=False)      -> hidden (batch, steps, units), states
        score(hidden, item_ids=None)                -> logits of the catalogue, or of item_ids

    and gets `compile`, `fit`, `evaluate`, `step` and `.keras` files. Ids run 1..num_items;
    an event with id 0 leaves the states as they are. `layout` names the stream it is trained
    and evaluated on: one of lanes (`hrec_tf.data.lanes`), or for a `PrefixModel` one of padded
    rows (`hrec_tf.data.prefixes`).

    `fit` takes a stream of windows, cuts it into chunks of several windows and runs the updates
    of a chunk, one per window, inside one compiled call. The states that are carried from window
    to window belong to the call, not to the model: no `.keras` file holds them.
    """

    layout: str = SESSION_PARALLEL
    """The stream that the model is trained and evaluated on."""

    incremental: bool = True
    """Whether `step` reads one more event exactly as a replay of the whole history would."""

    max_length: int | None = None
    """Events of a prefix that a `PrefixModel` reads at the most; other models read all."""

    reads_gaps: bool = False
    """Whether events say how many seconds passed since the user's event before."""

    reads_minutes: bool = False
    """Whether events say when they were, in minutes since 1970."""

    counts_on: bool = False
    """Whether later events may be counted without training, see `hrec_tf.models.HRNN.count_on`."""

    reads_next_gap: bool = False
    """Whether it makes use of the seconds from an event to the predicted one, too. Such a model
    `reads_gaps`, and is trained and evaluated, but not exported: its scores change with the time
    of asking, which no state of it holds."""

    reads_users: bool = False
    """Whether events say whose they are. Such a model is trained and evaluated, but not exported:
    what serves it is not told who asks."""

    scores_are_products: bool = True
    """Whether scores may be inner products of `hidden` with vectors of the items, which
    `hrec_tf.inner_products` then tries. Not those of a model whose `hidden` holds ids."""

    explains_with_flags: bool = False
    """Whether `explain`, where there is one, reads a user's whole history and takes `gaps` and
    `session_start` beside it; others read one session."""

    feed_last_item: bool = False
    """Whether a "user_parallel" model reads the last event of each session, too, which has no
    next item there; other layouts have no use for it."""

    rank_weight: float = 1.0
    """Weight of the loss of the next item beside the penalty that `encode_to_train` returns."""

    @property
    def trains_on(self) -> tuple[str, ...]:
        """Layouts of streams that `fit` and `evaluate` take."""
        return (self.layout,)

    def __init__(self, *, num_items: int, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_items = checks.require_positive_int(
            "num_items", num_items, mend="Pass `vocabulary.num_items`."
        )
        if seed is not None:
            seed = checks.require_int_at_least("seed", seed, minimum=0, mend="Pass e.g. seed=0.")
        self.seed = seed
        self.sampled_loss: Any = None
        self.negatives: Any = None
        self._rank_metrics: list[Any] = []
        self._windows_per_chunk: int | None = None
        self._compile_options: dict[str, Any] = {}

    def _seed_of(self, part: int) -> int | None:
        """Returns a seed for one part of the model, so that no two parts draw the same values."""
        if self.seed is None:
            return None
        # 31 bits: cells add small numbers to it for their weights.
        return int(np.random.SeedSequence((self.seed, part)).generate_state(1)[0] >> 1)

    @abc.abstractmethod
    def initial_states(self, batch_size: int) -> list[tf.Tensor]:
        """Returns the states of `batch_size` users of whom nothing is known."""

    @abc.abstractmethod
    def encode(
        self, events: dict[str, tf.Tensor], states: list[tf.Tensor], training: bool = False
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Reads events (batch, steps) and returns hidden (batch, steps, units) and states."""

    @abc.abstractmethod
    def score(self, hidden: tf.Tensor, item_ids: tf.Tensor | None = None) -> tf.Tensor:
        """Returns logits of the catalogue (..., num_items), item id i in column i - 1.

        With `item_ids` (..., candidates) and hidden (..., rows, units): logits
        (..., rows, candidates).
        """

    def encode_to_train(
        self, events: dict[str, tf.Tensor], states: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor | Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
        """Returns what `encode` does in training, and a penalty to be added to the mean loss.

        A model whose loss has a term that is not about the next item overrides this; the loss
        that `fit` logs is without it. The penalty may be a function of the losses of the rows
        and their weights, both (batch, steps), which returns it.
        """
        hidden, states = self.encode(events, states, training=True)
        return hidden, states, tf.zeros((), tf.float32)

    def score_to_train(self, hidden: tf.Tensor, item_ids: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the logits that the loss takes in training, of what `encode_to_train` returned.

        Those of `score`, and over the whole catalogue behind them what a model has beside the
        items as a class of its softmax.
        """
        return self.score(hidden, item_ids)

    def begin_epoch(self, epoch: int) -> None:
        """Is told by `fit` which epoch begins, counted from 0.

        A model that trains in phases, or anneals something, overrides this. What it changes are
        variables, which the compiled updates read; if it changes `update_groups`, it calls
        `_compile_chunk_functions` after that.
        """

    def update_groups(self) -> Iterable[list[Any]]:
        """Returns the variables of each pass of an update: all of them in one pass.

        With several groups, every window is passed through once for each, and each pass moves
        its own variables. The optimizer counts every pass as a step. Whoever yields them knows
        until the next one whose pass it is.
        """
        return [self.trainable_variables]

    def step(
        self,
        item_ids: tf.Tensor,
        session_start: tf.Tensor,
        user_start: tf.Tensor,
        states: list[tf.Tensor],
        gap: tf.Tensor | None = None,
        next_gap: tf.Tensor | None = None,
        minute: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Reads one event per row; `score` the result to know what comes next.

        Args:
            item_ids: int (batch,).
            session_start, user_start: bool (batch,).
            states: from `step_states`, or from the step before.
            gap: int32 (batch,), seconds since the user's event before, for a model that
                `reads_gaps`.
            next_gap: int32 (batch,), seconds from this event to the time that is asked about, for
                a model that `reads_next_gap`.
            minute: int32 (batch,), minutes since 1970 of this event, for a model that
                `reads_minutes`.

        Returns:
            Hidden (batch, units), and states.
        """
        events = self.one_event(item_ids, session_start, user_start)
        for name, values in ((GAP, gap), (NEXT_GAP, next_gap), (MINUTE, minute)):
            if values is not None:
                events[name] = tf.convert_to_tensor(values)[:, None]
        hidden, states = self.encode(events, states)
        return hidden[:, 0], states

    def step_states(self, batch_size: int) -> list[tf.Tensor]:
        """Returns the states `step` begins with."""
        nothing_fed = tf.ones((batch_size, 1), bool)
        return self.as_step_states(self.initial_states(batch_size), nothing_fed)

    def as_step_states(self, states: list[tf.Tensor], nothing_fed: tf.Tensor) -> list[tf.Tensor]:
        """Returns states for `step`, of states of `encode`.

        Args:
            states: after the events that a stream would have fed.
            nothing_fed: bool (batch, 1), whether there were none.
        """
        return states

    @staticmethod
    def one_event(item_ids, session_start, user_start) -> dict[str, tf.Tensor]:
        """Returns the events dict of a single step: (batch,) -> (batch, 1)."""
        named = {ITEM_IDS: item_ids, SESSION_START: session_start, USER_START: user_start}
        return {name: tf.convert_to_tensor(values)[:, None] for name, values in named.items()}

    def call(self, events: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns hidden (batch, steps, units) of events that begin from initial states."""
        states = self.initial_states(tf.shape(events[ITEM_IDS])[0])
        hidden, _ = self.encode(events, states, training=training)
        return hidden

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        *,
        negatives: InBatch | PerTarget | None = None,
        metrics: Any = (),
        windows_per_chunk: int | None = None,
        jit_compile: bool | str = "auto",
        run_eagerly: bool = False,
    ) -> None:
        """Sets how the model is trained and measured.

        Args:
            optimizer: a Keras optimizer; `AdagradMomentum` for the papers' settings. Its step
                should be row-sparse where catalogues are large.
            loss: one of `hrec_tf.losses`.
            negatives: `InBatch(...)`: each step's targets, and extra items, are the columns
                that rows are compared on; `PerTarget(...)`: each row's target, and items drawn
                for it alone. None compares with the whole catalogue.
            metrics: of `hrec_tf.metrics`, e.g. `[Recall(20), MRR(20)]`; they rank the whole
                catalogue, on validation streams only.
            windows_per_chunk: updates per compiled call; chosen by the window's size if None.
            jit_compile: compile the updates by XLA; "auto" does so where
                `benchmarks/training_speed.py` found it faster: with sampled columns.
            run_eagerly: run without any compilation, to debug.

        Raises:
            ValueError, TypeError: an argument that does not fit, or that would be ignored.
        """
        _check_compile_options(optimizer, jit_compile, run_eagerly)
        require_loss(loss, negatives)
        require_rank_metrics(metrics)
        if negatives is not None:
            negatives.build(self.num_items)
        super().compile(optimizer=optimizer, run_eagerly=run_eagerly, jit_compile=False)
        if windows_per_chunk is not None:
            checks.require_positive_int(
                "windows_per_chunk", windows_per_chunk, mend="Leave it out to have it chosen."
            )
        if self.layout in PADDED_LAYOUTS and windows_per_chunk not in (None, 1):
            raise ValueError(
                f"`windows_per_chunk` was {windows_per_chunk}, but {type(self).__name__} reads "
                "padded batches, which differ in length: each is a chunk. Leave it out."
            )
        self.sampled_loss, self.negatives = loss, negatives
        self._rank_metrics = list(metrics)
        self._windows_per_chunk = windows_per_chunk
        self._compile_options = {
            "windows_per_chunk": windows_per_chunk,
            "jit_compile": jit_compile,
            "run_eagerly": run_eagerly,
        }
        if jit_compile == "auto":
            # XLA would compile again for each length of a padded batch.
            jit_compile = negatives is not None and self.layout not in PADDED_LAYOUTS
        self._jit_updates = bool(jit_compile)
        self._compile_chunk_functions()

    def _compile_chunk_functions(self) -> None:
        self._train_chunk = functools.partial(self._run_chunk, training=True)
        self._test_chunk = functools.partial(self._run_chunk, training=False)
        if not self.run_eagerly:
            compiled = functools.partial(tf.function, autograph=False)
            self._train_chunk = compiled(self._train_chunk, jit_compile=self._jit_updates)
            # Rows of weight 0 are left out before ranking, which XLA's fixed shapes forbid.
            self._test_chunk = compiled(self._test_chunk)

    def fit(
        self,
        x: tf.data.Dataset,
        *,
        epochs: int = 1,
        initial_epoch: int = 0,
        validation_data: tf.data.Dataset | Callable[[], dict[str, float]] | None = None,
        validation_freq: int = 1,
        callbacks: Any = None,
        checkpoint: Any = None,
        verbose: int = 1,
    ) -> keras.callbacks.History:
        """Trains on a stream of windows, one update per window.

        Every iteration over the stream is an epoch, and every window of it is used, however
        many an epoch has. (Keras' own loop would cut each epoch to the length of the first.)

        Args:
            x: a stream, e.g. of `user_parallel_stream`.
            epochs: number of the last epoch, counted from 0 and not included.
            initial_epoch: number of the first epoch.
            validation_data: another stream of the same layout; with order="given" its loss
                does not vary with the packing. Or a function that measures the model as it is and
                returns name -> value.
            validation_freq: epochs from one validation to the next.
            callbacks: Keras callbacks; a batch is a chunk of windows. Those that watch a rank
                metric need mode="max", e.g. `EarlyStopping("val_recall@20", mode="max")`.
            checkpoint: a `hrec_tf.training.Checkpoint`. Where its file is there, training goes
                on from it, at the chunk where it was left, to the same weights; the history
                holds the epochs before, too. Callbacks with a memory of their own, such as Keras'
                `EarlyStopping`, begin anew; `hrec_tf.training.EarlyStopping` does not.
            verbose: 0 is silent, 1 a progress bar, 2 a line per epoch.

        Returns:
            `History`: per epoch the `loss` (the mean over all next-item pairs), the pairs
            (`events`) and `events_per_second` of training, and with `validation_data` the
            `val_` loss and metrics, or what the function returned.

        Raises:
            FloatingPointError: the loss is NaN or infinite.
            ValueError: a stream of another layout or vocabulary, a checkpoint of another
                training, or a bad argument.
        """
        self._require_compiled("fit")
        checks.require_positive_int(
            "validation_freq", validation_freq, mend="Pass 1 to validate after every epoch."
        )
        if validation_data is None and validation_freq != 1:
            raise ValueError(
                f"`validation_freq` was {validation_freq}, but there is no `validation_data`. "
                "Pass a stream to validate on, or leave it out."
            )
        self.optimizer.build(self.trainable_variables)
        require_layout(x, self)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = keras.callbacks.CallbackList(
                callbacks,
                add_history=True,
                add_progbar=verbose != 0,
                model=self,
                verbose=verbose,
                epochs=epochs,
                steps=None,
            )
        epochs_to_do, edge = range(initial_epoch, epochs), ChunkEdge()
        if checkpoint is not None:
            x, epochs_to_do, edge = checkpoint.begin(self, x, epochs_to_do)
        self.stop_training = False
        callbacks.on_train_begin()
        logs: dict[str, float] = {}
        if checkpoint is not None:
            for epoch, logs in checkpoint.finished:
                self.history.on_epoch_end(epoch, logs)
        for epoch in epochs_to_do:
            callbacks.on_epoch_begin(epoch)
            self.begin_epoch(epoch)
            logs = self._train_epoch(x, epoch, callbacks, checkpoint, edge)
            edge = ChunkEdge()
            if validation_data is not None and (epoch + 1) % validation_freq == 0:
                measured = self._measured(validation_data, callbacks)
                logs |= {f"val_{name}": value for name, value in measured.items()}
            callbacks.on_epoch_end(epoch, logs)
            if checkpoint is not None:
                checkpoint.epoch_ended(self, epoch, logs)
            if self.stop_training:
                break
        callbacks.on_train_end(logs)
        if checkpoint is not None:
            checkpoint.training_ended(self, epochs_to_do)
        return self.history

    def _measured(self, validation_data, callbacks) -> dict[str, float]:
        if not callable(validation_data):
            return self.evaluate(validation_data, callbacks=callbacks, return_dict=True)
        callbacks.on_test_begin()
        measured = validation_data()
        callbacks.on_test_end(measured)
        return measured

    def _train_epoch(self, stream, epoch, callbacks, checkpoint, edge) -> dict[str, float]:
        logs = edge.logs
        played = self._play(
            stream, self._train_chunk, f"epoch {epoch}", callbacks.on_train_batch_begin, edge
        )
        for edge in played:
            logs = edge.logs
            callbacks.on_train_batch_end(edge.chunks - 1, logs)
            if checkpoint is not None:
                checkpoint.chunk_ended(self, epoch, edge)
        return logs

    def probe(self, x: tf.data.Dataset, *, seconds: float = 5.0) -> tuple[float, float]:
        """Trains on the beginning of a stream to find out how fast it goes.

        The weights move as in `fit`: build the model anew to train it.

        Args:
            x: a stream, as `fit` takes it.
            seconds: how long to train, after what is compiled was compiled.

        Returns:
            Seconds of a first chunk, most of them of compiling, and next-item pairs per second
            of what follows.
        """
        self._require_compiled("probe")
        require_layout(x, self)
        checks.require_number("seconds", seconds, minimum=0.0, mend="Pass e.g. 5.")
        self.optimizer.build(self.trainable_variables)

        def played() -> Iterator[ChunkEdge]:
            return self._play(x, self._train_chunk, "the probe", lambda chunk: None, ChunkEdge())

        compiling = next(played()).seconds
        begin, pairs, taken = time.perf_counter(), 0.0, 0.0
        while not taken or taken < seconds:
            before = pairs
            for edge in played():
                pairs = before + edge.events
                if time.perf_counter() - begin >= seconds:
                    break
            taken = time.perf_counter() - begin
        return compiling, pairs / taken

    def evaluate(
        self,
        x: tf.data.Dataset,
        *,
        callbacks: Any = None,
        verbose: int = 0,
        return_dict: bool = False,
    ) -> Any:
        """Returns the loss and metrics on a stream of windows.

        Args:
            x: a stream; its weights tell the targets to be measured from the others.
            callbacks: Keras callbacks; a batch is a chunk of windows.
            verbose: 0 is silent, 1 a progress bar.
            return_dict: return a dict in place of a list, loss first.
        """
        self._require_compiled("evaluate")
        require_layout(x, self)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = keras.callbacks.CallbackList(
                callbacks, add_progbar=verbose != 0, model=self, verbose=verbose, steps=None
            )
        for metric in self._rank_metrics:
            metric.reset_state()
        callbacks.on_test_begin()
        logs: dict[str, float] = {}
        played = self._play(
            x, self._test_chunk, "evaluation", callbacks.on_test_batch_begin, ChunkEdge()
        )
        for edge in played:
            logs = {"loss": edge.loss}
            callbacks.on_test_batch_end(edge.chunks - 1, logs)
        logs |= {metric.name: float(metric.result()) for metric in self._rank_metrics}
        callbacks.on_test_end(logs)
        return logs if return_dict else list(logs.values())

    def _require_compiled(self, method: str) -> None:
        if self.sampled_loss is None:
            raise ValueError(
                f"`{method}` was called before `compile`. Call "
                "`model.compile(optimizer=..., loss=TOP1(), negatives=InBatch())` first."
            )

    def _play(self, stream, run_chunk, where, on_begin, edge) -> Iterator[ChunkEdge]:
        """Runs a stream's chunks from an edge on; yields the edge after each."""
        if self.layout in PADDED_LAYOUTS and not self.run_eagerly:
            # Batches differ in length: one program for all, in place of one for each length.
            windows = tf.nest.map_structure(
                lambda spec: tf.TensorSpec((1, *spec.shape), spec.dtype), stream.element_spec
            )
            number, states = tf.TensorSpec((), tf.int32), self.initial_states(windows[1].shape[1])
            run_chunk.get_concrete_function(windows, number, number, states)
        return play(
            stream,
            run_chunk,
            num_items=self.num_items,
            windows_per_chunk=self._windows_per_chunk,
            initial_states=self.initial_states,
            where=where,
            on_begin=on_begin,
            edge=edge,
        )

    def _run_chunk(self, chunk, first_window, num_windows, states, *, training):
        """Runs a chunk's windows; returns states, sum of row losses and of weights."""

        def body(index, states, loss_sum, weight_sum):
            window = tf.nest.map_structure(lambda values: values[index], chunk)
            if training:
                rows, weights, states = self._update(window, states)
            else:
                number = first_window + index
                _, rows, weights, states = self._window_loss(window, states, number, training=False)
            return index + 1, states, loss_sum + rows, weight_sum + weights

        zero = tf.zeros((), tf.float32)
        _, states, loss_sum, weight_sum = tf.while_loop(
            lambda index, *_: index < num_windows,
            body,
            (tf.zeros((), tf.int32), list(states), zero, zero),
            parallel_iterations=1,
        )
        return states, loss_sum, weight_sum

    def _update(self, window, states):
        """Moves the weights by one window; returns the sums of losses and weights, and states."""
        before = states
        for variables in self.update_groups():
            with tf.GradientTape() as tape:
                loss, rows, weights, states = self._window_loss(
                    window, before, self.optimizer.iterations, training=True
                )
                # Half-precision gradients of a small loss would vanish; `apply` scales them back.
                loss = self.optimizer.scale_loss(loss)
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            self.optimizer.apply(gradients, variables)
        return rows, weights, states

    def _window_loss(self, window, states, number, *, training):
        """Returns the loss to train on, the sum of row losses, of weights, and new states."""
        events, next_item_ids, weights = window
        penalty: Any = 0.0
        if training:
            hidden, states, penalty = self.encode_to_train(events, states)
        else:
            hidden, states = self.encode(events, states)
        score = self.score_to_train if training else self.score
        if self.negatives is None:
            row_losses = self.sampled_loss.full_row_losses(score(hidden), next_item_ids)
        else:
            hidden, next_item_ids, weights = map(self._by_step, (hidden, next_item_ids, weights))
            row_losses = sampled_row_losses(
                score,
                hidden,
                next_item_ids,
                weights,
                number,
                loss=self.sampled_loss,
                negatives=self.negatives,
            )
        loss = reduce_rows(row_losses, weights, self.sampled_loss.normalise)
        if callable(penalty):
            by_lane = row_losses
            if self.negatives is not None:
                by_lane = self._by_lane(row_losses, tf.shape(window[2]))
            penalty = penalty(by_lane, window[2])
        loss = self.rank_weight * loss + penalty
        weight_sum = tf.reduce_sum(weights)
        total = reduce_rows(row_losses, weights, "valid") * weight_sum
        if not training and self._rank_metrics:
            all_finite = update_rank_metrics(
                self._rank_metrics, self.score, hidden, next_item_ids, weights
            )
            # Items that are no column of the loss are ranked too.
            total = tf.where(all_finite, total, np.nan)
        return loss, total, weight_sum, list(states)

    def _by_step(self, values: tf.Tensor) -> tf.Tensor:
        """Turns (lanes, steps, ...) to (steps, lanes, ...): a step's rows share their columns.

        Steps of padded rows say nothing of time, so that all targets of a batch are one step.
        """
        if self.layout in PADDED_LAYOUTS:
            return tf.reshape(values, (1, -1, *values.shape[2:]))
        return tf.transpose(values, (1, 0, *range(2, len(values.shape))))

    def _by_lane(self, values: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
        """Turns what `_by_step` gave back to `shape`, (lanes, steps)."""
        return tf.reshape(values if self.layout in PADDED_LAYOUTS else tf.transpose(values), shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_items": self.num_items, "seed": self.seed}

    def get_compile_config(self) -> dict[str, Any]:
        if self.sampled_loss is None:
            return {}
        parts = {
            "optimizer": self.optimizer,
            "loss": self.sampled_loss,
            "negatives": self.negatives,
            "metrics": self._rank_metrics,
        }
        return keras.saving.serialize_keras_object(parts | self._compile_options)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        if config:
            self.compile(**keras.saving.deserialize_keras_object(config))
            self.optimizer.build(self.trainable_variables)


def _check_compile_options(optimizer, jit_compile, run_eagerly):
    if optimizer is None:
        raise TypeError("`optimizer` was None, but `fit` needs one. Pass AdagradMomentum(0.1).")
    if getattr(optimizer, "use_ema", False):
        raise ValueError(
            "`optimizer` was made with use_ema=True, but `fit` would never put its averages in. "
            "Leave it out, and pass hrec_tf.training.WeightAveraging to `fit`."
        )
    if jit_compile not in (True, False, "auto"):
        raise ValueError(
            f"`jit_compile` must be True, False or 'auto', but was {jit_compile!r}. Leave it out."
        )
    if run_eagerly and jit_compile is True:
        raise ValueError(
            "`jit_compile` was True with run_eagerly=True, where nothing is compiled. Pass one."
        )
