"""Columns as numbers: each kind by hand, what is missing, and what is refused."""

import json
import zlib

import numpy as np
import polars as pl
import pytest

from hrec_tf.data.features import (
    Categorical,
    FeatureSchema,
    FeatureTable,
    MultiHot,
    Numeric,
    Text,
)
from hrec_tf.data.vocabulary import Vocabulary

TABLE = {
    "item": ["tea", "jam", "rum", "gin"],
    "genres": ["Drama|War", "Comedy", "", None],
    "year": [1994, 1998, None, 2002],
    "shop": ["north", "south", "north", "south"],
    "title": ["black tea", "red jam", "old rum", "dry gin"],
}


def test_the_schema_is_guessed():
    schema = FeatureSchema.infer(TABLE)
    assert {name: column.kind for name, column in schema.columns.items()} == {
        "item": "text",
        "genres": "multi_hot",
        "year": "numeric",
        "shop": "categorical",
        "title": "text",
    }
    assert schema.columns["genres"].values == ("Comedy", "Drama", "War")
    assert schema.columns["shop"].values == ("north", "south")
    year = schema.columns["year"]
    assert (year.mean, year.low, year.high) == (1998.0, 1994.0, 2002.0)
    assert year.sd == pytest.approx(np.std([1994, 1998, 2002]))


def test_a_guess_can_be_overruled_and_columns_left_out():
    schema = FeatureSchema.infer(TABLE, columns=["year", "genres"], kinds={"year": "categorical"})
    assert list(schema.columns) == ["year", "genres"]
    assert schema.columns["year"].values == ("1994", "1998", "2002")


def test_booleans_and_lists_are_guessed():
    schema = FeatureSchema.infer({"new": [True, False, True, None], "tags": [["a"], [], None, []]})
    assert schema.columns["new"].values == ("false", "true")
    assert schema.columns["tags"] == MultiHot(("a",))


