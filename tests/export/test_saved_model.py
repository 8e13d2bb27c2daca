"""The artefact's folder. What it answers is tested against the model in test_parity.py."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from hrec_tf import manifest
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.export import export_saved_model
from hrec_tf.models import HRNN
from hrec_tf.recommender import Recommender
from hrec_tf.serving import Server
from tests.reference.tiny_prefix_model import TinyPrefixModel

ITEMS = ["tea", "jam", "rum", "gin, dry", "42", "ø"]
NOON = 1_700_000_000


@pytest.fixture(scope="module")
def recommender():
    model = HRNN(num_items=6, session_units=4, user_units=3, seed=0)
    return Recommender(model, Vocabulary(ITEMS, [9, 5, 5, 4, 2, 1]), idle_minutes=45)


@pytest.fixture(scope="module")
def base(recommender, tmp_path_factory):
    """A base path with version 1."""
    base = tmp_path_factory.mktemp("models") / "recommender"
    export_saved_model(recommender, base, k=3, card="# Card\n")
    return base


@pytest.fixture(scope="module")
def signatures(base):
    # Held on to: signatures alone do not keep the variables alive.
    loaded = tf.saved_model.load(str(base / "1"))
    yield {name: loaded.signatures[name] for name in ("recommend", "step", "score")}


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
    assert about["signatures"] == ["recommend", "step", "score"]
    assert (base / "1/assets.extra/model_card.md").read_text() == "# Card\n"
    asset = Vocabulary.load(base / "1/assets/vocabulary.txt")
    assert asset.fingerprint == recommender.vocabulary.fingerprint


def warmup(folder):
    """The requests that lie beside a model."""
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        yield prediction_log_pb2.PredictionLog.FromString(record).predict_log


def test_warm_up_asks_every_signature_what_it_takes(base, signatures):
    asked = set()
    for log in warmup(base / "1"):
        name = log.request.model_spec.signature_name
        inputs = {
            key: tf.constant(tf.make_ndarray(value)) for key, value in log.request.inputs.items()
        }
        asked.add(name)
        signatures["recommend" if name == "serving_default" else name](**inputs)
    assert asked == {"serving_default", "recommend", "step", "score"}


def test_a_model_that_reads_prefixes_has_no_step_and_no_state(tmp_path):
    recommender = Recommender(TinyPrefixModel(num_items=6, seed=0), Vocabulary(ITEMS))
    folder = export_saved_model(recommender, tmp_path, k=3)
    loaded = tf.saved_model.load(str(folder)).signatures
    outputs = {name: set(one.structured_outputs) for name, one in loaded.items()}
    lists = {"item_ids", "scores"}
    assert outputs == {"recommend": lists, "serving_default": lists, "score": {"scores"}}
    about = manifest.check(folder, kind="saved_model")
    assert (about["signatures"], about["state_size"]) == (["recommend", "score"], 0)
    assert {log.request.model_spec.signature_name for log in warmup(folder)} == set(outputs)
    with Server(tmp_path) as server:
        assert server.signatures == ["recommend", "score", "serving_default"]


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
    with pytest.raises(TypeError):
        export_saved_model(recommender, tmp_path / "models", k=2, card=5)
    assert list((tmp_path / "models").iterdir()) == []


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
        ("step", "timestamps", tf.constant([NOON], tf.int64)),
        ("step", "state_info", tf.zeros((1, 4), tf.int64)),
    ],
)
def test_one_row_is_not_silently_repeated(signatures, signature, name, value):
    exclude = {"exclude_seen": tf.constant([True, False])}
    inputs = {
        "recommend": history() | exclude,
        "score": history() | {"candidates": tf.constant([["tea"], ["jam"]])},
        "step": step_inputs(signatures["recommend"](**history(), **exclude)),
    }[signature]
    signatures[signature](**inputs)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=rf"`{name}` must have the batch of .* \[1\] \[2\]"
    ):
        signatures[signature](**inputs | {name: value})


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
    broken = tf.concat([answer["state"][:, :-1], [[np.nan], [0.0]]], axis=1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"NaN or infinity.*\[0\]"):
        signatures["step"](**step_inputs(answer, state=broken))
    for info in ([0, 0, 0, 0], [NOON, -1, 0, 1], [NOON, 2, 9, 1]):
        changed = answer["state_info"].numpy()
        changed[0] = [*info[:3], changed[0, 3] * info[3]]
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"do not belong together.*\[0\]"):
            signatures["step"](**step_inputs(answer, state_info=tf.constant(changed)))
    late = tf.constant([NOON * 1000, NOON + 90], tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be Unix seconds below"):
        signatures["step"](**step_inputs(answer, timestamps=late))
    early = tf.constant([NOON + 59, NOON + 90], tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must not lie before the event"):
        signatures["step"](**step_inputs(answer, timestamps=early))
