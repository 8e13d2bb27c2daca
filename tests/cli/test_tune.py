"""`hrec tune`: in processes that are killed and that share a study, and what it writes."""

import json
import re
import tomllib

import pytest

from hrec_tf import runs
from hrec_tf.cli.main import main
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.tuning import Space
from tests.reference.forks import Fork
from tests.reference.html_page import Page
from tests.reference.tiny_log import OPTIONS, write_ring_log

HREC = """
import sys
from hrec_tf.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
KILLED_IN_ITS_SECOND_TRIAL = """
import os
from hrec_tf.tuning import tuner
evaluate, calls = tuner.evaluate, []
def killing(*given, **more):
    calls.append(given)
    if len(calls) == 2:
        os.kill(os.getpid(), 9)
    return evaluate(*given, **more)
tuner.evaluate = killing
"""


@pytest.fixture
def log(tmp_path):
    return ["--data", str(write_ring_log(tmp_path / "log.csv")), *OPTIONS]


def numbers_of(err):
    return {int(number) for number in re.findall(r"^trial (\d+): \d\.", err, flags=re.MULTILINE)}


@pytest.mark.xdist_group("forks")
@pytest.mark.integration
def test_a_killed_search_is_gone_on_with_by_two_processes_that_share_it(log, tmp_path):
    study = tmp_path / "study.db"
    command = ["tune", *log, "--model", "item-knn", "--ks", "1,2", "--study", study, "--json"]
    killed = Fork(KILLED_IN_ITS_SECOND_TRIAL + HREC, [*command, "--trials", 8])
    status, out, err = killed.finished()
    assert (status, out, numbers_of(err)) == (-9, "", {1}), err

    both = [Fork(HREC, [*command, "--trials", 8]) for _ in range(2)]
    (status, out, err), (other_status, other_out, other_err) = (one.finished() for one in both)
    assert (status, other_status) == (0, 0), err + other_err
    made, by_other = numbers_of(err), numbers_of(other_err)
    assert made and by_other, "each has made some"
    assert not made & by_other and made | by_other == set(range(2, 9)), "and none twice"
    found, same = json.loads(out), json.loads(other_out)
    assert found == same
    assert [trial["number"] for trial in found["trials"]] == list(range(1, 9))
    assert found["counts"] == {"complete": 8, "pruned": 0, "failed": 0}
    assert found["best"]["value"] == max(trial["value"] for trial in found["trials"])


@pytest.mark.integration
@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"  # Keras saves
)
def test_gru4rec_is_tuned_gone_on_with_and_trained_by_what_was_written(
    log, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(PreparedLog, "test", property(lambda log: pytest.fail("the test part")))
    space = tmp_path / "own.toml"
    space.write_text(
        "[fixed]\nepochs = 2\n[search]\n"
        "optimizer.learning_rate = { low = 0.01, high = 0.5, log = true }\n"
        "arguments.units = { choices = [[4], [6]] }\n",
        encoding="utf-8",
    )
    best, page = tmp_path / "best.toml", tmp_path / "tuning.html"
    command = ["tune", *log, "--model", "gru4rec", "--num-lanes", "12", "--ks", "1,5"]
    command += ["--study", str(tmp_path / "study.db"), "--space", str(space)]
    assert main([*command, "--trials", "2", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert main([*command, "--trials", "3", "--output", str(best), "--report", str(page)]) == 0
    printed = capsys.readouterr()
    assert len(numbers_of(printed.err)) == 1, "two were there"
    assert f"Written to {best}. Train it: hrec train" in printed.out
    written = tomllib.loads(best.read_text("utf-8"))
    assert written["source"].startswith("hrec tune --model gru4rec --trials 3 --study study.db")
    assert str(tmp_path) not in best.read_text("utf-8"), "folders are not told"
    _, *rows = Page(page.read_text("utf-8")).tables["trials-table"]
    assert len(rows) == 3
    kept = {tuple(row[4:]) for row in rows}
    for trial in before["trials"]:
        rate, units = trial["changes"].values()
        assert (f"{rate:.4g}", str(units)) in kept

    monkeypatch.undo()
    run = tmp_path / "run"
    given = ["--model", "gru4rec", "--recipe", str(best), "--out", str(run), "--json"]
    assert main(["train", *log, *given]) == 0
    recipe = runs.load(run).recipe
    assert f"{recipe.optimizer['learning_rate']:.4g}" == rows[0][4] and recipe.epochs == 2
    assert recipe.arguments["units"] == json.loads(rows[0][5])
    assert recipe.stream["num_lanes"] == 12 and recipe.source == written["source"]


def test_the_space_is_printed_to_be_edited(capsys, tmp_path):
    assert main(["tune", "--model", "hrnn-all-rz", "--print-space"]) == 0
    file = tmp_path / "space.toml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert Space.load(file) == Space.load("hrnn-all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "pop"], "`model` was 'pop', for which the package has no search space"),
        (["--space", "no.toml"], "`space` was 'no.toml', but there is no such file. Pass one that"),
        (["--print-space", "--output", "x.toml"], "`--print-space` was given with `--output x.to"),
        (["--output", "."], "`output` was '.', which exists, and recipes are never overwritten"),
        (["--report", "no/where.html"], "`report` was 'no/where.html', but there is no folder"),
        (["--trials", "0"], "`trials` must be a positive int, but was 0"),
        (["--objective", "Recall@7"], "`objective` was 'Recall@7', but must be one of"),
        (["--study", "no/where.db"], "`study` was 'no/where.db', but there is no folder 'no'"),
        (["--model", "item-knn", "--pruner", "median"], "item-knn is counted in one go"),
    ],
)
def test_what_cannot_be_done_is_said_in_three_parts(
    log, capsys, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LogSource, "load", lambda source: pytest.fail("said after the log"))
    assert main(["tune", *log, *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.splitlines()[-1].startswith("Error: ")
    assert message in printed.err
    assert not list(tmp_path.rglob("*.db"))


def test_what_is_set_is_not_searched(log, capsys, tmp_path):
    given = ["--model", "item-knn", "--ks", "1,2", "--trials", "2", "--set", "query=session"]
    assert main(["tune", *log, *given, "--study", str(tmp_path / "s.db"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for trial in found["trials"]:
        assert "arguments.alpha" in trial["changes"]
        assert "arguments.query" not in trial["changes"]
