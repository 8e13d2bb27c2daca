"""The zoo in one table: name -> class, default arguments, paper, layout, what it can.

Nothing here imports Keras: a class is imported when it is asked for. `docs/models.md` is made
from this table:

    python -m hrec_tf.registry > docs/models.md
"""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hrec_tf import checks
from hrec_tf.schema import (
    ALIGNED,
    CONCATENATED,
    PREFIXES,
    SEQUENCES,
    SESSION_PARALLEL,
    USER_PARALLEL,
)

READS = ("past", "user", "times", "features")
MODEL = "model"
BASELINE = "baseline"

_QUADRANA = "Quadrana et al., RecSys 2017, arXiv:1706.04148"
_HCRNN = "Song et al., AAAI 2019"
_SONG = f"baseline of {_HCRNN}"
_HIDASI = "Hidasi et al., ICLR 2016, arXiv:1511.06939"
_MA = "Ma & Narayanaswamy, Hierarchical Temporal-Contextual Recommenders"
_RENDLE = "Rendle et al., WWW 2010, doi:10.1145/1772690.1772773"
_SKNN = "Jannach & Ludewig, RecSys 2017, doi:10.1145/3109859.3109872"
_VSKNN = "Ludewig & Jannach, UMUAI 2018, arXiv:1803.09587"
_STAN = "Garg et al., SIGIR 2019, doi:10.1145/3331184.3331322"
_USER_AWARE = "Latifi et al., Information Sciences 2021, arXiv:2011.04087"
_OWN = "the same with the user's last events and own sessions"
_NOT_SETTINGS = ("self", "num_items", "seed", "args", "kwargs")


@dataclass(frozen=True)
class Entry:
    """One row of the zoo.

    Args:
        name: what recipes and commands call it.
        title: what tables call it.
        kind: "model" (a network) or "baseline" (counted, or factors).
        place: "module:Class".
        layout: the stream a model is trained on; None for baselines.
        paper: where it comes from.
        about: what it can, in one line.
        arguments: values that make this row what it is; they differ from the class's own
            defaults or from another row of the same class.
        variants: of those, what else a recipe may choose. Any other value would be a
            different model under the same name.
        defaults: values that take the place of the class's defaults; a recipe may change them.
        reads: of `READS`, what it makes use of beside the session's items: "past", the user's
            earlier sessions; "user", who of the training users it is; "times"; "features", of
            items and users, and feedback.
    """

    name: str
    title: str
    kind: str
    place: str
    layout: str | None
    paper: str
    about: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    variants: Mapping[str, tuple] = field(default_factory=lambda: MappingProxyType({}))
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    reads: tuple[str, ...] = ()

    @property
    def is_baseline(self) -> bool:
        """Whether it is counted instead of trained."""
        return self.kind == BASELINE

    @property
    def is_random(self) -> bool:
        """Whether another seed gives another result."""
        cls: Any = self.load_class()
        return not self.is_baseline or cls.is_random

    @property
    def has_step(self) -> bool:
        """Whether one more event can be read exactly, from a state of fixed size."""
        cls: Any = self.load_class()
        return self.is_served and (cls.incremental or self.layout == ALIGNED)

    @property
    def is_served(self) -> bool:
        """Whether it becomes a SavedModel and a LiteRT file."""
        cls: Any = self.load_class()
        return not self.is_baseline and not cls.reads_users

    def load_class(self) -> type:
        """Imports and returns the class."""
        module, name = self.place.split(":")
        return getattr(importlib.import_module(module), name)

    def settings(self) -> dict[str, Any]:
        """Names of the arguments that a recipe may set -> their values if it does not."""
        return settings_of(self.load_class()) | {**self.defaults, **self.arguments}

    def build(self, *, num_items: int, seed: int | None = None, **arguments: Any) -> Any:
        """Returns a model with fresh weights, or a baseline that is not fitted.

        Args:
            num_items: size of the catalogue; a baseline learns it in `fit`.
            seed: of initial values, dropout and draws; a row that is not `is_random` has no use
                for it.
            **arguments: override those of this row.

        Raises:
            ValueError: an argument that the class does not have, or a bad value.
        """
        known = self.settings()
        for name, value in arguments.items():
            checks.require_choice("arguments", name, known)
            self._check_variant(name, value)
        arguments = {**self.defaults, **self.arguments, **arguments}
        if self.is_baseline:
            seeded = {} if seed is None or not self.is_random else {"seed": seed}
            return self.load_class()(**seeded, **arguments)
        return self.load_class()(num_items=num_items, seed=seed, **arguments)

    def _check_variant(self, name: str, value: Any) -> None:
        if name not in self.arguments or value == self.arguments[name]:
            return
        allowed = (self.arguments[name], *self.variants.get(name, ()))
        if value not in allowed:
            raise ValueError(
                f"`{name}` was {value!r}, but {self.name} means {' or '.join(map(repr, allowed))}. "
                "Choose the model whose name says what you want, or leave the argument out."
            )


