"""Findings, their page and their plain values: what stands where, and what is said if it is not."""

import itertools
import json
import re

import numpy as np
import pytest

from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.models import ExplainedHistory, Explanation, GRU4Rec
from hrec_tf.reporting.explained import findings, numbers, plain
from hrec_tf.reporting.explained.numbers import PRODUCT, Reading
from hrec_tf.reporting.explained.page import Items, lead, page
from hrec_tf.reporting.sections import NOTHING
from hrec_tf.reporting.tables import spread
from tests.reference.html_page import Page
from tests.reference.made_explanations import ExplainingGRU, made_explanation

EVIL = "<script>alert(1)</script>"
RAW_IDS = ["tea", "jam", "rum", EVIL, "ale", "cola"]
VOCABULARY = Vocabulary(RAW_IDS)
CATEGORIES = {"tea": ("hot",), "jam": ("sweet",), "rum": ("strong", "hot"), EVIL: ("strong",)}
ITEMS = Items(VOCABULARY, {"tea": "Earl & Grey"}, CATEGORIES)
NOON = 1_700_000_000
MODEL = ExplainingGRU(num_items=6, units=(2,), seed=0)


def history(*raw_ids, **options):
    inner = vars(made_explanation(VOCABULARY.encode(list(raw_ids)), **options))
    times = NOON + 90 * np.arange(len(raw_ids))
    return ExplainedHistory(**inner, raw_ids=raw_ids, timestamps=times)


# "hot" goes on from tea to rum, and "strong" from rum to the fourth item.
HISTORIES = (history("tea", "rum", EVIL, "jam"), history("tea", "jam"))


def found_in(*histories, model=MODEL, has_times=True, categories=CATEGORIES):
    readings = [Reading.of(one, has_times=has_times) for one in histories]
    return findings.find(model, readings, histories[0], categories=categories)


@pytest.fixture(scope="module")
def found():
    return found_in(*HISTORIES)


def text_of(found, *, has_times=True, items=ITEMS):
    return page(
        found,
        items,
        title=f"Inside {EVIL}",
        facts=[("seed", "3")],
        drawn_name="Test history 17",
        has_times=has_times,
        command=f"hrec explain {EVIL}",
    )


@pytest.fixture(scope="module")
def text(found):
    return text_of(found)


def test_tables_hold_the_numbers(text, found):
    tables = Page(text).tables
    assert tables["attention-table-2"][:2] == [
        [
            *("events before the prediction", "α(c), local contexts", "α(h), temporary contexts"),
            *("1/n, all alike", "pairs of events"),
        ],
        # Weights 1, 2/3, 4/7 and 1 of α(c), 1, 1/2, 1/3 and 1 of the even ones.
        ["1", ".8095", ".7083", ".7083", "4"],
    ]
    rows = {row[0]: row[1:] for row in tables["magnitudes-table"]}
    # Item ids 1, 3, 4, 2 and 1, 2: r ⊙ G(d) is i/160 each.
    value = np.array([1, 3, 4, 2, 1, 2]) / 160
    assert rows["r ⊙ G(d)"] == [
        f".{1e4 * value.mean():04.0f} ± .{1e4 * value.std(ddof=1):04.0f}",
        "6",
    ]
    assert rows["change of h"] == ["1.5000 ± .5774", "4"]
    assert rows["z, update"] == [".2500", "6"]


def test_gates_are_parted_by_runs(text):
    rows = Page(text).tables["runs-table"]
    rum, gin, jam = (f"{spread(item / 160, None)}\nevents: 1" for item in (3, 4, 2))
    assert rows[1] == ["1", rum, jam]
    assert rows[2] == ["2", gin, "–"]
    assert rows[3] == ["3", "–", jam]
    assert rows[-1][0] == "all" and rows[-1][1].endswith("events: 2")


def test_the_history_is_listed(text):
    rows = Page(text).tables["history-table"]
    assert rows[0][:4] == ["event", "item", "time (UTC)", "like the one before"]
    assert rows[1][:4] == ["1", "Earl & Grey\nhot", "2023-11-14 22:13", "–"]
    assert rows[2][:4] == ["2", "rum\nstrong, hot", "2023-11-14 22:14", "yes"]
    assert rows[4][3] == "no"
    assert [row[-2] for row in rows] == ["change of h", "–", "2.0000", "1.0000", "2.0000"]
    assert "Test history 17, 4 events." in text


