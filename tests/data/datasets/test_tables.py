"""Each layout gives its rows; rows that are not in the layout are named by file and line."""

import bz2
import gzip
import importlib
import os
import zipfile
from pathlib import Path

import polars as pl
import pytest

from hrec_tf.data.bundled import load_online_retail
from hrec_tf.data.datasets import facts
from hrec_tf.data.datasets.built import read_files
from hrec_tf.data.datasets.tables import Table, identifier, number, text, whole
from tests.data.datasets import published

ML_1M = facts.entry("ml_1m")


def tables_of(name):
    return importlib.import_module(f"hrec_tf.data.datasets.{name}").Builder.TABLES


def rows_of(table, folder, name):
    frame = pl.concat(table.read(folder, facts.entry(name)))  # in the order of the file
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None)).to_dicts()


def read_lines(tmp_path, content, dataset=ML_1M, **table):
    (tmp_path / "rows.dat").write_bytes(content)
    held = {"columns": {"item": whole("item"), "name": text("name")}, "fields": ("item", "name")}
    return pl.concat(Table("rows.dat", **held | table).read(tmp_path, dataset))


@pytest.mark.parametrize("name", published.EVENTS)
def test_events_of_each_layout(tmp_path, name):
    published.write(tmp_path, name)
    assert rows_of(tables_of(name)["events"], tmp_path, name) == published.EVENTS[name]


@pytest.mark.parametrize(("name", "table"), published.OTHERS)
def test_other_tables_of_each_layout(tmp_path, name, table):
    published.write(tmp_path, name)
    assert rows_of(tables_of(name)[table], tmp_path, name) == published.OTHERS[name, table]


def test_files_are_read_without_being_built_and_turned_round_if_the_latest_comes_first(tmp_path):
    read = read_files("lastfm_1k", files=published.write(tmp_path, "lastfm_1k"))
    assert read.to_dicts() == published.EVENTS["lastfm_1k"][::-1]
    assert read_files("lastfm_1k/users", files=tmp_path)["country"].to_list() == ["Japan"]
    with pytest.raises(ValueError, match=r"builder of TensorFlow Datasets reads. Call `build`"):
        read_files("movielens", files=tmp_path)


def test_every_table_of_every_builder_has_a_test():
    tested = {(name, "events") for name in published.EVENTS} | set(published.OTHERS)
    built = {
        (name, table)
        for name in facts.names()
        if facts.entry(name).origin == facts.BUILDER
        for table in tables_of(name)
    }
    assert tested == built
    listed = {(name, table) for name, _ in built for table in facts.entry(name).tables}
    assert listed == built


def test_an_unpacked_archive_is_read_as_well(tmp_path):
    published.write(tmp_path, "ml_1m")
    with zipfile.ZipFile(tmp_path / "ml-1m.zip") as archive:
        archive.extractall(tmp_path)
    (tmp_path / "ml-1m.zip").unlink()
    assert rows_of(tables_of("ml_1m")["events"], tmp_path, "ml_1m") == published.EVENTS["ml_1m"]


@pytest.mark.parametrize(
    ("name", "file", "decompress"),
    [
        ("steam", "steam_reviews.json.gz", gzip.decompress),
        ("citeulike", "current.bz2", bz2.decompress),
    ],
)
def test_an_unpacked_file_is_read_as_well(tmp_path, name, file, decompress):
    (tmp_path / Path(file).stem).write_bytes(decompress(published.FILES[name][file]))
    assert rows_of(tables_of(name)["events"], tmp_path, name) == published.EVENTS[name]


def test_blocks_do_not_change_rows_or_line_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("hrec_tf.data.datasets.tables._BLOCK_LINES", 2)
    lines = b"head,er\n" + b"".join(b"%d,x%d\n" % (n, n) for n in range(7))
    read = read_lines(tmp_path, lines, skipped=1)
    assert read["item"].to_list() == list(range(7))
    with pytest.raises(ValueError, match="holds 'six' as 'item' in line 8"):
        read_lines(tmp_path, lines.replace(b"6,", b"six,"), skipped=1)


@pytest.mark.parametrize("distinct", [False, True])
def test_a_file_without_rows_is_told(tmp_path, distinct):
    with pytest.raises(ValueError, match=r"rows.dat holds no rows, but MovieLens 1M has some"):
        read_lines(tmp_path, b"head\n", skipped=1, distinct=distinct)


def test_only_a_line_feed_ends_a_line(tmp_path):
    read = read_lines(tmp_path, '1,a\rb\u2028c"\r\n2,"d\n'.encode())
    assert read.rows() == [(1, 'a\rb\u2028c"'), (2, '"d')]


