import json

import pytest

from benchmarks import performance


def record(**other):
    rounds = {"ours": [4.0, 6.0, 5.0], "peer": [2.0, 2.0, 5.0]}
    rest = {"benchmark": "Training", "config": "B50", "peer_name": "peer", "unit": "events/s"}
    rest |= {"target": 2.5, "direction": "at_least", "command": "python -m benchmarks.x"}
    return performance.compared(**(rounds | rest | other))


def test_the_ratio_is_of_medians_and_its_spread_of_rounds():
    made = record()
    assert (made["ours"], made["peer"], made["ratio"]) == (5.0, 2.0, 2.5)
    assert made["spread"] == [1.0, 3.0]
    assert performance.checked([made]) == [made]


@pytest.mark.parametrize(
    ("direction", "target", "met"),
    [
        ("at_least", 2.5, True),
        ("at_least", 2.6, False),
        ("at_most", 2.5, True),
        ("at_most", 2.4, False),
    ],
)
def test_a_target_is_met_in_its_direction(direction, target, met):
    assert performance.is_met(record(direction=direction, target=target)) is met


def test_a_record_of_a_row_replaces_the_one_before(monkeypatch, tmp_path):
    monkeypatch.setattr(performance, "PERFORMANCE", tmp_path / "performance.json")
    performance.keep([record(), record(config="B100")])
    performance.keep([record(target=9)])
    kept = json.loads((tmp_path / "performance.json").read_text())
    assert [(one["config"], one["target"]) for one in kept] == [("B50", 9), ("B100", 2.5)]


def test_the_page_shows_every_row_with_what_is_missed():
    shown = performance.page([record(note="Why so."), record(config="B100", target=9)])
    assert "| B50, against peer | 5 | 2 | events/s | 2.50 (1.00 to 3.00) | ≥ 2.5 | met |" in shown
    assert "| ≥ 9 | missed |" in shown
    assert shown.count("python -m benchmarks.x") == 1
    assert "Why so." in shown


def test_a_record_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="`direction` was 'above'"):
        record(direction="above")
    with pytest.raises(ValueError, match="`ratio` was None"):
        performance.checked([{k: v for k, v in record().items() if k != "ratio"}])


def test_the_page_in_docs_is_made_of_the_records():
    records = performance.checked(performance.read(performance.PERFORMANCE))
    page = (performance.DOCS / "performance.md").read_text(encoding="utf-8")
    assert page == performance.page(records)
