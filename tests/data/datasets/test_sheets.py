"""A workbook's sheet is read as lines; what cannot be read as one is told."""

import io
import sys

import pytest

from hrec_tf.data.datasets import facts
from hrec_tf.data.datasets.built import read_files
from hrec_tf.data.datasets.sheets import as_lines
from hrec_tf.data.datasets.tables import Table, text, whole
from tests.data.datasets import published

ABOUT = facts.entry("online_retail_uci")


def lines_of(rows, **workbook):
    return as_lines(io.BytesIO(published.workbook(rows, **workbook))).read().decode()


def test_cells_are_text_and_lines_are_rows():
    rows = [
        ["id", "name", "when", "price"],
        [7, ' a\t"b"\n', 40_513 + 506 / 1440, 2.50],
        [None, None, None, None],
        ["7", None, 40_514, 0.0000001],
    ]
    assert lines_of(rows, dates=[2]) == (
        "id\tname\twhen\tprice\n"
        '7\t a "b" \t2010-12-01 08:26:00\t2.5\n'
        "\t\t\t\n"
        "7\t\t2010-12-02 00:00:00\t0.0000001\n"
    )


def test_every_minute_of_a_day_is_read_exactly():
    times = lines_of([["when"], *[[40_513 + n / 1440] for n in range(1440)]], dates=[0])
    assert times.split("\n")[1:-1] == [
        f"2010-12-01 {n // 60:02}:{n % 60:02}:00" for n in range(1440)
    ]


def test_a_bad_cell_is_named_by_its_row(tmp_path):
    rows = [["item", "name"], [1, "a"], [None, None], ["x", "b"]]
    (tmp_path / "held.xlsx").write_bytes(published.workbook(rows))
    columns = {"item": whole("item"), "name": text("name")}
    table = Table("held.xlsx", columns=columns, separator="\t")
    with pytest.raises(ValueError, match=r"held.xlsx holds '' as 'item' in line 3, which must be"):
        table.frame(tmp_path, ABOUT)


@pytest.mark.parametrize("rows", [[], [["InvoiceNo", "StockCode"]]])
def test_a_sheet_without_rows_is_told(tmp_path, rows):
    (tmp_path / "Online Retail.xlsx").write_bytes(published.workbook(rows))
    with pytest.raises(ValueError, match=r"Online Retail.xlsx holds no rows, but Online Retail, "):
        read_files("online_retail_uci", files=tmp_path)


def test_what_is_no_workbook_is_told(tmp_path):
    whole_one = published.workbook([["InvoiceNo"], [1]])
    for content in (b"<html>", whole_one[:-30]):
        (tmp_path / "Online Retail.xlsx").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"Online Retail.xlsx cannot be read \(it is no whole wo"
        ):
            read_files("online_retail_uci", files=tmp_path)


def test_a_damaged_archive_of_a_workbook_is_told(tmp_path):
    archive = bytearray(published.FILES["online_retail_uci"]["online+retail.zip"])
    archive[len(archive) // 2] ^= 1
    (tmp_path / "online+retail.zip").write_bytes(archive)
    with pytest.raises(ValueError, match=r"Online Retail.xlsx cannot be read \(Bad CRC-32"):
        read_files("online_retail_uci", files=tmp_path)


def test_missing_fastexcel_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(ImportError, match=r"could not be imported.*pip install 'hrec-tf\[excel\]'"):
        lines_of([["item"], [1]])
