"""Every model answers alike in every form; and a form that departs is found."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from hrec_tf import inference, registry
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.export import export_saved_model, export_tflite, session_runner
from hrec_tf.export.parity import TOLERANCES, ParityError, check_parity, trials
from hrec_tf.export.session_process import SessionProcess
from hrec_tf.export.tflite import litert_interpreter, require_litert
from hrec_tf.models import HRNN, GRU4Rec
from hrec_tf.readers import SessionReader, events_of
from hrec_tf.recommender import Recommender
from tests.conformance.cases import CASES, NUM_ITEMS, PREFIX_CASES, Case, cases_of
from tests.reference.builtin_operators import require_builtin_operators
from tests.reference.tiny_prefix_model import TinyPrefixModel, TinySequenceModel
from tests.reference.weights import fill_distinct, fill_drawn

# Ids that a reader of files may bend: the last two are é, composed and not.
TEXTS = ["tea", "gin, dry", "two words", "a\ttab", "ø 茶", "42", "1e3", " edge ", "-0", "{}"]
TEXTS += ["\u00e9", "e\u0301"]
NUMBERS = [42, 0, -3, 2**53 + 1, 7, 2**62, 10, 11, 12, -(2**40), 5, 1]
LISTS = {"text": TEXTS, "int64": NUMBERS}
TINY_CASES = [
    Case("prefixes", TinyPrefixModel),
    Case("the latest events of prefixes", TinyPrefixModel, {"max_length": 3}),
    Case("sequences", TinySequenceModel),
]
NAMED = {case.name: case for case in CASES + PREFIX_CASES}
ELSEWHERE = {
    "HM-RNN of drawn boundaries",  # draws in training alone
    "GRU4Rec embedding",  # of "GRU4Rec of two layers", normalised as HRNN is
    "HRNN with an embedding",  # of GRU4Rec with one, and of HRNN Init
    "HRNN-meta on LSTMs",  # of LSTM4Rec, its mixture as on the cell of HRNN
    "HRNN-meta on a TCN",  # of "HRNN-meta on a TCN and a GRU"
    "GRU4REC of sequences",  # of "GRU4REC of prefixes": only training differs
    "HS-LSTM, supervised",  # of "HS-LSTM": only training differs
    "RNN-BPM of GRUs, joint",  # of "RNN-BPM": another cell, and other training
}
"""What is exported has its parts in other rows."""
EXPORTED_CASES = [case for case in NAMED.values() if case.is_served and case.name not in ELSEWHERE]
WITHOUT_STEP = {
    "recommender",
    "evaluation",
    "saved_model recommend",
    "saved_model serving_default",
    "saved_model recommend_filtered",
    "saved_model score",
    "tflite recommend",
}
WITHOUT_VECTORS = {
    "STAMP of Song et al.",
    "RNN-BPM",
    "HRNN with reminders, neighbours and popular items",
}
STEPS = {
    "saved_model step",
    "saved_model recommend, then step",
    "tflite step",
    "tflite recommend, then step",
}


@pytest.mark.parametrize("name", registry.names("model"))
def test_every_network_of_the_registry_that_is_served_has_a_row(name):
    if registry.entry(name).is_served:
        own = set(cases_of(name)) & set(EXPORTED_CASES)
        assert any(not case.trains_alike for case in own), "and is asked as often as can be"


def recommender_of(case, id_type, idle_minutes=30.0):
    model = case.build()
    fill = fill_drawn if case.is_padded else fill_distinct
    fill(model, scale=0.9)
    supports = np.arange(NUM_ITEMS, 0, -1)
    return Recommender(model, Vocabulary(LISTS[id_type], supports), idle_minutes=idle_minutes)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("case", "id_type"),
    [(case, ("text", "int64")[row % 2]) for row, case in enumerate(EXPORTED_CASES)],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_form_answers_as_keras_does(case, id_type, session_process, converter, tmp_path):
    pytest.importorskip("ai_edge_litert")
    recommender = recommender_of(case, id_type)
    found = check_parity(
        recommender,
        saved_model=export_saved_model(recommender, tmp_path / "served", k=NUM_ITEMS),
        tflite=export_tflite(
            recommender,
            tmp_path / "model.tflite",
            k=NUM_ITEMS,
            quantize="float32",
            process=converter,
        ),
        process=session_process,
        num_random=8 if case.trains_alike else 50,
    )
    steps = set() if case.is_padded else STEPS
    vectors = set() if case.name in WITHOUT_VECTORS else {"saved_model encode"}
    assert set(found.differences) == WITHOUT_STEP | steps | vectors
    assert max(found.differences.values()) < 1e-5
    assert found.num_histories >= (20 if case.trains_alike else 70)
    if case.is_padded or case.trains_alike:  # with layers of others, in LiteRT's usual precision
        return
    file = export_tflite(recommender, tmp_path / "short.tflite", k=NUM_ITEMS, process=converter)
    require_builtin_operators(file)
    found = check_parity(recommender, tflite=file, num_random=0)
    assert max(of for form, of in found.differences.items() if "tflite" in form) > 1e-7


@pytest.mark.integration
@pytest.mark.parametrize("case", ["GRU4Rec one-hot", "GRU4REC of prefixes"])
def test_a_large_catalogue_is_answered_block_by_block_in_every_form(
    case, session_process, converter, tmp_path, monkeypatch
):
    """As little as it is here; parity sets it beside the scores of the Keras model."""
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setattr(inference, "LARGE", NUM_ITEMS)
    monkeypatch.setattr(inference, "BLOCK", 5)
    recommender = recommender_of(NAMED[case], "text")
    found = check_parity(
        recommender,
        saved_model=export_saved_model(recommender, tmp_path / "served", k=NUM_ITEMS),
        tflite=export_tflite(
            recommender,
            tmp_path / "model.tflite",
            k=NUM_ITEMS,
            quantize="float32",
            process=converter,
        ),
        process=session_process,
    )
    assert max(found.differences.values()) < 1e-5


@pytest.mark.integration
@pytest.mark.parametrize(
    ("case", "k"), [("GRU4Rec one-hot", [3, NUM_ITEMS]), ("GRU4REC of prefixes", NUM_ITEMS)]
)
def test_what_xla_compiled_answers_as_keras_does(case, k, session_process, tmp_path, monkeypatch):
    """Block by block, too; of all signatures histories are read by one program, events by one."""
    monkeypatch.setattr(inference, "LARGE", NUM_ITEMS)
    monkeypatch.setattr(inference, "BLOCK", 5)
    recommender = recommender_of(NAMED[case], "text")
    folder = export_saved_model(recommender, tmp_path, k=k, xla=True)
    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    compiled = [f for f in graph.library.function if f.attr["_XlaMustCompile"].b]
    assert len(compiled) == len({"recommend", "step"} & set(recommender.inference.signatures))
    found = check_parity(recommender, saved_model=folder, num_random=0, process=session_process)
    longer = set() if k == NUM_ITEMS else {f"saved_model recommend_{NUM_ITEMS}"}
    assert {*longer, "saved_model recommend"} <= set(found.differences)
    assert max(found.differences.values()) < 1e-5
    assert set(found.agreements.values()) == {1.0}


@pytest.mark.parametrize(
    "case",
    [case for case in PREFIX_CASES if case in EXPORTED_CASES and not case.trains_alike],
    ids=lambda case: case.name,
)
def test_no_shape_of_what_xla_compiles_depends_on_values(case):
    """Otherwise it compiles for each length of a session, as of what it does not compile."""
    events = events_of(
        tf.reshape(tf.range(16) * 5 % NUM_ITEMS + 1, (2, 8)),
        tf.zeros((2, 8), tf.int64),
        tf.constant([3, 8]),
        idle_seconds=60,
    )
    model = case.build()

    def inputs_and_answer(fixed_shapes):
        replay = SessionReader(model, fixed_shapes=fixed_shapes).replay
        compiled = tf.function(replay, autograph=False, jit_compile=True)
        code = compiled.experimental_get_compiler_ir(events)(stage="hlo")
        return code.partition("->")[0], replay(events)

    some, expected = inputs_and_answer(fixed_shapes=False)
    inputs, found = inputs_and_answer(fixed_shapes=True)
    assert inputs.count("s32[2,9]") == 2, "numbers of items and of sessions"
    assert some.count("s32[2,9]") < 2, "what shapes depend on is a part of the program"
    np.testing.assert_allclose(found.hidden, expected.hidden, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found.known_events, expected.known_events)


@pytest.mark.integration
def test_who_asks_litert_again_is_answered_the_same(converter, tmp_path):
    """With its default delegate one interpreter in ten or so answered the second time wrongly."""
    pytest.importorskip("ai_edge_litert")
    case = NAMED["HRNN-meta with all there is to know"]
    recommender = recommender_of(case, "text")
    file = export_tflite(recommender, tmp_path / "model.tflite", k=3, process=converter)
    generator = np.random.default_rng(0)
    question = {
        "item_ids": generator.integers(1, NUM_ITEMS + 1, (1, 13)).astype(np.int32),
        "timestamps": np.arange(13)[None] * 1000,
        "at": np.array([13_000]),
        "feedback": generator.normal(size=(1, 13, 2)).astype(np.float32),
        "user_features": generator.normal(size=(1, 3)).astype(np.float32),
        "exclude_seen": np.array([False]),
    }
    answers = []
    for _ in range(60):
        recommend = litert_interpreter(file).get_signature_runner("recommend")
        answers += [recommend(**question)["scores"] for _ in range(3)]
    np.testing.assert_allclose(answers, np.broadcast_to(answers[0], (180, 1, 3)), rtol=1e-5)


MISREADINGS = {
    "every session": lambda events: events._replace(session=tf.ones_like(events.session)),
    "all but the last event": lambda events: events._replace(
        item_ids=tf.where(
            tf.range(tf.shape(events.item_ids)[1]) < events.lengths[:, None] - 1,
            events.item_ids,
            0,
        )
    ),
}


@pytest.mark.parametrize("misread", MISREADINGS.values(), ids=MISREADINGS)
@pytest.mark.parametrize("case", TINY_CASES, ids=lambda case: case.name)
def test_a_session_that_is_read_otherwise_than_in_evaluation_is_found(case, misread, monkeypatch):
    replay = SessionReader.replay
    monkeypatch.setattr(SessionReader, "replay", lambda one, events: replay(one, misread(events)))
    with pytest.raises(ParityError, match=r"'recommender' departs from Keras.*report it as a bug"):
        check_parity(recommender_of(case, "text"))


def scaled(scale):
    """Weights of several times their initial size keep and enlarge what comes in."""
    model = HRNN(num_items=12, session_units=32, user_units=32, seed=0)
    for weight in model.weights:
        if weight.dtype.startswith("float"):
            weight.assign(scale * weight)
    return model


@pytest.mark.parametrize(("scale", "least", "most"), [(1.0, 1e-9, 1e-5), (8.0, 1e-2, 10.0)])
def test_a_network_that_enlarges_rounding_moves_by_the_last_digit(scale, least, most):
    """After a history of 150 events; the weights come back."""
    model, draw = scaled(scale), np.random.default_rng(0)
    before = [weight.numpy() for weight in model.weights]
    trial = trials.Trial(draw.integers(1, 13, 150).tolist(), list(range(150)), 1)
    asked = model, np.ones(12), [trial], None
    scores = trials.keras_scores(*asked)
    with trials.weights_one_digit_off(model):
        moved = trials.keras_scores(*asked)
    assert least < np.abs(moved - scores).max() / np.abs(scores).max() < most
    for weight, values in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, values)


def test_a_form_that_departs_says_how_much_rounding_moves(monkeypatch):
    """How far two forms round apart depends on the processor; here nothing is allowed."""
    monkeypatch.setitem(TOLERANCES, "float32", 0.0)
    message = r"rounding alone moves these scores by \d\.?\d*e-0[5-8].*Train it"
    with pytest.raises(ParityError, match=message):
        check_parity(Recommender(scaled(8.0), Vocabulary(range(12)), idle_minutes=None))


@pytest.fixture(scope="module")
def larger():
    """Large enough that "int8" has something to shorten, and with a history as one session."""
    model = HRNN(num_items=300, session_units=32, user_units=32, user_gates="rzh", seed=1)
    fill_distinct(model, scale=0.9)
    return Recommender(model, Vocabulary(range(300)), idle_minutes=None)


@pytest.mark.integration
@pytest.mark.parametrize(("quantize", "least"), [("float16", 1e-5), ("int8", 1e-4)])
def test_a_shortened_file_stays_within_its_tolerance(larger, quantize, least, converter, tmp_path):
    pytest.importorskip("ai_edge_litert")
    file = export_tflite(larger, tmp_path / "model.tflite", quantize=quantize, process=converter)
    found = check_parity(larger, tflite=file, seed=1).differences
    largest = max(value for form, value in found.items() if form.startswith("tflite"))
    # If it differed by less, nothing would have been shortened.
    assert least < largest < TOLERANCES[quantize]


def size_of(folder):
    return sum(path.stat().st_size for path in (folder / "variables").iterdir())


@pytest.mark.integration
def test_tables_of_half_the_size_stay_within_their_tolerance(session_process, tmp_path):
    model = HRNN(
        num_items=3000, session_units=32, user_units=8, inputs="embedding", item_dim=16, seed=1
    )
    fill_drawn(model, scale=0.5)
    recommender = Recommender(model, Vocabulary(range(3000)))
    whole = export_saved_model(recommender, tmp_path / "whole")
    short = export_saved_model(recommender, tmp_path / "short", tables="bfloat16")
    assert 0.45 < size_of(short) / size_of(whole) < 0.6
    found = check_parity(recommender, saved_model=short, process=session_process)
    largest = max(value for form, value in found.differences.items() if form.startswith("saved"))
    assert 1e-5 < largest < TOLERANCES["bfloat16"]
    assert 0.9 < found.agreements["saved_model recommend"] < 1.0
    assert found.agreements["recommender"] == 1.0


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A recommender and its artefact."""
    recommender = recommender_of(NAMED["HRNN Init"], "text")
    base = tmp_path_factory.mktemp("models") / "shop"
    return recommender, export_saved_model(recommender, base, k=4)


