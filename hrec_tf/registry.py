"""The zoo in one table: name -> class, default arguments, paper, layout, what it can.

Nothing here imports Keras: a class is imported when it is asked for. `docs/models.md` is made
from this table:

    python -m hrec_tf.registry > docs/models.md
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
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
RATING = "rating"

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
        kind: "model" (a network), "baseline" (counted, or factors), or "rating": a baseline that
            predicts what a known next item is rated, and recommends none.
        place: "module:Class".
        layout: the stream a network is trained on; else None.
        paper: where it comes from.
        about: what it can, in one line.
        use: what it is for, in one line.
        arguments: values that make this row what it is; they differ from the class's own
            defaults or from another row of the same class.
        variants: of those, what else a recipe may choose. Any other value would be a
            different model under the same name.
        defaults: values that take the place of the class's defaults; a recipe may change them.
        reads: of `READS`, what it makes use of beside the session's items: "past", the user's
            earlier sessions; "user", who of the training users it is; "times"; "features", of
            items and users, and feedback.
        inferred: what its source does not say, and we had to choose; empty where it says all.
    """

    name: str
    title: str
    kind: str
    place: str
    layout: str | None
    paper: str
    about: str
    use: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    variants: Mapping[str, tuple] = field(default_factory=lambda: MappingProxyType({}))
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    reads: tuple[str, ...] = ()
    inferred: str = ""

    @property
    def is_baseline(self) -> bool:
        """Whether it is counted instead of trained."""
        return self.kind != MODEL

    @property
    def is_random(self) -> bool:
        """Whether another seed gives another result."""
        cls: Any = self.load_class()
        return not self.is_baseline or cls.is_random

    @property
    def reads_long_histories(self) -> bool:
        """Whether a user's whole past is read, from a state of fixed size."""
        return "past" in self.reads and self._keeps_state

    @property
    def has_step(self) -> bool:
        """Whether one more event can be read exactly, from a state of fixed size."""
        return self.is_served and self._keeps_state

    @property
    def _keeps_state(self) -> bool:
        cls: Any = self.load_class()
        return not self.is_baseline and (cls.incremental or self.layout == ALIGNED)

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
    """Returns the names of all that recommend, or those of one kind."""
    kinds = (MODEL, BASELINE) if kind is None else (kind,)
    return tuple(name for name, row in _ZOO.items() if row.kind in kinds)


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
        "*Past*: it makes use of a user's earlier sessions. *Known users*: it needs users whom it",
        "has seen in training, and has learnt something of each. *Times*: it reads when events",
        "came. *Features*: of items and users, and feedback, where its settings say so. *Cold",
        "items*: what training never saw is scored by its features. *Long histories*: the whole",
        "past is read, however long, from a state of fixed size. *Step*: one more event is read",
        "exactly from such a state. *SavedModel*, *LiteRT*: it becomes one.",
        "",
        f"| name | {' | '.join(name for name, _ in _ABILITIES)} | use it for |",
        f"|---|{'---|' * len(_ABILITIES)}---|",
        *(_abilities_row(row) for row in _ZOO.values() if row.kind != RATING),
    ]
    for kind, heading in ((MODEL, "Networks"), (BASELINE, "Baselines")):
        lines += [
            "",
            f"## {heading}",
            "",
            "| name | class | stream | what it is | source | inferred |",
        ]
        lines += ["|---|---|---|---|---|---|"]
        lines += [_markdown_row(row) for row in _ZOO.values() if row.kind == kind]
    return "\n".join([*lines, *_rating_lines()]) + "\n"


_ABILITIES: tuple[tuple[str, Callable[[Entry], bool]], ...] = (
    ("past", lambda row: "past" in row.reads),
    ("known users", lambda row: "user" in row.reads),
    ("times", lambda row: "times" in row.reads),
    ("features", lambda row: "features" in row.reads),
    ("cold items", lambda row: "features" in row.reads),
    ("long histories", lambda row: row.reads_long_histories),
    ("step", lambda row: row.has_step),
    ("SavedModel", lambda row: row.is_served),
    ("LiteRT", lambda row: row.is_served),
)


