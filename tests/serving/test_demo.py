"""The questions of the demo page: answers as in Python, what is refused, and who may ask."""

import base64
import hashlib
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hrec_tf.cli.demo import example_histories
from hrec_tf.cli.main import main
from hrec_tf.data.log_source import LogSource
from hrec_tf.recommender import Recommender
from hrec_tf.serving import Demo
from hrec_tf.serving.demo import MAX_BODY_BYTES, require_aiohttp
from hrec_tf.serving.demo_answers import MAX_EVENTS
from tests.reference.tiny_log import COLUMNS, OPTIONS, ring_sessions, write_ring_log
from tests.serving import toy
from tests.serving.demos import DESCRIPTIONS, NOON, SCRIPT, TEXTS, ask, recommender

pytestmark = pytest.mark.xdist_group("demo")

# Two sessions at 30 minutes, three at 10, one if they never end; an unknown item in the first.
HISTORY = [
    ["tea", NOON],
    ["brandy", NOON + 60],
    ["rum", NOON + 61 + 1200],
    ["jam", NOON + 10_000],
    ["ale", NOON + 10_060],
]
EVENTS = [tuple(event) for event in HISTORY]
ROOT = Path(__file__).parents[2]
BIG = 2**62 + 1  # no number of JavaScript


@pytest.fixture(scope="module")
def explaining():
    """A recommender that explains, and its page."""
    ours = recommender("hcrnn-3-bi", TEXTS, descriptions=DESCRIPTIONS)
    with Demo(ours, name="tiny", examples=[EVENTS]) as demo:
        yield ours, demo


@pytest.fixture(scope="module")
def numbers():
    """A recommender of whole numbers that explains nothing and never ends a session."""
    ours = recommender("hrnn-init", [BIG, BIG - 1, -3, 0, 7], idle_minutes=None)
    with Demo(ours, name="numbers") as demo:
        yield ours, demo


def listed(reply):
    assert reply.status == 200, reply.body
    return [(item["id"], item["score"]) for item in reply.json["items"]]


def test_a_model_tells_what_the_page_needs(explaining, numbers):
    found = ask(explaining[1], "/api/model").json
    assert found["name"] == "tiny" and found["model"] == "HCRNN"
    assert (found["items"], found["max_k"], found["idle_minutes"]) == (8, 8, 30)
    assert found["explains"] is True and found["reads"] == []
    assert found["examples"] == [HISTORY]
    found = ask(numbers[1], "/api/model").json
    assert (found["explains"], found["idle_minutes"], found["examples"]) == (False, None, [])


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("limit=3", ["tea", "jam", SCRIPT]),
        ("query=GREEN", ["tea", "ale"]),
        ("query=jam", ["jam", "rum"]),
        ("query=jamaica+dark", ["rum"]),
        ("query=alert(1)", [SCRIPT]),
        ("query=ale", ["ale", SCRIPT]),  # the id itself first, though the other is more frequent
        ("query=ale&limit=1", ["ale"]),
        ("query=whisky", []),
    ],
)
def test_a_search_finds_ids_and_descriptions(explaining, query, ids):
    found = ask(explaining[1], f"/api/items?{query}").json["items"]
    assert [item["id"] for item in found] == ids
    assert all(item["description"] == DESCRIPTIONS.get(item["id"], "") for item in found)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("jam", ["jam"]),  # the id itself, though descriptions hold it, too
        (" gin, dry\n", ["gin, dry"]),
        ("tea, jam,,tea", ["tea", "jam", "tea"]),
        ("tea jam\t42", ["tea", "jam", "42"]),
        ("tea\r\ngin, dry\n\nrum , ø", ["tea", "gin, dry", "rum", "ø"]),
        ("tea jam, ale", ["tea", "jam", "ale"]),
        ("GRE", ["tea"]),  # the first of two that are found
        ("dark jamaica", ["rum"]),
        ("brandy", ["?brandy"]),
        ("white wine", ["?white wine"]),
        ("GRE, white wine, tea", ["?GRE", "?white wine", "tea"]),
        ("tea brandy jam", ["tea", "?brandy", "jam"]),
        ("x" * 300, ["?" + "x" * 300]),
    ],
)
def test_a_typed_text_means_ids_or_the_first_item_found(explaining, text, ids):
    found = ask(explaining[1], "/api/typed", {"text": text}).json["items"]
    assert [("" if item["known"] else "?") + item["id"] for item in found] == ids
    assert all(item["description"] == DESCRIPTIONS.get(item["id"], "") for item in found)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (f"7 +0 -3\n007, {BIG}", ["7", "0", "-3", "7", str(BIG)]),
        ("4611686 7", ["?4611686", "7"]),  # not the item that holds both
        ("4611686", [str(BIG)]),
    ],
)
def test_typed_whole_numbers_stand_between_spaces(numbers, text, ids):
    found = ask(numbers[1], "/api/typed", {"text": text}).json["items"]
    assert [("" if item["known"] else "?") + item["id"] for item in found] == ids


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"text": " ,\n"}, "`text` holds 0 ids, but a history has 1..500 events"),
        ({"text": "tea," * (MAX_EVENTS + 1)}, "`text` holds 501 ids, but"),
        ({"text": 7}, "`text` was 7, but must be text"),
        ({"history": []}, "but must be `text` alone"),
        (["text"], "but must be `text` alone"),
    ],
)
def test_a_typed_text_without_a_history_is_refused(explaining, question, message):
    reply = ask(explaining[1], "/api/typed", question)
    assert reply.status == 400 and message in reply.json["error"]