@pytest.mark.integration
def test_a_form_that_departs_is_named_with_the_history(exported, session_process):
    recommender, folder = exported
    # Same ids and weights: only users without a known event get other items.
    same_ids = Vocabulary(TEXTS, np.arange(1, NUM_ITEMS + 1))
    other = Recommender(recommender.model, same_ids)
    with pytest.raises(
        ParityError,
        match=r"'saved_model serving_default' departs from Keras after history 0 \(0 events.*a "
        r"score differs by 0\.\d+, and may by 1e-05\. All forms must answer alike",
    ):
        check_parity(other, saved_model=folder, process=session_process)


@pytest.mark.integration
def test_a_departure_of_small_scores_is_found(session_process, tmp_path):
    """The shares of 200 000 items are below the tolerance of a score near 1."""
    model, rising = GRU4Rec(num_items=200_000, units=(2,), seed=0), np.arange(1, 200_001)
    recommender = Recommender(model, Vocabulary(range(200_000), rising[::-1]))
    folder = export_saved_model(recommender, tmp_path)
    other = Recommender(model, Vocabulary(range(200_000), rising))
    with pytest.raises(ParityError, match="'saved_model serving_default' departs from Keras"):
        check_parity(other, saved_model=folder, process=session_process)


@pytest.mark.integration
def test_an_export_of_another_model_is_refused(exported, session_process):
    recommender, folder = exported
    other = Recommender(recommender.model, recommender.vocabulary, idle_minutes=31)
    with pytest.raises(ValueError, match="`saved_model` was exported with model_number"):
        check_parity(other, saved_model=folder, process=session_process)


