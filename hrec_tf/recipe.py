"""Recipes: everything that decides a training run, as plain data in TOML."""

import inspect
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from hrec_tf import checks, registry
from hrec_tf.data import plain_toml
from hrec_tf.data.gaps import gap_moments, gap_quantile
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_features import FeatureSchemas, LogFeatures
from hrec_tf.data.recent_counts import num_moments
from hrec_tf.recipes import files, keys
from hrec_tf.recipes.keys import SECTIONS
from hrec_tf.schema import LANE_LAYOUTS, PADDED_LAYOUTS


@dataclass(frozen=True)
class Recipe:
    """One model's settings: what it is, how it is trained, how it is measured.

    Sections hold plain values. `optimizer`, `loss` and `negatives` each have a `name`
    ("adagrad_momentum", "adam"; "cross_entropy", "top1", "bpr", "top1_max", "bpr_max",
    "binary_cross_entropy"; "in_batch", "per_target", "full") beside that class's arguments. What a
    section leaves out has the default of its class. Baselines are counted: they have `arguments`
    and `evaluation` only.

    Args:
        name: what it is called in its file.
        model: a name of `hrec_tf.registry`.
        source: where the settings come from.
        arguments: of the model's class. A width of features may be "log": that of the log; so may
            moments of gaps and the number of users. `segment_minutes` may be "log:0.9": the time
            that nine of ten gaps of the training histories are not above.
        optimizer, loss, negatives: see above.
        stream: `num_lanes`, `steps`, `order`, see `hrec_tf.data.lanes.lane_stream`, or of
            HRNN-meta `hrec_tf.data.aligned.aligned_stream`; for models that read padded rows
            `batch_size`, `order`, and of prefixes `augment`, see
            `hrec_tf.data.prefixes.padded_stream`.
        epochs: passes over the training histories, at the most if there is a `patience`.
        patience: epochs without a better validation Recall, at the largest of `ks`, after which
            the training ends; the weights are then those of the best epoch. None trains all
            `epochs` and needs no validation part.
        average_from: the first epoch, counted from 1, of those whose weights are averaged, see
            `hrec_tf.training.WeightAveraging`; validation then measures the mean. None averages
            nothing.
        evaluation: `ks`, `ties`, `average`, `coverage`, `top_pop`, `sampled_negatives`, `sampling`,
            `bootstrap_sessions`, see `hrec_tf.evaluation.evaluate`; `counts_on`, see
            `hrec_tf.models.HRNN.counting_on`.

    Raises:
        ValueError: a model that there is not, or a section that it would ignore.

    Example:
        >>> recipe = Recipe.load("quadrana2017", "hrnn-init")
        >>> recipe.with_changes({"num_lanes": 20}).stream["num_lanes"]
        20
    """

    name: str
    model: str
    source: str
    arguments: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    loss: Mapping[str, Any]
    negatives: Mapping[str, Any]
    stream: Mapping[str, Any]
    epochs: int | None
    patience: int | None
    average_from: int | None
    evaluation: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.entry.is_baseline:
            return
        given = [name for name in (*keys.TRAINING_SECTIONS, *keys.NUMBERS) if getattr(self, name)]
        if given:
            raise ValueError(
                f"`{given[0]}` was set for {self.model}, which is counted, not trained, so it "
                "would be ignored. Leave it out; baselines have `arguments` and `evaluation`."
            )

    @property
    def entry(self) -> registry.Entry:
        """The model's row in the registry."""
        return registry.entry(self.model)

    @property
    def is_padded(self) -> bool:
        """Whether the model reads padded rows, not lanes."""
        return self.entry.layout in PADDED_LAYOUTS

    @property
    def chosen_weights(self) -> tuple[str, ...]:
        """Arguments that validation decides on: how much counted scores of a network count."""
        if self.entry.is_baseline:
            return ()
        held = self.entry.settings() | dict(self.arguments)
        return tuple(
            name for name, of in keys.CHOSEN.items() if held.get(of) and held[name] is None
        )

    @property
    def counts_on(self) -> bool:
        """Whether what the model counts runs on over the histories that it is measured on."""
        return bool(self.evaluation.get("counts_on", False))

    @property
    def needs_validation(self) -> bool:
        """Whether `train` needs validation histories."""
        return self.patience is not None or bool(self.chosen_weights)

    @property
    def monitor(self) -> str:
        """Name, in a training's history, of the metric that `patience` watches."""
        return self.monitors[0]

    @property
    def monitors(self) -> tuple[str, ...]:
        """Names of all that validation may choose by."""
        return f"val_recall@{self.largest_k}", f"val_mrr@{self.largest_k}"

    @property
    def largest_k(self) -> int:
        return max(self.evaluation.get("ks", keys.EVALUATION["ks"]))

    @classmethod
    def load(cls, name_or_path: str | Path, model: str | None = None) -> Self:
        """Reads a recipe of the package, or of a TOML file of your own.

        Args:
            name_or_path: the name of a file of `hrec_tf/recipes`, without ".toml", or a path
                that ends in ".toml".
            model: name of the recipe in that file; may be left out if it holds one.

        Raises:
            ValueError: no such recipe, an unknown key, or a file that is not TOML.
            FileNotFoundError: there is no such file.
        """
        held = files.read(name_or_path)["recipes"]
        if model is None and len(held) == 1:
            (model,) = held
        if model is None:
            raise ValueError(
                f"`model` was not given, but {name_or_path} holds the recipes "
                f"{', '.join(held)}. Name one of them."
            )
        checks.require_choice("model", model, held)
        return cls.from_dict(held[model], name=model)

    @classmethod
    def for_data(cls, data: str | None, model: str) -> Self:
        """Returns the package's recipe of a model for a named log, else its general one.

        Args:
            data: name of a log of the catalogue; None, or a name without recipes of its
                own, gives the general recipe.
            model: name of a recipe, mostly that of a model.
        """
        held = files.read(files.file_of(data, model))["recipes"]
        return cls.from_dict(held[model], name=model)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, name: str | None = None) -> Self:
        """Makes a recipe of plain values, as TOML holds them; "none" stands for None.

        Raises:
            ValueError: an unknown key, or a section that would be ignored.
        """
        values = plain_toml.from_words(values)
        name = str(name or values.get("name") or values.get("model"))
        known = ("name", "model", "source", *keys.NUMBERS, *SECTIONS)
        for key in values:
            checks.require_choice(f"key of recipe {name}", key, known)
        keys.require_tables(values, SECTIONS, f"recipe {name}")
        row = registry.entry(str(values.get("model", name)))
        if row.kind == registry.RATING:
            raise ValueError(
                f"`model` was {row.name!r}, which predicts ratings, but a recipe's model "
                f"recommends next items. Fit it by `registry.entry({row.name!r}).build("
                "num_items=...).fit(train)` and measure it by `evaluation.rating_errors`."
            )
        defaults: dict[str, Any] = {}
        if not row.is_baseline:
            for missing in ("optimizer", "loss", "epochs"):
                if not values.get(missing):
                    raise ValueError(
                        f"Recipe {name!r} has no `{missing}`, but {row.name} is trained and needs "
                        f"one. Add it, e.g. {_EXAMPLES[missing]}."
                    )
            negatives = "in_batch" if row.layout in LANE_LAYOUTS else "full"
            stream = keys.stream_defaults(row.layout)
            defaults = {
                "negatives": {"name": negatives},
                "stream": {k: v for k, v in stream.items() if v is not keys.REQUIRED},
            }
        sections = {
            section: {**defaults.get(section, {}), **values.get(section, {})}
            for section in SECTIONS
        }
        recipe = cls(
            name=name,
            model=row.name,
            source=str(values.get("source", "")),
            epochs=values.get("epochs"),
            patience=values.get("patience"),
            average_from=values.get("average_from"),
            **sections,
        )
        recipe._check_light()
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values that `from_dict` reads back; None is written as "none"."""
        values: dict[str, Any] = {"name": self.name, "model": self.model, "source": self.source}
        values |= {key: held for key in keys.NUMBERS if (held := getattr(self, key)) is not None}
        values |= {section: dict(getattr(self, section)) for section in SECTIONS}
        return plain_toml.to_words({key: value for key, value in values.items() if value != {}})

    def valid_keys(self) -> dict[str, tuple[str, ...]]:
        """Names of the keys that each section of this recipe may hold."""
        return {section: tuple(self._defaults(section)) for section in self._sections()}

    def with_changes(self, changes: Mapping[str, Any]) -> "Recipe":
        """Returns a recipe with some keys changed.

        Args:
            changes: key -> value. A key is `epochs`, `patience`, "section.key" such as
                "loss.logq", or the key alone where one section has it. A new `loss.name` (or that
                of the optimizer or the negatives) drops the arguments of the old one.

        Raises:
            ValueError: a key that there is not, with the nearest, or that several have.
        """
        return with_shared_changes([self], changes)[0]

    def check(self) -> Self:
        """Returns this recipe if every key of every section exists, or raises.

        Unlike reading, this imports the model's class, and so Keras.
        """
        self._check_light()
        for section in self._sections():
            known = self._defaults(section)
            for key in getattr(self, section):
                checks.require_choice(f"{section} of {self.name}", key, known)
        self._check_evaluation()
        if not self.entry.is_baseline:
            mend = "Pass e.g. epochs=10."
            checks.require_positive_int("epochs", self.epochs, mend=mend)
            if self.patience is not None:
                mend = "Leave it out to train all epochs."
                checks.require_positive_int("patience", self.patience, mend=mend)
            self._check_average()
            size = "batch_size" if self.is_padded else "num_lanes"
            if size not in self.stream:
                raise ValueError(
                    f"`stream` of {self.name} has no `{size}`. Pass the batch size, e.g. 100."
                )
        return self

    def complete(self) -> Self:
        """Returns this recipe with every default written out."""
        self.check()
        filled: dict[str, Any] = {
            section: {
                key: value
                for key, value in (self._defaults(section) | dict(getattr(self, section))).items()
                if value is not inspect.Parameter.empty
            }
            for section in self._sections()
        }
        return replace(self, **filled)

    def fitted_to(self, features: LogFeatures | None, histories: Histories | None = None) -> Self:
        """Returns this recipe with what a log says where the recipe says "log", or "log:0.9".

        Args:
            features: `PreparedLog.features`; None, and a part that it lacks, has width 0.
            histories: those to be trained on, whose gaps and users count; without them moments of
                gaps are 0 and 1, and a quantile of gaps stays as it is.

        Raises:
            ValueError: users are to be counted in histories that do not tell them apart.
        """
        widths = (features.schemas if features else FeatureSchemas()).widths
        said: dict[str, float] = {name: widths[part] for name, part in keys.WIDTHS.items()}
        if any(self.arguments.get(name) == "log" for name in keys.MOMENTS):
            moments = (0.0, 1.0) if histories is None else gap_moments(histories)
            said |= dict(zip(keys.MOMENTS, moments, strict=True))
        if self.arguments.get(keys.POPULAR_MOMENTS) == "log":
            hours = (self.entry.settings() | dict(self.arguments))["popular_hours"]
            said[keys.POPULAR_MOMENTS] = 1 if histories is None else num_moments(histories, hours)
        if self.arguments.get(keys.NUM_USERS) == "log" and histories is not None:
            said[keys.NUM_USERS] = _num_users(histories)
        filled = {
            name: said[name] if name in said and value == "log" else value
            for name, value in self.arguments.items()
        }
        for name, share in self._quantiles().items():
            if histories is not None:
                filled[name] = gap_quantile(histories, share) / 60
        return replace(self, arguments=filled)

    def _quantiles(self) -> dict[str, float]:
        """Arguments that are a quantile of the log's gaps -> which one."""
        asked = {name: keys.quantile_of(name, self.arguments.get(name)) for name in keys.QUANTILES}
        return {name: share for name, share in asked.items() if share is not None}

    def _sections(self) -> tuple[str, ...]:
        return ("arguments", "evaluation") if self.entry.is_baseline else SECTIONS

    def _check_evaluation(self) -> None:
        """Refuses now what would fail after the training."""
        from hrec_tf.evaluation.protocols import check_report_options
        from hrec_tf.metrics import TIES

        chosen = {**keys.EVALUATION, **self.evaluation}
        self.check_counts_on()
        check_report_options(ks=chosen["ks"], average=chosen["average"])
        checks.require_choice("ties", chosen["ties"], TIES)
        self.check_ranking(num_items=None)

    def check_counts_on(self) -> None:
        if not isinstance(self.evaluation.get("counts_on", False), bool):
            raise ValueError(
                f"`evaluation.counts_on` of {self.name} was {self.evaluation['counts_on']!r}, but "
                "must be true or false. Pass one of them."
            )
        if self.counts_on and not self.arguments.get("popular"):
            raise ValueError(
                f"`evaluation.counts_on` was {self.counts_on}, but {self.name} has no popularity "
                "of the hour that could count on, so it would be ignored. Leave it out, or see "
                "`arguments.popular` of hrnn and `arguments.rolling` of recent-pop."
            )

    def _check_average(self) -> None:
        if self.average_from is None:
            return
        mend = "Pass an epoch before the last, or leave it out to average nothing."
        checks.require_positive_int("average_from", self.average_from, mend=mend)
        if self.average_from >= (self.epochs or 0):
            raise ValueError(
                f"`average_from` of {self.name} was {self.average_from} with epochs={self.epochs}, "
                f"so that there would be nothing to average. {mend}"
            )

    def check_ranking(self, *, num_items: int | None) -> None:
        from hrec_tf.evaluation.ranking import check_ranking_options

        chosen = {**keys.EVALUATION, **self.evaluation}
        check_ranking_options(
            layout=self.entry.layout,
            num_items=num_items,
            top_pop=chosen["top_pop"],
            sampled=sampled_negatives(chosen),
            bootstrap_sessions=chosen["bootstrap_sessions"],
        )

    def _check_light(self) -> None:
        """Checks what needs no Keras: names of losses and the like."""
        for section, choices in keys.NAMED.items():
            held = getattr(self, section)
            if held:
                checks.require_choice(f"{section}.name", held.get("name"), choices)
        self._quantiles()
        for key in self.evaluation:
            checks.require_choice(f"evaluation of {self.name}", key, keys.EVALUATION)

    def _defaults(self, section: str) -> dict[str, Any]:
        return keys.defaults(section, getattr(self, section), self.entry)

    def _with_change(self, key: str, value: Any) -> Self:
        if key in keys.NUMBERS:
            changed_number: dict[str, Any] = {key: value}
            return replace(self, **changed_number)  # refused for a baseline by the constructor
        section, key = self._located(key)
        held = dict(getattr(self, section))
        if key == "name" and held.get("name") != value:
            checks.require_choice(f"{section}.name", value, keys.NAMED[section])
            held = {}
        if isinstance(value, list):
            value = tuple(value)
        changed: dict[str, Any] = {section: {**held, key: value}}
        made = replace(self, **changed)
        if key == "counts_on":
            made.check_counts_on()
        return made

    def _located(self, key: str) -> tuple[str, str]:
        """The section that a key belongs to, and its name there."""
        if self.entry.is_baseline and key.split(".")[0] in keys.TRAINING_SECTIONS:
            raise ValueError(
                f"`{key}` was set for {self.model}, which is counted, not trained, so it would "
                "be ignored. Leave it out, or choose a trained model."
            )
        valid = self.valid_keys()
        dotted = [f"{section}.{name}" for section, names in valid.items() for name in names]
        if key in dotted:
            section, _, name = key.partition(".")
            return section, name
        holders = [section for section, names in valid.items() if key in names]
        if len(holders) == 1:
            return holders[0], key
        if holders:
            listed = ", ".join(f"{section}.{key}" for section in holders)
            raise ValueError(f"`{key}` may mean {listed}. Write which of them is meant.")
        bare = [name for names in valid.values() for name in names if name != "name"]
        near = checks.did_you_mean(key, dotted if "." in key else [*keys.NUMBERS, *bare])
        raise ValueError(
            f"`{key}` is no key of the recipe {self.name!r} for {self.model}. {near} All keys: "
            f"{', '.join([*keys.NUMBERS, *dotted])}."
        )


