import numpy as np
import polars as pl
import pytest

from hrec_tf.data import sessions
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.features import Categorical, FeatureSchema
from hrec_tf.data.log_features import FIRST_ITEM, FeatureSchemas, FeatureTables, encode_rows
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.data.splits import Split

ITEMS = FeatureSchema.infer({"genres": ["Drama|War", "Comedy"], "year": [1994, 1998]})
FEEDBACK = FeatureSchema.infer({"rating": [1.0, 5.0]})
SCHEMAS = FeatureSchemas(items=ITEMS, feedback=FEEDBACK)


def test_are_kept_as_text_and_read_back(tmp_path):
    SCHEMAS.save(tmp_path / "features.toml")
    again = FeatureSchemas.load(tmp_path / "features.toml")
    assert again == SCHEMAS
    assert again.widths == {"items": 6, "feedback": 2, "users": 0}
    text = (tmp_path / "features.toml").read_text()
    assert "[items.genres]" in text and "[feedback.rating]" in text


def test_a_value_that_is_not_said_is_missing():
    rows = encode_rows(ITEMS, [{"genres": "War"}, {"year": 1998, "genres": None}])
    both = ITEMS.encode({"genres": ["War", None], "year": [None, 1998]})
    np.testing.assert_array_equal(rows, both)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: encode_rows(FEEDBACK, [{"ratign": 3}]), "Did you mean 'rating'?"),
        (lambda: encode_rows(FEEDBACK, [{"rating": "good"}]), "'good'"),
        (lambda: FeatureSchemas.from_dict({"item": {}}), "Did you mean 'items'?"),
    ],
)
def test_what_does_not_fit_is_refused(act, message):
    with pytest.raises(ValueError, match=r".") as error:
        act()
    assert message in str(error.value)


def test_a_file_that_is_no_toml_is_named(tmp_path):
    (tmp_path / "features.toml").write_text("items = [")
    with pytest.raises(ValueError, match=r"features.toml is not a TOML file"):
        FeatureSchemas.load(tmp_path / "features.toml")


TABLES = {
    "items": pl.DataFrame({"item": ["a", "b", "c", "z"], "price": [1.0, 3.0, None, 90.0]}),
    "users": pl.DataFrame({"user": [1, 2, 9], "country": ["UK", "FR", "DE"]}),
    "feedback": ("rating",),
    "kinds": {"country": "categorical"},
}
LOG = {
    "user": [1, 1, 1, 2, 2, 3, 3],
    "item": ["a", "b", "d", "b", "a", "c", "a"],
    "timestamp": [1, 2, 3, 1, 2, 1, 2],
    "rating": [1.0, 5.0, 3.0, 5.0, 1.0, 2.0, 4.0],
}


def prepared(train=LOG, **tables):
    log = sessions.one_per_user(EventLog.from_frame(train, rating="rating"))
    split = Split(log, log)
    return PreparedLog(split, FeatureTables(**{**TABLES, **tables}))


def test_what_is_learnt_is_of_the_training_items_and_users():
    """z, never bought, and user 9, who never bought, leave no trace."""
    log = prepared()
    schemas = log.features.schemas
    assert schemas.users.columns["country"].values == ("FR", "UK")
    price = schemas.items.columns["price"]
    assert (price.mean, price.low, price.high) == (2.0, 1.0, 3.0)
    assert schemas.feedback.columns["rating"].mean == 3.0


def test_features_lie_where_their_events_users_and_items_do():
    log = prepared()
    histories, schemas = log.train, log.features.schemas
    rating = (np.array(LOG["rating"]) - 3.0) / schemas.feedback.columns["rating"].sd
    np.testing.assert_allclose(histories.feedback[:, 0], rating, rtol=1e-6)
    # User 3 has no row, item d has none, and the price of c is not known.
    countries = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    np.testing.assert_array_equal(histories.user_features, countries)
    ids = log.vocabulary.encode(["a", "b", "c", "d", "z"])
    np.testing.assert_array_equal(log.features.items.values[ids], [[-1, 0], [1, 0], *[[0, 1]] * 3])