def test_contexts_are_listed_with_their_nearest_items(text, found):
    rows = Page(text).tables["contexts-table"]
    assert rows[0][:3] == ["context", "common category", "1."]
    # Contexts 1 and 2 are the vectors of the first two items.
    assert rows[1][0] == "1\nθ .5000, α .5000" and rows[1][2] == "Earl & Grey\n1.00"
    assert rows[2][0] == "2\nθ .2500, α .2500" and rows[2][2] == "jam\n1.00"
    near = [RAW_IDS[item - 1] for item in found.near[0][0]]
    held = [name for raw_id in near for name in CATEGORIES.get(raw_id, ())]
    name, number = rows[1][1].split("\n")
    assert number == f"{held.count(name)} of 5" and held.count(name) == max(map(held.count, held))


def test_every_figure_of_the_paper_is_there(text):
    names = re.findall(r'<svg class="figure" id="([^"]+)"', text)
    assert names == ["distance-1", "distance-2", "runs", "strip", "heat-1", "heat-2", "map"]


def test_what_matters_is_said_first(found):
    said = lead(found)
    # (1 + 2/3 + 4/7 + 1) / (1 + 1/2 + 1/3 + 1)
    assert "if all counted alike: α(c) 1.14, α(h) 1.00." in said
    assert f"r ⊙ G(d) is {spread(3.5 / 160, None)} where an event has a category in common" in said
    without = found_in(*HISTORIES, categories={})
    assert re.search(r"r ⊙ G\(d\) is \.0135 ± \.\d{4} at an event\.", lead(without))


def test_nothing_is_fetched_and_nothing_runs(text):
    read = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(read.tags)
    for name, value in read.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href", "action", "srcset"):
            assert value.startswith("#")
    assert not re.search(r"@import|https?://|url\((?!#)", text)
    assert "default-src 'none'" in text and EVIL not in text


