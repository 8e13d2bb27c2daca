"""`hrec count-on`: lists of a saved model follow what was taken since, without training."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from hrec_tf import runs
from hrec_tf.cli.main import main
from hrec_tf.data.histories import Histories
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.models import HRNN
from hrec_tf.recommender import Recommender
from tests.reference.weights import fill_distinct

# Keras 3.15 saves a tf.Variable by np.array(), whose TensorFlow side knows no `copy` (NumPy 2).
pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]

NOON = 1_700_000_000


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that counted the items "07" and "8" at noon, and keeps three hours."""
    model = HRNN(num_items=4, session_units=3, user_units=2, popular=4, popular_moments=20)
    fill_distinct(model)
    model.set_popular(
        replace(Histories.from_lists([[[1, 2]]], num_items=4), timestamps=np.array([NOON] * 2))
    )
    folder = tmp_path_factory.mktemp("runs") / "first"
    return Recommender(model, Vocabulary(["07", "8", "9", "x"])).save(folder)


def scores(capsys, folder):
    ask = ["recommend", str(folder), "--history", f"07@{NOON + 9_000}", "--k", "4", "--json"]
    assert main([*ask, "--include-seen"]) == 0
    found = json.loads(capsys.readouterr().out)["answers"][0]["recommendations"]
    return {row["item"]: row["score"] for row in found}


def test_later_events_of_known_items_are_counted(saved, tmp_path, capsys):
    """Ids stay text; an event of before, and one of an unknown item, are passed over."""
    events = tmp_path / "since.csv"
    rows = [("07", NOON), ("9", NOON + 7_000), ("9", NOON + 8_000), ("new", NOON + 8_001)]
    events.write_text("what,when\n" + "".join(f"{i},{t}\n" for i, t in rows), encoding="utf-8")
    out = tmp_path / "now"
    command = ["count-on", str(saved), "--events", str(events), "--item", "what"]
    command += ["--timestamp", "when", "--out", str(out), "--json"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["path"], said["events"], said["counted"]) == (str(out), 4, 2)
    before, after = scores(capsys, saved), scores(capsys, out)
    gains = {item: after[item] - before[item] for item in before}
    assert max(gains, key=gains.get) == "9" and gains["9"] > 0.01
    assert gains["x"] == pytest.approx(0, abs=1e-5)
    typed = tmp_path / "since.parquet"
    pl.DataFrame(rows, schema=["item", "timestamp"], orient="row").write_parquet(typed)
    command = ["count-on", str(saved), "--events", str(typed), "--out", str(tmp_path / "again")]
    assert main(command) == 0
    assert "2 of 4 events counted" in capsys.readouterr().out
    assert scores(capsys, tmp_path / "again") == after


def test_what_cannot_be_counted_is_said(saved, tmp_path, capsys):
    events = tmp_path / "since.csv"
    events.write_text("item,when\n9,1\n", encoding="utf-8")
    command = ["count-on", str(saved), "--events", str(events), "--out", str(tmp_path / "now")]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "`timestamp` names the column 'timestamp', but since.csv has 'item', 'when'" in said
    assert main([*command[:-1], str(saved), "--timestamp", "when"]) == 1
    assert "which exists, and runs are never overwritten" in capsys.readouterr().err
    assert not (tmp_path / "now").exists()


def test_a_run_names_the_weight_that_was_chosen_and_counted_what_was_held_out(tmp_path, capsys):
    """Users come one a day; the last days are tested, those before choose the weight."""
    day = 86_400
    rows = [(u, 1 + (u + e) % 4, NOON + u * day + 60 * e) for u in range(30) for e in range(4)]
    log = tmp_path / "log.csv"
    log.write_text("user;product;time\n" + "".join(f"{u};{i};{t}\n" for u, i, t in rows))
    out = tmp_path / "run"
    command = ["train", "--data", str(log), "--min-item-support", "1", "--min-user-sessions", "1"]
    command += ["--item", "product", "--timestamp", "time", "--separator", ";"]
    command += ["--split", "temporal", "--days", "5", "--counts-on", "--model", "hrnn+"]
    command += ["--epochs", "1", "--num-lanes", "2", "--extra", "2", "--out", str(out)]
    for setting in ("popular_weight=none", "session_units=3", "user_units=3", "neighbours=2"):
        command += ["--set", f"arguments.{setting}"]
    assert main(command) == 0, capsys.readouterr().err
    run = runs.load(out)
    model = run.model()
    assert run.recipe.arguments["popular_weight"] == float(model.heads.recent.weight[0])
    assert int(model.heads.recent.last_time) == int(run.load_log().train.timestamps.max())
    # The log itself, read as for training: new are the test's 20, and one that the cut left out.
    command = ["count-on", str(out), "--events", str(log), "--out", str(tmp_path / "now")]
    assert main(command) == 0
    assert "21 of 120 events counted" in capsys.readouterr().out
