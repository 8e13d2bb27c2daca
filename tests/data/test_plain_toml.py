"""What is written as TOML is read back as it was."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrec_tf.data import plain_toml

keys = st.text('abcxyz_-+. "\\é', min_size=1, max_size=6)
plain = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
values = st.one_of(plain, st.lists(plain, max_size=3))
tables = st.dictionaries(
    keys, st.one_of(values, st.dictionaries(keys, values, max_size=3)), max_size=5
)


@given(tables)
def test_round_trip(table):
    written = {key: value for key, value in table.items() if value != {}}
    assert tomllib.loads(plain_toml.to_toml(table)) == written


def test_none_and_tuples_are_put_into_words_and_taken_out_again():
    held = {"a": None, "b": (5, 20), "c": {"d": None}}
    words = plain_toml.to_words(held)
    assert words == {"a": "none", "b": [5, 20], "c": {"d": "none"}}
    assert plain_toml.from_words(words) == {"a": None, "b": [5, 20], "c": {"d": None}}


def test_a_value_that_toml_does_not_have_is_refused():
    with pytest.raises(TypeError, match=r"`a` is None, which TOML cannot hold"):
        plain_toml.to_toml({"a": None})