@pytest.mark.parametrize("text", ["tea", "7, tea"])
def test_typed_words_are_no_whole_numbers(numbers, text):
    reply = ask(numbers[1], "/api/typed", {"text": text})
    assert reply.status == 400 and "`text` holds 'tea', but this model knows" in reply.json["error"]


@pytest.mark.parametrize(
    ("idle_minutes", "sessions"), [(30, [0, 0, 0, 1, 1]), (10, [0, 0, 1, 2, 2]), (None, [0] * 5)]
)
def test_a_list_is_that_of_the_recommender_under_the_rule(explaining, idle_minutes, sessions):
    ours, demo = explaining
    question = {"history": HISTORY, "k": 3, "exclude_seen": False, "idle_minutes": idle_minutes}
    reply = ask(demo, "/api/recommend", question)
    under = Recommender(ours.model, ours.vocabulary, idle_minutes=idle_minutes)
    assert listed(reply) == under.recommend(EVENTS, k=3, exclude_seen=False)
    events = reply.json["events"]
    assert [event["session"] for event in events] == sessions
    assert [event["known"] for event in events] == [True, False, True, True, True]
    assert events[0]["description"] == "Green Tea"
    assert reply.json["milliseconds"] > 0


def test_another_rule_gives_another_list(explaining):
    rules = [
        listed(ask(explaining[1], "/api/recommend", {"history": HISTORY, "idle_minutes": minutes}))
        for minutes in (30, None)
    ]
    assert rules[0] != rules[1]


def test_what_is_left_out_is_as_trained_and_as_usual(explaining):
    ours, demo = explaining
    assert listed(ask(demo, "/api/recommend", {"history": HISTORY})) == ours.recommend(EVENTS, k=8)
    assert listed(ask(demo, "/api/recommend", {"history": []})) == ours.recommend(k=8)


def test_ids_are_text_that_no_browser_rounds(numbers):
    ours, demo = numbers
    reply = ask(demo, "/api/recommend", {"history": [[str(BIG), NOON], [7, NOON]], "k": 3})
    expected = ours.recommend([(BIG, NOON), (7, NOON)], k=3)
    assert listed(reply) == [(str(raw_id), score) for raw_id, score in expected]
    assert {item["id"] for item in reply.json["items"]} == {str(BIG - 1), "-3", "0"}


