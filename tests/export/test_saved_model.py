"""The artefact's folder. What it answers is tested against the model in test_parity.py."""

import collections
import shutil

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from hrec_tf import manifest
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.export import export_saved_model
from hrec_tf.export.saved_model import MAX_LISTS
from hrec_tf.export.signatures import Signatures
from hrec_tf.export.warmup import write_warmup
from hrec_tf.models import HRNN
from hrec_tf.recommender import Recommender
from hrec_tf.serving import Server
from tests.reference.full_disk import file_size_limit
from tests.reference.tiny_prefix_model import TinyPrefixModel

pytestmark = pytest.mark.xdist_group("saved_model")

ITEMS = ["tea", "jam", "rum", "gin, dry", "42", "ø"]
NOON = 1_700_000_000
NAMES = ["recommend", "recommend_5", "recommend_filtered", "step", "score", "encode"]


@pytest.fixture(scope="module")
def recommender():
    model = HRNN(num_items=6, session_units=4, user_units=3, seed=0)
    return Recommender(model, Vocabulary(ITEMS, [9, 5, 5, 4, 2, 1]), idle_minutes=45)


@pytest.fixture(scope="module")
def base(recommender, tmp_path_factory):
    """A base path with version 1."""
    base = tmp_path_factory.mktemp("models") / "recommender"
    export_saved_model(recommender, base, k=[5, 3], card="# Card\n")
    return base


@pytest.fixture(scope="module")
def signatures(base):
    # Held on to: signatures alone do not keep the variables alive.
    loaded = tf.saved_model.load(str(base / "1"))
    yield {name: loaded.signatures[name] for name in NAMES}


def history(**changes):
    values = {
        "item_ids": tf.constant([["tea", "jam"], ["ø", ""]]),
        "timestamps": tf.constant([[NOON, NOON + 60], [NOON, 0]], tf.int64),
        "lengths": tf.constant([2, 1]),
    }
    return values | changes


def test_a_version_is_one_folder_as_tensorflow_serving_wants_it(base, recommender):
    assert sorted(path.name for path in base.iterdir()) == ["1"]
    names = {str(path.relative_to(base / "1")) for path in (base / "1").rglob("*")}
    assert {"saved_model.pb", "variables", "assets/vocabulary.txt", "manifest.json"} <= names
    assert [name for name in names if name.startswith("assets/")] == ["assets/vocabulary.txt"]
    about = manifest.check(base / "1", kind="saved_model")
    assert about["model_number"] == recommender.inference.model_number
    assert (about["num_items"], about["idle_minutes"], about["k"]) == (6, 45, 3)
    assert (about["xla"], about["tables"]) == (False, "float32")
    card = (base / "1/assets.extra/model_card.md").read_text()
    assert card.startswith("# Card\n\n## Signatures\n")
    assert all(f"| `{name}` | `item_ids` string [·" in card for name in NAMES)
    asset = Vocabulary.load(base / "1/assets/vocabulary.txt")
    assert asset.fingerprint == recommender.vocabulary.fingerprint


def test_the_manifest_says_what_the_graph_takes_and_gives(base):
    told = manifest.check(base / "1", kind="saved_model")["signatures"]
    held = saved_model_pb2.SavedModel.FromString((base / "1/saved_model.pb").read_bytes())
    of_graph = held.meta_graphs[0].signature_def
    assert {name for name in of_graph if not name.startswith("__")} == set(told)
    assert set(told) == {"serving_default", *NAMES}
    for name, signature in told.items():
        for part in ("inputs", "outputs"):
            found = {
                alias: (
                    tf.dtypes.as_dtype(info.dtype).name,
                    [d.size for d in info.tensor_shape.dim],
                )
                for alias, info in getattr(of_graph[name], part).items()
            }
            assert found == {a: (t["type"], t["shape"]) for a, t in signature[part].items()}
    lengths = {name: told[name]["outputs"]["item_ids"]["shape"] for name in NAMES[:4]}
    assert [shape[1] for shape in lengths.values()] == [3, 5, 5, 5]


