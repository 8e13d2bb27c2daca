"""docs/results.md is what the records say, and a record that is not sound is refused."""

import json

import pytest

from benchmarks import measure, report

RECORD = {
    "dataset": "online-retail",
    "protocol": "last_session_out, full ranking, conservative ties",
    "model": "item-knn",
    "recipe": "item-knn",
    "metric": "Recall@5",
    "mean": 0.274,
    "sd": 0.0,
    "seeds": 3,
    "published": None,
    "command": "python -m benchmarks.measure --data online-retail --models item-knn --seeds 0,1,2",
    "version": "0.1.0",
}


@pytest.mark.integration
def test_page_is_what_the_records_say():
    assert report.REPORT.read_text(encoding="utf-8") == report.report(), (
        "run: python -m benchmarks.report"
    )


def test_records_are_kept_one_per_line():
    text = report.RESULTS.read_text(encoding="utf-8")
    assert text == report.as_json(json.loads(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": 27.4}, r"record 0: `mean` of Recall@5 was 27.4, but must be a fraction"),
        ({"mean": "0.274"}, r"`mean` was '0.274', but must be float or int"),
        ({"dataset": "retail"}, r"record 0: dataset.*Did you mean 'online-retail'"),
        ({"model": "knn"}, r"record 0: model.*Did you mean 'item-knn'"),
        ({"recipe": "knn"}, r"record 0: recipe.*Did you mean 'item-knn'"),
        ({"metric": "recall@5"}, r"record 0: metric.*Did you mean 'Recall@5'"),
        ({"seeds": 1}, r"`sd` was 0.0 over 1 seeds, but one seed has no sd"),
        ({"sd": None}, r"`sd` was None over 3 seeds"),
        ({"note": "x"}, r"record 0: key"),
    ],
)
def test_a_record_that_is_not_sound_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        report.checked([RECORD | change])


def test_a_record_may_lack_nothing_and_stand_once():
    short = {key: value for key, value in RECORD.items() if key != "command"}
    with pytest.raises(ValueError, match="`command` was None, but must be str"):
        report.checked([short])
    with pytest.raises(ValueError, match="record 1 repeats"):
        report.checked([RECORD, RECORD])


def test_page_sets_reference_code_beside_ours():
    records = [RECORD, RECORD | {"metric": "MRR@5", "mean": 0.18, "sd": 0.002}]
    reference = {
        "dataset": "online-retail",
        "software": "NumPy and SciPy",
        "setting": "Item-KNN",
        "recipe": "item-knn",
        "ties": "conservative",
        "metric": "MRR@5",
        "mean": 0.1762,
        "sd": None,
        "seeds": 1,
    }
    page = report.to_markdown(report.checked(records), report.checked_references([reference]))
    assert "| Item-KNN | .2740 | .1800 ± .0020 | – | – |  |  |" in page
    assert "| Item-KNN (NumPy and SciPy, conservative ties) |  | .1762 → .1800 ± .0020 |" in page
    assert f"{RECORD['command']}  # 0.1.0" in page
    other_ties = report.checked_references([reference | {"ties": "standard"}])
    assert "Beside reference code" not in report.to_markdown(records, other_ties)


def test_merging_replaces_in_place(tmp_path):
    path = tmp_path / "results.json"
    other = RECORD | {"metric": "MRR@5"}
    measure.merge(path, [RECORD, other])
    measure.merge(path, [RECORD | {"mean": 0.3}])
    assert [record["mean"] for record in report.read(path)] == [0.3, 0.274]
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.integration
def test_measuring_is_recorded_and_passed_over_the_second_time(tmp_path, capsys):
    path = tmp_path / "results.json"
    arguments = ["--data", "online-retail", "--models", "item-knn", "--seeds", "0,1"]
    arguments += ["--record", str(path)]
    assert measure.main(arguments) == 0
    records = report.checked(report.read(path))
    assert len(records) == 2 * len(report.ALL_METRICS)  # conservative and standard ties
    found = {r["metric"]: r["mean"] for r in records if "conservative" in r["protocol"]}
    # docs/reference_numbers.json has these, from other code.
    assert (round(found["Recall@5"], 4), round(found["MRR@20"], 4)) == (0.274, 0.1876)
    assert records[0]["command"].endswith("--data online-retail --models item-knn --seeds 0,1")
    capsys.readouterr()
    assert measure.main(arguments) == 0
    assert capsys.readouterr().out == "online-retail item-knn: held already\n"