def test_a_repeated_row_counts_once_even_in_another_block(tmp_path, monkeypatch):
    monkeypatch.setattr("hrec_tf.data.datasets.tables._BLOCK_LINES", 1)
    read = read_lines(tmp_path, b"2,b\n1,a\n2,b\n", distinct=True)
    assert read["item"].to_list() == [2, 1]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"1,a\n2\n", "has 1 fields in line 2, but 2 are expected, set apart by ','"),
        (b"1,a\n2,b,c\n", "has 3 fields in line 2"),
        (b"1,a\n\n1.5,b\n", "holds '1.5' as 'item' in line 3, which must be a whole number"),
        (b"1,a\n,b\n", "holds '' as 'item' in line 2"),
        (
            b"1,a\n2,\xff\n",
            "cannot be read in or just after lines 1 to 200000 .*invalid start byte",
        ),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path, content, complaint):
    with pytest.raises(ValueError, match=complaint) as raised:
        read_lines(tmp_path, content)
    assert "rows.dat" in str(raised.value)
    assert "Expected is the layout of MovieLens 1M" in str(raised.value)
    assert str(raised.value).endswith("Fetch the file again, or mend it.")


def test_bad_times_choices_ids_and_numbers_are_refused(tmp_path):
    for name, file, old, new, complaint in (
        ("retailrocket", "events.csv", b",view,", b",gaze,", "'gaze' as 'event' in line 2"),
        ("yoochoose", "yoochoose-clicks.dat", b"2014-04-07T13", b"2014-04-31T13", "in line 1"),
        ("yoochoose", "yoochoose-clicks.dat", b".277Z", b".277", "in line 2, which must be a time"),
    ):
        published.write(tmp_path, name)
        path = tmp_path / file
        path.write_bytes(path.read_bytes().replace(old, new))
        with pytest.raises(ValueError, match=complaint):
            rows_of(tables_of(name)["events"], tmp_path, name)
    with pytest.raises(ValueError, match="which must be an id, which is not empty"):
        read_lines(tmp_path, b"1,\n", columns={"user": identifier("name")})
    with pytest.raises(ValueError, match="holds 'x' as 'name' in line 1, which must be a number"):
        read_lines(tmp_path, b"1,x\n", columns={"n": number("name", may_be_empty=True)})


@pytest.mark.parametrize(
    "line", [b"not python", b"[1, 2]", b"{'hours': __import__('os').getpid()}", b"{1: }"]
)
def test_literals_are_parsed_and_never_run(tmp_path, line):
    published.write(tmp_path, "steam")
    good = gzip.decompress(published.FILES["steam"]["steam_reviews.json.gz"])
    (tmp_path / "steam_reviews.json.gz").write_bytes(gzip.compress(good + line + b"\n"))
    with pytest.raises(ValueError, match=r"steam_reviews.json.gz holds no Python dict in line 3"):
        rows_of(tables_of("steam")["events"], tmp_path, "steam")


def test_what_a_literal_leaves_out_or_calls_none_is_empty(tmp_path):
    (tmp_path / "steam_games.json").write_text("{'id': '7', 'title': None, 'tags': ['x', 'y']}\n")
    (tmp_path / "steam_reviews.json").write_text(
        "{'username': 'u', 'product_id': '7', 'date': '1970-01-02', 'hours': None}\n"
    )
    items = rows_of(tables_of("steam")["items"], tmp_path, "steam")
    assert (items[0]["title"], items[0]["developer"], items[0]["tags"]) == ("", "", "x|y")
    assert rows_of(tables_of("steam")["events"], tmp_path, "steam")[0]["hours"] is None


def test_a_renamed_column_is_told(tmp_path):
    (tmp_path / "events.csv").write_bytes(b"time,visitorid,event,itemid\n1,2,view,3\n")
    with pytest.raises(ValueError, match="has no column 'timestamp', but 'time', 'visitorid'"):
        rows_of(tables_of("retailrocket")["events"], tmp_path, "retailrocket")


@pytest.mark.skipif("HREC_DATA" not in os.environ, reason="HREC_DATA is not set")
@pytest.mark.parametrize(
    ("name", "held", "file", "separator", "order"),
    [
        ("ml_1m/items", "ml-1m-part/movies", "movies.dat", "::", (0, 1, 2)),
        ("ml_1m/users", "ml-1m-part/users", "users.dat", "::", (0, 1, 2, 3, 4)),
        ("ml_1m/events", "ml-1m-part/ratings", "ratings.dat", "::", (0, 1, 3, 2)),
        ("ml_100k/events", "ml-100k/ratings", "u.data", "\t", (0, 1, 3, 2)),
        ("ml_100k/users", "ml-100k/users", "u.user", "|", (0, 1, 2, 3, 4)),
    ],
)
def test_movielens_as_its_publisher_lays_it_out(tmp_path, name, held, file, separator, order):
    path = Path(os.environ["HREC_DATA"]) / f"{held}.tsv.gz"
    rows = pl.read_csv(path, separator="\t", infer_schema=False)
    rows = rows.rename({"zip": "zip_code"}, strict=False)
    laid_out = rows.select(pl.concat_str(rows[:, order].columns, separator=separator))
    (tmp_path / file).write_bytes(("\n".join(laid_out.to_series()) + "\n").encode("latin-1"))
    read = read_files(name, files=tmp_path)
    assert read.select(rows.columns).equals(rows.cast(dict(read.schema)))


