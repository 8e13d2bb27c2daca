"""`hrec explain`: the page and its numbers, what is averaged and drawn, and what is refused."""

import json

import pytest

from hrec_tf.cli.main import main
from hrec_tf.data.log_source import LogSource
from hrec_tf.models import HRNN
from tests.reference.made_explanations import lend
from tests.reference.tiny_log import OPTIONS, write_ring_log

# Keras reads its variables for the weights file in a way that NumPy 2 will drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.xdist_group("explain"),
]
USERS, SESSION = 12, 5
NOON = 1_700_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("explained")


def trained(folder, model, *options):
    log = write_ring_log(folder / f"{model}.csv")
    out = str(folder / f"{model}-run")
    arguments = ["train", "--data", str(log), *OPTIONS, "--model", model, "--out", out, *options]
    assert main([*arguments, "--epochs", "1", "--num-lanes", "4"]) == 0
    return out


@pytest.fixture(scope="module")
def run(folder):
    """A run of a model that explains itself once a test lends it what that takes."""
    return trained(folder, "gru4rec", "--set", "arguments.units=[4]")


@pytest.fixture
def able(run, monkeypatch):
    lend(monkeypatch, "explain")
    return run


def explained(capsys, run, out, *options):
    """The page and the numbers that a command wrote."""
    assert main(["explain", run, "--out", str(out), *options]) == 0, capsys.readouterr().err
    page = (out / "explanation.html").read_text(encoding="utf-8")
    return page, json.loads((out / "explanation.json").read_text(encoding="utf-8"))


def test_all_test_histories_are_averaged_and_the_longest_is_drawn(capsys, able, tmp_path):
    page, numbers = explained(capsys, able, tmp_path / "new" / "folder")
    assert numbers["histories"] == USERS and numbers["events"] == USERS * SESSION
    assert numbers["run"] == "gru4rec-run" and numbers["drawn"] == "Test history 0"
    assert len(numbers["history"]["items"]) == SESSION
    # 10 pairs of each history lie 1, 2, 3, 4 events before the predicted one: 4, 3, 2, 1 of them.
    assert numbers["attention_by_steps"]["pairs"][:5] == [48, 36, 24, 12, 0]
    # Its events are a minute apart.
    assert numbers["attention_by_time"]["pairs"][:3] == [0, 120, 0]
    assert "<h1>Inside GRU4Rec on gru4rec.csv</h1>" in page
    assert "hrec explain gru4rec-run --out folder" in page


def test_what_is_missing_is_said(capsys, able, tmp_path):
    assert main(["explain", able, "--out", str(tmp_path / "a"), "--users", "1"]) == 0
    said = capsys.readouterr()
    assert "r ⊙ G(d)" in said.out and "Written to" in said.out
    assert "the page is without gate_by_run. No categories of items are at hand." in said.err
    assert "the page is without map. The model has no global contexts." in said.err


def test_as_many_histories_as_asked_are_read_and_another_may_be_drawn(capsys, able, tmp_path):
    _, numbers = explained(capsys, able, tmp_path / "a", "--users", "3", "--show", "11")
    assert numbers["histories"] == 3 and numbers["drawn"] == "Test history 11"
    # Users are in the order of their ids as text: the last is u9, at 63 + 5 in its last session.
    assert numbers["history"]["items"] == [f"i{(63 + 5 + n) % 20 + 1}" for n in range(5)]
    _, again = explained(capsys, able, tmp_path / "b", "--users", "3", "--show", "11")
    assert numbers == again, "the same histories are drawn at random"


def test_a_typed_history_is_read_alone_as_python_reads_it(capsys, able, tmp_path):
    typed = f"i1@{NOON},i2@{NOON + 90_000},coal@{NOON + 90_030},i4@{NOON + 90_060}"
    page, numbers = explained(capsys, able, tmp_path / "a", "--history", typed)
    assert numbers["histories"] == 1 and numbers["drawn"] == "The given history"
    assert numbers["history"]["items"] == ["i2", "i4"], "the last session, of known items"
    assert numbers["history"]["timestamps"] == [NOON + 90_000, NOON + 90_060]
    assert numbers["attention_by_time"]["pairs"][1] == 1
    assert "passes over them: &#39;coal&#39;" not in page
    assert "passes over them: 'coal'" in capsys.readouterr().err


def test_a_typed_history_needs_neither_times_nor_the_log(capsys, tmp_path, monkeypatch):
    lend(monkeypatch, "explain")
    run = trained(tmp_path, "gru4rec", "--set", "arguments.units=[4]")
    (tmp_path / "gru4rec.csv").unlink()
    page, numbers = explained(capsys, run, tmp_path / "a", "--history", "i1,i2,i3")
    assert numbers["attention_by_time"] is None
    assert numbers["skipped"]["attention_by_time"] == "There are no times, only an order."
    assert "time (UTC)" not in page


def test_a_typed_history_does_without_categories_that_are_away(capsys, able, tmp_path, monkeypatch):
    def away(source):
        raise FileNotFoundError("HREC_DATA is set, but that folder holds no items.tsv.gz.")

    monkeypatch.setattr(LogSource, "categories", away)
    _, numbers = explained(capsys, able, tmp_path / "a", "--history", "i1,i2")
    assert numbers["skipped"]["gate_by_run"] == "No categories of items are at hand."


