import numpy as np
import pytest

from hrec_tf.data.features import FeatureSchema
from hrec_tf.data.log_features import FeatureSchemas, encode_rows

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
