"""Session neighbours: what came in the training sessions that are most like this one."""

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from hrec_tf import checks
from hrec_tf.baselines.baseline import (
    Baseline,
    Best,
    best_of_sparse,
    blocks_within,
    largest,
    session_firsts,
    stretch_events,
    user_firsts,
)
from hrec_tf.data.histories import Histories, offsets_of

SECONDS_PER_DAY = 24 * 60 * 60
MAX_POSTINGS = 4_000_000
"""Sessions looked at in one block of targets: about 100 MB at the most."""

# p: a place in the session so far, 1..n; the last event is at n.
WEIGHTINGS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "same": lambda p, n: np.ones(len(p)),
    "div": lambda p, n: p / n,
    "linear": lambda p, n: np.maximum(0.0, 1 - 0.1 * (n - p)),
    "log": lambda p, n: 1 / np.log10(n - p + 1.7),
    "quadratic": lambda p, n: (p / n) ** 2,
}
# s: steps back to the newest event that a neighbour shares; the last event is 1 step back.
DECAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "same": lambda s: np.ones(len(s)),
    "div": lambda s: 1 / s,
    "linear": lambda s: np.maximum(0.0, 1 - 0.1 * s),
    "log": lambda s: 1 / np.log10(s + 1.7),
    "quadratic": lambda s: 1 / s**2,
}


class Sessions(NamedTuple):
    """Sessions as sets of items, each with its last place.

    Attributes:
        items: int64 (entries,), columns: item id - 1, each once in a session.
        places: int64 (entries,), the last place of the item in its session, from 1.
        sizes: int64 (num_sessions,), distinct items.
        offsets: int64 (num_sessions + 1,), into entries.
        ends: int64 (num_sessions,), time of the last event.
    """

    items: np.ndarray
    places: np.ndarray
    sizes: np.ndarray
    offsets: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, histories: Histories, sessions: np.ndarray) -> "Sessions":
        """Reads sessions of histories, named by their numbers, in the order given."""
        first, end = histories.session_offsets[sessions], histories.session_offsets[sessions + 1]
        events = stretch_events(first, end)
        row = np.repeat(np.arange(len(sessions)), end - first)
        items = histories.item_ids[events].astype(np.int32) - 1
        # Of an item's events in a session, which are in time order, the last one stays.
        order = np.lexsort((items, row))
        ends_run = np.ones(len(order), bool)
        ends_run[:-1] = (np.diff(row[order]) != 0) | (np.diff(items[order]) != 0)
        kept = order[ends_run]
        places = (events[kept] - first[row[kept]] + 1).astype(np.int32)
        sizes = np.bincount(row[kept], minlength=len(sessions))
        return cls(items[kept], places, sizes, offsets_of(sizes), histories.timestamps[end - 1])


class Query(NamedTuple):
    """What is asked: the events that count as the session so far.

    Attributes:
        items: int64 (distinct items,), columns.
        places: int64 (distinct items,), last places, 1..length.
        weights: float64 (distinct items,), w.
        length: events, repeats included.
        time: of the last event.
    """

    items: np.ndarray
    places: np.ndarray
    weights: np.ndarray
    length: int
    time: int

    def look_up(self, values: np.ndarray, items: np.ndarray) -> np.ndarray:
        """The value of each of some items, of `values` in the order of `self.items`; else 0."""
        found = np.minimum(np.searchsorted(self.items, items), len(self.items) - 1)
        return np.where(self.items[found] == items, values[found], 0)


class Entries(NamedTuple):
    """The items of some neighbours, one after another.

    Attributes:
        items: int64 (entries,), columns.
        places: int64 (entries,), last place in the neighbour.
        places_asked: int64 (entries,), last place in the session so far; 0 if not in it.
        row: int64 (entries,), which neighbour's it is.
        starts: int64 (neighbours,), where each one's entries begin.
    """

    items: np.ndarray
    places: np.ndarray
    places_asked: np.ndarray
    row: np.ndarray
    starts: np.ndarray