def test_a_missing_runtime_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r"Run: pip install 'hrec-tf\[litert\]'"):
        require_litert()


def run(*arguments):
    command = [sys.executable, "-P", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("package", ["keras", "hrec_tf.models"])
def test_the_process_of_a_session_can_import_neither_keras_nor_the_library(package):
    folder = str(Path(session_runner.__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {folder!r}); import session_runner\n"
        f"sys.meta_path.insert(0, session_runner.Refusing)\nimport {package}"
    )
    said = run("-c", code).stderr
    name = package.partition(".")[0]
    assert f"ImportError: {name} was imported, but an artefact must not need it." in said


@pytest.mark.integration
def test_a_session_goes_on_from_the_call_before(exported, tmp_path):
    """The runner by hand, as its first lines show it."""
    recommender, folder = exported
    request = {
        "0/recommend/item_ids": [["tea", "two words"]],
        "0/recommend/timestamps": [[5, 65]],
        "0/recommend/lengths": [2],
        "0/recommend/exclude_seen": [True],
        "1/step/item_ids": ["ø 茶"],
        "1/step/timestamps": [90],
    }
    np.savez(tmp_path / "request.npz", **request)
    process = run(session_runner.__file__, folder, tmp_path / "request.npz", tmp_path / "out.npz")
    assert process.returncode == 0, process.stderr
    history = [("tea", 5), ("two words", 65)]
    with np.load(tmp_path / "out.npz", allow_pickle=False) as answers:
        assert answers["1/step/state_info"][0, :2].tolist() == [90, 3]
        found = {
            call: answers[f"{call}/item_ids"][0].tolist() for call in ("0/recommend", "1/step")
        }
    wanted = recommender.recommend(history, k=4)
    assert found["0/recommend"] == [item for item, _ in wanted]
    wanted = recommender.recommend([*history, ("ø 茶", 90)], k=4, exclude_seen=False)
    assert found["1/step"] == [item for item, _ in wanted]


OTHER_PYTHON = "HREC_OTHER_PYTHON"
"""Another Python that has TensorFlow, of another version: `make test` names one of the oldest."""


@pytest.fixture(scope="module")
def other_session_process():
    if OTHER_PYTHON not in os.environ:
        pytest.skip(f"{OTHER_PYTHON} names no Python")
    with SessionProcess(os.environ[OTHER_PYTHON]) as process:
        yield process


@pytest.mark.integration
@pytest.mark.xdist_group("another version of tensorflow")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("HRNN Init", {}),
        ("HRNN Init", {"xla": True}),
        ("HRNN Init", {"tables": "bfloat16"}),
        ("HRNN with reminders, neighbours and popular items", {}),
        ("Stacked GRU", {}),
        ("Hi-RNN", {}),
        ("HS-LSTM", {}),
    ],
)
def test_another_version_of_tensorflow_answers_the_same(
    name, options, session_process, other_session_process, tmp_path
):
    recommender = recommender_of(NAMED[name], "text")
    folder = export_saved_model(recommender, tmp_path / "shop", k=4, **options)
    history = {
        "item_ids": [["tea", "two words"]],
        "timestamps": [[5, 65]],
        "lengths": [2],
    }
    at = {name: [95] for name in recommender.inference.context}
    history |= at
    seen = history | {"exclude_seen": [True]}
    filters = {"allow": [["42", "1e3"]], "allow_lengths": [2], "deny": [["1e3"]]}
    calls = [
        ("recommend", seen),
        ("step", {"item_ids": ["ø 茶"], "timestamps": [90]} | at),
        ("recommend_filtered", seen | filters | {"deny_lengths": [1]}),
        ("score", history | {"candidates": [["42", "unknown"]]}),
    ]
    calls += [("encode", history)] if name not in WITHOUT_VECTORS else []
    ours, theirs = session_process(folder, calls), other_session_process(folder, calls)
    for (signature, _), mine, other in zip(calls, ours, theirs, strict=True):
        assert set(mine) == set(other) and mine, signature
        for output, values in mine.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(other[output], values, rtol=1e-5, atol=1e-6)
            elif output == "state_info":
                # The seal is of the bits of a state, which two compilers may round differently.
                unsealed = (np.delete(rows, 3, axis=1) for rows in (other[output], values))
                np.testing.assert_array_equal(*unsealed)
                assert other[output][0, 3] != 0
            else:
                np.testing.assert_array_equal(other[output], values)