@pytest.mark.parametrize(("idle_minutes", "places"), [(30, [3, 4]), (None, [0, 2, 3, 4])])
def test_an_explanation_holds_the_numbers_of_the_recommender(explaining, idle_minutes, places):
    ours, demo = explaining
    found = ask(demo, "/api/explain", {"history": HISTORY, "idle_minutes": idle_minutes}).json
    assert found["places"] == places
    under = Recommender(ours.model, ours.vocabulary, idle_minutes=idle_minutes).explain(EVENTS)
    expected = {name: rows[-1] for name, rows in under.attentions.items()}
    expected |= {name: units.mean(axis=1) for name, units in under.gates.items()}
    parts = {part["name"]: part["values"] for part in found["parts"]}
    assert set(parts) == set(expected) and len(parts) >= 4
    for name, values in expected.items():
        np.testing.assert_allclose(parts[name], values, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "places", "drawn"),
    [
        ("narm", [3, 4], {("attention", "attention"), ("gate", "reset"), ("gate", "update")}),
        ("hm-rnn", [0, 2, 3, 4], {("boundary", "z1"), ("boundary", "z2")}),
        ("hs-lstm", [0, 2, 3, 4], {("boundary", "segment")}),
    ],
)
def test_other_models_explain_the_events_that_they_read(model, places, drawn):
    ours = recommender(model, TEXTS, scale=0.3)  # larger weights are sure of every boundary
    with Demo(ours, name=model) as demo:
        found = ask(demo, "/api/explain", {"history": HISTORY}).json
    under = ours.explain(EVENTS)
    assert found["places"] == places
    assert {(part["kind"], part["name"]) for part in found["parts"]} == drawn
    for part in found["parts"]:
        expected = {
            "attention": lambda name: under.attentions[name][-1],
            "gate": lambda name: under.gates[name].mean(axis=1),
            "boundary": lambda name: under.boundaries[name],
        }[part["kind"]](part["name"])
        np.testing.assert_allclose(part["values"], expected, atol=1e-6)
        assert len(part["values"]) == len(places) and any(0 < value < 1 for value in part["values"])


GOOD = {"history": HISTORY}


@pytest.mark.parametrize(
    ("path", "question", "message"),
    [
        ("recommend", [], "holds no `history`"),
        ("recommend", {}, "holds no `history`"),
        ("recommend", {"history": "tea"}, "`history` was 'tea', but must be a list"),
        ("recommend", {"history": [["tea", NOON]] * (MAX_EVENTS + 1)}, "was 501 events, but"),
        ("recommend", {"history": ["tea"]}, r"holds 'tea' \(row 0\), but an event is \[id"),
        ("recommend", {"history": [[True, NOON]]}, "holds .True, 1700000000. .row 0., but an"),
        ("recommend", {"history": [["tea", NOON + 0.5]]}, "times are whole Unix seconds"),
        ("recommend", {"history": [["tea", NOON * 1000]]}, "Divide milliseconds by 1000"),
        ("recommend", {"history": HISTORY[::-1]}, "go back at row 1"),
        ("recommend", {"history": [["\ud800", NOON]]}, "is half of a character, but"),
        ("recommend", {**GOOD, "K": 5}, "was 'K', but must be one of .*"),
        ("recommend", {**GOOD, "k": 0}, "`k` must be a positive int, but was 0"),
        ("recommend", {**GOOD, "k": 9}, "`k` was 9, but the catalogue has 8 items"),
        ("recommend", {**GOOD, "k": 101}, "`k` must be at most 100, but was 101"),
        ("recommend", {**GOOD, "exclude_seen": 1}, "`exclude_seen` was 1, but must be true"),
        ("recommend", {**GOOD, "idle_minutes": -1}, "of at least 0, but was -1"),
        ("recommend", {**GOOD, "idle_minutes": "30"}, "`idle_minutes` must be a finite number"),
        ("explain", {**GOOD, "k": 5}, "was 'k', but must be one of 'history', 'idle_minutes'"),
        ("explain", {"history": []}, "`history` has 0 events"),
    ],
)
def test_bad_questions_are_refused_with_the_cure(explaining, path, question, message):
    reply = ask(explaining[1], f"/api/{path}", question)
    assert reply.status == 400
    assert re.search(message, reply.json["error"])


def test_other_refusals(explaining, numbers):
    (_, texts), (_, of_numbers) = explaining, numbers
    for query, message in (
        ("limit=0", "`limit` must be a positive int, but was 0"),
        ("limit=x", "`limit` must be a positive int, but was 'x'"),
        ("limit=101", "`limit` must be at most 100"),
        (f"query={'x' * 201}", "`query` has 201 characters, but at most 200"),
    ):
        reply = ask(texts, f"/api/items?{query}")
        assert reply.status == 400 and message in reply.json["error"]
    reply = ask(of_numbers, "/api/recommend", {"history": [["tea", NOON]]})
    assert (
        reply.status == 400 and "knows whole numbers such as 46116860184273" in reply.json["error"]
    )
    reply = ask(of_numbers, "/api/explain", {"history": [[7, NOON]]})
    assert reply.status == 400 and "HRNN, which has no attention to show" in reply.json["error"]
    for body in (b"{", b"\xff", b"[" * 100_000):
        reply = ask(texts, "/api/recommend", body=body)
        assert reply.status == 400 and "is no JSON" in reply.json["error"]