def settings_of(cls: type) -> dict[str, Any]:
    """Returns a class's keyword arguments and their defaults, inherited ones included.

    A constructor that takes `**kwargs` hands them on, so those of the class above count too;
    what Keras itself adds (`name`, `dtype`, ...) does not.
    """
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if not base.__module__.startswith("hrec_tf"):
            break
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters
        for name, parameter in parameters.items():
            if name not in _NOT_SETTINGS:
                found.setdefault(name, parameter.default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    return found


def names(kind: str | None = None) -> tuple[str, ...]:
    """Returns all names, or those of one kind."""
    return tuple(name for name, row in _ZOO.items() if kind in (None, row.kind))


def entry(name: str) -> Entry:
    """Returns the row of a name.

    Raises:
        ValueError: there is no such model; the message holds the nearest name.

    Example:
        >>> entry("hrnn-init").layout
        'user_parallel'
    """
    return _ZOO[checks.require_choice("model", name, _ZOO)]


def to_markdown() -> str:
    """Returns the text of `docs/models.md`."""
    lines = [
        "# Models",
        "",
        "Made from `hrec_tf/registry.py` by `python -m hrec_tf.registry > docs/models.md`; do not",
        "edit. Equations: [equations.md](equations.md); results: [results.md](results.md).",
        "",
        "## Which model for my data",
        "",
        "*Past*: it makes use of a user's earlier sessions. *Known users*: it has learnt something",
        "of each user of training. *Times*: it reads when events came. *Features*: of items and",
        "users, and feedback, where its settings say so; items that training never saw are then",
        "scored too. *Step*: one more event is read exactly from a state of fixed size, however",
        "long the history. *Served*: it becomes a SavedModel and a LiteRT file.",
        "",
        "| name | past | known users | times | features, cold items | step | served |",
        "|---|---|---|---|---|---|---|",
        *(_abilities_row(row) for row in _ZOO.values()),
    ]
    for kind, heading in ((MODEL, "Networks"), (BASELINE, "Baselines")):
        lines += ["", f"## {heading}", "", "| name | class | stream | what it is | source |"]
        lines += ["|---|---|---|---|---|"]
        lines += [_markdown_row(row) for row in _ZOO.values() if row.kind == kind]
    return "\n".join(lines) + "\n"


def _abilities_row(row: Entry) -> str:
    held = [kind in row.reads for kind in READS] + [row.has_step, row.is_served]
    return " | ".join([f"| `{row.name}`", *("yes" if yes else "–" for yes in held)]) + " |"


def _markdown_row(row: Entry) -> str:
    arguments = {**row.defaults, **row.arguments}
    set_here = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    module, name = row.place.split(":")
    return (
        f"| `{row.name}` | `{module}.{name}{f'({set_here})' if set_here else ''}` "
        f"| {row.layout or '–'} | {row.title}: {row.about} | {row.paper} |"
    )


def _baseline(
    name: str,
    title: str,
    cls: str,
    paper: str,
    about: str,
    *,
    reads: tuple[str, ...] = (),
    **defaults: Any,
) -> Entry:
    place = f"hrec_tf.baselines:{cls}"
    own = MappingProxyType(defaults)
    return Entry(name, title, BASELINE, place, None, paper, about, defaults=own, reads=reads)


def _hcrnn(name: str, title: str, about: str, layout: str = PREFIXES, **arguments: Any) -> Entry:
    held = MappingProxyType({"theta": "whole", "attention": "single", **arguments})
    return Entry(name, title, MODEL, "hrec_tf.models:HCRNN", layout, _HCRNN, about, held)


_ZOO = {
    row.name: row
    for row in (
        _baseline("pop", "POP", "Popularity", _HIDASI, "the most frequent items, for everybody"),
        _baseline(
            "recent-pop",
            "Recent POP",
            "RecentPopularity",
            "Ji et al., SIGIR 2020, arXiv:2005.13829; half-life inferred",
            "the items most frequent of late, for everybody; events count less the older they are",
        ),
        _baseline(
            "s-pop", "S-POP", "SessionPopularity", _HIDASI, "the session's most frequent items"
        ),
        _baseline(
            "ppop",
            "PPOP",
            "PersonalPopularity",
            _QUADRANA,
            "the user's own most frequent items",
            reads=("past",),
        ),
        _baseline(
            "item-knn", "Item-KNN", "ItemKNN", _QUADRANA, "items that share sessions with the last"
        ),
        _baseline(
            "bpr-mf",
            "BPR-MF",
            "BPRMF",
            "Rendle et al., UAI 2009, arXiv:1205.2618",
            "items near the mean of the session's, in vectors learnt from pairs",
        ),
        _baseline("fmc", "FMC", "FMC", _RENDLE, "items that follow the last one, in factors"),
        _baseline(
            "fpmc",
            "FPMC",
            "FPMC",
            _RENDLE,
            "FMC with a vector for each user that training had",
            reads=("user",),
        ),
        _baseline(
            "coevent-mf",
            "CoEvent MF",
            "CoEventMF",
            "Villatel et al. 2018, arXiv:1807.09142; in part inferred",
            "items near the session's, in factors of co-occurrences",
        ),
        _baseline("sknn", "SKNN", "SessionKNN", _SKNN, "items of the sessions most like this one"),
        _baseline(
            "v-sknn", "V-SKNN", "VSKNN", _VSKNN, "SKNN for which a session's last events count more"
        ),
        _baseline(
            "stan",
            "STAN",
            "STAN",
            _STAN,
            "SKNN that weighs places, age, nearness to what is shared",
            reads=("times",),
        ),
        _baseline(
            "sknn-user",
            "SKNN, user-aware",
            "SessionKNN",
            _USER_AWARE,
            _OWN,
            reads=("past",),
            extend=5,
            boost=2.0,
        ),
        _baseline(
            "v-sknn-user",
            "V-SKNN, user-aware",
            "VSKNN",
            _USER_AWARE,
            _OWN,
            reads=("past",),
            extend=5,
            boost=2.0,
        ),
        _baseline(
            "stan-user",
            "STAN, user-aware",
            "STAN",
            _USER_AWARE,
            _OWN,
            reads=("past", "times"),
            extend=5,
            boost=2.0,
        ),
        Entry(
            "gru4rec",
            "GRU4Rec",
            MODEL,
            "hrec_tf.models:GRU4Rec",
            SESSION_PARALLEL,
            _HIDASI,
            "a GRU over the session alone; the RNN of the HRNN paper",
        ),
        Entry(
            "gru4rec+",
            "GRU4Rec+",
            MODEL,
            "hrec_tf.models:GRU4Rec",
            SESSION_PARALLEL,
            "Hidasi & Karatzoglou, CIKM 2018, arXiv:1706.03847",
            "GRU4Rec with tied item vectors, extra negatives and later losses",
            MappingProxyType({"inputs": "constrained"}),
        ),
        Entry(
            "lstm4rec",
            "LSTM4Rec",
            MODEL,
            "hrec_tf.models:LSTM4Rec",
            SESSION_PARALLEL,
            _SONG,
            "GRU4Rec with an LSTM in place of the GRU",
        ),
        Entry(
            "stacked-gru",
            "Stacked GRU",
            MODEL,
            "hrec_tf.models:StackedGRU",
            SESSION_PARALLEL,
            "Villatel et al. 2018, arXiv:1807.09142; in part inferred",
            "layer-normalised GRUs, one above the other, with tied item vectors",
        ),
        Entry(
            "rnn-concat",
            "RNN Concat",
            MODEL,
            "hrec_tf.models:RNNConcat",
            CONCATENATED,
            _QUADRANA,
            "GRU4Rec on a user's sessions as one long sequence",
            reads=("past",),
        ),
        Entry(
            "hrnn-init",
            "HRNN Init",
            MODEL,
            "hrec_tf.models:HRNN",
            USER_PARALLEL,
            _QUADRANA,
            "a user GRU that starts each session's GRU",
            MappingProxyType({"user_gates": None}),
            reads=("past",),
        ),
        Entry(
            "hrnn-all",
            "HRNN All",
            MODEL,
            "hrec_tf.models:HRNN",
            USER_PARALLEL,
            _QUADRANA,
            "HRNN Init whose user state also enters every step's gates",
            MappingProxyType({"user_gates": "rzh"}),
            MappingProxyType({"user_gates": ("rz",)}),
            reads=("past",),
        ),
        Entry(
            "hrnn-meta",
            "HRNN-meta",
            MODEL,
            "hrec_tf.models:HRNNMeta",
            ALIGNED,
            _MA,
            "one recurrence told when the next event comes, item features in the decoder, "
            "feedback and user features",
            MappingProxyType({"sequence_model": "gru"}),
            MappingProxyType({"sequence_model": ("lstm", "tcn", "tcn-gru", "transformer")}),
            reads=("past", "times", "features"),
        ),
        Entry(
            "hgru",
            "HGRU",
            MODEL,
            "hrec_tf.models:HRNNMeta",
            ALIGNED,
            _MA,
            "the same inputs and decoder on the cell of HRNN Init, to compare with",
            MappingProxyType({"sequence_model": "hrnn", "num_layers": 1}),
            reads=("past", "times", "features"),
        ),
        Entry(
            "user-gru",
            "User-based GRU",
            MODEL,
            "hrec_tf.models:UserGRU",
            CONCATENATED,
            "Donkers et al., RecSys 2017, doi:10.1145/3109859.3109877; reconstructed",
            "a GRU with a vector of each user in its gates; trained and evaluated, not exported",
            reads=("past", "user"),
        ),
        Entry(
            "collaborative-rnn",
            "Collaborative RNN",
            MODEL,
            "hrec_tf.models:CollaborativeRNN",
            CONCATENATED,
            "Ko et al., ACML 2016",
            "a GRU whose matrices are each user's own; trained and evaluated, not exported",
            reads=("past", "user"),
        ),
        Entry(
            "hi-rnn",
            "Hi-RNN",
            MODEL,
            "hrec_tf.models:HiRNN",
            CONCATENATED,
            "Choe, Kang and Jung, 2021; reconstructed",
            "a GRU over the events of a segment, restarted by one over segments, that reads gaps",
            reads=("past", "times"),
        ),
        Entry(
            "hm-rnn",
            "HM-RNN",
            MODEL,
            "hrec_tf.models:HMRNN",
            CONCATENATED,
            "Chung et al., arXiv:1609.01704; on items inferred",
            "layers of LSTM that learn where the segments of a history end",
            defaults=MappingProxyType({"use_gaps": True}),
            reads=("past", "times"),
        ),
        Entry(
            "hs-lstm",
            "HS-LSTM",
            MODEL,
            "hrec_tf.models:HSLSTM",
            CONCATENATED,
            "Zhang, Huang and Zhao, AAAI 2018; its use for items is inferred",
            "an LSTM over segments that a policy cuts, and one over the events of the last",
            reads=("past", "times"),
        ),
        Entry(
            "gru4rec-prefix",
            "GRU4REC (Song et al.)",
            MODEL,
            "hrec_tf.models:PrefixRNN",
            PREFIXES,
            _SONG,
            "a GRU over each prefix of a session, the GRU4REC of the HCRNN paper",
            MappingProxyType({"cell": "gru"}),
        ),
        Entry(
            "lstm4rec-prefix",
            "LSTM4REC (Song et al.)",
            MODEL,
            "hrec_tf.models:PrefixRNN",
            PREFIXES,
            _SONG,
            "the same with an LSTM in place of the GRU",
            MappingProxyType({"cell": "lstm"}),
        ),
        Entry(
            "narm",
            "NARM",
            MODEL,
            "hrec_tf.models:NARM",
            PREFIXES,
            "Li et al., CIKM 2017, arXiv:1711.04725",
            "a GRU over each prefix, and attention over its states",
        ),
        Entry(
            "stamp",
            "STAMP",
            MODEL,
            "hrec_tf.models:STAMP",
            PREFIXES,
            "Liu et al., KDD 2018, doi:10.1145/3219819.3219950",
            "attention over the items' vectors, guided by the last one and by their mean",
        ),
        Entry(
            "rnn-bpm",
            "RNN-BPM",
            MODEL,
            "hrec_tf.models:RNNBPM",
            PREFIXES,
            "Qu et al. 2018; reconstructed",
            "networks over all, the last and the popular events of a prefix, and one that combines",
        ),
        _hcrnn(
            "hcrnn-1", "HCRNN-1", "a GRU whose gates read contexts from a global memory", version=1
        ),
        _hcrnn("hcrnn-2", "HCRNN-2", "HCRNN-1 whose reset follows how items agree", version=2),
        _hcrnn("hcrnn-3", "HCRNN-3", "HCRNN-1 with a gate for drifts of interest", version=3),
        _hcrnn(
            "hcrnn-3-bi",
            "HCRNN-3 + Bi",
            "HCRNN-3 with two channels of attention",
            version=3,
            attention="bi_channel",
        ),
        _hcrnn(
            "hcrnn-3-bi-causal",
            "HCRNN-3 + Bi, causal",
            "the same with a θ of the events so far: a sequence is read in one pass",
            SEQUENCES,
            version=3,
            attention="bi_channel",
            theta="prefix",
        ),
    )
}


if __name__ == "__main__":
    print(to_markdown(), end="")