def test_how_histories_are_read_stands_once_in_the_file(base, signatures):
    saved = saved_model_pb2.SavedModel.FromString((base / "1" / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    loops = [node for of in functions for node in of.node_def if node.op.endswith("While")]
    assert len(loops) == 1, "of five signatures that read histories"


def warmup(folder):
    """The requests that lie beside a model."""
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        yield prediction_log_pb2.PredictionLog.FromString(record).predict_log


def test_warm_up_asks_every_signature_what_it_takes(base, signatures):
    asked = collections.Counter()
    for log in warmup(base / "1"):
        name = log.request.model_spec.signature_name
        inputs = {
            key: tf.constant(tf.make_ndarray(value)) for key, value in log.request.inputs.items()
        }
        asked[name] += 1
        signatures["recommend" if name == "serving_default" else name](**inputs)
    # Of a history each length that a client pads to.
    assert asked == {name: 1 if name == "step" else 5 for name in ("serving_default", *NAMES)}


def test_warm_up_of_xla_asks_every_shape(tmp_path):
    """Also where there are as many lengths of lists as can be."""
    history = {"type": "string", "shape": [-1, -1]}, {"type": "int32", "shape": [-1]}
    described = {"inputs": dict(zip(("item_ids", "lengths"), history, strict=True))}
    names = [f"recommend_{k}" for k in range(100, 100 + MAX_LISTS)]
    write_warmup(tmp_path, dict.fromkeys([*NAMES, *names], described), "tea", every_shape=True)
    path = tmp_path / "tf_serving_warmup_requests"
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert len(records) == 34 * 22 <= 1000
    shapes = set()
    for record in records:
        log = prediction_log_pb2.PredictionLog.FromString(record).predict_log
        item_ids = tf.make_ndarray(log.request.inputs["item_ids"])
        assert (item_ids == b"tea").all()
        shapes.add(item_ids.shape)
    expected = {(2**i, 2**j) for i in range(6) for j in range(3, 8)}
    assert shapes == expected | {(1, 2**j) for j in range(8, 12)}


def test_a_model_that_reads_prefixes_has_no_step_and_no_state(tmp_path):
    recommender = Recommender(TinyPrefixModel(num_items=6, seed=0), Vocabulary(ITEMS))
    folder = export_saved_model(recommender, tmp_path, k=3)
    loaded = tf.saved_model.load(str(folder)).signatures
    outputs = {name: set(one.structured_outputs) for name, one in loaded.items()}
    lists = {"item_ids", "scores"}
    several = dict.fromkeys(["recommend", "serving_default", "recommend_filtered"], lists)
    assert outputs == {**several, "score": {"scores"}, "encode": {"vector"}}
    about = manifest.check(folder, kind="saved_model")
    assert (set(about["signatures"]), about["state_size"]) == (set(outputs), 0)
    assert {log.request.model_spec.signature_name for log in warmup(folder)} == set(outputs)
    with Server(tmp_path) as server:
        assert server.signatures == sorted(outputs)


@pytest.mark.integration
def test_the_next_free_number_is_the_next_version(recommender, tmp_path):
    assert export_saved_model(recommender, tmp_path, version=7, k=2).name == "7"
    assert export_saved_model(recommender, tmp_path, k=2).name == "8"
    with pytest.raises(ValueError, match=r"`version` was 7, which .* holds already.*Pass 9"):
        export_saved_model(recommender, tmp_path, version=7, k=2)
    with pytest.raises(ValueError, match="`version` must be a positive int, but was 0"):
        export_saved_model(recommender, tmp_path, version=0, k=2)
    with pytest.raises(ValueError, match="`k` was 7, but the catalogue has 6 items"):
        export_saved_model(recommender, tmp_path, k=7)
    with pytest.raises(ValueError, match="`k` must be a positive int, but was 0"):
        export_saved_model(recommender, tmp_path, k=0)


def test_a_version_beyond_int64_is_refused(recommender, tmp_path):
    message = f"`version` was {2**63}, but servers know versions up to {2**63 - 1}.* next free one"
    with pytest.raises(ValueError, match=message):
        export_saved_model(recommender, tmp_path, version=2**63, k=2)
    (tmp_path / f"{2**63 - 1}").mkdir()
    with pytest.raises(ValueError, match=f"holds version {2**63 - 1}, after which .* Pass a free"):
        export_saved_model(recommender, tmp_path, k=2)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_export_that_fails_leaves_nothing(recommender, tmp_path):
    def fails(folder):
        raise RuntimeError("it departs")

    with pytest.raises(RuntimeError, match="it departs"):
        export_saved_model(recommender, tmp_path / "models", k=2, check=fails)
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.integration
@pytest.mark.parametrize("size", [100, 3_000, 60_000])
def test_a_disk_without_room_leaves_nothing(size, recommender, tmp_path):
    """For vocabulary, weights or graph: the system lets no file grow beyond some bytes."""
    with file_size_limit(size), pytest.raises(OSError, match=r"File too large|could not be writ"):
        export_saved_model(recommender, tmp_path / "models", k=2)
    assert not (tmp_path / "models").exists() or list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": tf.constant([3, 1])}, r"`lengths` must lie in 0..time.*\[3 1\] \[2\]"),
        ({"lengths": tf.constant([2, -1])}, r"`lengths` must lie in 0..time"),
        (
            {"timestamps": tf.constant([[NOON, NOON - 1], [0, 0]], tf.int64)},
            r"`timestamps` must not go back inside a row.*\[0\]",
        ),
        (
            {"timestamps": tf.constant([[0, 0], [NOON * 1000, 0]], tf.int64)},
            r"`timestamps` must be Unix seconds below 100000000000: divide .*\[1\]",
        ),
        (
            {"timestamps": tf.constant([[-(2**63), 0], [0, 0]], tf.int64)},
            r"`timestamps` must be Unix seconds below .*\[0\]",
        ),
        (
            {"timestamps": tf.constant([[NOON], [NOON]], tf.int64)},
            "`timestamps` must have the shape of `item_ids`",
        ),
    ],
)
@pytest.mark.parametrize("signature", ["recommend", "score"])
def test_a_bad_history_is_an_invalid_argument(signatures, signature, changes, message):
    more = {
        "recommend": {"exclude_seen": tf.constant([True, False])},
        "score": {"candidates": tf.constant([["tea"], ["jam"]])},
    }
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signatures[signature](**history(**changes), **more[signature])


