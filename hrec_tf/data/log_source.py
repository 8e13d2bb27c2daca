"""Where a log comes from and how it is prepared and split, as plain values that can be kept."""

import inspect
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import polars as pl

from hrec_tf import checks
from hrec_tf.data import catalogue, splits
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_features import FIRST_ITEM, FeatureTables, LogFeatures
from hrec_tf.data.preparation import (
    bootstrapped_histories,
    histories_from_log,
    hrnn_preparation,
)
from hrec_tf.data.splits import Split
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.schema import EVENT_TYPE, RATING, USER

SPLITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "last_session_out": (),
        "leave_one_out": (),
        "temporal": ("at",),
        "by_users": ("fractions", "seed"),
    }
)
"""Names of splits and of their arguments."""

_READING = tuple(inspect.signature(EventLog.read).parameters)[1:]
_PREPARATION = tuple(inspect.signature(hrnn_preparation).parameters)[1:]
_FEATURES = tuple(inspect.signature(FeatureTables.read).parameters)
_SECTIONS = ("reading", "preparation", "split", "features")
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class LogSource:
    """A named log of the catalogue, or a file of one's own with what to make of it.

    Args:
        data: a name of `hrec_tf.data.catalogue`, or the path of a file.
        reading: arguments of `EventLog.read`; for a file only.
        preparation: arguments of `hrnn_preparation`; for a file only. `idle_minutes` is None
            (the log's own sessions) if `reading` names a session column, else 30;
            `min_user_sessions` is 1 for a log without users.
        split: `name`, one of `SPLITS` ("last_session_out" if left out), and its arguments;
            for a file only.
        features: arguments of `FeatureTables.read`; for a file only.
        must_exist: refuse a file that is not there now, and not when it is read.

    Raises:
        ValueError: no such name or file, an unknown key, or one that would be ignored.

    Example:
        >>> LogSource("online-retail").is_named
        True
    """

    data: str
    reading: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    preparation: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    split: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    features: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    must_exist: InitVar[bool] = True

    def __post_init__(self, must_exist: bool) -> None:
        if self.is_named:
            self._refuse_options()
            return
        if must_exist and not Path(self.data).is_file():
            listed = ", ".join(catalogue.names())
            raise ValueError(
                f"`data` was {self.data!r}, which is neither a file nor a named log. Pass a path, "
                f"or one of {listed}. {checks.did_you_mean(self.data, catalogue.names())}"
            )
        split = self.split.get("name", "last_session_out")
        checks.require_choice("split", split, SPLITS)
        for section, known in (
            ("reading", _READING),
            ("preparation", _PREPARATION),
            ("split", ("name", *SPLITS[split])),
            ("features", _FEATURES),
        ):
            for key in getattr(self, section):
                if section == "split" and key not in known:
                    raise ValueError(
                        f"`{key}` was set for the split {split!r}, which would ignore it. Leave "
                        "it out, or choose the split that has it."
                    )
                checks.require_choice(section, key, known)

    def _refuse_options(self) -> None:
        for section in _SECTIONS:
            held = getattr(self, section)
            if held:
                key, value = next(iter(held.items()))
                raise ValueError(
                    f"`{key}` was {value!r}, but {self.data!r} is a named log with a preparation "
                    "of its own, which would ignore it. Leave it out, or pass a file."
                )

    @property
    def is_named(self) -> bool:
        """Whether this is a log of the catalogue."""
        return self.data in catalogue.names()

    @property
    def stem(self) -> str:
        """What files that are made of the log are called after."""
        return self.data if self.is_named else Path(self.data).name.split(".")[0]

    @property
    def split_name(self) -> str:
        """Name of the split, "given" where the parts come as files."""
        if not self.is_named:
            return str(self.split.get("name", "last_session_out"))
        function = catalogue.entry(self.data).split
        if function is None:
            return "given"
        return str(getattr(function, "func", function).__name__)  # `partial` has no name itself

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Makes a source of the plain values that `to_dict` returns.

        A file need not be there before it is read: a trained model outlives its log.
        """
        for key in values:
            checks.require_choice("log", key, ("data", *_SECTIONS))
        if "data" not in values:
            raise ValueError("`log` names no `data`. Add the name of a log, or a path.")
        return cls(**values, must_exist=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values; paths are made absolute, so that they hold anywhere."""
        if self.is_named:
            return {"data": self.data}
        values = {
            "data": str(Path(self.data).resolve()),
            "reading": dict(self.reading),
            "preparation": self._preparation(),
            "split": {"name": self.split_name, **self.split},
        }
        if self.features:
            is_path = {"items", "users", "schemas"}
            values["features"] = {
                key: str(Path(held).resolve()) if key in is_path and held != FIRST_ITEM else held
                for key, held in self.features.items()
            }
        return values

    @property
    def idle_minutes(self) -> float | None:
        """Idle time that ends a session where events come one by one.

        That of the preparation; 30 where the log gave its own sessions. None if a whole history
        is one session.
        """
        if self.is_named:
            return catalogue.entry(self.data).idle_minutes
        given = self._preparation()["idle_minutes"]
        return 30.0 if given is None else float(given)

    def descriptions(self) -> dict[Any, str]:
        """Returns raw item id -> text; empty where the log has no texts.

        Empty also where the log is not there: a trained model outlives its log.
        """
        named = catalogue.entry(self.data) if self.is_named else None
        if named is None or named.describe is None or not named.is_at_hand:
            return {}
        return named.describe()

    def categories(self) -> dict[Any, tuple[str, ...]]:
        """Returns raw item id -> names of its categories; empty where the log has none.

        Raises:
            ValueError: HREC_DATA is not set.
            FileNotFoundError: the log is not there.
        """
        categories = catalogue.entry(self.data).categories if self.is_named else None
        return {} if categories is None else categories()

    def read(self) -> EventLog:
        """Reads the log as it is, for inspection."""
        if self.is_named:
            return catalogue.read(self.data)
        feedback = self.features.get("feedback", ())
        mapped = {name: name for name in (RATING, EVENT_TYPE) if name in feedback}
        more = [name for name in feedback if name not in mapped]
        context = tuple(dict.fromkeys([*self.reading.get("context", ()), *more]))
        return EventLog.read(self.data, **{**mapped, **self.reading, "context": context})

    def load(self) -> "PreparedLog":
        """Reads, prepares and splits the log."""
        if self.is_named:
            named = catalogue.entry(self.data)
            return PreparedLog(named.load(), None if named.tables is None else named.tables())
        log = hrnn_preparation(self.read(), **self._preparation())
        arguments = {key: value for key, value in self.split.items() if key != "name"}
        tables = FeatureTables.read(**self.features) if self.features else None
        return PreparedLog(getattr(splits, self.split_name)(log, **arguments), tables)

    def _preparation(self) -> dict[str, Any]:
        defaults: dict[str, Any] = {
            "idle_minutes": None if self.reading.get("session") is not None else 30
        }
        if self.reading.get("user", "user") is None:
            defaults["min_user_sessions"] = 1
        return defaults | dict(self.preparation)


