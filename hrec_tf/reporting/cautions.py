"""What a reader of results should know about how they were taken.

Each check looks for a practice that has misled readers of published comparisons.
Sources: Hidasi and Czapp, RecSys 2023, arXiv:2307.14951 (flaws of offline evaluation); Latifi
et al., Information Sciences 2021, arXiv:2011.03424 (simple baselines against session-aware
networks).
"""

from collections.abc import Iterator

import numpy as np

from hrec_tf.data.filter_report import FilterStep
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.data.splits import Split
from hrec_tf.recipe import Recipe
from hrec_tf.reporting.comparison import Comparison
from hrec_tf.reporting.tables import label
from hrec_tf.schema import RATING, TIMESTAMP, USER

HEAVY_FILTERING = 0.2
"""Share of events or users from whose removal on a log stands for a part of its users only."""
FEW_SESSIONS = 500
"""With fewer, the 95 % interval of a recall of .3 is wider than .08."""
FEW_SEEDS = 3
KNOWN_FUTURE = 0.01
"""Mean share of training events after a test event from which it is worth a word."""
DROPPED_TARGETS = 0.05
COMMON_TIMES = 0.2
"""Share of events at the time of the user's event before, from which order means little."""
STRONG_BASELINE = "item-knn"
"""The baseline that published networks have most often failed to beat."""


def cautions(comparison: Comparison, prepared: PreparedLog, source: LogSource) -> list[str]:
    """Returns one sentence for each thing to keep in mind, with the number that shows it.

    Args:
        comparison: the results.
        prepared: the log they were taken on.
        source: where it came from.

    Returns:
        Sentences; none if nothing was found.
    """
    return [
        *_of_ranking(comparison),
        *_of_seeds_and_sessions(comparison),
        *_of_methods(comparison, source),
        *_of_held_back_sessions(comparison, prepared),
        *of_log(prepared.split, source.split_name),
    ]


def of_log(split: Split, split_name: str) -> list[str]:
    """Returns the sentences that hold for any method: of what is left of a log, and of its split.

    Args:
        split: of the prepared log.
        split_name: how it was split, as `LogSource.split_name`.
    """
    return [*_of_filters(split), *_of_split(split, split_name), *_of_sequences(split)]


def preparation_steps(split: Split) -> tuple[FilterStep, ...]:
    """The steps before the split: those that training and test have in common."""
    common = []
    for ours, theirs in zip(split.train.report.steps, split.test.report.steps, strict=False):
        if ours != theirs:
            break
        common.append(ours)
    # Parts that came as files were prepared each by itself.
    return tuple(common) or split.train.report.steps


def package_recipe(recipe: Recipe, source: LogSource) -> Recipe | None:
    """The package's recipe of this name for this log, or None."""
    try:
        return Recipe.for_data(source.data if source.is_named else None, recipe.name)
    except ValueError:
        return None


def _of_ranking(comparison: Comparison) -> Iterator[str]:
    evaluations = [result.evaluations[0] for result in comparison.results]
    manners = {(e.ties, e.average, e.ranks.candidates) for e in evaluations}
    if len(manners) > 1:
        listed = "; ".join(f"{t} ties, {a} average, {c} candidates" for t, a, c in sorted(manners))
        yield (
            f"The methods were measured in {len(manners)} different ways ({listed}), so their "
            "numbers do not compare."
        )
    candidates = {e.ranks.candidates: e for e in evaluations if e.ranks.candidates != "full"}
    for name, evaluation in sorted(candidates.items()):
        if evaluation.ranks.full is not None:
            yield (
                f"Targets were ranked among {evaluation.ranks.num_candidates:,} items drawn for "
                f"each ({name}): metrics are far higher than among all items, and the order of "
                'methods may be another. What is named "full" ranks among all.'
            )
            if name.endswith("sasrec"):
                yield (
                    "They were drawn with replacement, so that an item may stand among them twice, "
                    "and the target once more, which then ties with itself."
                )
            continue
        yield (
            f"Targets were ranked among the {evaluation.ranks.num_candidates:,} most frequent "
            f"items only ({name}), not among all: metrics are higher, and the order of methods may "
            "be another."
        )
    kind = {"standard": "in the target's favour", "random": "by lot", "median": "by their middle"}
    tied = [r for r in comparison.results if r.evaluations[0].ties in kind and r.tie_share > 0]
    if tied:
        most = max(tied, key=lambda result: result.tie_share)
        ties = most.evaluations[0].ties
        yield (
            f"Equal scores were settled {kind[ties]} ({ties} ties): {most.tie_share:.1%} of the "
            f"points of {label(most)} have them, and its metrics would be lower if ties counted "
            "against it."
        )
    for result in comparison.results:
        if result.recipe.counts_on or result.recipe.arguments.get("rolling"):
            yield (
                f"{label(result)} counted the test events later than all of training as they came; "
                "methods that do not know the training log alone."
            )
    played = {
        n
        for result in comparison.results
        if (n := result.recipe.evaluation.get("bootstrap_sessions", -1)) != -1
    }
    for sessions in sorted(played):
        yield (
            f"At most {sessions} earlier sessions of a user were played before the test session, "
            "although more are known."
        )


