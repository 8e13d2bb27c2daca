"""What was found as plain values, for a JSON file."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.reporting.explained import numbers
from hrec_tf.reporting.explained.findings import Findings
from hrec_tf.reporting.explained.numbers import Agreement, Binned, Runs
from hrec_tf.reporting.explained.vectors import Places


def to_dict(
    found: Findings, vocabulary: Vocabulary, *, descriptions: Mapping[Any, str]
) -> dict[str, Any]:
    """Returns all numbers as plain values for JSON; null where there is none."""
    return {
        "histories": found.num_histories,
        "events": found.num_events,
        "attention_by_time": _of_bins(found.by_time, "seconds"),
        "attention_by_steps": _of_bins(found.by_steps, "events"),
        "gates": {name: value._asdict() for name, value in found.gates.items()},
        "changes": {name: value._asdict() for name, value in found.changes.items()},
        "gate_by_run": _of_runs(found.runs),
        "topics": _plain(found.topics),
        "memory_attention": _plain(found.memory_attention),
        "nearest_items": _of_near(found.near, vocabulary, descriptions),
        "map": _of_places(found.places, vocabulary),
        "history": _of_history(found),
        "boundaries": {name: _of_agreement(held) for name, held in found.boundaries.items()},
        "skipped": dict(found.skipped),
    }


def _plain(values: Any) -> Any:
    """Numbers as lists, rounded to what a figure shows; null for what is not finite."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.ndim:
        return [_plain(value) for value in array]
    value = array.item()
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value


def _of_agreement(held: Agreement) -> dict[str, Any]:
    scores = {"precision": held.precision, "recall": held.recall, "f1": held.f1}
    return held._asdict() | {name: _plain(value) for name, value in scores.items()}


def _of_bins(binned: Binned | None, unit: str) -> dict[str, Any] | None:
    if binned is None:
        return None
    return {
        f"edges_in_{unit}": _plain(binned.edges),
        "bins": list(binned.labels),
        "pairs": _plain(binned.pairs),
        "mean_weight": {name: _plain(mean) for name, mean in binned.means.items()},
    }


def _of_runs(runs: Runs | None) -> dict[str, Any] | None:
    if runs is None:
        return None
    rows = [
        {
            "events_before": int(length),
            "or_more": place == len(runs.lengths) - 1,
            "continuing": {"mean": _plain(runs.continuing[place]), "events": int(goes_on)},
            "breaking": {"mean": _plain(runs.breaking[place]), "events": int(breaks)},
        }
        for place, (length, goes_on, breaks) in enumerate(
            zip(runs.lengths, runs.num_continuing, runs.num_breaking, strict=True)
        )
    ]
    both = {"continuing": runs.all_continuing, "breaking": runs.all_breaking}
    return {
        "by_length": rows,
        "all": {name: None if held is None else held._asdict() for name, held in both.items()},
    }


def _of_near(
    near: tuple[np.ndarray, np.ndarray] | None,
    vocabulary: Vocabulary,
    descriptions: Mapping[Any, str],
) -> list[dict[str, Any]] | None:
    if near is None:
        return None
    raw_ids, cosines = vocabulary.decode(near[0]).tolist(), near[1]
    return [
        {
            "context": number,
            "items": [
                {
                    "item": raw_id,
                    "cosine": _plain(cosine),
                    "description": descriptions.get(raw_id, ""),
                }
                for raw_id, cosine in zip(*row, strict=True)
            ],
        }
        for number, row in enumerate(zip(raw_ids, cosines, strict=True), start=1)
    ]


def _of_places(places: Places | None, vocabulary: Vocabulary) -> dict[str, Any] | None:
    if places is None:
        return None
    raw_ids = vocabulary.raw_ids[: len(places.items)].to_list()
    return {
        "items": [
            {"item": raw_id, "place": _plain(place)}
            for raw_id, place in zip(raw_ids, places.items, strict=True)
        ],
        "contexts": _plain(places.contexts),
    }


def _of_history(found: Findings) -> dict[str, Any]:
    drawn = found.drawn
    return {
        "events_in_all": found.drawn_of,
        "items": list(drawn.raw_ids),
        "timestamps": _plain(drawn.timestamps),
        "attentions": {name: _plain(held) for name, held in drawn.attentions.items()},
        "gates": {name: _plain(held) for name, held in numbers.gate_means(drawn).items()},
        "changes": {name: _plain(held) for name, held in numbers.step_changes(drawn).items()},
        "memory_attention": _plain(drawn.memory_attention),
        "topics": _plain(drawn.topics),
        "boundaries": {name: _plain(held) for name, held in drawn.boundaries.items()},
        "session_start": _plain(drawn.session_start),
    }