def test_every_model_that_is_served_was_compared_on_a_thousand_histories():
    measured = Path(__file__).parents[2] / "benchmarks" / "parity.txt"
    rows = [line.split() for line in measured.read_text(encoding="utf-8").splitlines()[3:]]
    entries = map(registry.entry, registry.names())
    served = [entry.name for entry in entries if entry.is_served and not entry.is_baseline]
    assert [row[0] for row in rows] == served
    for name, histories, *differences in rows:
        assert int(histories) >= 1000, name
        assert len(differences) == 7 and "-" not in differences[::2], name
    whole, bfloat16, float16 = (
        max(float(one) for row in rows for one in row[begin:end] if one != "-")
        for begin, end in ((2, 7), (7, 8), (8, 9))
    )
    page = (measured.parents[1] / "docs" / "serving.md").read_text(encoding="utf-8")
    assert f"at most {1e6 * whole:.1f} millionths" in page
    assert f"{bfloat16:.2%} with tables of bfloat16, and {float16:.3%} for" in page


@pytest.mark.integration
def test_the_session_of_a_call_that_is_refused_is_closed(exported, tmp_path, monkeypatch):
    _, folder = exported
    close, closed = session_runner.Model.close, []
    monkeypatch.setattr(session_runner.Model, "close", lambda one: closed.append(close(one)))
    np.savez(tmp_path / "request.npz", **{"0/step/timestamps": [5], "0/step/item_ids": [5.5]})
    with pytest.raises(Exception, match="Unsupported object type float"):
        session_runner.answer(str(folder), str(tmp_path / "request.npz"), str(tmp_path / "out.npz"))
    assert len(closed) == 1
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.integration
def test_a_call_that_is_refused_says_why_and_the_process_lives_on(exported, session_process):
    _, folder = exported
    inputs = {
        "item_ids": np.array([["tea"]]),
        "timestamps": np.array([[5]]),
        "lengths": np.array([2], np.int32),
        "exclude_seen": np.array([True]),
    }
    with pytest.raises(
        RuntimeError, match=r"could not be asked in a Session: InvalidArg[\s\S]*`lengths` must lie"
    ):
        session_process(folder, [("recommend", inputs)])
    inputs["lengths"] = np.array([1], np.int32)
    (answer,) = session_process(folder, [("recommend", inputs)])
    assert answer["item_ids"].shape == (1, 4)