def _of_seeds_and_sessions(comparison: Comparison) -> Iterator[str]:
    trained = [r for r in comparison.results if not r.recipe.entry.is_baseline]
    seeds = len(comparison.seeds)
    if trained and seeds == 1:
        yield (
            "Training was done with 1 seed: how much results vary from one training to the next "
            "is not known, and a small difference may turn round."
        )
    elif trained and seeds < FEW_SEEDS:
        yield f"Training was done with {seeds} seeds, too few for a dependable deviation."
    sessions = comparison.results[0].evaluations[0].num_sessions
    if sessions < FEW_SESSIONS:
        yield (
            f"The test has {sessions:,} sessions, fewer than {FEW_SESSIONS:,}: intervals are wide, "
            "and only large differences show."
        )


def _of_methods(comparison: Comparison, source: LogSource) -> Iterator[str]:
    trained = [r for r in comparison.results if not r.recipe.entry.is_baseline]
    names = {result.recipe.model for result in comparison.results}
    if trained and comparison.best_baseline is None:
        models = f"{len(trained)} trained model{'s' if len(trained) > 1 else ''}"
        yield (
            f"No counted baseline stands beside {models}, although simple neighbour methods often "
            "beat recurrent networks: `hrec compare` sets some beside it."
        )
    elif trained and STRONG_BASELINE not in names:
        yield (
            f"Item-KNN is not among the {len(comparison.results)} methods, yet it is the baseline "
            "that networks most often fail to beat."
        )
    shorter: dict[tuple[int, int], list[str]] = {}
    for result in trained:
        original = package_recipe(result.recipe, source)
        epochs, full = result.recipe.epochs or 0, (original and original.epochs) or 0
        if epochs < full:
            shorter.setdefault((epochs, full), []).append(label(result))
    for (epochs, full), which in shorter.items():
        yield (
            f"{_listed(which)} trained for {_epochs(epochs)}, where the recipe for this log has "
            f"{full}: more training may raise {'it' if len(which) == 1 else 'them'}."
        )


def _of_held_back_sessions(comparison: Comparison, prepared: PreparedLog) -> Iterator[str]:
    validated = [
        result
        for result in comparison.results
        if any(name.startswith("val_") for history in result.history for name in history)
    ]
    if validated and (held_back := sessions_held_back(prepared)):
        stops = all(result.recipe.patience is not None for result in validated)
        than = "methods without a patience" if stops else "a comparison would give it"
        yield (
            f"{held_back} were held back for "
            f"validation, so {_listed([label(result) for result in validated])} knew fewer events "
            f"than {than}."
        )


def sessions_held_back(prepared: PreparedLog) -> str | None:
    """What trainings that have a validation do without; None where the split has one itself."""
    if prepared.split.validation is not None:
        return None
    whole, kept = prepared.split.train.counts, prepared.validated.train.counts
    held_back = (whole.sessions or 0) - (kept.sessions or 0)
    by_time = prepared.split.again or whole.sessions == whole.users
    which = "those that start last" if by_time else "the last of each user"
    return f"{held_back:,} sessions of training, {which},"


def _of_filters(split: Split) -> Iterator[str]:
    steps = preparation_steps(split)
    if steps:
        before, after = steps[0].before, steps[-1].after
        events, users = 1 - after.events / before.events, 1 - after.users / before.users
        # A log without users counts each session as one.
        who = "users" if split.train.has_users else "sessions"
        if max(events, users) >= HEAVY_FILTERING:
            yield (
                f"The preparation removed {events:.1%} of the events and {users:.1%} of the {who}: "
                f"the results hold for the {who} that were left, not for all."
            )
    cleaning = [step for step in split.test.report.steps if step.name == "items of training"]
    if cleaning:
        dropped = 1 - split.test.num_events / cleaning[-1].before.events
        unseen = split.unseen_target_share
        targets = "" if unseen is None else f" {unseen:.1%} of the targets were of such items."
        if dropped >= DROPPED_TARGETS:
            yield (
                f"{dropped:.1%} of the test events were dropped, because training lacks their item "
                f"or their session was left with one event: new items are not tested.{targets}"
            )


def _of_split(split: Split, name: str) -> Iterator[str]:
    if not (split.train.has_times and split.test.has_times):
        yield (
            f"The log of {split.train.num_events:,} training events has no times, so whether "
            "training knows events from after the test cannot be told."
        )
        return
    training = np.sort(split.train.frame[TIMESTAMP].to_numpy())
    tested = split.test.frame[TIMESTAMP].to_numpy()
    earlier = np.searchsorted(training, tested, side="right") / len(training)
    future = float(np.mean(1 - earlier))
    if future >= KNOWN_FUTURE:
        yield (
            f"Training knows some of the future: on average {future:.1%} of its events lie after a "
            f"test event, since the split {name!r} does not cut all users at one time. The "
            "temporal split does."
        )


def _of_sequences(split: Split) -> Iterator[str]:
    train = split.train
    if RATING in train.frame.columns:
        yield (
            f"The {train.num_events:,} training events are ratings: people rate in another order "
            "than they watch or buy, so the next rating says little of the next use."
        )
    counts = train.counts
    if train.has_users and counts.sessions == counts.users:
        yield (
            f"Each of the {counts.users:,} users has one session, so there is no history of "
            "sessions for a hierarchical model to use."
        )
    if train.has_times:
        frame = train.frame
        before = (frame[TIMESTAMP] == frame[TIMESTAMP].shift()) & (
            frame[USER] == frame[USER].shift()
        )
        share = before.sum() / train.num_events
        if share >= COMMON_TIMES:
            yield (
                f"{share:.1%} of the training events have the time of the user's event before, so "
                "their order is that of the file and may mean little."
            )


def _epochs(number: int) -> str:
    return f"{number} epoch{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