Votes = tuple[int, np.ndarray, np.ndarray]
"""Whose query, columns of items, and what each gains."""


class SessionKNN(Baseline):
    """SKNN: items of the training sessions that are most like the session so far.

        sim(s, m) = Σ_{i ∈ s ∩ m} w_i / (‖w‖ √|m|),  w_i = 1: the cosine of two sets
        score_j   = Σ_{m ∈ N(s)} sim(s, m) 1[j ∈ m]  +  β Σ_{m ∈ own} sim(s, m) 1[j ∈ m]

    N(s) are the `neighbours` most similar of the `sample_size` sessions that ended last among
    those that share an item with s; of equally similar ones the later. The session so far
    counts at its start as nothing at all, so that all scores are 0, unless `extend` is given.

    The user-aware form has `extend` and β = `boost` above 0: a session shorter than `extend`
    events takes the user's latest earlier events before it, and the user's own earlier sessions
    count more than others, or at all where they are no neighbours.

    Source: Jannach & Ludewig, RecSys 2017, doi:10.1145/3109859.3109872; user-aware: Latifi et
    al., Information Sciences 2021, arXiv:2011.04087; both as coded in rn5l/session-rec, whose
    cosine multiplies by √|m| by a slip of precedence. That code raises the similarity of those
    neighbours that are the user's by 1 + β; here own sessions are read from the histories that
    are scored, so that users who are new to training have some too (inferred).

    Args:
        neighbours: k >= 1, size of N(s).
        sample_size: latest sessions that are compared, at least `neighbours`.
        extend: events that a session is filled up to; 0 takes the session alone.
        boost: β >= 0, the weight of own sessions.
        remind: False scores the items of the session so far 0, for logs where none comes twice.

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2], [1, 2, 3], [4, 5]]])
        >>> SessionKNN().fit(training).score(training, [1]).round(3).tolist()  # after item 1
        [[1.284, 1.284, 0.577, 0.0, 0.0]]
    """

    def __init__(
        self,
        *,
        neighbours: int = 100,
        sample_size: int = 1000,
        extend: int = 0,
        boost: float = 0.0,
        remind: bool = True,
    ) -> None:
        self.neighbours = checks.require_positive_int(
            "neighbours", neighbours, mend="Pass the sessions that are listened to, e.g. 100."
        )
        self.sample_size = checks.require_positive_int(
            "sample_size", sample_size, mend="Pass the sessions that are compared, e.g. 1000."
        )
        if sample_size < neighbours:
            raise ValueError(
                f"`sample_size` was {sample_size}, but {neighbours} `neighbours` are chosen among "
                "that many sessions. Pass at least as many, e.g. ten times as many."
            )
        self.extend = checks.require_int_at_least(
            "extend", extend, minimum=0, mend="Pass events, or 0 for the session alone."
        )
        self.boost = checks.require_number(
            "boost", boost, minimum=0, mend="Pass the weight of own sessions, e.g. 1.0."
        )
        self.remind = remind

    def _fit(self, histories: Histories) -> None:
        ends = histories.timestamps[histories.session_offsets[1:] - 1]
        # Session 0 is the one that ended last; of equal ends, the one further down.
        newest_first = np.lexsort((-np.arange(len(ends)), -ends))
        self.sessions = Sessions.of(histories, newest_first)
        self.postings = _latest_sessions(self.sessions, histories.num_items, self.sample_size)

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        return self._sparse_scores(histories, targets).toarray()

    def _best(self, histories: Histories, targets: np.ndarray, k: int) -> Best:
        return best_of_sparse(self._sparse_scores(histories, targets), k)

    def _sparse_scores(self, histories: Histories, targets: np.ndarray) -> sparse.csr_matrix:
        """The (num_targets, num_items) scores; items that no neighbour holds are left out."""
        queries = self._queries(histories, targets)
        votes = [
            *self._votes_of_neighbours(queries),
            *(self._votes_of_own(histories, targets, queries) if self.boost else ()),
        ]
        shape = len(targets), histories.num_items
        if not votes:
            return sparse.csr_matrix(shape)
        rows, items, values = zip(*sorted(votes, key=itemgetter(0)), strict=True)
        row = np.repeat(rows, [len(some) for some in items])
        entries = np.concatenate(values), (row, np.concatenate(items))
        # By columns and back: each row's items come out sorted, which takes no sort.
        return sparse.coo_matrix(entries, shape=shape).tocsc().tocsr()

    def _votes_of_neighbours(self, queries: list[Query]) -> Iterator[Votes]:
        for row, sessions, overlap in self._latest_that_share(queries):
            similarity = self._similarities(queries[row], overlap, self.sessions, sessions)
            nearest = largest(similarity, self.neighbours)
            said = self._votes(queries[row], self.sessions, sessions[nearest], similarity[nearest])
            yield row, *said

    def _votes_of_own(
        self, histories: Histories, targets: np.ndarray, queries: list[Query]
    ) -> Iterator[Votes]:
        for row, own in self._own_sessions(histories, targets, queries):
            weights = queries[row].look_up(queries[row].weights, own.items)
            overlap = np.add.reduceat(weights, own.offsets[:-1])
            alike = np.flatnonzero(overlap)
            if len(alike):
                similarity = self._similarities(queries[row], overlap[alike], own, alike)
                yield row, *self._votes(queries[row], own, alike, self.boost * similarity)

    def _queries(self, histories: Histories, targets: np.ndarray) -> list[Query]:
        first = session_firsts(histories, targets)
        if self.extend:
            filled = np.minimum(first, targets - self.extend)
            first = np.maximum(filled, user_firsts(histories, targets))
        queries = []
        for begin, end in zip(first, targets, strict=True):
            newest_first = histories.item_ids[begin:end][::-1].astype(np.int64) - 1
            items, back = np.unique(newest_first, return_index=True)
            length = int(end - begin)
            places = length - back
            weights = self._weights(places, length)
            time = int(histories.timestamps[end - 1]) if length else 0
            queries.append(Query(items, places, weights, length, time))
        return queries

    def _latest_that_share(
        self, queries: list[Query]
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yields a query's place, the sessions it is compared with, latest first, and Σ w_i."""
        postings = np.diff(self.postings.indptr)
        asked = [row for row, query in enumerate(queries) if query.length]
        costs = np.array([postings[queries[row].items].sum() for row in asked], np.int64)
        for first, end in blocks_within(costs, MAX_POSTINGS):
            block = [queries[row] for row in asked[first:end]]
            offsets = np.cumsum([0, *(len(query.items) for query in block)])
            items = np.concatenate([query.items for query in block])
            weights = np.concatenate([query.weights for query in block])
            shape = (len(block), len(postings))
            shared = sparse.csr_matrix((weights, items, offsets), shape=shape) @ self.postings
            shared.sort_indices()
            for row, begin, stop in zip(
                asked[first:end], shared.indptr[:-1], shared.indptr[1:], strict=True
            ):
                stop = min(stop, begin + self.sample_size)
                if begin < stop:
                    yield row, shared.indices[begin:stop], shared.data[begin:stop]

    def _own_sessions(
        self, histories: Histories, targets: np.ndarray, queries: list[Query]
    ) -> Iterator[tuple[int, Sessions]]:
        """Yields a query's place and the user's earlier sessions, where there are any."""
        bounds = zip(
            np.searchsorted(histories.session_offsets, user_firsts(histories, targets)),
            np.searchsorted(histories.session_offsets, session_firsts(histories, targets)),
            strict=True,
        )
        held: tuple[tuple[int, int], Sessions] | None = None
        for row, (first, end) in enumerate(bounds):
            if first == end or not queries[row].length:
                continue
            if held is None or held[0] != (first, end):
                held = (first, end), Sessions.of(histories, np.arange(first, end))
            yield row, held[1]

    def _votes(
        self, query: Query, sessions: Sessions, rows: np.ndarray, similarity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What some sessions, at least one, say of their items: columns, and what each gains."""
        first, end = sessions.offsets[rows], sessions.offsets[rows + 1]
        entries = stretch_events(first, end)
        items, row = sessions.items[entries], np.repeat(np.arange(len(rows)), end - first)
        starts = np.cumsum(end - first) - (end - first)
        places_asked = query.look_up(query.places, items)
        credit = self._credits(
            query, Entries(items, sessions.places[entries], places_asked, row, starts)
        )
        if not self.remind:
            credit = np.where(places_asked > 0, 0.0, credit)
        return items, similarity[row] * credit

    def _weights(self, places: np.ndarray, length: int) -> np.ndarray:
        """Float64 (items,), w of items whose last places in the session so far are given."""
        return np.ones(len(places))

    def _similarities(
        self, query: Query, overlap: np.ndarray, sessions: Sessions, rows: np.ndarray
    ) -> np.ndarray:
        """sim(s, m) from Σ_{i ∈ s ∩ m} w_i."""
        norm = np.sqrt((query.weights**2).sum())
        return overlap / (norm * np.sqrt(sessions.sizes[rows]))

    def _credits(self, query: Query, entries: Entries) -> np.ndarray:
        """Float64 (entries,), what each item gets of its neighbour's similarity."""
        return np.ones(len(entries.items))


class VSKNN(SessionKNN):
    """V-SKNN: session neighbours for whom the last events count more.

        w_i       = weighting(place of i, n),  by default p / n
        sim(s, m) = Σ_{i ∈ s ∩ m} w_i / |s|
        score_j   = Σ_{m ∈ N(s)} sim(s, m) decay(steps(s, m)) (1 + λ idf_j) 1[j ∈ m]
        idf_j     = log(sessions / sessions that hold j)

    steps(s, m) counts back from the end of s to its newest event whose item is in m, from 1.

    Source: Ludewig & Jannach, UMUAI 2018, arXiv:1803.09587, as coded in rn5l/session-rec, where
    idf counts events, and the linear weighting looks at the place from the start.

    Args:
        neighbours, sample_size, extend, boost, remind: as `SessionKNN`.
        weighting: "same", "div": p / n, "linear": 1 - 0.1 (n - p) or 0, "log":
            1 / log10(n - p + 1.7), "quadratic": (p / n)².
        decay: of steps s = 1, 2, ...: "same", "div": 1 / s, "linear": 1 - 0.1 s or 0, "log":
            1 / log10(s + 1.7), "quadratic": 1 / s².
        idf: λ >= 0, how much rare items gain.

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2], [1, 3], [2, 4], [1, 2]]])
        >>> VSKNN().fit(training).score(training, [7]).tolist()  # after item 1
        [[3.0, 2.0, 1.0, 0.0]]
    """

    def __init__(
        self,
        *,
        weighting: str = "div",
        decay: str = "div",
        idf: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.weighting = checks.require_choice("weighting", weighting, WEIGHTINGS)
        self.decay = checks.require_choice("decay", decay, DECAYS)
        self.idf = checks.require_number("idf", idf, minimum=0, mend="Pass λ, e.g. 1.0, or 0.")

    def _fit(self, histories: Histories) -> None:
        super()._fit(histories)
        holding = np.bincount(self.sessions.items, minlength=histories.num_items)
        self.rarity = 1 + self.idf * np.log(len(self.sessions.ends) / np.maximum(holding, 1))

    def _weights(self, places: np.ndarray, length: int) -> np.ndarray:
        return WEIGHTINGS[self.weighting](places, length)

    def _similarities(
        self, query: Query, overlap: np.ndarray, sessions: Sessions, rows: np.ndarray
    ) -> np.ndarray:
        return overlap / len(query.items)

    def _credits(self, query: Query, entries: Entries) -> np.ndarray:
        steps = query.length + 1 - np.maximum.reduceat(entries.places_asked, entries.starts)
        return DECAYS[self.decay](steps)[entries.row] * self.rarity[entries.items]


class STAN(SessionKNN):
    """STAN: session neighbours weighted by place, by age, and by nearness to what they share.

        w_i       = exp((place of i - n) / λ1)
        sim(s, m) = Σ_{i ∈ s ∩ m} w_i / (‖w‖ √|m|) · exp(-max(0, t_s - t_m) / λ2)
        score_j   = Σ_{m ∈ N(s)} sim(s, m) exp(-|place_m(j) - place_m(i*)| / λ3) 1[j ∈ m]

    t_s is the time of the last event before the target, t_m of a neighbour's last event; i* is
    the item shared with s that comes last in m. All three None gives `SessionKNN`.

    Source: Garg et al., SIGIR 2019, doi:10.1145/3331184.3331322, as coded in rn5l/session-rec.
    Inferred: a training session that ended after t_s, which splits by user allow, has age 0.

    Args:
        neighbours, sample_size, extend, boost, remind: as `SessionKNN`.
        place_scale: λ1 > 0 in events; None weighs all places alike.
        age_scale_days: λ2 > 0 in days of timestamps in seconds; None ignores age, which is right
            where timestamps are an order only.
        nearness_scale: λ3 > 0 in events; None credits all items of a neighbour alike.

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2, 3]]])
        >>> near = STAN(nearness_scale=1.0).fit(training).score(training, [1])  # after item 1
        >>> (near[0] / near[0, 0]).round(3).tolist()
        [1.0, 0.368, 0.135]
    """

    def __init__(
        self,
        *,
        neighbours: int = 500,
        place_scale: float | None = 1.02,
        age_scale_days: float | None = 5.0,
        nearness_scale: float | None = 2.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(neighbours=neighbours, **kwargs)
        self.place_scale = _optional_scale("place_scale", place_scale)
        self.age_scale_days = _optional_scale("age_scale_days", age_scale_days)
        self.nearness_scale = _optional_scale("nearness_scale", nearness_scale)

    def _weights(self, places: np.ndarray, length: int) -> np.ndarray:
        if self.place_scale is None:
            return super()._weights(places, length)
        return np.exp((places - length) / self.place_scale)

    def _similarities(
        self, query: Query, overlap: np.ndarray, sessions: Sessions, rows: np.ndarray
    ) -> np.ndarray:
        similarity = super()._similarities(query, overlap, sessions, rows)
        if self.age_scale_days is None:
            return similarity
        age = np.maximum(query.time - sessions.ends[rows], 0)
        return similarity * np.exp(-age / (self.age_scale_days * SECONDS_PER_DAY))

    def _credits(self, query: Query, entries: Entries) -> np.ndarray:
        if self.nearness_scale is None:
            return super()._credits(query, entries)
        shared = np.where(entries.places_asked > 0, entries.places, 0)
        shared_last = np.maximum.reduceat(shared, entries.starts)[entries.row]
        return np.exp(-np.abs(entries.places - shared_last) / self.nearness_scale)


def _latest_sessions(sessions: Sessions, num_items: int, keep: int) -> sparse.csr_matrix:
    """The (num_items, num_sessions) matrix of ones: each item's `keep` latest sessions.

    A session among the `keep` latest that share an item with a query is among the `keep` latest
    of every item it holds, so no more are needed.
    """
    row = np.repeat(np.arange(len(sessions.ends)), sessions.sizes)
    order = np.argsort(sessions.items, kind="stable")
    items, row = sessions.items[order], row[order]
    sizes = np.bincount(items, minlength=num_items)
    kept = np.arange(len(items)) - np.repeat(np.cumsum(sizes) - sizes, sizes) < keep
    offsets = np.concatenate([[0], np.cumsum(np.minimum(sizes, keep))])
    return sparse.csr_matrix(
        (np.ones(offsets[-1]), row[kept], offsets), shape=(num_items, len(sessions.ends))
    )


def _optional_scale(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    value = checks.require_number(name, value, minimum=0, mend="Pass a scale, e.g. 2.0, or None.")
    if value == 0:
        raise ValueError(
            f"`{name}` was 0, but places or ages are divided by it. Pass a scale above 0, e.g. "
            "2.0, or None."
        )
    return value