@dataclass(frozen=True)
class PreparedLog:
    """A split log as models take it.

    Args:
        split: its parts.
        tables: features of items and users, and which columns are feedback; None without any.
    """

    split: Split
    tables: FeatureTables | None = None

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The items of the training part."""
        return Vocabulary.from_log(self.split.train)

    @cached_property
    def users(self) -> pl.Series:
        """The users of the training part, rising."""
        return self.split.train.frame[USER].unique().sort()

    @cached_property
    def features(self) -> LogFeatures | None:
        """Item features, feedback and user features as the training part has them."""
        if self.tables is None:
            return None
        return self.tables.fit(self.split.train.frame, self.vocabulary)

    @cached_property
    def train(self) -> Histories:
        """What a model is trained on."""
        return histories_from_log(
            self.split.train, self.vocabulary, features=self.features, users=self.users
        )

    @cached_property
    def test(self) -> Histories:
        """The test sessions, after all that is known of their users."""
        return bootstrapped_histories(
            self.split.train_and_validation,
            self.split.test,
            self.vocabulary,
            continues=self.split.continues,
            features=self.features,
            users=self.users,
        )

    def for_validation(self) -> tuple[Histories, Histories]:
        """Returns training and validation histories: the split's own, or the last sessions.

        The last sessions are each user's last one. Where every user has one session, as in logs
        without users, they are the tenth of all sessions that start last.
        Both histories are numbered by `vocabulary`.

        Raises:
            ValueError: the split makes no validation part, and no session can be spared.
        """
        split = self.split
        if split.validation is None:
            split = _held_back(split.train)
            train, held_out = split.train, split.test
        else:
            train, held_out = split.train, split.validation
        return (
            histories_from_log(train, self.vocabulary, features=self.features, users=self.users),
            bootstrapped_histories(
                train,
                held_out,
                self.vocabulary,
                continues=split.continues,
                features=self.features,
                users=self.users,
            ),
        )


def _held_back(train: EventLog) -> Split:
    """Each user's last session; where none has two, the sessions that start last, a tenth."""
    single = train.counts.sessions == train.counts.users
    try:
        return splits.latest_sessions(train) if single else splits.last_session_out(train)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            "Validation was asked for, but the split has no part for it, and none of the "
            f"{train.counts.sessions:,} training sessions can be held back: {reason} Use a split "
            "that makes a part, e.g. by_users with three fractions, or train without validation "
            "and patience."
        ) from error
