"""Log files of every format, plain and gzip, and files that break their format."""

import gzip
import io
import json

import polars as pl
import pytest

from hrec_tf.data import event_log
from hrec_tf.data.event_log import EventLog

ROWS = [("ann", 7, 10), ("bob", -8, 20), ("ann", 9, 15)]
FRAME = pl.DataFrame(ROWS, schema=["user", "item", "timestamp"], orient="row")


def write(path, text):
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def table(separator, end="\n", header=True):
    rows = [("user", "item", "timestamp")] * header + ROWS
    return "".join(separator.join(map(str, row)) + end for row in rows)


def parquet():
    buffer = io.BytesIO()
    FRAME.write_parquet(buffer)
    return buffer.getvalue()


JSON_LINES = "".join(json.dumps(row) + "\n" for row in FRAME.to_dicts())


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", table(",")),
        ("log.CSV", table(",", end="\r\n")),
        ("log.tsv", table("\t")),
        ("log.txt", table("\t")),
        ("log.dat", table(";")),
        ("log.jsonl", JSON_LINES),
        ("log.ndjson", JSON_LINES),
        ("log.parquet", parquet()),
        ("log.csv", "\ufeff" + table(",")),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path, name, content, ending):
    log = EventLog.read(write(tmp_path / (name + ending), content))
    assert log.frame.rows() == ROWS


@pytest.mark.parametrize("limit", [0, 2**20])
def test_large_files_are_scanned_piece_by_piece_with_the_same_result(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(event_log, "IN_MEMORY_BYTES", limit)
    rows = "".join(f"{n % 97},{n * 7 % 1013},{1_500_000_000 + n}\n" for n in range(30_000))
    log = EventLog.read(write(tmp_path / "log.csv.gz", "user,item,timestamp\n" + rows))
    assert log.frame["timestamp"].is_sorted()
    assert log.frame.rows()[29_999] == (29_999 % 97, 29_999 * 7 % 1013, 1_500_029_999)


def test_a_table_without_header_takes_names(tmp_path):
    path = write(tmp_path / "Video.txt.gz", "1 6393\n1 13504\n2 5\n")
    log = EventLog.read(path, columns=["user", "item"], timestamp=None)
    assert log.frame.rows() == [(1, 6393, 0), (1, 13504, 1), (2, 5, 2)]
    assert log.notes[0] == "Fields of Video.txt.gz are split at each blank."


def test_names_are_mapped_and_other_columns_left_out(tmp_path):
    path = write(tmp_path / "log.csv", "who,when,what,price,colour\n1,5,7,2.5,red\n2,6,8,,3\n")
    log = EventLog.read(path, user="who", item="what", timestamp="when", context=["price"])
    assert log.frame.columns == ["user", "item", "timestamp", "price"]
    assert log.frame["price"].to_list() == [2.5, None]


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (["7", "-8", "0"], [7, -8, 0]),
        (["007", "8", "9"], ["007", "8", "9"]),
        (["100000", "1e5", "5"], ["100000", "1e5", "5"]),
        (["+5", "5", "6"], ["+5", "5", "6"]),
        (["9223372036854775808", "1", "2"], ["9223372036854775808", "1", "2"]),
        (["1.0", "x", "2"], ["1.0", "x", "2"]),
        (['"a ""b"", c"', "d", "e"], ['a "b", c', "d", "e"]),
    ],
)
def test_ids_in_text_tables_are_kept_exactly(tmp_path, ids, kept):
    # pitfalls 4: text ids that look like numbers.
    rows = "".join(f"u,{item},{n}\n" for n, item in enumerate(ids))
    log = EventLog.read(write(tmp_path / "log.csv", "user,item,timestamp\n" + rows))
    assert log.frame["item"].to_list() == kept


def test_text_that_is_partly_numbers_is_noted(tmp_path):
    path = write(tmp_path / "log.csv", "user,item,timestamp\n1,007,1\n1,8,2\n")
    assert EventLog.read(path).notes == (
        "`item` is kept as text: 1 of 2 values are not plain whole numbers, e.g. '007'.",
    )


@pytest.mark.parametrize("word", ["nan", "NULL", "None"])
def test_a_missing_number_is_no_item(tmp_path, word):
    path = tmp_path / "log.csv"
    path.write_text(f"user,item,timestamp\n1,5,1\n1,{word},5\n2,-7,9\n")
    with pytest.raises(ValueError, match=rf"`item` is '{word}' at row 1 of .*among whole numbers"):
        EventLog.read(path)
    assert EventLog.read(path, text_ids=["item"]).frame["item"].to_list() == ["5", word, "-7"]
    path.write_text(f"user,item,timestamp\n1,tea,1\n1,{word},5\n2,-7,9\n")
    assert EventLog.read(path).frame["item"].to_list() == ["tea", word, "-7"]


