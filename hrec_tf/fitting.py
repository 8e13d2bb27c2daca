"""What is done by a recipe: training, counting, measuring."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_features import LogFeatures
from hrec_tf.recipe import Recipe, sampled_negatives
from hrec_tf.recipes import keys
from hrec_tf.schema import ACROSS_SESSIONS, ALIGNED, LANE_LAYOUTS, PADDED_LAYOUTS


def num_pairs(recipe: Recipe, histories: Histories) -> int:
    """Next-item pairs that an epoch of the recipe's stream holds."""
    if recipe.arguments.get("first_events"):
        return histories.num_events
    if recipe.entry.layout in ACROSS_SESSIONS:
        return histories.num_events - histories.num_users
    if not recipe.stream.get("augment", True):
        return int((np.diff(histories.session_offsets) > 1).sum())
    return histories.num_pairs


def train(
    recipe: Recipe,
    histories: Histories,
    *,
    seed: int,
    validation: Histories | None = None,
    callbacks: Sequence[Any] = (),
    checkpoint: Any = None,
    features: LogFeatures | None = None,
    monitor: str | None = None,
) -> Any:
    """Trains the recipe's model on histories, or counts its baseline.

    Args:
        recipe: see `Recipe`.
        histories: of the training log.
        seed: of initial values, dropout, order and negatives, or of a baseline that draws;
            counting has no use for it.
        validation: evaluation histories, ranked after every epoch; for trained models. A recipe
            with `patience` needs them: the model then has the weights of its best epoch. So does
            one with a `neighbour_weight` or `popular_weight` of None: they choose it.
        callbacks: Keras callbacks; for trained models.
        checkpoint: a `hrec_tf.training.Checkpoint`, to go on from it; for trained models.
        features: of the log; read by models whose recipe says so, and by `pop-fm`.
        monitor: what validation chooses by, one of `recipe.monitors`; the first if left out.

    Returns:
        The fitted model (`NextItemModel`, with `history`) or `Baseline`.

    Raises:
        ValueError: a recipe or histories that do not fit, or an option that would be ignored.
    """
    recipe = recipe.check().fitted_to(features, histories)
    recipe.check_ranking(num_items=histories.num_items)
    if recipe.entry.is_baseline:
        given = {
            "validation": validation,
            "callbacks": callbacks or None,
            "checkpoint": checkpoint,
            "monitor": monitor,
        }
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"`{name}` was passed, but {recipe.model} is counted in one go, so it would "
                    "be ignored. Leave it out."
                )
        arguments = dict(recipe.arguments)
        if keys.ITEM_FEATURES in recipe.entry.settings() and features and features.items:
            arguments[keys.ITEM_FEATURES] = features.items.values
        baseline = recipe.entry.build(num_items=histories.num_items, seed=seed, **arguments)
        return baseline.fit(histories)
    if recipe.chosen_weights and validation is None:
        name = recipe.chosen_weights[0]
        raise ValueError(
            f"`{name}` of {recipe.name} is None, but there is no `validation` to choose it by. "
            f"Pass what `PreparedLog.for_validation()` returns, or set {name}, e.g. to 1.0."
        )
    if monitor is not None and not recipe.needs_validation:
        raise ValueError(
            f"`monitor` was {monitor!r}, but {recipe.name} leaves nothing to validation, so it "
            "would be ignored. Leave it out, or give the recipe e.g. patience=2."
        )
    monitor = checks.require_choice("monitor", monitor or recipe.monitor, recipe.monitors)
    own = _remembering(recipe, validation, monitor)
    if checkpoint is not None:
        for callback in own:
            checkpoint.remember(callback)
    model, stream = ready_to_train(
        recipe, histories, seed=seed, is_ranked=validation is not None, features=features
    )
    measure = None if validation is None else _validation(recipe, model, validation)
    model.fit(
        stream,
        epochs=recipe.epochs,
        validation_data=measure,
        callbacks=[*own, *callbacks],
        checkpoint=checkpoint,
        verbose=0,
    )
    if measure is None:
        return model
    for name in recipe.chosen_weights:
        from hrec_tf.training import choose_head_weight

        choose_head_weight(model, name, measure, monitor.removeprefix("val_"))
    return model