def test_the_workbook_of_online_retail_gives_the_bundled_purchases(tmp_path):
    # The lines of invoice 567183 span two minutes; 568391 is earlier than those before it.
    invoices = [*range(567_180, 567_190), *range(568_380, 568_400)]
    retail = load_online_retail()
    purchases = retail.purchases.filter(pl.col("session").is_in(invoices))
    assert not purchases["session"].is_sorted()
    day = pl.col("timestamp") / 86_400 + 25_569  # which is 1970-01-01 of a sheet
    columns = ("session", "item", "description", "quantity", day, "median_unit_price", "user")
    joined = purchases.sort("session", maintain_order=True).join(
        retail.items, on="item", maintain_order="left"
    )
    rows = []
    for invoice, item, *others, customer in joined.select(*columns).iter_rows():
        code = int(item) if item.isdecimal() else item
        rows += [
            [invoice, code, *others, customer, "UK"],
            [f"C{invoice}", code, *others, customer, "UK"],
            [invoice, code, *others, None, "UK"],
        ]
    for name, content in published.online_retail(rows).items():
        (tmp_path / name).write_bytes(content)
    read = read_files("online_retail_uci", files=tmp_path).sort("timestamp", maintain_order=True)
    assert read.select(purchases.columns).equals(purchases)


@pytest.mark.parametrize("name", published.EVENTS)
def test_missing_files_are_told_by_name_without_an_address(tmp_path, name):
    table = tables_of(name)["events"]
    with pytest.raises(FileNotFoundError) as raised:
        list(table.read(tmp_path, facts.entry(name)))
    told = str(raised.value)
    assert table.file in told and facts.entry(name).title in told
    assert f"neither {table.archive} nor" in told if table.archive else "holds no " in told
    assert "not fetched for you" in told and "http" not in told


def test_an_archive_without_the_file_or_that_is_none_is_told(tmp_path):
    table = tables_of("ml_1m")["events"]
    (tmp_path / "ml-1m.zip").write_bytes(published.zipped(other="x"))
    with pytest.raises(ValueError, match=r"ml-1m.zip holds no ratings.dat"):
        list(table.read(tmp_path, ML_1M))
    (tmp_path / "ml-1m.zip").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"ml-1m.zip is neither a zip nor a tar file"):
        list(table.read(tmp_path, ML_1M))


def test_files_of_two_data_sets_in_one_folder_are_refused(tmp_path):
    for year in ("2016", "2017"):
        (tmp_path / year).mkdir()
        published.write(tmp_path / year, f"xing_{year}")
    with pytest.raises(ValueError, match=r"more than one file interactions.csv, but RecSys.* has "):
        list(tables_of("xing_2016")["events"].read(tmp_path, facts.entry("xing_2016")))


def test_a_file_of_many_that_lies_in_two_folders_is_refused(tmp_path):
    table, about = tables_of("globo")["events"], facts.entry("globo")
    published.write(tmp_path, "globo")
    with zipfile.ZipFile(tmp_path / "clicks.zip") as archive:
        held = {f"again/{name}": archive.read(name) for name in archive.namelist()}
        archive.extractall(tmp_path / "once")
        archive.extractall(tmp_path / "again")
    with zipfile.ZipFile(tmp_path / "clicks.zip", "a") as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=r"clicks.zip' holds more than one file clicks_hour_000"):
        list(table.read(tmp_path, about))
    (tmp_path / "clicks.zip").unlink()
    with pytest.raises(ValueError, match=r"holds more than one file clicks_hour_000.csv, but News"):
        list(table.read(tmp_path, about))


def test_a_file_that_was_cut_short_is_told(tmp_path):
    content = published.FILES["citeulike"]["current.bz2"]
    assert bz2.decompress(content)
    (tmp_path / "current.bz2").write_bytes(content[:-9])
    with pytest.raises(ValueError, match=r"current.bz2 cannot be read .*lines 1 to 200000"):
        rows_of(tables_of("citeulike")["events"], tmp_path, "citeulike")


@pytest.mark.parametrize(
    ("kept", "cause"),
    [
        (60, r"lastfm-dataset-1K.tar.gz cannot be read to its end \(Compressed file ended"),
        (200, r"traname.tsv cannot be read in or just after lines 1 to 200000 \(Compressed file"),
        (300, r"lastfm-dataset-1K.tar.gz cannot be read to its end \(Compressed file ended"),
    ],
)
def test_an_archive_that_was_cut_short_is_told(tmp_path, kept, cause):
    content = published.FILES["lastfm_1k"]["lastfm-dataset-1K.tar.gz"]
    (tmp_path / "lastfm-dataset-1K.tar.gz").write_bytes(content[:kept])
    with pytest.raises(ValueError, match=cause):
        rows_of(tables_of("lastfm_1k")["events"], tmp_path, "lastfm_1k")