def test_every_reference_in_the_page_has_its_place(text):
    read = Page(text)
    ids = [value for name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in read.attributes:
        if name == "href":
            assert value[1:] in ids
        if name == "aria-labelledby":
            assert set(value.split()) <= set(ids)


def test_headings_never_skip_a_level(text):
    levels = [int(tag[1]) for tag in Page(text).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize(
    ("change", "part", "reason"),
    [
        ({"has_times": False}, "attention_by_time", "There are no times, only an order."),
        ({"categories": {}}, "gate_by_run", "No categories of items are at hand."),
        ({"categories": {"tea": ("hot",)}}, "gate_by_run", "No two events in a row have items"),
        ({"model": GRU4Rec(num_items=6)}, "map", "The model has no global contexts."),
        ({"model": GRU4Rec(num_items=6)}, "nearest_items", "The model has no global contexts."),
    ],
)
def test_what_is_missing_is_said_in_its_place(change, part, reason):
    left_out = found_in(*HISTORIES, **change)
    assert left_out.skipped[part].startswith(reason)
    assert reason in text_of(left_out)


def test_without_scikit_learn_there_is_no_map_and_the_cure(monkeypatch):
    def missing(*_):
        raise ImportError("scikit-learn cannot be imported. Run: pip install 'hrec-tf[explain]'")

    monkeypatch.setattr(findings.vectors, "import_tsne", missing)
    left_out = found_in(*HISTORIES)
    assert left_out.near is not None and left_out.places is None
    assert "No map: scikit-learn cannot be imported. Run: pip" in text_of(left_out)


def test_a_model_without_a_reset_gate_has_no_figure_of_runs():
    inner = made_explanation([1, 2])
    gates = {"update": inner.gates["update"]}
    bare = ExplainedHistory(
        item_ids=np.array([1, 2]),
        gates=gates,
        raw_ids=("tea", "jam"),
        timestamps=np.array([NOON, NOON]),
    )
    left_out = found_in(bare)
    assert left_out.skipped["gate_by_run"] == "The model has no reset gate."
    written = text_of(left_out)
    assert "The model has no attention." in written
    assert left_out.by_steps is None and left_out.by_time is None
    assert lead(left_out) == "The model tells of its states alone."


def test_boundaries_are_drawn_and_counted_beside_the_sessions():
    told = {
        "boundaries": {"z1": np.array([0.0, 0.9, 0.4, 0.8])},
        "session_start": np.array([True, True, True, False]),
    }
    found = found_in(ExplainedHistory(**{**vars(HISTORIES[0]), **told}))
    written = text_of(found)
    assert Page(written).tables["boundaries-table"][1] == [
        "z1",
        ".5000",
        ".5000",
        ".5000",
        "2",
        "2",
    ]
    assert "z1 finds .5000 of the events that begin a session" in written
    assert "session begins" in written
    as_json = plain.to_dict(found, VOCABULARY, descriptions={})
    assert as_json["boundaries"]["z1"] == {
        **{"hits": 1, "said": 2, "true": 2},
        **{"precision": 0.5, "recall": 0.5, "f1": 0.5},
    }
    assert as_json["history"]["boundaries"] == {"z1": [0.0, 0.9, 0.4, 0.8]}
    assert as_json["history"]["session_start"] == [True, True, True, False]
    told["boundaries"] = {"z1": np.zeros(4)}
    none = found_in(ExplainedHistory(**{**vars(HISTORIES[0]), **told}))
    assert "z1 begins no segment." in lead(none)
    assert Page(text_of(none)).tables["boundaries-table"][1][:2] == ["z1", NOTHING]
    assert 'id="boundaries-table"' not in text_of(found_in(*HISTORIES))


def test_a_single_event_can_be_drawn():
    alone = found_in(history("tea"))
    written = text_of(alone)
    assert Page(written).tables["history-table"][1][0] == "1"
    assert 'id="distance-1"' not in written, "no event of it was predicted"


def test_only_the_latest_events_are_drawn(monkeypatch):
    monkeypatch.setattr(findings, "DRAWN_EVENTS", 2)
    short = found_in(*HISTORIES)
    assert short.drawn.raw_ids == (EVIL, "jam") and short.drawn_of == 4
    np.testing.assert_allclose(
        short.drawn.attentions["context_attention"], [[4 / 7, 0], [4 / 15, 8 / 15]]
    )
    written = text_of(short)
    assert "the latest 2 of 4 events. Weight on earlier ones is not drawn." in written
    rows = Page(written).tables["history-table"]
    assert [row[0] for row in rows[1:]] == ["3", "4"]


def test_times_that_no_calendar_has_are_seconds():
    odd = ExplainedHistory(**{**vars(HISTORIES[1]), "timestamps": np.array([0, 10**18], np.int64)})
    assert f"{10**18} s" in text_of(found_in(odd))


def test_plain_values_are_json_and_the_same_numbers(found):
    held = plain.to_dict(found, VOCABULARY, descriptions=ITEMS.descriptions)
    assert json.loads(json.dumps(held, allow_nan=False)) == held
    assert held["histories"] == 2 and held["events"] == 6
    steps = held["attention_by_steps"]
    assert steps["pairs"][:4] == [4, 2, 1, 0] and steps["edges_in_events"][-1] is None
    assert steps["mean_weight"]["context_attention"][0] == round(34 / 42, 6)
    assert steps["mean_weight"]["context_attention"][3] is None
    assert held["gates"][PRODUCT]["events"] == 6 and held["gates"]["update"]["sd"] == 0
    assert held["gate_by_run"]["by_length"][0] == {
        "events_before": 1,
        "or_more": False,
        "continuing": {"mean": 0.01875, "events": 1},
        "breaking": {"mean": 0.0125, "events": 1},
    }
    assert held["gate_by_run"]["all"]["continuing"]["events"] == 2
    first = held["nearest_items"][0]["items"][0]
    assert first == {"item": "tea", "cosine": 1.0, "description": "Earl & Grey"}
    assert held["map"]["items"][1]["item"] == "jam" and len(held["map"]["contexts"]) == 3
    assert held["history"]["items"] == ["tea", "rum", EVIL, "jam"]
    assert held["history"]["attentions"]["state_attention"][1] == [0.5, 0.5, 0, 0]
    assert held["history"]["changes"]["h"] == [2, 1, 2]


def test_plain_values_say_what_there_is_not():
    inner = Explanation(item_ids=np.array([1]), states={"h": np.ones((1, 2))})
    bare = ExplainedHistory(**vars(inner), raw_ids=("tea",), timestamps=np.array([0]))
    held = plain.to_dict(found_in(bare, model=GRU4Rec(num_items=6)), VOCABULARY, descriptions={})
    assert held["attention_by_time"] is held["map"] is held["nearest_items"] is None
    assert held["topics"] is None and held["gates"] == {}
    assert set(held["skipped"]) == {"gate_by_run", "nearest_items", "map"}


def test_numbers_are_over_all_histories_and_the_drawing_of_one(found):
    pooled = numbers.together(map(numbers.attention_by_steps, HISTORIES))
    np.testing.assert_array_equal(found.by_steps.pairs, pooled.pairs)
    assert found.drawn.raw_ids == HISTORIES[0].raw_ids