def count_held_out(fitted: Any, validation: Histories | None) -> None:
    """Counts what was held back from training, in a model that counts on, before it is tested.

    Args:
        fitted: what `train` returned.
        validation: what it was given; None changes nothing.
    """
    if validation is not None and fitted.counts_on:
        fitted.count_on(validation)


def chosen_by_validation(recipe: Recipe, fitted: Any) -> dict[str, float]:
    """Returns argument -> the weight of a head that validation chose for a fitted model."""
    return {name: fitted.heads.weight_of(name) for name in recipe.chosen_weights}


def with_chosen(recipe: Recipe, fitted: Any) -> Recipe:
    """Returns the recipe with the weights that validation chose for a fitted model."""
    chosen = chosen_by_validation(recipe, fitted)
    return replace(recipe, arguments=dict(recipe.arguments) | chosen)


def ready_to_train(
    recipe: Recipe,
    histories: Histories,
    *,
    seed: int,
    is_ranked: bool = False,
    features: LogFeatures | None = None,
) -> tuple[Any, Any]:
    """Returns the compiled model of a recipe that is no baseline, and its stream.

    Args:
        recipe: to train.
        histories: to train on.
        seed: of weights, dropout, order and negatives.
        is_ranked: whether a validation stream is to be ranked.
        features: of the log, for a model that reads them.
    """
    model = recipe.entry.build(num_items=histories.num_items, seed=seed, **recipe.arguments)
    if recipe.arguments.get("num_item_features") and features and features.items:
        model.set_item_features(features.items.values, is_cold=histories.item_supports() == 0)
    if recipe.arguments.get("neighbours"):
        from hrec_tf.baselines import ItemKNN

        counted = ItemKNN(neighbours=recipe.arguments["neighbours"]).fit(histories)
        model.set_neighbours(counted.similarities)
    if recipe.arguments.get("popular"):
        model.set_popular(histories)
    model.compile(
        optimizer=_optimizer(recipe),
        loss=_loss(recipe),
        negatives=_negatives(recipe, histories, seed),
        metrics=_validation_metrics(recipe) if is_ranked else (),
    )
    return model, _stream(recipe, model, histories, seed=seed)


def best_epoch(recipe: Recipe, fitted: Any, monitor: str | None = None) -> int | None:
    """Returns the epoch whose weights a fitted model has, the first being 1.

    None if it is the last one: the recipe has no `patience`. `monitor` is that of `train`.
    """
    if recipe.patience is None:
        return None
    from hrec_tf.training import best_epoch as best

    return best(fitted.history.history[monitor or recipe.monitor])


def evaluate(
    recipe: Recipe,
    fitted: Any,
    histories: Histories,
    *,
    training: Histories | None = None,
    **changes: Any,
) -> Any:
    """Ranks every point of evaluation histories as the recipe says.

    Args:
        recipe: see `Recipe`; its `evaluation` section counts.
        fitted: what `train` returned.
        histories: evaluation histories, see `hrec_tf.data.bootstrapped_histories`.
        training: what it was trained on, for `sampling = "sasrec"`, see `SampledNegatives`.
        **changes: keys of the section to change, e.g. `ties="standard"`.

    Returns:
        `hrec_tf.evaluation.Evaluation`.
    """
    from hrec_tf import evaluation

    options = {**keys.EVALUATION, **recipe.evaluation, **changes}
    sampled = sampled_negatives(options, training)
    drawing = ("sampled_negatives", "sampling")
    options = {name: value for name, value in options.items() if name not in drawing}
    asked = replace(recipe, evaluation={"counts_on": options.pop("counts_on")})
    with counting_on(asked, fitted, histories):
        return evaluation.evaluate(fitted, histories, sampled=sampled, **options)


def counting_on(recipe: Recipe, fitted: Any, histories: Histories) -> Any:
    """A context in which a fitted model's counts run on over histories, if its recipe says so.

    Raises:
        ValueError: a model that counts nothing that could run on.
    """
    recipe.check_counts_on()
    return fitted.counting_on(histories) if recipe.counts_on else nullcontext()


