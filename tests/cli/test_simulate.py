import json

import polars as pl
import pytest

from hrec_tf.cli.main import main
from hrec_tf.data.simulations import bets_bound, blind_bound, gamblers_bets, hierarchical_sessions

# Keras' own, of NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)


def test_sessions_are_written_with_their_bounds(tmp_path, capsys):
    file = tmp_path / "sessions.csv"
    assert main(["simulate", "sessions", "--out", str(file), "--num-users", "9", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    histories = hierarchical_sessions(9)
    table = pl.read_csv(file)
    assert table.columns == ["user", "item", "timestamp", "session"]
    assert table["item"].to_list() == histories.item_ids.tolist()
    assert table["user"].to_list() == histories.user_of_event().tolist()
    assert said["events"] == histories.num_events
    assert said["bounds"]["blind, ends known"] == pytest.approx(blind_bound())


def test_bets_are_written_with_tables_of_items_and_users(tmp_path, capsys):
    file = tmp_path / "bets.csv"
    assert main(["simulate", "bets", "--out", str(file), "--num-users", "30", "--seed", "4"]) == 0
    assert f"sequence, feedback: {bets_bound(feedback=True):.3f}" in capsys.readouterr().out
    log, items, users = (
        pl.read_csv(tmp_path / f"bets{more}.csv") for more in ("", ".items", ".users")
    )
    histories = gamblers_bets(30, seed=4).histories
    firsts = log.group_by("user", maintain_order=True).first()
    assert (firsts["item"] - 1).to_list() == users["first_bet"].to_list()
    assert users["user"].to_list() == firsts["user"].to_list()
    assert items["parity"][:2].to_list() == ["even", "odd"]
    wins = log["outcome"].eq_missing("win").to_list()
    step = histories.item_ids[1:] - histories.item_ids[:-1]
    inside = (
        ~histories.user_starts[1:] & (histories.item_ids[:-1] > 1) & (histories.item_ids[:-1] < 101)
    )
    assert [w for w, i in zip(wins, inside, strict=False) if i] == (step[inside] == 1).tolist()


@pytest.mark.integration
def test_features_of_a_file_are_guessed_and_may_be_edited(tmp_path, capsys):
    """bets.csv, its tables and the edited schema train a model that is asked by raw values."""
    bets = tmp_path / "bets.csv"
    assert main(["simulate", "bets", "--out", str(bets), "--num-users", "60"]) == 0
    log = ["--data", str(bets), "--items", str(tmp_path / "bets.items.csv")]
    log += ["--users", str(tmp_path / "bets.users.csv"), "--feedback", "outcome"]
    log += ["--min-item-support", "1", "--min-session-length", "1", "--min-user-sessions", "1"]
    log += ["--keep-repeats", "--split", "by_users", "--fractions", "0.8,0.2"]
    schemas = tmp_path / "features.toml"
    assert main(["data", "features", *log, "--out", str(schemas)]) == 0
    assert "feedback: 3 numbers" in capsys.readouterr().out
    text = schemas.read_text(encoding="utf-8")
    assert '[feedback.outcome]\nkind = "categorical"\nvalues = ["loss", "win"]' in text
    schemas.write_text(text.replace('["loss", "win"]', '["win"]'), encoding="utf-8")
    run = tmp_path / "run"
    sizes = ["--set", "units=8", "--set", "item_dim=8", "--num-lanes", "4"]
    train = ["train", *log, "--schemas", str(schemas), "--model", "hrnn-meta", *sizes]
    assert main([*train, "--epochs", "1", "--out", str(run)]) == 0
    kept = (run / "features.toml").read_text(encoding="utf-8")
    assert '["win"]' in kept and '"loss"' not in kept
    capsys.readouterr()
    ask = ["recommend", str(run), "--history", "5@100,6@200", "--k", "3", "--json"]
    lists = []
    for more in ([], ["--at", "90000"], ["--user-features", "first_bet=5"]):
        assert main([*ask, *more]) == 0
        lists.append(json.loads(capsys.readouterr().out)["answers"][0]["recommendations"])
    assert lists[0] != lists[1] and lists[0] != lists[2]
    new = tmp_path / "new.csv"
    new.write_text("item,parity\n777,odd\n", encoding="utf-8")
    grown = tmp_path / "grown"
    assert main(["add-items", str(run), "--items", str(new), "--out", str(grown)]) == 0
    capsys.readouterr()
    scores, known = [], lists[0][0]["item"]
    for folder in (run, grown):
        ask = ["recommend", str(folder), "--history", "5@100", "--k", "3", "--json"]
        assert main([*ask, "--candidates", f"777,{known}"]) == 0
        scores.append(json.loads(capsys.readouterr().out)["answers"][0]["recommendations"])
    old, new = ({row["item"]: row["score"] for row in rows} for rows in scores)
    assert set(old) == {known} and set(new) == {known, 777} and old[known] == new[known]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "sessions", "--num-users", "0"], "`num_users`"),
        (["data", "features", "--data", "globo-10k"], "has no features"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("HREC_DATA", raising=False)
    assert main([*arguments, "--out", str(tmp_path / "x")]) == 1
    said = capsys.readouterr().err
    assert message in said or "HREC_DATA is not set" in said