def test_a_test_part_is_read_by_the_schema_of_the_training():
    """Feedback outside the training range counts as the nearest end of it."""
    train = EventLog.from_frame(LOG, rating="rating")
    more = {"user": [7, 7], "item": ["a", "b"], "timestamp": [1, 2], "rating": [9.0, -4.0]}
    test = EventLog.from_frame(more, rating="rating")
    split = Split(sessions.one_per_user(train), sessions.one_per_user(test))
    log = PreparedLog(split, FeatureTables(**TABLES))
    sd = log.features.schemas.feedback.columns["rating"].sd
    np.testing.assert_allclose(log.test.feedback[:, 0] * sd, [2.0, -2.0], rtol=1e-6)
    np.testing.assert_array_equal(log.test.user_features, [[1, 0, 0]])


def test_users_may_be_described_by_their_first_item():
    log = prepared(users=FIRST_ITEM)
    first = log.train.item_ids[log.train.user_offsets[:-1]]
    np.testing.assert_array_equal(log.train.user_features, log.features.items.values[first])
    assert log.features.schemas.users == log.features.schemas.items


def test_a_schema_that_was_edited_is_the_one_that_is_used():
    edited = FeatureSchemas(users=FeatureSchema({"country": Categorical(("UK",))}))
    log = prepared(schemas=edited)
    np.testing.assert_array_equal(log.train.user_features, [[0, 1], [1, 0], [1, 0]])
    assert log.features.schemas.items.width == 2


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"feedback": ("ratign",)}, "Did you mean 'rating'?"),
        ({"items": TABLES["items"].rename({"item": "id"})}, "'item'"),
        ({"items": pl.concat([TABLES["items"]] * 2)}, "at the rows 0 and 4"),
        ({"items": pl.DataFrame({"item": ["a"], "price": [np.inf]})}, "features are finite"),
        (
            {"items": pl.DataFrame({"item": ["A"], "price": [1.0]})},
            "none of one of the training log",
        ),
        ({"users": "last_item"}, "`users` was 'last_item'"),
        ({"users": FIRST_ITEM, "items": None}, "beside an item table"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tables, message):
    with pytest.raises(ValueError, match=r".") as error:
        _ = prepared(**tables).train
    assert message in str(error.value)


def test_a_value_that_is_no_number_is_missing_as_nan_is():
    items = pl.DataFrame({"item": ["a", "b"], "price": [np.nan, 2.0]})
    values = prepared(items=items).features.items.values
    ids = prepared().vocabulary.encode(["a", "b"])
    np.testing.assert_array_equal(values[ids], [[0, 1], [0, 0]])


def test_files_are_read_beside_a_log(tmp_path):
    """Codes with a leading zero stay text, numbers are numbers, and paths are kept."""
    events = pl.DataFrame(LOG)
    others = [events.with_columns(pl.col("user") + 10 * number) for number in range(3)]
    pl.concat(others).write_csv(tmp_path / "log.csv")
    TABLES["items"].with_columns(code=pl.Series(["01", "02", "1", "2"])).write_csv(
        tmp_path / "items.csv"
    )
    TABLES["users"].write_csv(tmp_path / "users.csv")
    minima = {"min_item_support": 1, "min_session_length": 1, "min_user_sessions": 1}
    source = LogSource(
        str(tmp_path / "log.csv"),
        preparation=minima,
        split={"name": "by_users", "fractions": (0.7, 0.3)},
        features={
            "items": str(tmp_path / "items.csv"),
            "users": str(tmp_path / "users.csv"),
            "feedback": ("rating",),
        },
    )
    log = LogSource.from_dict(source.to_dict()).load()
    assert log.features.schemas.items.columns["code"].kind == "text"
    assert log.features.schemas.items.columns["price"].kind == "numeric"
    assert log.features.schemas.widths["feedback"] == 2
    assert log.train.feedback.shape == (log.train.num_events, 2)


def test_a_named_log_has_tables_of_its_own():
    with pytest.raises(ValueError, match=r"`items` was 'x.csv', but 'online-retail' is a named"):
        LogSource("online-retail", features={"items": "x.csv"})
