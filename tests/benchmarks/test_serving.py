"""The page on serving shows what was recorded."""

import json

from benchmarks import serving


def test_the_page_has_the_table_of_the_records():
    records = json.loads(serving.RECORDS.read_text(encoding="utf-8"))
    [shown] = serving.TABLE.findall(serving.PAGE.read_text(encoding="utf-8"))
    assert shown == serving.table(records)
    for record in records:
        assert record["errors"] == 0 and record["command"].startswith("python -m benchmarks.")
    soaks = [record["memory_mb"] for record in records if "memory_mb" in record]
    assert len(soaks) == 2  # of a server and of a gateway
    for settled, *later in soaks:
        assert max(later) < settled + 20


def test_a_load_counts_answers_and_their_times():
    load = serving.Load(list(range(1, 101)), seconds=4.0, errors=2)
    record = load.record("some", 16)
    assert record["requests_per_s"] == 25.0
    assert (record["p50_ms"], record["p95_ms"], record["p99_ms"]) == (50.5, 95.05, 99.01)
    assert (record["scenario"], record["clients"], record["errors"]) == ("some", 16, 2)


def test_a_goal_that_is_missed_is_said():
    records = json.loads(serving.RECORDS.read_text(encoding="utf-8"))
    for scenario, clients, name, goal in serving.GOALS:
        is_rate = name == "requests_per_s"
        for value, is_met in ((goal, is_rate), (goal - 1, not is_rate)):
            changed = [
                r | {name: value} if (r["scenario"], r["clients"]) == (scenario, clients) else r
                for r in records
            ]
            lines = serving.table(changed).splitlines()
            [line] = [one for one in lines if f" {scenario} with" in one]
            assert line.endswith("met." if is_met else "**missed**.")