def test_golden_rows_of_every_kind():
    """year: mean 3, sd 2. "to" with bigrams: ^t, to, o$ in their buckets, of length 1."""
    schema = FeatureSchema(
        {
            "shop": Categorical(("north", "south")),
            "tags": MultiHot(("a", "b", "c"), separator=","),
            "year": Numeric(mean=3.0, sd=2.0, low=0.0, high=5.0),
            "title": Text(buckets=4, ngram=2),
        }
    )
    encoded = schema.encode(
        {
            "shop": ["south", None],
            "tags": ["a, c", "z"],
            "year": [4.0, float("nan")],
            "title": ["To", " "],
        }
    )
    counts = np.bincount([zlib.crc32(gram) % 4 for gram in (b"^t", b"to", b"o$")], minlength=4)
    title = counts / np.linalg.norm(counts)
    half = np.sqrt(0.5)
    known = [0, 0, 1, 0, half, 0, half, 0.5, 0, 0, *title]
    missing = [1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    np.testing.assert_allclose(encoded, [known, missing], rtol=1e-6)
    np.testing.assert_array_equal(schema.missing, encoded[1])
    assert schema.width == len(schema.labels) == 14
    assert schema.labels[:4] == ("shop: missing", "shop: north", "shop: south", "tags: missing")
    assert encoded.dtype == np.float32


@pytest.mark.parametrize(
    ("given", "expected"), [(-40, -1.5), (0, -1.5), (5, 1.0), (5.5, 1.0), (1e30, 1.0)]
)
def test_a_number_beyond_the_training_range_counts_as_its_end(given, expected):
    column = Numeric(mean=3.0, sd=2.0, low=0.0, high=5.0)
    assert column.encode(pl.Series([given])).tolist() == [[expected, 0.0]]


def test_a_column_of_one_value_or_none_is_not_divided_by_zero():
    assert Numeric.infer(pl.Series([7, 7])).encode(pl.Series([7])).tolist() == [[0.0, 0.0]]
    nothing = Numeric.infer(pl.Series([None, None], dtype=pl.Float64))
    assert nothing.encode(pl.Series([None], dtype=pl.Float64)).tolist() == [[0.0, 1.0]]


def test_numbers_written_as_text_are_read():
    column = Numeric(mean=0.0, sd=1.0, low=-9.0, high=9.0)
    assert column.encode(pl.Series(["1.5", "", None])).tolist() == [[1.5, 0], [0, 1], [0, 1]]


def test_equal_texts_are_alike_and_near_texts_near():
    encoded = Text(buckets=64).encode(pl.Series(["old rum", "OLD   rum", "older rum", "dry gin"]))
    np.testing.assert_array_equal(encoded[0], encoded[1])
    near, far = encoded[0] @ encoded[2], encoded[0] @ encoded[3]
    assert far < near < 1.0
    np.testing.assert_allclose(np.linalg.norm(encoded, axis=1), 1, rtol=1e-6)


def test_a_schema_is_plain_data_and_a_file_that_can_be_edited(tmp_path):
    schema = FeatureSchema.infer(TABLE)
    assert FeatureSchema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
    path = tmp_path / "items.toml"
    schema.save(path)
    assert FeatureSchema.load(path) == schema
    edited = path.read_text().replace("buckets = 128", "buckets = 16", 1)
    path.write_text(edited)
    assert FeatureSchema.load(path).width == schema.width - 112


def test_items_are_laid_out_by_id_and_unknown_ones_have_the_missing_row():
    vocabulary = Vocabulary(["jam", "tea", "ale"])
    table = FeatureTable.of_items(TABLE, vocabulary)
    rows = table.schema.encode(TABLE)
    np.testing.assert_array_equal(table.values[1], rows[1])
    np.testing.assert_array_equal(table.values[2], rows[0])
    np.testing.assert_array_equal(table.values[[0, 3]], [table.schema.missing] * 2)
    assert table.num_missing == 1
    assert "item" not in table.schema.columns


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: FeatureSchema({}), "`columns` was empty"),
        (lambda: FeatureSchema.infer(TABLE, columns=["yaer"]), "Did you mean 'year'?"),
        (lambda: FeatureSchema.infer(TABLE, kinds={"year": "number"}), "must be one of"),
        (lambda: FeatureSchema.infer(TABLE, kinds={"title": "numeric"}), "'black tea' at row 0"),
        (
            lambda: FeatureSchema.infer({"a": [1, 2]}).encode({"b": [1]}),
            "schema names 'a'",
        ),
        (
            lambda: Numeric(0.0, 1.0, 0.0, 1.0).encode(pl.Series([0.0, float("-inf")])),
            "row 1 is -inf",
        ),
        (lambda: Numeric(0.0, 0.0, 0.0, 1.0), "`sd` was 0.0"),
        (lambda: Categorical(("a", "b", "a")), "'a' twice"),
        (lambda: MultiHot(("a",), separator=""), "`separator`"),
        (lambda: Text(buckets=0), "`buckets` must be a positive int"),
        (lambda: FeatureSchema.from_dict({"a": {"kind": "txt"}}), "Did you mean 'text'?"),
        (lambda: FeatureSchema.from_dict({"a": {"kind": "text", "bucket": 3}}), "'buckets'"),
        (lambda: FeatureSchema.from_dict({"a": {"kind": "numeric", "sd": 1.0}}), "needs"),
        (
            lambda: FeatureTable.of_items(
                {"item": ["a", "b", "a"], "x": [1, 2, 3]}, Vocabulary(["a"])
            ),
            "'a' at the rows 0 and 2",
        ),
        (
            lambda: FeatureTable.of_items({"item": ["a", None], "x": [1, 2]}, Vocabulary(["a"])),
            "no value at row 1",
        ),
        (lambda: FeatureTable.of_items({"id": ["a"], "x": [1]}, Vocabulary(["a"])), "`id_column`"),
    ],
)
def test_bad_input_is_refused(act, message):
    with pytest.raises(ValueError, match=r".") as error:
        act()
    assert message in str(error.value)


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "items.toml"
    path.write_text("[a\n")
    with pytest.raises(ValueError, match=r"items\.toml is not a TOML file"):
        FeatureSchema.load(path)
