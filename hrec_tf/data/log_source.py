"""Where a log comes from and how it is prepared and split, as plain values that can be kept."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import polars as pl

from hrec_tf import checks
from hrec_tf.data import catalogue, periods, splits
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
from hrec_tf.schema import EVENT_TYPE, RATING, TIMESTAMP, USER

SPLITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "last_session_out": (),
        "leave_one_out": (),
        "temporal": ("at", "days", "share"),
        "by_users": ("fractions", "seed"),
    }
)
"""Names of splits and of their arguments."""

_READING = tuple(inspect.signature(EventLog.read).parameters)[1:]
_PREPARATION = tuple(inspect.signature(hrnn_preparation).parameters)[1:]
_FEATURES = tuple(inspect.signature(FeatureTables.read).parameters)
_SECTIONS = ("reading", "preparation", "split", "features")
_OF_FILES = ("reading", "preparation", "features")
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
        split: `name`, one of `SPLITS`, and its arguments. If left out, "last_session_out", of a
            named log its own.
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
        elif must_exist and not Path(self.data).is_file():
            listed = ", ".join(catalogue.names())
            raise ValueError(
                f"`data` was {self.data!r}, which is neither a file nor a named log. Pass a path, "
                f"or one of {listed}. {checks.did_you_mean(self.data, catalogue.names())}"
            )
        for section, known in zip(_OF_FILES, (_READING, _PREPARATION, _FEATURES), strict=True):
            for key in getattr(self, section):
                checks.require_choice(section, key, known)
        if self.split:
            self._check_split()

    def _check_split(self) -> None:
        """Refuses a split that cannot be made, before anything is read."""
        name = checks.require_choice("split", self.split.get("name", "last_session_out"), SPLITS)
        if self.is_named and catalogue.entry(self.data).split is None:
            raise ValueError(
                f"`split` was {name!r}, but {self.data!r} comes in parts, which are its split. "
                "Leave it out, or pass a log that comes whole."
            )
        for key in self.split:
            if key not in ("name", *SPLITS[name]):
                raise ValueError(
                    f"`{key}` was set for the split {name!r}, which would ignore it. Leave it out, "
                    "or choose the split that has it."
                )
        if name == "temporal":
            periods.checked_period(**self._split_arguments())
            reading = catalogue.entry(self.data).reading if self.is_named else self.reading
            if reading.get("timestamp", TIMESTAMP) is None:
                raise ValueError(
                    f"`split` was {name!r}, but {self.data!r} has no times, only an order, so it "
                    "cannot be split at a time. Use last_session_out or by_users."
                )

    def _refuse_options(self) -> None:
        for section in _OF_FILES:
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
        if self.split or not self.is_named:
            return str(self.split.get("name", "last_session_out"))
        function = catalogue.entry(self.data).split
        if function is None:
            return "given"
        return str(getattr(function, "func", function).__name__)  # `partial` has no name itself

    @property
    def split_label(self) -> str:
        """Name of the split, and in brackets what was set of it, e.g. "temporal(days=1)"."""
        shown = (
            f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in self._split_arguments().items()
        )
        listed = ", ".join(shown)
        return f"{self.split_name}({listed})" if listed else self.split_name

    @property
    def about(self) -> str:
        """What the catalogue says of a named log, and which split is in place of its own."""
        about = catalogue.entry(self.data).about
        return f"{about} In place of that split: {self.split_label}." if self.split else about

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
            split = {"split": {"name": self.split_name, **self.split}} if self.split else {}
            return {"data": self.data, **split}
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
            split = named.load(self._split() if self.split else None)
            return PreparedLog(split, None if named.tables is None else named.tables())
        log = hrnn_preparation(self.read(), **self._preparation())
        tables = FeatureTables.read(**self.features) if self.features else None
        return PreparedLog(self._split()(log), tables)

    def _split(self) -> Callable[[EventLog], Split]:
        return partial(getattr(splits, self.split_name), **self._split_arguments())

    def _split_arguments(self) -> dict[str, Any]:
        return {key: value for key, value in self.split.items() if key != "name"}

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
    def users(self) -> pl.Series | None:
        """The users of the training part, in the order of their numbers; None in a log without.

        First those of `validated`, rising, then those of whom all sessions are held back there:
        what is trained beside a validation knows the users up to a number, and none above it.
        """
        if not self.split.train.has_users:
            return None
        users = self.split.train.frame[USER].unique().sort()
        try:
            is_trained = users.is_in(self.validated.train.frame[USER].unique().implode())
        except ValueError:  # no session can be held back
            return users
        return pl.concat([users.filter(is_trained), users.filter(~is_trained)])

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

    @cached_property
    def validated(self) -> Split:
        """Training, and in place of the test what is held back for validation.

        That is the split's own validation part; else what the split takes off the training part
        when it is made again, as `temporal` can be; else each user's last session. Where every
        user has one session, as in logs without users, it is the tenth of all sessions that
        start last.

        Raises:
            ValueError: the split makes no validation part, and no session can be spared.
        """
        split = self.split
        if split.validation is None:
            return _held_back(split)
        return Split(split.train, split.validation, continues=split.continues)

    def for_validation(self) -> tuple[Histories, Histories]:
        """Returns training and validation histories, those of `validated`.

        Both are numbered by `vocabulary`.

        Raises:
            ValueError: the split makes no validation part, and no session can be spared.
        """
        split = self.validated
        return (
            histories_from_log(
                split.train, self.vocabulary, features=self.features, users=self.users
            ),
            bootstrapped_histories(
                split.train,
                split.test,
                self.vocabulary,
                continues=split.continues,
                features=self.features,
                users=self.users,
            ),
        )


def fingerprint_of(users: pl.Series | None) -> str | None:
    """SHA-256 over `PreparedLog.users`: equal means that numbers are of the same users."""
    if users is None:
        return None
    digest = hashlib.sha256(str(users.dtype).encode())
    for user in users.cast(pl.String):
        digest.update(f"\n{user}".encode())
    return digest.hexdigest()


def _held_back(split: Split) -> Split:
    """The split made again, or each user's last session, or the tenth that starts last."""
    train = split.train
    single = train.counts.sessions == train.counts.users
    again = split.again or (splits.latest_sessions if single else splits.last_session_out)
    try:
        return again(train)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            "Validation was asked for, but the split has no part for it, and none of the "
            f"{train.counts.sessions:,} training sessions can be held back: {reason} Use a split "
            "that makes a part, e.g. by_users with three fractions, or train without validation "
            "and patience."
        ) from error