@pytest.mark.parametrize(
    ("signature", "name", "value"),
    [
        ("recommend", "exclude_seen", tf.constant([True])),
        ("recommend", "lengths", tf.constant([1])),
        ("score", "candidates", tf.constant([["tea"]])),
        ("recommend_filtered", "allow", tf.constant([["tea"]])),
        ("recommend_filtered", "deny_lengths", tf.constant([1])),
        ("step", "timestamps", tf.constant([NOON], tf.int64)),
        ("step", "state_info", tf.zeros((1, 4), tf.int64)),
    ],
)
def test_one_row_is_not_silently_repeated(signatures, signature, name, value):
    exclude = {"exclude_seen": tf.constant([True, False])}
    inputs = {
        "recommend": history() | exclude,
        "recommend_filtered": history() | exclude | filters(),
        "score": history() | {"candidates": tf.constant([["tea"], ["jam"]])},
        "step": step_inputs(signatures["recommend"](**history(), **exclude)),
    }[signature]
    signatures[signature](**inputs)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=rf"`{name}` must have the batch of .* \[1\] \[2\]"
    ):
        signatures[signature](**inputs | {name: value})


def filters(**changes):
    values = {
        "allow": tf.constant([["ø", "rum", "jam"], ["unknown", "tea", "jam"]]),
        "allow_lengths": tf.constant([2, 1]),
        "deny": tf.constant([["rum"], ["rum"]]),
        "deny_lengths": tf.constant([0, 1]),
    }
    return values | changes