def test_a_typed_history_can_stand_beside_averages(capsys, able, tmp_path):
    options = ("--history", "i3,i2", "--users", "4")
    _, numbers = explained(capsys, able, tmp_path / "a", *options)
    assert numbers["histories"] == 4 and numbers["history"]["items"] == ["i3", "i2"]


def test_numbers_are_those_of_the_model(capsys, able, tmp_path):
    _, numbers = explained(capsys, able, tmp_path / "a", "--users", "1")
    gates = numbers["gates"]
    # The update gate is 1/4 at every event; the reset gate is not, and r ⊙ G(d) is known of it:
    # units i/100 and 3i/100, times 1/2 and 1/4, have the mean 5/8 of 2i/100.
    assert gates["update"] == {"mean": 0.25, "sd": 0.0, "events": SESSION}
    assert gates["reset × drift"]["mean"] == pytest.approx(5 / 16 * gates["reset"]["mean"])


def test_global_contexts_have_their_nearest_items_and_a_map(capsys, able, tmp_path, monkeypatch):
    lend(monkeypatch, "item_vectors", "global_contexts")
    page, numbers = explained(capsys, able, tmp_path / "a", "--users", "1")
    first, second, _ = numbers["nearest_items"]
    # Contexts 1 and 2 are the vectors of item ids 1 and 2, longer and shorter.
    assert first["items"][0]["cosine"] == second["items"][0]["cosine"] == 1
    assert [len(numbers["map"][part]) for part in ("items", "contexts")] == [20, 3]
    assert 'id="contexts-table"' in page and '<svg class="figure" id="map"' in page
    assert numbers["topics"] == [0.5, 0.25, 0.25]


def test_categories_part_events_by_runs(capsys, able, tmp_path, monkeypatch):
    held = {f"i{item}": ("even",) if item % 2 else ("odd", f"{item}") for item in range(1, 21)}
    monkeypatch.setattr(LogSource, "categories", lambda source: held)
    page, numbers = explained(capsys, able, tmp_path / "a")
    # Neighbours on the ring are never both even or both odd.
    assert numbers["gate_by_run"]["all"]["continuing"] is None
    assert numbers["gate_by_run"]["by_length"][0]["breaking"]["events"] == USERS * (SESSION - 1)
    assert 'id="runs-table"' in page and "gate_by_run" not in numbers["skipped"]


def test_json_says_what_was_written(capsys, able, tmp_path):
    capsys.readouterr()
    assert main(["explain", able, "--out", str(tmp_path / "a" / "my.html"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["page"] == str(tmp_path / "a" / "my.html")
    assert said["numbers"] == str(tmp_path / "a" / "my.json")
    assert said["gates"]["update"]["mean"] == 0.25
    assert (tmp_path / "a" / "my.json").is_file()


def test_the_page_stands_beside_the_run_unless_told_otherwise(capsys, able):
    assert main(["explain", able, "--users", "1"]) == 0
    assert main(["evaluate", able]) == 0, "the run is as it was written"
    capsys.readouterr()
    assert main(["explain", able, "--users", "1"]) == 1
    said = capsys.readouterr().err
    assert "explanation.html is there, and nothing is overwritten. Choose another place" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--history", "i1", "--show", "3"], "Both `--history` and `--show` were given, but one"),
        (["--users", "0"], "`users` must be a positive int, but was 0. Pass how many"),
        (["--show", "12"], "`show` was '12', but must be longest or the number of a test history"),
        (["--show", "last"], "0..11. Pass for example --show 0."),
        (["--history", "coal"], "has 1 events in its last session, none of an item that the model"),
        (["--history", "i1@9,i2@8"], "Times of `history` go back at row 1 (8 after 9)"),
        (["--history", "i1,,i2"], "which has nothing at place 1, but items are separated"),
    ],
)
def test_what_is_wrong_is_said_in_three_parts(capsys, able, tmp_path, arguments, message):
    assert main(["explain", able, "--out", str(tmp_path / "a"), *arguments]) == 1
    printed = capsys.readouterr()
    assert message in printed.err and printed.out == ""
    assert not (tmp_path / "a").exists()


def test_a_place_inside_the_run_or_below_a_file_is_refused(capsys, able, tmp_path):
    assert main(["explain", able, "--out", f"{able}/page.html"]) == 1
    assert "which is inside of the run, but a run holds" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["explain", able, "--out", str(tmp_path / "file" / "a")]) == 1
    assert "is a file, and no folder can be made there. Choose" in capsys.readouterr().err


def test_a_model_that_cannot_explain_is_refused(capsys, run, tmp_path, monkeypatch):
    lend(monkeypatch, cls=HRNN)
    assert main(["explain", run, "--out", str(tmp_path / "a")]) == 1
    said = capsys.readouterr().err
    assert "is a run of gru4rec, which has no attention to show, but only models that" in said
    assert "Choose a run of" in said and "hrnn-init, hrnn-all" in said
    assert not (tmp_path / "a").exists()


def test_a_counted_method_is_refused(capsys, tmp_path):
    log = write_ring_log(tmp_path / "log.csv")
    run = str(tmp_path / "pop")
    assert main(["train", "--data", str(log), *OPTIONS, "--model", "pop", "--out", run]) == 0
    capsys.readouterr()
    assert main(["explain", run]) == 1
    assert "is a run of pop, which has no attention to show" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(capsys, tmp_path):
    assert main(["explain", str(tmp_path)]) == 1
    assert "so it is no run folder. Pass a folder that" in capsys.readouterr().err
