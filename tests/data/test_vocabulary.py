"""The vocabulary: order, encoding, and a file that a lookup table can use line by line."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.data.event_log import EventLog
from hrec_tf.data.vocabulary import Vocabulary

TEXT_IDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=1, max_size=5
)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
ANY_IDS = st.one_of(
    st.lists(TEXT_IDS, min_size=1, max_size=15, unique=True),
    st.lists(NUMBERS, min_size=1, max_size=15, unique=True),
)


def log_of(items):
    return EventLog.from_frame({"user": [1] * len(items), "item": items}, timestamp=None)


@pytest.mark.parametrize(
    ("items", "order", "supports"),
    [
        (["b", "c", "a", "c", "10", "9"], ["c", "10", "9", "a", "b"], [2, 1, 1, 1, 1]),
        ([10, 9, -1, 9, 10, 3], [9, 10, -1, 3], [2, 2, 1, 1]),
    ],
)
def test_items_are_numbered_by_support_then_raw_id(items, order, supports):
    vocabulary = Vocabulary.from_log(log_of(items))
    assert vocabulary.raw_ids.to_list() == order
    assert vocabulary.supports.tolist() == supports
    assert vocabulary.supports.dtype == np.int64
    assert vocabulary.num_items == len(order)


def test_unknown_ids_are_0():
    # pitfalls 4: unknown items, empty strings, numbers beyond int64.
    for values in ([2**63, -1], [-1, 2**63], [-1, -(2**70)], [-(2**63) - 1, -1]):
        assert sorted(Vocabulary([-1, 5]).encode(values).tolist()) == [0, 1]
    for values in (np.array([-1, 2**63], object), [np.uint64(2**63), -1]):
        assert sorted(Vocabulary([-1, 5]).encode(values).tolist()) == [0, 1]
    words, numbers = Vocabulary(["a", "b"]), Vocabulary([5, -7])
    encoded = words.encode(["b", "", "A", "a"])
    assert (encoded.tolist(), encoded.dtype) == ([2, 0, 0, 1], np.int32)
    assert numbers.encode(np.array([5, 6, 2**64 - 1], np.uint64)).tolist() == [1, 0, 0]
    assert numbers.encode(np.array([-7, 5], np.int16)).tolist() == [2, 1]
    assert words.encode([]).tolist() == []
    assert words.encode(pl.Series(["b"], dtype=pl.Categorical)).tolist() == [2]


@settings(deadline=None, max_examples=50)
@given(ids=ANY_IDS, data=st.data())
def test_decode_undoes_encode(ids, data):
    vocabulary = Vocabulary(ids)
    picked = data.draw(st.lists(st.sampled_from(ids), min_size=1))
    assert vocabulary.decode(vocabulary.encode(picked)).tolist() == picked


@settings(deadline=None, max_examples=50)
@given(ids=ANY_IDS, data=st.data())
def test_a_saved_vocabulary_is_loaded_whole(tmp_path_factory, ids, data):
    counts = st.lists(st.integers(0, 3), min_size=len(ids), max_size=len(ids))
    vocabulary = Vocabulary(ids, data.draw(counts))
    path = tmp_path_factory.mktemp("saved") / "vocabulary.txt"
    vocabulary.save(path)
    loaded = Vocabulary.load(path)
    assert loaded.raw_ids.to_list() == ids
    assert loaded.id_type == vocabulary.id_type
    assert loaded.supports.tolist() == vocabulary.supports.tolist()
    assert loaded.fingerprint == vocabulary.fingerprint


def test_line_i_of_the_file_is_item_id_i(tmp_path):
    path = tmp_path / "vocabulary.txt"
    Vocabulary(["tea", " jam\u2028", "007"], [5, 2, 2]).save(path)
    heading, *lines, end = path.read_text(encoding="utf-8").split("\n")
    assert lines == ["tea", " jam\u2028", "007"]
    assert end == ""
    assert json.loads(heading) == {
        "format": "hrec_tf vocabulary 1",
        "id_type": "text",
        "num_items": 3,
        "supports": [[5, 1], [2, 2]],
    }


def test_decode_keeps_the_shape():
    vocabulary = Vocabulary([70, 80, 90])
    assert vocabulary.decode([[1, 3], [2, 2]]).tolist() == [[70, 90], [80, 80]]


def test_fingerprints_tell_order_and_type_apart():
    # pitfalls 4: a vocabulary file that does not belong to the weights.
    prints = {Vocabulary(ids).fingerprint for ids in ([1, 2], [2, 1], ["1", "2"], ["12"])}
    assert len(prints) == 4
    assert Vocabulary([1, 2], [9, 3]).fingerprint == Vocabulary([1, 2]).fingerprint


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda words, _: words.encode([1, 2]),
            TypeError,
            "`values` holds ids of type Int64 .e.g. 1., but this vocabulary knows text ids such "
            "as 'a'. Convert them to the type that training used",
        ),
        (
            lambda _, numbers: numbers.encode(["5"]),
            TypeError,
            "type String .* knows int64 ids such",
        ),
        (lambda _, numbers: numbers.encode([5.0]), TypeError, "type Float64 .* knows int64 ids"),
        (lambda _, numbers: numbers.encode([True]), TypeError, "type Boolean .* knows int64 ids"),
        (lambda _, numbers: numbers.encode([5, "5"]), TypeError, "type int, str .* knows int64"),
        (lambda words, _: words.encode("ab"), TypeError, "`values` was 'ab', but must be a seq"),
        (lambda words, _: words.encode(["a", None]), ValueError, "`values` is missing at row 1"),
        (lambda words, _: words.decode([0]), ValueError, r"`ids` holds 0 \(place 0\), .* 0 is pad"),
        (lambda words, _: words.decode([[1, 3]]), ValueError, r"`ids` holds 3 \(place 1\), but"),
        (lambda words, _: words.decode([1.0]), TypeError, "`ids` holds values of type float64"),
        (lambda *_: Vocabulary([]), ValueError, "`raw_ids` is empty, .* Pass the items"),
        (lambda *_: Vocabulary(["a", "b", "b"]), ValueError, "holds 'b' at more than one place"),
        (lambda *_: Vocabulary(["a", "b\nc"]), ValueError, "at place 1, but .* Rename the item"),
        (lambda *_: Vocabulary([""]), ValueError, "`raw_ids` holds '' at place 0"),
        (lambda *_: Vocabulary([1.5]), TypeError, "`raw_ids` holds values of type Float64"),
        (lambda *_: Vocabulary(["a"], [1, 2]), ValueError, r"`supports` has shape \(2,\)"),
        (lambda *_: Vocabulary(["a"], [-1]), ValueError, "least value -1, .* Count the events"),
    ],
)
def test_bad_ids_say_what_and_the_cure(call, error, message):
    # pitfalls 4: ids that change type, missing values, duplicates.
    with pytest.raises(error, match=message):
        call(Vocabulary(["a", "b"]), Vocabulary([5, 7]))


HEADING = '{"format": "hrec_tf vocabulary 1", "id_type": "%s", "num_items": %d, "supports": %s}\n'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "breaks the format"),
        (b"tea\njam\n", "breaks the format"),
        (b"[1]\njam\n", "no 'hrec_tf vocabulary 1' heading"),
        (b"\xff\n", "breaks the format"),
        (b"[" * 100_000, "breaks the format"),
        (HEADING % ("float", 1, "[[1, 1]]") + "a\n", "id type 'float' is none of int64, text"),
        (HEADING % ("text", 2, "[[1, 2]]") + "a\n", "it has 1 ids for 2 items"),
        (HEADING % ("text", 1, "[[1, 1]]") + "a\n\n", "it has 2 ids for 1 items"),
        (HEADING % ("text", 2, "[[1, 1]]") + "a\nb\n", "supports .* not those of 2 items"),
        (HEADING % ("text", 2, "[[1, 4], [1, -2]]") + "a\nb\n", "supports .* not those of 2"),
        (HEADING % ("text", 2, '"ab"') + "a\nb\n", "supports .* not those of 2 items"),
        (HEADING % ("text", 2, "[[1, 3], [1, -1]]") + "a\nb\n", "supports .* not those"),
        (HEADING % ("text", 1, f"[[{2**70}, 1]]") + "a\n", "breaks the format"),
        (HEADING % ("text", 2, "[[1, 2]]") + "a\na\n", "holds 'a' at more than one place"),
        (HEADING % ("text", 2, "[[1, 2]]") + "a\n\n", "holds '' at place 1"),
        (HEADING % ("int64", 2, "[[1, 2]]") + "5\n007\n", "line 2 is '007', not an int64 id"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content, reason):
    # pitfalls 4 and 5: cut short, changed by hand, or something else altogether.
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(
        ValueError, match="vocabulary.txt is not a whole vocabulary file: .*" + reason
    ):
        Vocabulary.load(path)


def test_a_file_that_is_too_large_or_absent_is_not_read(tmp_path):
    path = tmp_path / "vocabulary.txt"
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        Vocabulary.load(path)
    Vocabulary(["a"]).save(path)
    with pytest.raises(ValueError, match=r"has .* bytes, but at most 10 are read"):
        Vocabulary.load(path, max_bytes=10)
