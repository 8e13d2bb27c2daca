"""The bundled Online Retail tables: what they hold and that the committed script makes them."""

import hashlib
import importlib.util
import os
from pathlib import Path

import polars as pl
import pytest

from hrec_tf.data.bundled import load_online_retail, online_retail_path

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "prepare_online_retail.py"
spec = importlib.util.spec_from_file_location("prepare_online_retail", SCRIPT)
prepare_online_retail = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prepare_online_retail)


@pytest.fixture(scope="module")
def retail():
    return load_online_retail()


def test_counts_are_those_of_the_usual_cleaned_data(retail):
    purchases = retail.purchases
    assert purchases.height == 397_924
    assert purchases["user"].n_unique() == 4_339
    assert purchases["item"].n_unique() == 3_665
    assert purchases["session"].n_unique() == 18_536


def test_first_purchase_is_the_first_line_of_the_published_data(retail):
    # 2010-12-01 08:26 UTC: six of 85123A (WHITE HANGING HEART T-LIGHT HOLDER) to 17850.
    assert retail.purchases.row(0) == (17850, "85123A", 1291191960, 536365, 6)


def test_columns_have_one_type_each_and_no_gaps(retail):
    assert dict(retail.purchases.schema) == {
        "user": pl.Int64,
        "item": pl.String,
        "timestamp": pl.Int64,
        "session": pl.Int64,
        "quantity": pl.Int64,
    }
    assert dict(retail.items.schema)["median_unit_price"] == pl.Float64
    for frame in retail:
        assert sum(frame.null_count().row(0)) == 0


def test_feature_tables_hold_each_item_and_user_once(retail):
    assert retail.items["item"].is_unique().all()
    assert retail.users["user"].is_unique().all()
    assert set(retail.items["item"]) == set(retail.purchases["item"])
    assert set(retail.users["user"]) == set(retail.purchases["user"])


def test_quoted_descriptions_are_read_without_their_quoting(retail):
    described = dict(retail.items.select("item", "description").iter_rows())
    assert described["21228"] == 'POCKET MIRROR "GLAMOROUS"'


def test_rows_are_in_time_order_and_sessions_contiguous(retail):
    purchases = retail.purchases
    assert (purchases["timestamp"].diff().drop_nulls() >= 0).all()
    changes = (purchases["session"] != purchases["session"].shift()).sum()
    assert changes + 1 == purchases["session"].n_unique()


def test_bundled_files_are_the_verified_ones_and_small():
    files = sorted(online_retail_path().glob("*.gz"))
    assert [path.name for path in files] == sorted(prepare_online_retail.SHA256)
    for path in files:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        assert found == prepare_online_retail.SHA256[path.name]
    assert sum(path.stat().st_size for path in files) < 3_000_000


def test_citation_and_licence_lie_beside_the_data():
    text = (online_retail_path() / "README.md").read_text(encoding="utf-8")
    for needed in ("10.24432/C5BW33", "creativecommons.org/licenses/by/4.0", "Chen, D. (2015)"):
        assert needed in text


@pytest.mark.skipif("HREC_DATA" not in os.environ, reason="HREC_DATA is not set")
def test_script_makes_the_same_bytes_again(tmp_path):
    source = Path(os.environ["HREC_DATA"]) / "online-retail"
    assert prepare_online_retail.main([str(source), "--out", str(tmp_path)]) == 0
    for bundled in online_retail_path().glob("*.gz"):
        assert (tmp_path / bundled.name).read_bytes() == bundled.read_bytes()
    assert len(list(tmp_path.iterdir())) == 3


def test_script_refuses_a_changed_table_and_writes_nothing(tmp_path, capsys):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for bundled in online_retail_path().glob("*.gz"):
        (source / bundled.name).write_bytes(bundled.read_bytes())
    with (source / "users.tsv.gz").open("ab") as changed:
        changed.write(b"\0")
    assert prepare_online_retail.main([str(source), "--out", str(out)]) == 1
    assert "was expected. Fetch the file again, unchanged." in capsys.readouterr().err
    assert not out.exists()


def test_script_names_a_missing_table(tmp_path, capsys):
    assert prepare_online_retail.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "purchases.tsv.gz is missing. Expected" in capsys.readouterr().err
