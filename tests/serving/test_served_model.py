"""A trained model, exported, served by `hrec serve` in a process of its own, and asked over gRPC.

Those tests that ask but do not start a server also run against a TensorFlow Serving, see
`test_requests`.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest

from hrec_tf import manifest
from hrec_tf.cli.main import main
from hrec_tf.data import Vocabulary
from hrec_tf.data.lanes import user_parallel_stream
from hrec_tf.export import export_saved_model
from hrec_tf.export.state_seal import NUMBER
from hrec_tf.inner_products import vectors_by
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.models import HRNN
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.recommender import Recommender
from hrec_tf.serving import Client, Server, ServingError
from tests.reference.tiny_log import NUM_ITEMS, ring_histories
from tests.serving import toy
from tests.serving.conftest import VARIABLE
from tests.serving.signature_inputs import filled

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("served model")]

NOON, DAY = 1_700_000_000, 86_400
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}


class Made(NamedTuple):
    base: Any
    recommender: Recommender


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    model = HRNN(num_items=NUM_ITEMS, session_units=12, user_units=12, seed=0)
    optimizer = AdagradMomentum(0.2)
    model.compile(optimizer=optimizer, loss=TOP1(), negatives=InBatch(), jit_compile=False)
    model.fit(user_parallel_stream(ring_histories(), num_lanes=4, seed=0), epochs=3, verbose=0)
    vocabulary = Vocabulary([f"i{n}" for n in range(1, NUM_ITEMS + 1)], range(NUM_ITEMS, 0, -1))
    recommender = Recommender(model, vocabulary)
    base = tmp_path_factory.mktemp("exported")
    export_saved_model(recommender, base, k=[10, 15])
    return Made(base, recommender)


@contextmanager
def serving(base, *options, stop=signal.SIGTERM):
    """Runs `hrec serve`; yields its first line and its port; it must end well when asked to."""
    command = [sys.executable, "-m", "hrec_tf.cli.main", "serve", str(base), "--port", "0"]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        line = process.stdout.readline()
        yield line, int(re.search(r":(\d+) \(gRPC\)", line).group(1))
        process.send_signal(stop)
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def asked(request):
    """A client of `hrec serve`, or of the TensorFlow Serving that the variable names."""
    if address := os.environ.get(VARIABLE):
        with Client(address) as client:
            yield client
        return
    with serving(request.getfixturevalue("made").base) as (line, port):
        names = "encode, recommend, recommend_15, recommend_filtered, score, serving_default, step"
        assert line == f"Serving recommender version 1 on 127.0.0.1:{port} (gRPC): {names}\n"
        with Client(f"127.0.0.1:{port}", timeout=20) as client:
            yield client


@pytest.fixture(scope="module")
def known(asked):
    """Items of the model, the most frequent first."""
    return [item for item, _ in asked.recommend()]


def items(found):
    return [item for item, _ in found]


def session(items, start):
    return [(item, start + 60 * place) for place, item in enumerate(items)]


def test_a_new_user_gets_the_most_frequent_items(asked, made):
    if VARIABLE in os.environ:
        pytest.skip("the most frequent items of another model are not known")
    assert items(asked.recommend()) == [f"i{n}" for n in range(1, 11)]
    assert items(asked.recommend(["never seen"], k=3)) == ["i1", "i2", "i3"]


def test_other_histories_before_the_same_session_give_other_lists(asked, known):
    now = session(known[:2], NOON)
    first = asked.recommend([*session(known[2:5], NOON - DAY), *now])
    second = asked.recommend([*session(known[6:9], NOON - DAY), *now])
    assert items(first) != items(second)
    assert not set(known[:5]) & set(items(first))


def test_a_gap_begins_a_session(asked, known):
    first, second = known[:2]
    within = asked.recommend([(first, NOON), (second, NOON + 1800)])
    beyond = asked.recommend([(first, NOON), (second, NOON + 1801)])
    assert dict(within) != dict(beyond)


def test_lists_are_those_of_the_recommender(asked, made):
    if VARIABLE in os.environ:
        pytest.skip("another model")
    histories = [
        [*session(["i3", "i4"], NOON - DAY), *session(["i9", "unknown", "i10"], NOON)],
        [],
        session([f"i{n % 20 + 1}" for n in range(37)], NOON),
        ["i5", "i6"],
    ]
    expected = made.recommender.recommend_batch(histories, k=10)
    for ours, theirs in zip(asked.recommend_batch(histories), expected, strict=True):
        assert items(ours) == items(theirs)
        np.testing.assert_allclose([s for _, s in ours], [s for _, s in theirs], **FLOAT32_NOISE)
    scores = dict(made.recommender.recommend(histories[0], k=20, exclude_seen=False))
    np.testing.assert_allclose(
        asked.score(histories[0], ["i7", "i3", "nothing"]),
        [scores["i7"], scores["i3"], -np.inf],
        **FLOAT32_NOISE,
    )


def test_a_list_is_cut_from_the_shortest_that_is_long_enough(asked, made):
    if VARIABLE in os.environ:
        pytest.skip("another model")
    names = [asked.metadata().list_signature(k) for k in (1, 10, 11, 15)]
    assert names == ["recommend", "recommend", "recommend_15", "recommend_15"]
    history = session(["i3", "i4"], NOON)
    expected = items(made.recommender.recommend(history, k=13))
    assert items(asked.recommend(history, k=13)) == expected
    assert items(asked.recommend(history)) == expected[:10]
    with pytest.raises(ValueError, match="`k` was 16, but the model was exported with lists of 15"):
        asked.recommend(history, k=16)


def test_lists_hold_what_is_allowed_and_not_denied(asked, made):
    if VARIABLE in os.environ:
        pytest.skip("another model")
    history = session(["i3", "i4"], NOON)
    allow, deny = ["i9", "i3", "unknown", "i20", "i1"], ["i1", "unknown"]
    for seen in (True, False):
        found = asked.recommend(history, exclude_seen=seen, allow=allow, deny=deny)
        wanted = made.recommender.recommend(history, exclude_seen=seen, candidates=allow, deny=deny)
        assert items(found) == items(wanted)
        assert set(items(found)) == {"i9", "i20"} | ({"i3"} if not seen else set())
    wanted = made.recommender.recommend(history, k=12, deny=deny)
    assert items(asked.recommend(history, k=12, deny=deny)) == items(wanted)
    assert asked.recommend(history, allow=[]) == asked.recommend(history, allow=["none"]) == []
    with pytest.raises(TypeError, match="`deny` was 'i1', but must be a list of items"):
        asked.recommend(history, deny="i1")


def test_vectors_multiplied_with_those_of_items_are_scores(asked, made):
    if VARIABLE in os.environ:
        pytest.skip("another model")
    history = session(["i3", "i4"], NOON)
    vector = asked.encode(history)
    vectors = vectors_by(made.recommender.model, len(vector))(np.array([3, 7])).numpy()
    scores = asked.score(history, ["i3", "i7"])
    np.testing.assert_allclose(vectors[:, :-1] @ vector + vectors[:, -1], scores, **FLOAT32_NOISE)
    assert not asked.encode(["unknown"]).any()


def test_the_same_request_gives_the_same_reply_bit_for_bit(asked, known):
    history = session(known[:7], NOON)
    first, _ = answers = [asked.replay(history) for _ in range(2)]
    for found, state in answers:
        assert found == first[0]
        assert state.values.tobytes() == first[1].values.tobytes()


def test_step_by_step_is_the_whole_history(asked, known):
    unknown = "never seen" if asked.metadata().id_type == "string" else -(2**62)
    history = [
        *session([known[0], unknown, known[1]], NOON),
        *session([unknown, known[2], known[2]], NOON + DAY),
        (known[3], NOON + 3 * DAY),
    ]
    state = None
    for position, (item, seconds) in enumerate(history, start=1):
        found, state = asked.step(item, seconds, state)
        whole, after = asked.replay(history[:position], exclude_seen=False)
        assert items(found) == items(whole)
        np.testing.assert_allclose([s for _, s in found], [s for _, s in whole], **FLOAT32_NOISE)
        np.testing.assert_allclose(state.values, after.values, **FLOAT32_NOISE)
        assert state.info.tolist() == after.info.tolist()


def test_a_state_of_another_model_is_refused(asked, known):
    _, state = asked.step(known[0], NOON)
    with pytest.raises(ServingError, match="`state` comes from another model or ver") as caught:
        other = np.arange(len(state.info)) == NUMBER
        asked.step(known[1], NOON, state._replace(info=state.info + other))
    assert caught.value.code == "INVALID_ARGUMENT"
    broken = state._replace(values=np.full_like(state.values, np.nan))
    with pytest.raises(ServingError, match="INVALID_ARGUMENT: `state` holds NaN or infinity"):
        asked.step(known[1], NOON, broken)


def test_the_newest_version_is_served_and_refuses_the_states_before(asked, made, tmp_path):
    if VARIABLE in os.environ:
        pytest.skip("starts a server of its own")
    base = shutil.copytree(made.base, tmp_path / "base")
    changed = Recommender(made.recommender.model, made.recommender.vocabulary, idle_minutes=60)
    export_saved_model(changed, base, k=10)
    _, old = asked.step("i1", NOON)
    options = ["--model-name", "shop", "--address", "localhost"]
    with serving(base, *options, stop=signal.SIGINT) as (line, port):
        assert line.startswith(f"Serving shop version 2 on localhost:{port} (gRPC): ")
        with Client(f"localhost:{port}", "shop", timeout=20) as client:
            assert client.status() == {2: "AVAILABLE"}
            with pytest.raises(ServingError, match="another model or version, or was ch"):
                client.step("i2", NOON, old)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("lengths", np.array([3], np.int32), "`lengths` must lie in 0..time"),
        ("lengths", np.array([-1], np.int32), "`lengths` must lie in 0..time"),
        ("timestamps", np.array([[5]]), "`timestamps` must have the shape of `item_ids`"),
        ("timestamps", np.array([[6, 5]]), "`timestamps` must not go back inside a row"),
    ],
)
def test_what_the_graph_refuses_is_said_in_its_words(asked, known, name, values, message):
    inputs = filled(asked.metadata(), "recommend", toy.recommend_inputs(item_ids=[known[:2]]))
    inputs |= {name: values}
    method = asked._asking._channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(Exception, match=message) as caught:
        method(toy.request("recommend", inputs).SerializeToString(), timeout=20)
    assert caught.value.code().name == "INVALID_ARGUMENT"
    if VARIABLE not in os.environ:
        assert caught.value.details().startswith(message)
        assert "\n" not in caught.value.details()


def test_a_changed_artefact_and_a_taken_port_are_refused(made, tmp_path, capfd):
    base = shutil.copytree(made.base, tmp_path / "base")
    vocabulary = base / "1" / "assets" / "vocabulary.txt"
    vocabulary.write_text(vocabulary.read_text(encoding="utf-8").replace("i7", "i8"))
    assert main(["serve", str(base), "--port", "0"]) == 1
    assert "'vocabulary.txt' of" in capfd.readouterr().err.replace("assets/", "")
    assert main(["serve", str(base / "1"), "--port", "0"]) == 1
    assert "Error: " in (said := capfd.readouterr().err) and "Pass the folder above it" in said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", str(made.base), "--port", str(port)]) == 1
    assert f"Error: The server could not listen on 127.0.0.1:{port}" in capfd.readouterr().err


@pytest.mark.parametrize("part", ["vocabulary", "seal"])
def test_a_manifest_of_which_a_proof_was_taken_out_is_refused(made, tmp_path, part):
    folder = shutil.copytree(made.base / "1", tmp_path / "base" / "1")
    content = json.loads((folder / manifest.FILE).read_text(encoding="utf-8"))
    (content if part == "seal" else content["about"]).pop(part)
    if part == "seal":
        (folder / manifest.FILE).write_text(json.dumps(content), encoding="utf-8")
    else:
        (folder / manifest.FILE).unlink()
        manifest.write(folder, kind="saved_model", about=content["about"])
    with pytest.raises(ValueError, match=f"has `signatures`, but no `{part}`, and an export has"):
        Server(tmp_path / "base").start()


def test_a_server_needs_neither_keras_nor_our_models(made):
    """It knows the artefact, as TensorFlow Serving does."""
    code = f"""
import sys
import hrec_tf
sys.modules["keras"] = None  # to import it is an error from here on
from hrec_tf.serving import Client, Server
with Server({str(made.base)!r}) as server, Client(f"127.0.0.1:{{server.port}}") as client:
    print(len(client.recommend(["i1", "i2"])))
rooms = {{name.split(".")[1] for name in sys.modules if name.startswith("hrec_tf.")}}
print(sorted(rooms - {{"_backend"}}))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = ["10", "['asked', 'checks', 'manifest', 'schema', 'serving', 'user_history']"]
    assert process.stdout.splitlines() == expected, process.stderr


def test_what_the_client_relies_on_is_in_the_signatures(asked, made):
    if VARIABLE in os.environ:
        pytest.skip("another model")
    size = made.recommender.inference.state_size
    assert asked.metadata()[:5] == ("recommender", 1, "string", 10, size)
