"""docs/ablations.md is what the trials say."""

import pytest

from benchmarks import ablations, trials

OPTIONS = (
    ablations.Option("layer normalisation", "Ba et al.", ("arguments.layer_norm=true",)),
    ablations.Option("without users", "ours", model="gru4rec+-same"),
    ablations.Option("not measured", "ours", ("loss.logq=0.0",)),
)
ABLATION = ablations.Ablation("x", {"globo-10k": "base", "foursquare-nyc": "base"}, OPTIONS)


def test_the_page_is_what_the_trials_say():
    made = "`python -m benchmarks.ablations` has not been run since the numbers changed"
    assert ablations.PAGE.read_text(encoding="utf-8") == ablations.page(), made


def test_a_row_is_a_change_beside_its_base(tmp_path, monkeypatch):
    """A trial of another seed is none, nor an option that was not measured."""
    trial = "--data globo-10k --model"
    lines = [
        f"{trial} base --seed 0",
        "    Recall@5 9.00  MRR@5 8.00  Recall@20 50.00  MRR@20 20.00  best epoch 3 of 3",
        f"{trial} base --seed 0 --set arguments.layer_norm=true",
        "    Recall@5 9.00  MRR@5 8.00  Recall@20 49.50  MRR@20 21.25  best epoch 3 of 3",
        f"{trial} gru4rec+-same --seed 0",
        "    Recall@20 50.00  MRR@20 20.00",
        f"{trial} base --seed 1 --set loss.logq=0.0",
        "    Recall@20 50.00  MRR@20 20.00",
    ]
    monkeypatch.setattr(trials, "TRIALS", tmp_path / "trials.txt")
    trials.TRIALS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    changed = "`arguments.layer_norm=true`"
    assert ablations.rows_of(ABLATION, "globo-10k", trials.read()) == [
        ("globo-10k", "`base`", "", "50.00%", "20.00%", ""),
        ("", "layer normalisation", changed, "49.50% (-0.50)", "21.25% (+1.25)", "Ba et al."),
        ("", "without users", "`gru4rec+-same`", "50.00% (+0.00)", "20.00% (+0.00)", "ours"),
    ]
    assert ablations.rows_of(ABLATION, "foursquare-nyc", trials.read()) == []


@pytest.mark.parametrize("ablation", ablations.ABLATIONS, ids=lambda one: one.title)
def test_every_change_is_one_that_the_recipe_can_have(ablation):
    from hrec_tf.recipe import Recipe, parse_value

    for data, base in ablation.base.items():
        for option in ablation.options:
            pairs = (change.partition("=") for change in option.changes)
            changes = {key: parse_value(value) for key, _, value in pairs}
            Recipe.for_data(data, option.model or base).with_changes(changes).check()
