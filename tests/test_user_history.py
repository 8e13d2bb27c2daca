import datetime

import polars as pl
import pytest

from hrec_tf.user_history import read_history


def test_events_with_and_without_times():
    history = read_history((("tea", 60), ["jam", 60], ("tea", 90)))
    assert history.raw_ids == ["tea", "jam", "tea"]
    assert history.timestamps.tolist() == [60, 60, 90]
    assert read_history(iter([7, 8])).timestamps.tolist() == [0, 0]
    assert read_history([]).raw_ids == []


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        ("tea", TypeError, "`history` was 'tea', but must be a list of"),
        (7, TypeError, "`history` was 7, but must be a list of"),
        (
            pl.DataFrame({"item": ["tea"], "timestamp": [5]}),
            TypeError,
            r"`history` was a table with the columns \['item', 'timestamp'\], .*table.rows\(\)",
        ),
        ({7: 1}, TypeError, "`history` was {7: 1}, but must be a list of"),
        ({7, -1}, TypeError, r"`history` was \{.*\}, but must be a list of"),
        (frozenset({7}), TypeError, r"`history` was frozenset\(\{7\}\), but must be a list of"),
        ([("tea", 60), "jam"], ValueError, r"without a time \('jam', row 1\)"),
        ([("tea", 60, 5)], ValueError, r"holds \('tea', 60, 5\) \(row 0\), but an event is"),
        ([("tea", 60), ("jam", 59)], ValueError, r"go back at row 1 \(59 after 60\)"),
        (
            [("tea", 1.5)],
            TypeError,
            r"has the time 1.5 \(row 0\), but times are whole Unix seconds",
        ),
        ([("tea", True)], TypeError, r"has the time True \(row 0\)"),
        ([("tea", None)], TypeError, r"has the time None \(row 0\)"),
        ([("tea", float("nan"))], TypeError, r"has the time nan \(row 0\)"),
        (
            [("tea", datetime.datetime(2026, 1, 1))],
            TypeError,
            r"Pass for example int\(moment.timestamp\(\)\)",
        ),
        ([("tea", 1_700_000_000_000)], ValueError, "Divide milliseconds by 1000"),
    ],
)
def test_what_is_no_history_is_refused(history, error, message):
    with pytest.raises(error, match=message):
        read_history(history)