def with_shared_changes(recipes: Sequence[Recipe], changes: Mapping[str, Any]) -> list[Recipe]:
    """Returns recipes with some keys changed, each in those that have it.

    Args:
        recipes: e.g. of models that are compared.
        changes: as for `Recipe.with_changes`.

    Raises:
        ValueError: a key that none of the recipes has.
    """
    changed = list(recipes)
    # New names first: they decide which other keys there are. What needs an argument comes last.
    for key in sorted(
        changes, key=lambda key: (key.endswith("counts_on"), not key.endswith("name"))
    ):
        refusals = []
        for place, recipe in enumerate(changed):
            try:
                changed[place] = recipe._with_change(key, plain_toml.from_words(changes[key]))
            except ValueError as error:
                refusals.append(error)
        if refusals and len(refusals) == len(changed):
            raise refusals[-1]
    return [recipe.check() for recipe in changed]


def _num_users(histories: Histories) -> int:
    """The highest number of a user that is to be trained on."""
    if histories.user_ids is None:
        raise ValueError(
            "`histories` have no `user_ids`, but the recipe's `num_users` is their number. Choose "
            "a model that knows no users where a log has none; else pass `users` to "
            "`histories_from_log`, or replace(histories, user_ids=…)."
        )
    return int(histories.user_ids.max())