def _remembering(recipe: Recipe, validation: Histories | None, monitor: str) -> list[Any]:
    """The recipe's own callbacks, whose memory a checkpoint must keep."""
    from hrec_tf.training import EarlyStopping, WeightAveraging

    found: list[Any] = []
    if recipe.average_from is not None:
        found.append(WeightAveraging(first_epoch=recipe.average_from))
    if recipe.patience is not None:
        if validation is None:
            raise ValueError(
                f"`patience` of {recipe.name} is {recipe.patience}, but there is no `validation` "
                "to watch. Pass what `PreparedLog.for_validation()` returns, or set patience to "
                "none."
            )
        found.append(EarlyStopping(monitor, patience=recipe.patience))
    return found


def _optimizer(recipe: Recipe) -> Any:
    values = dict(recipe.optimizer)
    place, _ = keys.OPTIMIZERS[values.pop("name")]
    return keys.class_of(place)(**values)


def _loss(recipe: Recipe) -> Any:
    values = dict(recipe.loss)
    return keys.class_of(keys.LOSSES[values.pop("name")])(**values)


def _negatives(recipe: Recipe, histories: Histories, seed: int) -> Any:
    values = dict(recipe.negatives)
    name = values.pop("name")
    if name == "full":
        return None
    from hrec_tf.losses import InBatch, PerTarget

    if name == "per_target":
        return PerTarget(seed=seed, **values)
    needs_supports = values.get("extra") or recipe.loss.get("logq")
    supports = histories.item_supports() if needs_supports else None
    return InBatch(seed=seed, item_supports=supports, **values)


def _validation_metrics(recipe: Recipe) -> list[Any]:
    from hrec_tf.metrics import MRR, Recall

    return [Recall(recipe.largest_k), MRR(recipe.largest_k)]


def _stream(recipe: Recipe, model: Any, histories: Histories, *, seed: int) -> Any:
    """The stream that an epoch of training is."""
    values = dict(recipe.stream)
    if values.get("order", "random") == "random":
        values["seed"] = seed
    return _stream_of(model, histories, **values)


def _validation(recipe: Recipe, model: Any, histories: Histories) -> Any:
    """What `fit` measures after an epoch: ranks in lanes, and the loss too in padded rows.

    Of lanes, most events only lead to a target. A stream of them would take longer to measure than
    to train on, most of it for a loss of weight 0.
    """
    if model.layout not in LANE_LAYOUTS:
        return _validation_stream(recipe, model, histories)
    from hrec_tf.evaluation import rank_model, summarise

    k = recipe.largest_k

    def measured() -> dict[str, float]:
        with counting_on(recipe, model, histories):
            ranks = rank_model(model, histories)
        found = summarise(ranks, histories, ks=[k]).metrics
        return {f"recall@{k}": found[f"Recall@{k}"], f"mrr@{k}": found[f"MRR@{k}"]}

    return measured


def _validation_stream(recipe: Recipe, model: Any, histories: Histories) -> Any:
    """Every target of validation histories, in an order in which nothing is drawn."""
    values = dict(recipe.stream) | {"order": "given"}
    values.pop("augment", None)
    return _stream_of(model, histories, **values)


def _stream_of(model: Any, histories: Histories, **values: Any) -> Any:
    if model.layout in PADDED_LAYOUTS:
        from hrec_tf.data.prefixes import padded_stream

        return padded_stream(histories, layout=model.layout, max_length=model.max_length, **values)
    if model.layout == ALIGNED:
        from hrec_tf.data.aligned import aligned_stream

        return aligned_stream(histories, first_events=model.first_events, **values)
    from hrec_tf.data.lanes import lane_stream

    return lane_stream(
        histories,
        layout=model.layout,
        feed_last_item=model.feed_last_item,
        with_gaps=model.reads_gaps,
        with_minutes=model.reads_minutes,
        with_users=model.reads_users,
        **values,
    )