def test_what_http_itself_refuses(explaining):
    _, demo = explaining
    cases = [
        (404, "There is nothing at this path", ask(demo, "/nothing")),
        (405, "asked in another way", ask(demo, "/api/recommend")),
        (413, "longer than 262,144", ask(demo, "/api/recommend", body=b" " * MAX_BODY_BYTES * 2)),
        (415, "must be JSON", ask(demo, "/api/recommend", GOOD, Content_Type="text/plain")),
    ]
    for status, message, reply in cases:
        assert reply.status == status and message in reply.json["error"]
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:{port}", 200),
        ("127.0.0.1:{port}", 200),
        ("[::1]:{port}", 200),
        ("evil.example:{port}", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.", 421),
        ("[::1", 421),
    ],
)
def test_a_name_that_was_made_to_lead_here_gets_nothing(explaining, host, status):
    _, demo = explaining
    host = host.format(port=demo.url.rsplit(":", 1)[1])
    for path in ("/", "/api/items", "/nothing"):
        reply = ask(demo, path, Host=host)
        assert reply.status == (404 if status == 200 and path == "/nothing" else status)
        assert (b"tea" in reply.body) == (status == 200 and path == "/api/items")


def test_the_browser_is_told_to_run_this_script_and_no_other(explaining):
    reply = ask(explaining[1], "/")
    page, policy = reply.body.decode(), reply.headers["Content-Security-Policy"]
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    assert "//" not in re.sub(r"^ *//.*$", "", page, flags=re.MULTILINE)  # no address of others


def test_examples_are_the_users_of_the_test_part(tmp_path):
    log = write_ring_log(tmp_path / "log.csv")
    source = LogSource(str(log), reading=COLUMNS)
    found = example_histories(source.load())
    whole = [[f"i{item}" for session in user for item in session] for user in ring_sessions()]
    assert [[raw_id for raw_id, _ in history] for history in found] == [
        whole[user]
        for user in (0, 1, 11, 2, 4, 5, 7, 9)  # of 12, in the order of their names
    ]
    times = [seconds for _, seconds in found[0]]
    assert times == sorted(times) and times[0] > 1_500_000_000


def test_the_command_refuses_what_it_would_ignore_and_what_it_cannot_show(
    capsys, tmp_path, monkeypatch
):
    toy.write_toy(tmp_path)
    for arguments, message in (
        (["--http-port", "0"], "only the page of --demo is served over HTTP"),
        (["--demo", "--port", "1"], "`port` was given with --demo"),
        (["--demo", "--model-name", "x"], "`model_name` was given with --demo"),
        (["--demo", "--max-history", "9"], "`max_history` was given with --demo"),
        (["--demo"], "holds exported versions"),
    ):
        assert main(["serve", str(tmp_path), *arguments]) == 1
        assert message in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "aiohttp.web", None)
    with pytest.raises(
        ImportError, match=r"but the page needs it. Run: pip install 'hrec-tf\[serving\]'"
    ):
        require_aiohttp()


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_the_command_serves_a_run_until_it_is_interrupted(tmp_path):
    run, log = str(tmp_path / "run"), str(write_ring_log(tmp_path / "log.csv"))
    small = ["--set", "arguments.units=[4]", "--epochs", "1", "--num-lanes", "4"]
    data = ["--data", log, *OPTIONS]
    assert main(["train", *data, "--model", "gru4rec", *small, "--out", run]) == 0
    command = [sys.executable, "-m", "hrec_tf.cli.main", "serve", run, "--demo", "--http-port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        said = re.search(r"Open (http://127\.0\.0\.1:\d+) in", process.stdout.readline())
        demo = SimpleNamespace(url=said.group(1))
        found = ask(demo, "/api/model").json
        history = found["examples"][0]
        reply = ask(demo, "/api/recommend", {"history": history, "k": 5})
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    assert (found["name"], found["model"], len(found["examples"])) == ("run", "GRU4Rec", 8)
    events = [tuple(event) for event in history]
    expected = Recommender.load(run).recommend(events, k=5)
    assert [item for item, _ in listed(reply)] == [item for item, _ in expected]


def test_a_taken_port_is_said(explaining):
    ours, demo = explaining
    port = int(demo.url.rsplit(":", 1)[1])
    second = Demo(ours, name="second", port=port)
    with pytest.raises(OSError, match=rf"could not be served on http://127.0.0.1:{port}.*another"):
        second.start()
    with pytest.raises(ValueError, match="`port` must be at most 65535, but was 65536"):
        Demo(ours, name="third", port=65536)