def sampled_negatives(options: Mapping[str, Any], training: Any = None) -> Any:
    """The `SampledNegatives` that an `evaluation` section asks for, or None.

    Args:
        options: the section.
        training: what the model was trained on; only SASRec's sampling asks for it, and only of
            a log with users, by whom it is read.
    """
    from hrec_tf.evaluation import SampledNegatives

    number, sampling = options["sampled_negatives"], options["sampling"]
    if number is not None:
        is_asked = sampling == "sasrec" and training is not None and training.user_ids is not None
        return SampledNegatives(number, sampling, training=training if is_asked else None)
    if sampling != keys.EVALUATION["sampling"]:
        raise ValueError(
            f"`sampling` was {sampling!r} without `sampled_negatives`, so it would do nothing. "
            "Pass sampled_negatives too, e.g. 100, or leave it out."
        )
    return None


def parse_value(text: str) -> Any:
    """Reads a value as TOML would; what TOML would not read is text, "none" is None.

    Example:
        >>> parse_value("0.5"), parse_value("[5, 20]"), parse_value("tanh"), parse_value("none")
        (0.5, [5, 20], 'tanh', None)
    """
    if text == "none":
        return None
    try:
        values = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return values["value"] if set(values) == {"value"} else text


_EXAMPLES = {
    "optimizer": 'optimizer = { name = "adagrad_momentum", learning_rate = 0.1 }',
    "loss": 'loss = { name = "top1" }',
    "epochs": "epochs = 10",
}