def _abilities_row(row: Entry) -> str:
    held = ("yes" if has(row) else "–" for _, has in _ABILITIES)
    return " | ".join([f"| `{row.name}`", *held, row.use]) + " |"


def _rating_lines() -> list[str]:
    rows = [row for row in _ZOO.values() if row.kind == RATING]
    return [
        "",
        "## Predictors of ratings",
        "",
        "They say what a user will rate an item that is given, and recommend none:",
        '`registry.entry("fm").build(num_items=n).fit(train)`, measured by',
        "`hrec_tf.evaluation.rating_errors(fitted, test)`, as HRNN-meta with `rating_weight` is.",
        "",
        "| name | class | what it is | use it for | source | inferred |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{row.name}` | `{_class_of(row)}` | {row.title}: {row.about} "
            f"| {row.use} | {row.paper} | {row.inferred or '–'} |"
            for row in rows
        ),
    ]


def _class_of(row: Entry) -> str:
    arguments = {**row.defaults, **row.arguments}
    set_here = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"{row.place.replace(':', '.')}{f'({set_here})' if set_here else ''}"


def _markdown_row(row: Entry) -> str:
    return (
        f"| `{row.name}` | `{_class_of(row)}` | {row.layout or '–'} "
        f"| {row.title}: {row.about} | {row.paper} | {row.inferred or '–'} |"
    )


def _baseline(
    name: str,
    title: str,
    cls: str,
    paper: str,
    about: str,
    *,
    use: str,
    kind: str = BASELINE,
    reads: tuple[str, ...] = (),
    inferred: str = "",
    arguments: Mapping[str, Any] = MappingProxyType({}),
    **defaults: Any,
) -> Entry:
    place, own = f"hrec_tf.baselines:{cls}", MappingProxyType(defaults)
    more: dict[str, Any] = {"reads": reads, "inferred": inferred, "defaults": own}
    return Entry(name, title, kind, place, None, paper, about, use, arguments, **more)


_rating = functools.partial(_baseline, kind=RATING)


def _hcrnn(
    name: str,
    title: str,
    about: str,
    layout: str = PREFIXES,
    *,
    use: str,
    inferred: str = "",
    **arguments: Any,
) -> Entry:
    held = MappingProxyType({"theta": "whole", "attention": "single", **arguments})
    place = "hrec_tf.models:HCRNN"
    return Entry(name, title, MODEL, place, layout, _HCRNN, about, use, held, inferred=inferred)