def test_lists_hold_what_a_row_allows_and_does_not_deny(signatures):
    def listed(**changes):
        exclude = tf.constant([True, True])
        asked = history() | filters(**changes)
        found = signatures["recommend_filtered"](**asked, exclude_seen=exclude)["item_ids"].numpy()
        return [{item.decode() for item in row} - {""} for row in found]

    # The first has seen tea and jam, the second ø.
    assert listed() == [{"ø", "rum"}, set()]
    assert listed(deny_lengths=tf.constant([1, 1])) == [{"ø"}, set()]
    others = {"rum", "gin, dry", "42"}
    assert listed(allow_lengths=tf.constant([0, 0])) == [
        others | {"ø"},
        {"tea", "jam", *others} - {"rum"},
    ]
    assert listed(allow_lengths=tf.constant([3, 2])) == [{"ø", "rum"}, {"tea"}]
    for name, lengths in (("allow_lengths", [4, 0]), ("deny_lengths", [-1, 0])):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{name}` must lie in 0..width"):
            listed(**{name: tf.constant(lengths)})


def test_padding_may_hold_anything(signatures):
    exclude = tf.constant([False, False])
    padded = signatures["recommend"](**history(), exclude_seen=exclude)
    other = history(
        item_ids=tf.constant([["tea", "jam"], ["ø", "rum"]]),
        timestamps=tf.constant([[NOON, NOON + 60], [NOON, -5]], tf.int64),
    )
    again = signatures["recommend"](**other, exclude_seen=exclude)
    for name, values in padded.items():
        np.testing.assert_array_equal(values, again[name])


def test_a_vocabulary_of_another_export_is_not_served(base, tmp_path):
    """Also where the manifest was written anew over it: items would stand for one another."""
    shutil.copytree(base, tmp_path / "models")
    with Server(tmp_path / "models") as server:
        assert server.version == 1
    folder = tmp_path / "models" / "1"
    about = manifest.check(folder, kind="saved_model")
    asset = folder / "assets" / "vocabulary.txt"
    heading, first, second, *others = asset.read_text(encoding="utf-8").splitlines()
    asset.write_text("\n".join([heading, second, first, *others, ""]), encoding="utf-8")
    manifest.write(folder, kind="saved_model", about=about)
    with pytest.raises(ValueError, match=r"vocabulary.txt' is not the vocabulary that the model"):
        Server(tmp_path / "models").start()


def flipped(folder, name):
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncated(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_tampered_artefact_is_refused_before_tensorflow_reads_it(base, tmp_path, monkeypatch):
    def read(*given):
        raise AssertionError("TensorFlow was asked to read it")

    monkeypatch.setattr(tf.compat.v1.saved_model, "load", read)
    names = [path.relative_to(base) for path in base.rglob("*") if path.is_file()]
    assert len(names) == 8
    harmed = [(change, name) for change in (flipped, truncated) for name in names]
    harmed += [(lambda folder, name: (folder / name).write_text(""), "1/variables/more")]
    for number, (change, name) in enumerate(harmed):
        models = tmp_path / str(number)
        shutil.copytree(base, models)
        change(models, name)
        with pytest.raises(ValueError):
            Server(models).start()
    shutil.copytree(base, tmp_path / "whole")
    with pytest.raises(AssertionError, match="was asked to read it"):
        Server(tmp_path / "whole").start()


def test_a_place_without_a_candidate_is_an_empty_id(signatures):
    every = tf.constant([ITEMS[:5]])
    times = tf.fill((1, 5), tf.constant(NOON, tf.int64))
    found = signatures["recommend"](
        item_ids=every,
        timestamps=times,
        lengths=tf.constant([5]),
        exclude_seen=tf.constant([True]),
    )
    assert found["item_ids"].numpy().tolist() == [["ø".encode(), b"", b""]]
    lowest = np.finfo(np.float32).min
    assert found["scores"].numpy()[0, 1:].tolist() == [lowest, lowest]


def step_inputs(answer, **changes):
    values = {
        "item_ids": tf.constant(["rum", "tea"]),
        "timestamps": tf.constant([NOON + 90, NOON + 90], tf.int64),
        "state": answer["state"],
        "state_info": answer["state_info"],
    }
    return values | changes


def test_a_state_that_is_not_ours_is_refused(signatures):
    answer = signatures["recommend"](**history(), exclude_seen=tf.constant([True, True]))
    signatures["step"](**step_inputs(answer))
    foreign = answer["state_info"] + tf.constant([[0, 0, 0, 1], [0, 0, 0, 0]], tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="another model or version"):
        signatures["step"](**step_inputs(answer, state_info=foreign))
    broken = answer["state"] + tf.constant([[np.nan], [0.0]])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"NaN or infinity.*\[0\]"):
        signatures["step"](**step_inputs(answer, state=broken))
    halved = answer["state_info"] * tf.constant([[0], [1]], tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"do not belong together.*\[0\]"):
        signatures["step"](**step_inputs(answer, state_info=halved))
    late = tf.constant([NOON * 1000, NOON + 90], tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be Unix seconds below"):
        signatures["step"](**step_inputs(answer, timestamps=late))
    early = tf.constant([NOON + 59, NOON + 90], tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must not lie before the event"):
        signatures["step"](**step_inputs(answer, timestamps=early))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_state_with_one_bit_changed_is_refused(signatures, data):
    answer = signatures["recommend"](**history(), exclude_seen=tf.constant([True, True]))
    name = data.draw(st.sampled_from(["state", "state_info"]))
    values = answer[name].numpy()
    bits = values[1].view(np.uint8)
    bits[data.draw(st.integers(0, len(bits) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    refusals = "was changed|NaN or infinity|not lie before the event|do not belong together"
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"({refusals}).*\[1\]"):
        signatures["step"](**step_inputs(answer, **{name: tf.constant(values)}))


def test_only_numbers_that_may_be_rounded_are_shortened(tmp_path):
    """Of the tables of neighbours that of their ids stays what it is."""
    model = HRNN(num_items=6, session_units=4, user_units=3, neighbours=2)
    kept, file = Recommender(model, Vocabulary(ITEMS)), tmp_path / "vocabulary.txt"
    kept.vocabulary.save(file)
    module = Signatures(kept.inference, file, id_type="text", ks=[3], tables="bfloat16")
    types = {
        w.path.split("/")[-1]: t.dtype.name
        for w, t in zip(model.weights, module.weights, strict=True)
    }
    assert (types["neighbour_ids"], types["similarities"]) == ("int32", "bfloat16")
    assert (types["table"], types["weight"]) == ("bfloat16", "float32")
