"""What a search found becomes a recipe that keeps every session; searches are recorded."""

import json
from types import SimpleNamespace

import pytest

from benchmarks import tuned
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.recipe import Recipe


@pytest.mark.integration
def test_a_search_is_kept_as_a_recipe_and_a_record(tmp_path, monkeypatch):
    """The test part is never ranked, and what is there already is passed over."""
    monkeypatch.setattr(tuned, "DOCS", tmp_path)
    monkeypatch.setattr(tuned, "RECORDS", tmp_path / "tuning.json")
    monkeypatch.setattr(tuned, "RECIPES", tmp_path)
    monkeypatch.setattr(PreparedLog, "test", property(lambda log: pytest.fail("the test part")))
    given = ["--data", "online-retail", "--models", "item-knn", "--trials", "2"]
    assert tuned.main([*given, "--studies", str(tmp_path / "studies")]) == 0
    (record,) = json.loads((tmp_path / "tuning.json").read_text())
    assert (record["complete"], record["objective"]) == (2, "MRR@20")
    assert record["best"] >= record["first"] > 0
    assert record["command"] == f"python -m benchmarks.tuned {' '.join(given)}"
    path = tmp_path / "tuned_online_retail.toml"
    written = path.read_text()
    recipe = Recipe.load(path, "item-knn-tuned")
    assert (recipe.model, recipe.name) == ("item-knn", "item-knn-tuned")
    assert recipe.complete().source == record["command"]
    monkeypatch.setattr(LogSource, "load", lambda source: pytest.fail("measured again"))
    assert tuned.main(given) == 0
    assert path.read_text() == written


def test_beside_an_hrnn_plus_stand_its_network_and_that_without_users(tmp_path, monkeypatch):
    """Same optimizer, loss, negatives, stream and epochs; the heads go first, then the users."""
    monkeypatch.setattr(tuned, "DOCS", tmp_path)
    monkeypatch.setattr(tuned, "RECORDS", tmp_path / "tuning.json")
    monkeypatch.setattr(tuned, "RECIPES", tmp_path)
    changes = {"session_units": 30, "session_dropout": 0.3, "embed_dropout": 0.1, "epochs": 2}
    recipe = Recipe.for_data("online-retail", "hrnn+").with_changes(changes)
    trial = SimpleNamespace(value=0.5, seconds=1.0, reports=())
    found = SimpleNamespace(
        base=recipe, refitted=recipe, best=trial, trials=[trial], objective="MRR@20", count=len
    )
    tuned.keep("online-retail", found, 6)
    path = tmp_path / "tuned_online_retail.toml"
    whole, network, without = (
        Recipe.load(path, name) for name in ("hrnn+-tuned", "hrnn+-network-same", "gru4rec+-same")
    )
    assert whole.arguments["reminders"] and (network.model, without.model) == (
        "hrnn-all",
        "gru4rec+",
    )
    kept = set(whole.arguments) - set(tuned.HEADS)
    assert network.arguments == {name: whole.arguments[name] for name in kept}
    assert network.complete().arguments["reminders"] == network.complete().arguments["popular"] == 0
    assert without.arguments == {"units": [30], "hidden_dropout": 0.3, "embed_dropout": 0.1}
    assert without.stream | {"max_events": 500} == network.stream == whole.stream
    for part in ("optimizer", "loss", "negatives", "epochs"):
        assert getattr(network, part) == getattr(without, part) == getattr(whole, part), part