def test_ids_can_be_kept_as_text(tmp_path):
    path = write(tmp_path / "log.csv", "user,item,timestamp\n1,2.0,1\n1,3.0,2\n")
    with pytest.raises(TypeError, match=r"`item` holds floating-point ids in log.csv \(row 0: '2"):
        EventLog.read(path)
    log = EventLog.read(path, text_ids=["item"])
    assert log.frame.rows() == [(1, "2.0", 1), (1, "3.0", 2)]


def test_text_times_of_a_table(tmp_path):
    path = write(tmp_path / "log.csv", "user,item,timestamp\n1,2,1396860669.277\n1,3,1396860886\n")
    assert EventLog.read(path).frame["timestamp"].to_list() == [1396860669, 1396860886]


@pytest.mark.parametrize(
    ("name", "content", "arguments", "message"),
    [
        ("log.csv", "", {}, "log.csv holds no events; at least one row .* Check the path"),
        ("log.csv", "user,item,timestamp\n", {}, "log.csv holds no events"),
        (
            "log.csv",
            table(","),
            {"item": "itm"},
            "`item` names the column 'itm', but log.csv has "
            "'user', 'item', 'timestamp'. Did you mean 'item'?",
        ),
        ("log.csv", "user,item,timestamp\n1,,3\n", {}, "`item` is missing at row 0 of log.csv"),
        (
            "log.csv",
            'user,item,timestamp\n1,1,3\n1,"",3\n',
            {},
            "`item` is an empty string at row 1 of log.csv",
        ),
        ("log.csv", "user,item,timestamp\n1,2\n1,2,3\n", {}, "`timestamp` is missing at row 0"),
        (
            "log.csv",
            "user,item,timestamp\n1,2,3,4\n",
            {},
            "log.csv cannot be read: .* Expected "
            "UTF-8 text with the same number of fields on every line. Mend",
        ),
        ("log.csv", b"user,item,timestamp\n1,\xff\xfe,3\n", {}, "log.csv cannot be read"),
        ("log.csv", "user,item,timestamp\n1,2,nan\n", {}, "`timestamp` is nan at row 0"),
        ("log.jsonl", "{]", {}, "log.jsonl cannot be read: .* Expected one JSON object per line"),
        (
            "log.jsonl",
            '{"user": 1, "timestamp": 2}\n{"user": 1, "item": 3, "timestamp": 2}\n',
            {},
            "`item` is missing at row 0",
        ),
        ("log.parquet", "PAR1", {}, "log.parquet cannot be read: .* Expected a whole Parquet file"),
        ("log.xlsx", "x", {}, "format is not known by its name; known are .csv, .* Pass `format`"),
        ("log.csv", table(","), {"format": "xml"}, "`format` was 'xml', but must be one of 'csv'"),
        ("log.csv", table(","), {"separator": "::"}, "`separator` must be one character .* '::'"),
        ("log.jsonl", JSON_LINES, {"separator": ","}, "`separator` was ',', but jsonl files carry"),
        ("log.jsonl", JSON_LINES, {"text_ids": ["item"]}, "`text_ids` holds 'item', but must hold"),
        ("log.csv", table(","), {"text_ids": ["session"]}, "`text_ids` holds 'session'"),
    ],
)
def test_files_that_break_their_format_say_so(tmp_path, name, content, arguments, message):
    # pitfalls 4: empty logs, renamed columns, missing values, text that is no number.
    with pytest.raises(ValueError, match=message):
        EventLog.read(write(tmp_path / name, content), **arguments)


CUT_SHORT = gzip.compress(b"user,item,timestamp\n" + b"1,2,3\n" * 100_000, mtime=0)[:-100]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv.gz", CUT_SHORT, "Expected a whole file, .* Fetch or write it again"),
        ("log.txt.gz", b"user,item\n", "Not a gzipped file .* Expected gzip, as its name says"),
        ("log.parquet.gz", CUT_SHORT, "Compressed file ended .* Expected a whole Parquet file"),
        ("log.parquet.gz", b"PAR1", "Not a gzipped file .* Expected a whole Parquet file"),
    ],
)
def test_files_that_are_not_whole_say_so(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} cannot be read: .*{message}"):
        EventLog.read(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"there is no such file\. Pass the path of an event"
    ):
        EventLog.read(tmp_path / "log.csv")
