"""LiteRT files: what is written, what is refused. What they answer: test_parity.py."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import litert
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.export import check_tflite, export_tflite, litert_interpreter
from hrec_tf.models import HRNN, GRU4Rec
from hrec_tf.recommender import Recommender
from tests.reference.builtin_operators import require_builtin_operators
from tests.reference.full_disk import file_size_limit
from tests.reference.tiny_prefix_model import TinyPrefixModel
from tests.reference.weights import fill_drawn

ITEMS = ["tea", "jam", "rum", "gin, dry", "42", "ø"]

pytestmark = pytest.mark.xdist_group("tflite")


@pytest.fixture(scope="module")
def recommender():
    model = HRNN(num_items=6, session_units=4, user_units=3, seed=0)
    return Recommender(model, Vocabulary(ITEMS, [9, 5, 5, 4, 2, 1]), idle_minutes=45)


@pytest.fixture(scope="module")
def file(recommender, converter, tmp_path_factory):
    path = tmp_path_factory.mktemp("lite") / "shop.tflite"
    return export_tflite(recommender, path, k=3, process=converter)


@pytest.fixture(scope="module")
def recommend(file):
    pytest.importorskip("ai_edge_litert")
    return litert_interpreter(file).get_signature_runner("recommend")


@pytest.fixture
def copy(file, tmp_path):
    """The three files, to be harmed."""
    for path in file.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / file.name


@pytest.mark.integration
def test_vocabulary_and_checksums_lie_beside_the_file(file, recommender):
    names = ["shop.manifest.json", "shop.tflite", "shop.vocabulary.txt"]
    assert sorted(path.name for path in file.parent.iterdir()) == names
    about = check_tflite(file)
    assert (about["k"], about["idle_minutes"], about["quantize"]) == (3, 45, "float16")
    assert about["signatures"] == ["recommend", "step"]
    vocabulary = Vocabulary.load(file.with_name("shop.vocabulary.txt"))
    assert vocabulary.fingerprint == about["vocabulary"] == recommender.vocabulary.fingerprint


@pytest.fixture(scope="module")
def without_step(converter, tmp_path_factory):
    recommender = Recommender(TinyPrefixModel(num_items=6, seed=0), Vocabulary(ITEMS))
    path = tmp_path_factory.mktemp("lite") / "shop.tflite"
    return export_tflite(recommender, path, k=3, process=converter)


@pytest.mark.integration
def test_a_model_that_reads_prefixes_has_no_step_and_no_state(without_step):
    assert check_tflite(without_step)["signatures"] == ["recommend"]
    pytest.importorskip("ai_edge_litert")
    found = litert_interpreter(without_step).get_signature_list()
    assert list(found) == ["recommend"]
    assert set(found["recommend"]["outputs"]) == {"item_ids", "scores"}


@pytest.fixture(scope="module")
def large(converter, tmp_path_factory):
    """Recommenders of 300 items, of users and of sessions, and their shortened files."""
    made, scratch = {}, tmp_path_factory.mktemp("lite")
    sizes = {"session_units": 32, "user_units": 32}
    models = HRNN(num_items=300, seed=1, **sizes), GRU4Rec(num_items=300, units=32, seed=1)
    for model in models:
        fill_drawn(model, scale=0.2)
        name, recommender = type(model).__name__, Recommender(model, Vocabulary(range(300)))
        for quantize in ("float16", "int8"):
            file = scratch / f"{name}-{quantize}.tflite"
            export_tflite(recommender, file, k=20, quantize=quantize, process=converter)
            made[name, quantize] = recommender, file
    return made


@pytest.mark.integration
@pytest.mark.parametrize(
    ("quantize", "error", "agreement"),
    [("float16", (1e-5, 1e-3), 0.99), ("int8", (1e-3, 3e-2), 0.8)],
)
@pytest.mark.parametrize("name", ["HRNN", "GRU4Rec"])
def test_shortened_lists_are_nearly_those_of_keras(large, name, quantize, error, agreement):
    pytest.importorskip("ai_edge_litert")
    recommender, file = large[name, quantize]
    lists = litert.compare(recommender, file, tried=50)
    # If it differed by less, nothing would have been shortened.
    assert error[0] < lists.error < error[1]
    assert lists.agreement > agreement
    require_builtin_operators(file)


@pytest.mark.integration
def test_float16_halves_a_file_and_int8_shortens_it_further(large, converter, tmp_path):
    recommender, file = large["HRNN", "float16"]
    path = tmp_path / "whole.tflite"
    whole = export_tflite(recommender, path, k=20, quantize="float32", process=converter)
    sizes = [path.stat().st_size for path in (whole, file, large["HRNN", "int8"][1])]
    tables = 4 * sum(int(weight.shape.num_elements()) for weight in recommender.model.weights)
    assert sizes[0] - sizes[1] > 0.4 * tables and sizes[1] - sizes[2] > 0.15 * tables


@pytest.mark.integration
@pytest.mark.parametrize("name", ["file", "without_step"])
def test_every_operator_is_a_builtin_one(name, request):
    require_builtin_operators(request.getfixturevalue(name))


@pytest.mark.integration
def test_ids_beyond_the_vocabulary_are_unknown(recommend):
    def scores(*item_ids):
        return recommend(
            item_ids=np.array([item_ids], np.int32),
            timestamps=np.zeros((1, len(item_ids)), np.int64),
            exclude_seen=np.array([True]),
        )["scores"]

    for stray in (-1, 7, 2**31 - 1):
        np.testing.assert_array_equal(scores(2, stray, 3), scores(2, 0, 3))
    assert not np.array_equal(scores(2, 6, 3), scores(2, 0, 3))


@pytest.mark.integration
@pytest.mark.parametrize("name", ["shop.tflite", "shop.vocabulary.txt"])
def test_a_changed_file_is_refused(copy, name):
    changed = bytearray(copy.with_name(name).read_bytes())
    changed[-2] ^= 1
    copy.with_name(name).write_bytes(changed)
    with pytest.raises(ValueError, match=f"'{name}' of .* has another SHA-256"):
        check_tflite(copy)


@pytest.mark.integration
def test_a_missing_file_is_named(copy):
    copy.with_name("shop.manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"shop\.manifest\.json' is no file, but a LiteRT"):
        check_tflite(copy)


@pytest.mark.parametrize("taken", ["shop.tflite", "shop.vocabulary.txt", "shop.manifest.json"])
def test_what_exists_is_never_overwritten(recommender, tmp_path, taken):
    (tmp_path / taken).write_text("mine")
    with pytest.raises(ValueError, match=f"{taken}' exists, and exports are never overwritten"):
        export_tflite(recommender, tmp_path / "shop.tflite")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("shop", {}, "but the name of a LiteRT file ends in .tflite. Pass for example"),
        ("a.tflite", {"k": 7}, "`k` was 7, but the catalogue has 6 items"),
        ("a.tflite", {"k": 3, "quantize": "float61"}, "Did you mean 'float16'?"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(recommender, tmp_path, name, options, message):
    with pytest.raises(ValueError, match=message):
        export_tflite(recommender, tmp_path / "new" / name, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_a_conversion_that_fails_says_why_and_leaves_nothing(recommender, tmp_path, monkeypatch):
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no room')")
    monkeypatch.setattr("hrec_tf.export.converter.__file__", str(broken))
    with pytest.raises(RuntimeError, match=r"could not be converted to LiteRT: .* 1: no room"):
        export_tflite(recommender, tmp_path / "out" / "shop.tflite", k=3)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_disk_without_room_leaves_nothing(share, recommender, file, converter, tmp_path):
    """No file may grow beyond a share of what the whole one has: on the way, and at its end."""
    size = int(share * file.stat().st_size)
    with file_size_limit(size), pytest.raises(OSError, match=r"File too large|could not be writ"):
        export_tflite(recommender, tmp_path / "model.tflite", k=2, process=converter)
    assert list(tmp_path.iterdir()) == []


def test_a_converter_that_may_not_write_says_so(recommender, converter, tmp_path, monkeypatch):
    """Its process writes into a folder beside the file, which is none here."""
    ask = converter.ask
    monkeypatch.setattr(
        converter, "ask", lambda asked: ask([asked[0], str(tmp_path / "no" / "folder"), *asked[2:]])
    )
    with pytest.raises(OSError, match=r"shop.tflite' could not be written \(\[Errno 2\] No such"):
        export_tflite(recommender, tmp_path / "shop.tflite", k=2, process=converter)
    assert list(tmp_path.iterdir()) == []


def test_the_page_quotes_what_was_measured():
    root = Path(__file__).parents[2]
    measured = (root / "benchmarks" / "litert.txt").read_text(encoding="utf-8")
    assert measured.partition("\n\n")[2] in (root / "docs" / "litert.md").read_text("utf-8")
    rows = {line.split()[0] for line in measured.splitlines() if " float16 " in line}
    assert rows == set(litert.names())