_ZOO = {
    row.name: row
    for row in (
        _baseline(
            "pop",
            "POP",
            "Popularity",
            _HIDASI,
            "the most frequent items, for everybody",
            use="the floor: what does not beat it has learnt nothing of the order of events",
        ),
        _baseline(
            "recent-pop",
            "Recent POP",
            "RecentPopularity",
            "Ji et al., SIGIR 2020, arXiv:2005.13829",
            "the items most frequent of late, for everybody; events count less the older they are",
            reads=("times",),
            inferred="decay without steps, the half-life of 24 hours",
            use="the floor of news and fashions, whose items come and go",
        ),
        _baseline(
            "smoothed-pop",
            "Smoothed POP",
            "PopularityLikelihood",
            _MA,
            "POP as a distribution: each item counts one event more than it has",
            inferred="that items without events count one",
            use="the floor of perplexity; it ranks as POP",
        ),
        _baseline(
            "pop-fm",
            "POP + FM",
            "PopularityFM",
            _MA,
            "popularity, and how features of an item go with those of the last item",
            reads=("features",),
            inferred="its exact form, and how it is trained",
            use="items with features and few events; what HRNN-meta must beat there",
        ),
        _baseline(
            "s-pop",
            "S-POP",
            "SessionPopularity",
            _HIDASI,
            "the session's most frequent items",
            use="sessions that return to their own items",
        ),
        _baseline(
            "ppop",
            "PPOP",
            "PersonalPopularity",
            _QUADRANA,
            "the user's own most frequent items",
            reads=("past",),
            inferred="the tie-break by popularity, and that events of the session so far count",
            use="people who return to their own items, as to places, food or music",
        ),
        _baseline(
            "item-knn",
            "Item-KNN",
            "ItemKNN",
            _QUADRANA,
            "items that share sessions with the last",
            inferred="which of equal similarities stay at the cut, and that repeats count again in "
            "query='session'",
            use="a first system within minutes, from what is taken together",
        ),
        _baseline(
            "bpr-mf",
            "BPR-MF",
            "BPRMF",
            "Rendle et al., UAI 2009, arXiv:1205.2618",
            "items near the mean of the session's, in vectors learnt from pairs, as the GRU4Rec "
            'authors have it; with `user="known_user"` near a vector of each user, as published',
            use="the tables of papers; it does not read the order of events",
        ),
        _baseline(
            "fmc",
            "FMC",
            "FMC",
            _RENDLE,
            "items that follow the last one, in factors",
            inferred="the biases",
            use="short sessions, where the last item says most of what comes",
        ),
        _baseline(
            "fpmc",
            "FPMC",
            "FPMC",
            _RENDLE,
            "FMC with a vector for each user that training had",
            reads=("user",),
            inferred="the biases, and the vector of an unknown user: the mean of all",
            use="the same with a closed set of users, as in the tables of papers",
        ),
        _baseline(
            "coevent-mf",
            "CoEvent MF",
            "CoEventMF",
            "Villatel et al. 2018, arXiv:1807.09142",
            "items near the session's, in factors of co-occurrences",
            inferred="all but its name: the loss is that of Hu et al., ICDM 2008",
            use="vectors of items from what is taken together",
        ),
        _baseline(
            "sknn",
            "SKNN",
            "SessionKNN",
            _SKNN,
            "items of the sessions most like this one",
            use="a strong answer without training: fitted again, it knows the newest sessions",
        ),
        _baseline(
            "v-sknn",
            "V-SKNN",
            "VSKNN",
            _VSKNN,
            "SKNN for which a session's last events count more",
            use="the same where a session's last events say more; a bar that networks must beat",
        ),
        _baseline(
            "stan",
            "STAN",
            "STAN",
            _STAN,
            "SKNN that weighs places, age, nearness to what is shared",
            reads=("times",),
            inferred="that a training session which ended after the time of asking has age 0",
            use="the same where times are known and items age, as news",
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
            inferred="that users who are new to training have own sessions, too",
            use="sessions of one or two events, of people who return",
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
            inferred="that users who are new to training have own sessions, too",
            use="the same, where the last events say more",
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
            inferred="that users who are new to training have own sessions, too; ages as in STAN",
            use="the same, where items age",
        ),
        Entry(
            "gru4rec",
            "GRU4Rec",
            MODEL,
            "hrec_tf.models:GRU4Rec",
            SESSION_PARALLEL,
            _HIDASI,
            "a GRU over the session alone; the RNN of the HRNN paper",
            use="anonymous sessions, by the settings of the papers",
        ),
        Entry(
            "gru4rec+",
            "GRU4Rec+",
            MODEL,
            "hrec_tf.models:GRU4Rec",
            SESSION_PARALLEL,
            "Hidasi & Karatzoglou, CIKM 2018, arXiv:1706.03847",
            "GRU4Rec with tied item vectors, extra negatives and later losses",
            arguments=MappingProxyType({"inputs": "constrained"}),
            use="anonymous sessions, served event by event; the network to begin with there",
        ),
        Entry(
            "lstm4rec",
            "LSTM4Rec",
            MODEL,
            "hrec_tf.models:LSTM4Rec",
            SESSION_PARALLEL,
            _SONG,
            "GRU4Rec with an LSTM in place of the GRU",
            use="seeing what the cell of GRU4Rec matters",
        ),
        Entry(
            "stacked-gru",
            "Stacked GRU",
            MODEL,
            "hrec_tf.models:StackedGRU",
            SESSION_PARALLEL,
            "Villatel et al. 2018, arXiv:1807.09142",
            "layer-normalised GRUs, one above the other, with tied item vectors",
            inferred="sizes, the form of the GRU, the residual",
            use="long sessions with events enough for deeper networks",
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
            use="seeing what the ends of sessions tell: HRNN without them",
        ),
        Entry(
            "hrnn-init",
            "HRNN Init",
            MODEL,
            "hrec_tf.models:HRNN",
            USER_PARALLEL,
            _QUADRANA,
            "a user GRU that starts each session's GRU",
            arguments=MappingProxyType({"user_gates": None}),
            reads=("past",),
            use="people who return, whose last sessions say how the next one begins",
        ),
        Entry(
            "hrnn-all",
            "HRNN All",
            MODEL,
            "hrec_tf.models:HRNN",
            USER_PARALLEL,
            _QUADRANA,
            "HRNN Init whose user state also enters every step's gates",
            arguments=MappingProxyType({"user_gates": "rzh"}),
            variants=MappingProxyType({"user_gates": ("rz",)}),
            reads=("past",),
            use="people who return; with the heads of the recipe `hrnn+`, which read times, the "
            "model to begin with",
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
            arguments=MappingProxyType({"sequence_model": "gru"}),
            variants=MappingProxyType(
                {"sequence_model": ("lstm", "tcn", "tcn-gru", "transformer")}
            ),
            reads=("past", "times", "features"),
            inferred="all sizes; the order in tcn-gru, norms of the Transformer, the form of the "
            "item bias",
            use="features of items, items never seen, feedback, or times that matter",
        ),
        Entry(
            "hgru",
            "HGRU",
            MODEL,
            "hrec_tf.models:HRNNMeta",
            ALIGNED,
            _MA,
            "the same inputs and decoder on the cell of HRNN Init, to compare with",
            arguments=MappingProxyType({"sequence_model": "hrnn", "num_layers": 1}),
            reads=("past", "times", "features"),
            inferred="all sizes; the form of the item bias",
            use="seeing what HRNN-meta's one recurrence loses to a hierarchy",
        ),
        Entry(
            "user-gru",
            "User-based GRU",
            MODEL,
            "hrec_tf.models:UserGRU",
            CONCATENATED,
            "Donkers et al., RecSys 2017, doi:10.1145/3109859.3109877",
            "a GRU with a vector of each user in its gates; trained and evaluated, not exported",
            reads=("past", "user"),
            inferred="the equations, from their idea; the vector of a user whom training did not "
            "have: the mean of all",
            use="research on a closed set of users with long histories",
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
            inferred="the matrices of a user whom training did not have: the mean of all",
            use="research on few users with very long histories, as of listening",
        ),
        Entry(
            "hi-rnn",
            "Hi-RNN",
            MODEL,
            "hrec_tf.models:HiRNN",
            CONCATENATED,
            "Choe, Kang and Jung, 2021",
            "a GRU over the events of a segment, restarted by one over segments, that reads gaps",
            reads=("past", "times"),
            inferred="every equation: two layers, order and time intervals are what is known",
            use="histories without sessions, where gaps tell what belongs together",
        ),
        Entry(
            "hm-rnn",
            "HM-RNN",
            MODEL,
            "hrec_tf.models:HMRNN",
            CONCATENATED,
            "Chung et al., arXiv:1609.01704",
            "layers of LSTM that learn where the segments of a history end",
            defaults=MappingProxyType({"use_gaps": True}),
            reads=("past", "times"),
            inferred="reading items, gaps, supervision and sparsity, the scores; when an end is "
            "decided",
            use="finding the segments of histories; `hrec explain` draws them",
        ),
        Entry(
            "hs-lstm",
            "HS-LSTM",
            MODEL,
            "hrec_tf.models:HSLSTM",
            CONCATENATED,
            "Zhang, Huang and Zhao, AAAI 2018",
            "an LSTM over segments that a policy cuts, and one over the events of the last",
            reads=("past", "times"),
            inferred="all of its use for items: rewards, their baseline, the entropy, the output; "
            "when an end is decided",
            use="finding the segments by what they win in prediction; drawn, too",
        ),
        Entry(
            "gru4rec-prefix",
            "GRU4REC (Song et al.)",
            MODEL,
            "hrec_tf.models:PrefixRNN",
            PREFIXES,
            _SONG,
            "a GRU over each prefix of a session, the GRU4REC of the HCRNN paper",
            arguments=MappingProxyType({"cell": "gru"}),
            use="repeating the tables of the HCRNN paper",
        ),
        Entry(
            "lstm4rec-prefix",
            "LSTM4REC (Song et al.)",
            MODEL,
            "hrec_tf.models:PrefixRNN",
            PREFIXES,
            _SONG,
            "the same with an LSTM in place of the GRU",
            arguments=MappingProxyType({"cell": "lstm"}),
            inferred="the cell: the LSTM4REC of the paper is not in its code",
            use="repeating the tables of the HCRNN paper",
        ),
        Entry(
            "narm",
            "NARM",
            MODEL,
            "hrec_tf.models:NARM",
            PREFIXES,
            "Li et al., CIKM 2017, arXiv:1711.04725",
            "a GRU over each prefix, and attention over its states",
            use="sessions whose purpose shows in a few of their events; attention is drawn",
        ),
        Entry(
            "stamp",
            "STAMP",
            MODEL,
            "hrec_tf.models:STAMP",
            PREFIXES,
            "Liu et al., KDD 2018, doi:10.1145/3219819.3219950",
            "attention over the items' vectors, guided by the last one and by their mean",
            use="short sessions, where the last event and their mean say most",
        ),
        Entry(
            "rnn-bpm",
            "RNN-BPM",
            MODEL,
            "hrec_tf.models:RNNBPM",
            PREFIXES,
            "Qu et al. 2018",
            "networks over all, the last and the popular events of a prefix, and one that combines",
            inferred="equations, sizes and stages, from its abstract",
            use="sessions of buyers with a head of popular items, as in its paper",
        ),
        _hcrnn(
            "hcrnn-1",
            "HCRNN-1",
            "a GRU whose gates read contexts from a global memory",
            version=1,
            use="seeing what HCRNN's gates add, one after the other",
        ),
        _hcrnn(
            "hcrnn-2",
            "HCRNN-2",
            "HCRNN-1 whose reset follows how items agree",
            version=2,
            use="seeing what HCRNN's gates add, one after the other",
        ),
        _hcrnn(
            "hcrnn-3",
            "HCRNN-3",
            "HCRNN-1 with a gate for drifts of interest",
            version=3,
            use="long sessions whose interest drifts",
        ),
        _hcrnn(
            "hcrnn-3-bi",
            "HCRNN-3 + Bi",
            "HCRNN-3 with two channels of attention",
            version=3,
            attention="bi_channel",
            use="long sessions whose interest drifts; the one of its family to begin with",
        ),
        _hcrnn(
            "hcrnn-3-bi-causal",
            "HCRNN-3 + Bi, causal",
            "the same with a θ of the events so far: a sequence is read in one pass",
            SEQUENCES,
            version=3,
            attention="bi_channel",
            theta="prefix",
            inferred="θ of the events so far",
            use="the same where a row for each prefix takes too long to train",
        ),
        _rating(
            "global-average",
            "Global average",
            "GlobalAverage",
            _MA,
            "the mean of all ratings",
            use="the floor of RMSE",
        ),
        _rating(
            "rolling-average",
            "Rolling average",
            "RollingAverage",
            _MA,
            "between the item's mean and the user's so far",
            inferred="what stands in for a mean that there is not",
            use="what a network of ratings must beat",
        ),
        _rating(
            "fm",
            "FM",
            "FactorizationMachine",
            "Rendle, TIST 2012",
            "weights and crossed vectors of user, item, item before, and item features",
            use="ratings with item features",
        ),
        _rating(
            "i-autorec",
            "I-AutoRec",
            "AutoRec",
            "Sedhain et al., WWW 2015",
            "all ratings of an item from those that are known",
            use="ratings of users whom training has",
        ),
        _rating(
            "u-autorec",
            "U-AutoRec",
            "AutoRec",
            "Sedhain et al., WWW 2015",
            "all ratings by a user from those that are known, half of which are hidden in training",
            inferred="the mask",
            use="ratings of many items by each user, who may be new",
            arguments=MappingProxyType({"view": "users"}),
            mask=0.5,
        ),
    )
}


if __name__ == "__main__":
    print(to_markdown(), end="")
