"""A study: an SQLite file of trials that processes make together, are killed in, and go on with."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from hrec_tf.settings import first_difference, flat
from hrec_tf.tuning.space import Space
from hrec_tf.tuning.trial_locks import TrialLocks
from hrec_tf.tuning.tuned import COMPLETE, FAILED, PRUNED, Trial

NAME = "hrec_tf"
"""Of the study in its file."""
STORAGE_ERRORS = (optuna.exceptions.OptunaError, SQLAlchemyError)

UNPRUNED_TRIALS, UNPRUNED_EPOCHS = 5, 1
"""Complete trials, and epochs of a trial, before it may be pruned."""
IMPORTANCE_TRIALS, IMPORTANCE_BEST, IMPORTANCE_SHARE = 12, 5, 0.25
"""Importance tells a share of the trials, the best, from all; Optuna wants at least 5 of them."""
RANDOM_TRIALS = 6
"""Finished ones from which TPE draws by what it has seen; before, at random."""

_SETTINGS, _PLACE, _ERROR = "settings", "place", "error"
_BEST_EPOCH, _WEIGHTS = "best_epoch", "weights"
_STATES = {TrialState.COMPLETE: COMPLETE, TrialState.PRUNED: PRUNED, TrialState.FAIL: FAILED}
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class Standing(NamedTuple):
    """How far a study is.

    Attributes:
        finished: trials that are complete or pruned.
        running: trials that are being made, in whatever process.
        best: the highest value; None before there is one.
        seconds: mean time of the finished trials; None before there is one.
    """

    finished: int
    running: int
    best: float | None
    seconds: float | None


class Study:
    """Trials in an SQLite file; a context, in which one process makes one trial at a time.

    What is tried next follows from the seed, the trial's place and the trials before it. Places are
    0, 1, 2, …; that of a trial whose process ended in the midst of it is taken by a new one, which
    is given the same settings if nothing else was going on. One that failed by itself keeps its
    place.

    Args:
        path: of the file, which is made if it is not there; <path>.lock stands beside it.
        settings: all that must be the same whoever goes on with it, plain values.
        space: what is searched.
        start: searched key -> its value in the first trial; what it lacks is drawn.
        seed: of the search.
        pruner: "median" or "none".

    Raises:
        ValueError: no folder for it, a file that is no study, or one with other settings.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        space: Space,
        start: Mapping[str, Any],
        *,
        seed: int,
        pruner: str,
    ):
        self.path = require_folder(path)
        self._space, self._start, self._seed = space, dict(start), seed
        self._locks = TrialLocks(path.with_name(f"{path.name}.lock"))
        pruning = {"n_startup_trials": UNPRUNED_TRIALS, "n_warmup_steps": UNPRUNED_EPOCHS}
        chosen = optuna.pruners.NopPruner() if pruner == "none" else None
        try:
            with self._locks.alone():
                self._study = _opened(path, chosen or optuna.pruners.MedianPruner(**pruning))
                self._require_same(settings)
        except BaseException:
            self._locks.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._locks.__exit__()

    def standing(self) -> Standing:
        """Returns how far the study is."""
        trials = self._trials()
        finished = [trial for trial in trials if trial.state in _FINISHED]
        complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
        values = [trial.value for trial in complete if trial.value is not None]
        seconds = [_seconds(trial) for trial in finished]
        running = sum(trial.state == TrialState.RUNNING for trial in trials)
        mean = float(np.mean(seconds)) if seconds else None
        return Standing(len(finished), running, max(values, default=None), mean)

    def is_full(self, trials: int) -> bool:
        """Whether nothing is to be begun now, but may be if another process leaves its trial."""
        with self._locks.alone():
            self._fail_what_was_left()
            standing = self.standing()
            return standing.finished < trials <= standing.finished + standing.running

    def begin(self, trials: int) -> optuna.Trial | None:
        """Begins a trial, unless as many as are wanted are finished or being made.

        Args:
            trials: how many are wanted, with those that the study has.
        """
        with self._locks.alone():
            self._fail_what_was_left()
            standing = self.standing()
            if standing.finished + standing.running >= trials:
                return None
            place = self._free_place()
            drawn = np.random.SeedSequence([self._seed, place]).generate_state(1)
            self._study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=RANDOM_TRIALS, seed=int(drawn[0])
            )
            # One may wait already, of a process that ended before it asked.
            if place == 0 and not any(t.state == TrialState.WAITING for t in self._trials()):
                self._study.enqueue_trial(self._start)
            trial = self._study.ask(self._space.distributions())
            self._locks.hold(trial.number)
            trial.set_user_attr(_PLACE, place)
            return trial

    def complete(self, trial: optuna.Trial, value: float) -> None:
        """Keeps a value, and with it the trial."""
        self._study.tell(trial, value)

    def keep_chosen(
        self, trial: optuna.Trial, epoch: int | None, weights: Mapping[str, float]
    ) -> None:
        """Keeps what validation chose: the epoch a trial ended with, if it did, and weights."""
        trial.set_user_attr(_BEST_EPOCH, epoch)
        trial.set_user_attr(_WEIGHTS, dict(weights))

    def prune(self, trial: optuna.Trial) -> None:
        """Keeps a trial that was not worth its end."""
        self._study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: optuna.Trial, error: str) -> None:
        """Keeps a trial that has no value, and why."""
        trial.set_user_attr(_ERROR, error)
        self._study.tell(trial, state=TrialState.FAIL)

    def release(self, trial: optuna.Trial) -> None:
        """Says that this process makes a trial no longer; what it did not keep was left."""
        self._locks.release(trial.number)

    def place(self, trial: optuna.Trial) -> int:
        """Returns a trial's place, from 0."""
        return int(trial.user_attrs[_PLACE])

    def records(self) -> tuple[Trial, ...]:
        """Returns the trials that have an end of their own, by place."""
        kept = [t for t in self._trials() if t.state in _FINISHED or _ERROR in t.user_attrs]
        return tuple(self._record(trial) for trial in sorted(kept, key=_place))

    @property
    def num_left(self) -> int:
        """How many trials were left by processes that ended."""
        failed = [trial for trial in self._trials() if trial.state == TrialState.FAIL]
        return sum(_ERROR not in trial.user_attrs for trial in failed)

    def importance(self) -> tuple[dict[str, float] | None, str]:
        """Returns searched key -> share, largest first; or None and why there is none.

        Source: PED-ANOVA, Watanabe et al., IJCAI 2023, arXiv:2304.10255, as Optuna has it.
        """
        complete = [trial for trial in self._trials() if trial.state == TrialState.COMPLETE]
        if len(complete) < IMPORTANCE_TRIALS:
            return None, (
                f"{len(complete)} trials are complete, but importance is not told from fewer than "
                f"{IMPORTANCE_TRIALS}."
            )
        if len(self._space.searched) < 2:
            return None, "One setting alone was searched."
        if len({trial.value for trial in complete}) == 1:
            return None, "All complete trials have the same value."
        share = max(IMPORTANCE_SHARE, IMPORTANCE_BEST / len(complete))
        evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
        found = get_param_importances(self._study, evaluator=evaluator)
        return {key: float(value) for key, value in found.items()}, ""

    def _record(self, trial: FrozenTrial) -> Trial:
        complete = trial.state == TrialState.COMPLETE
        return Trial(
            number=_place(trial) + 1,
            state=_STATES[trial.state],
            value=trial.value if complete else None,
            changes=self._space.changes(trial.params),
            seconds=_seconds(trial),
            reports=tuple(value for _, value in sorted(trial.intermediate_values.items())),
            error=trial.user_attrs.get(_ERROR),
            best_epoch=trial.user_attrs.get(_BEST_EPOCH),
            weights=trial.user_attrs.get(_WEIGHTS, {}),
        )

    def _require_same(self, settings: Mapping[str, Any]) -> None:
        """Keeps the settings of a new study; refuses others than an old one has."""
        held = self._study.user_attrs.get(_SETTINGS)
        if held is None and self._trials():
            raise ValueError(
                f"`study` was {str(self.path)!r}, whose trials were not made by `hrec tune`, so "
                "that nobody knows of what. Choose another file."
            )
        if held is None:
            self._study.set_user_attr(_SETTINGS, dict(settings))
            return
        other = first_difference(flat(held), flat(settings))
        if other:
            raise ValueError(
                f"`{other.name}` is {other.held!r} in the study {str(self.path)!r}, but "
                f"{other.now!r} now. Trials of one study must be alike: pass what it was begun "
                "with, or another `study`."
            )

    def _fail_what_was_left(self) -> None:
        # Who ends a trial says so and then gives back its lock, so only a trial that is running
        # after its lock was seen free was left.
        running = [trial.number for trial in self._running()]
        free = {number for number in running if not self._locks.is_held(number)}
        for trial in self._running() if free else ():
            if trial.number in free:
                self._study.tell(trial.number, state=TrialState.FAIL)

    def _running(self) -> list[FrozenTrial]:
        return [trial for trial in self._trials() if trial.state == TrialState.RUNNING]

    def _free_place(self) -> int:
        taken = {
            _place(trial)
            for trial in self._trials()
            if trial.state != TrialState.FAIL or _ERROR in trial.user_attrs
        }
        return next(place for place in range(len(taken) + 1) if place not in taken)

    def _trials(self) -> Sequence[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


@contextmanager
def said_of(path: Path) -> Iterator[None]:
    """Turns errors of the storage into one that says what may be done."""
    try:
        yield
    except STORAGE_ERRORS as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise OSError(
            f"The study {str(path)!r} could not be read or written: {reason} It must be an SQLite "
            "file that this version of Optuna knows, on a disk that has room. Mend that and run "
            "the same again: what is in it is kept; or choose another file."
        ) from error


def _opened(path: Path, pruner: optuna.pruners.BasePruner) -> optuna.Study:
    """The study of a file, made if it is not there."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        url = URL.create("sqlite", database=str(path)).render_as_string()
        # Each use has a connection of its own, so that none is left open; others may be writing.
        options = {"poolclass": NullPool, "connect_args": {"timeout": 60}}
        storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
        return optuna.create_study(
            storage=storage,
            study_name=NAME,
            direction="maximize",
            load_if_exists=True,
            pruner=pruner,
        )
    finally:
        optuna.logging.set_verbosity(verbosity)


def _place(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get(_PLACE, -1))


def _seconds(trial: FrozenTrial) -> float:
    return 0.0 if trial.duration is None else trial.duration.total_seconds()


def require_folder(path: Path) -> Path:
    """Returns the path of a study if there is a folder for it, or raises."""
    if not path.parent.is_dir():
        raise ValueError(
            f"`study` was {str(path)!r}, but there is no folder {str(path.parent)!r}. Make it "
            "first, or choose another place."
        )
    return path


def require_finite(value: float) -> float:
    """Returns a value that trials can be told by, or raises."""
    if not math.isfinite(value):
        raise FloatingPointError(
            f"The objective was {value!r}, but must be a number. Look at the settings of the trial."
        )
    return value
