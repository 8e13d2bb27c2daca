"""What a training will take, before it is begun: memory of its parts, and time by a short try."""

from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from hrec_tf import fitting
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_features import LogFeatures
from hrec_tf.evaluation.playing import ROWS_AT_ONCE, SCORE_BYTES
from hrec_tf.recipe import Recipe
from hrec_tf.schema import PADDED_LAYOUTS

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Plan:
    """What training and evaluating a recipe on a log takes.

    Attributes:
        model: its name.
        events, items: of the log that is trained on.
        pairs: next-item pairs of an epoch.
        epochs: at the most.
        table_bytes: of weights with a row for each item.
        other_bytes: of the other weights.
        optimizer_bytes: of what the optimizer keeps beside them.
        score_bytes: of the scores of a training step; None for padded batches, whose length varies.
        evaluation_score_bytes: of the scores that are held at once while ranking.
        compile_seconds: until the first chunk of windows was trained.
        pairs_per_second: after that.
    """

    model: str
    events: int
    items: int
    pairs: int
    epochs: int
    table_bytes: int
    other_bytes: int
    optimizer_bytes: int
    score_bytes: int | None
    evaluation_score_bytes: int
    compile_seconds: float
    pairs_per_second: float

    @property
    def epoch_seconds(self) -> float:
        """Seconds of an epoch, without compiling and validation."""
        return self.pairs / self.pairs_per_second

    def as_dict(self) -> dict[str, Any]:
        """The attributes, and `epoch_seconds`."""
        return asdict(self) | {"epoch_seconds": self.epoch_seconds}

    def to_text(self) -> str:
        """The plan in lines for people."""
        parts = {
            "item tables": self.table_bytes,
            "other weights": self.other_bytes,
            "optimizer": self.optimizer_bytes,
            "scores of a step": self.score_bytes,
            "scores in evaluation": self.evaluation_score_bytes,
        }
        lines = [
            f"{self.model}: {self.events:,} events, {self.items:,} items, {self.pairs:,} pairs an "
            "epoch",
            *(
                f"{name:22}{size / 1e6:12,.2f} MB"
                for name, size in parts.items()
                if size is not None
            ),
            f"{'compiling':22}{self.compile_seconds:12,.1f} s",
            f"{'speed':22}{self.pairs_per_second:12,.0f} pairs/s",
            f"{'an epoch':22}{self.epoch_seconds:12,.1f} s",
            f"{'all epochs':22}{self.epochs * self.epoch_seconds:12,.1f} s "
            f"({self.epochs} at the most, without validation)",
        ]
        return "\n".join(lines)


def plan(
    recipe: Recipe,
    histories: Histories,
    *,
    seed: int = 0,
    features: LogFeatures | None = None,
    seconds: float = 5.0,
) -> Plan:
    """Builds what a recipe trains, and trains it for some seconds, to say what all of it takes.

    Args:
        recipe: of a model that is trained by `fit`.
        histories: to train on.
        seed: see `fitting.train`.
        features: see `fitting.train`.
        seconds: of the try, after compiling.

    Raises:
        ValueError: the recipe is one of a baseline.
    """
    if recipe.entry.is_baseline:
        raise ValueError(
            f"`recipe` is one of {recipe.model}, but a baseline is counted in one go, so there is "
            "nothing to plan. Pass a model that is trained, e.g. hrnn-init."
        )
    model, stream = fitting.ready_to_train(recipe, histories, seed=seed, features=features)
    compiling, speed = model.probe(stream, seconds=seconds)
    in_bytes = [(weight.shape, _bytes_of(weight)) for weight in model.weights]
    has_row_for_items = [shape[:1] == (model.num_items + 1,) for shape, _ in in_bytes]
    tables = sum(size for (_, size), yes in zip(in_bytes, has_row_for_items, strict=True) if yes)
    score_bytes = None
    if model.layout not in PADDED_LAYOUTS:
        num_lanes, steps = stream.element_spec[1].shape
        columns = model.num_items
        if model.negatives is not None:
            columns = model.negatives.num_columns(num_lanes)
        score_bytes = num_lanes * steps * columns * FLOAT_BYTES
    return Plan(
        model=recipe.name,
        events=histories.num_events,
        items=histories.num_items,
        pairs=fitting.num_pairs(recipe, histories),
        epochs=recipe.epochs or 0,
        table_bytes=tables,
        other_bytes=sum(size for _, size in in_bytes) - tables,
        optimizer_bytes=sum(map(_bytes_of, model.optimizer.variables)),
        score_bytes=score_bytes,
        evaluation_score_bytes=min(SCORE_BYTES, ROWS_AT_ONCE * histories.num_items * FLOAT_BYTES),
        compile_seconds=compiling,
        pairs_per_second=speed,
    )


def _bytes_of(variable: Any) -> int:
    size = tf.as_dtype(variable.dtype).size
    for length in variable.shape:
        size *= length
    return size
