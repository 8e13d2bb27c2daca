"""Every recipe file of the package can be read, and says what the papers say."""

from dataclasses import replace

import numpy as np
import pytest

from hrec_tf import registry
from hrec_tf.data.histories import Histories
from hrec_tf.recipe import Recipe
from hrec_tf.recipes import files

HISTORIES = replace(
    Histories.from_lists([[[1, 2, 3]], [[4, 5]]], num_items=30), user_ids=np.array([1, 2])
)
HRNN_LOGS = ("online-retail", "globo-10k", "globo-news", "foursquare-nyc")


@pytest.mark.parametrize("name", files.names())
def test_every_recipe_is_sound(name):
    for model in files.read(name)["recipes"]:
        recipe = Recipe.load(name, model)
        assert recipe.check().source
        recipe.entry.build(num_items=30, **recipe.fitted_to(None, HISTORIES).arguments)


def test_every_model_has_a_recipe_for_any_log():
    of_all = {Recipe.for_data("a log of one's own", name).model for name in files.of_data(None)}
    assert of_all == set(registry.names())


@pytest.mark.parametrize("data", HRNN_LOGS)
@pytest.mark.parametrize(
    ("model", "num_lanes", "dropouts", "rate", "momentum"),
    [
        ("gru4rec", 100, {"hidden_dropout": 0.2}, 0.1, 0.1),
        ("rnn-concat", 100, {"hidden_dropout": 0.2}, 0.1, 0.1),
        ("hrnn-init", 50, {"session_dropout": 0.1}, 0.1, 0.0),
        (
            "hrnn-all",
            100,
            {"user_dropout": 0.1, "session_dropout": 0.1, "init_dropout": 0.2},
            0.1,
            0.2,
        ),
    ],
)
def test_settings_are_those_of_table_2(data, model, num_lanes, dropouts, rate, momentum):
    """docs/equations.md B.3, the rows "small"."""
    recipe = Recipe.for_data(data, model).complete()
    assert recipe.stream["num_lanes"] == num_lanes and recipe.stream["steps"] == 1
    held = {k: v for k, v in recipe.arguments.items() if k.endswith("dropout") and v}
    assert held == dropouts
    assert (recipe.optimizer["learning_rate"], recipe.optimizer["momentum"]) == (rate, momentum)
    assert recipe.optimizer["name"] == "adagrad_momentum" and recipe.epochs == 10
    assert (recipe.loss["name"], recipe.loss["activation"]) == ("top1", "tanh")
    assert recipe.negatives["extra"] == 0


def test_the_four_settings_of_the_official_code():
    recipes = {
        name: Recipe.for_data("yoochoose-100k", name).complete()
        for name in ("gru4rec+", "gru4rec+-bpr-max", "gru4rec+-in-batch", "gru4rec-embedding")
    }
    for recipe in recipes.values():
        assert recipe.arguments["reset_after"] is True
        assert recipe.loss["normalise"] == "batch_size"
        assert recipe.evaluation["ties"] == "conservative"
    lanes = {name: recipe.stream["num_lanes"] for name, recipe in recipes.items()}
    assert list(lanes.values()) == [32, 32, 50, 32]
    extra = [recipe.negatives["extra"] for recipe in recipes.values()]
    assert extra == [2048, 2048, 0, 2048]
    assert recipes["gru4rec-embedding"].arguments["item_dim"] == 100


@pytest.mark.parametrize("data", ["citeulike-hcrnn", "lastfm-hcrnn-sequences", None])
@pytest.mark.parametrize(
    ("name", "rates"),
    [
        *(
            (f"{name}-prefix", ("embed_dropout", "output_dropout"))
            for name in ("gru4rec", "lstm4rec")
        ),
        ("narm", ("embed_dropout", "output_dropout")),
        *((f"hcrnn-{v}", ("input_dropout", "output_dropout")) for v in ("1", "2", "3", "3-bi")),
    ],
)
def test_settings_are_those_of_song_2019(data, name, rates):
    """docs/equations.md C.5 and C.7."""
    recipe = Recipe.for_data(data, name).complete()
    assert [recipe.arguments[rate] for rate in rates] == [0.25, 0.5]
    assert (recipe.arguments["item_dim"], recipe.arguments["units"]) == (100, 100)
    assert (recipe.optimizer["name"], recipe.optimizer["learning_rate"]) == ("adam", 0.001)
    assert recipe.stream == {"batch_size": 512, "order": "random", "augment": True}
    assert (recipe.epochs, recipe.patience, recipe.monitor) == (200, 10, "val_recall@20")
    assert (recipe.loss["name"], recipe.loss["normalise"]) == ("cross_entropy", "valid")
    assert recipe.negatives == {"name": "full"}
    if name.startswith("hcrnn"):
        sizes = ("num_contexts", "beta", "two_phase")
        assert [recipe.arguments[key] for key in sizes] == [50, 0.001, False]


def test_stamp_is_theirs_or_that_of_its_authors():
    """docs/equations.md G.9."""
    forms = {
        name: [
            Recipe.load("song2019", name).arguments[key] for key in ("residual", "inner_sigmoid")
        ]
        for name in ("stamp", "stamp-2018")
    }
    assert forms == {"stamp": [False, True], "stamp-2018": [True, False]}


def test_a_paper_s_logs_are_measured_as_it_does():
    for name in ("pop", "s-pop", "item-knn", "bpr-mf", "narm", "hcrnn-3-bi"):
        recipe = Recipe.for_data("citeulike-hcrnn", name).complete()
        assert (recipe.evaluation["ks"], recipe.evaluation["ties"]) == ([3, 20], "standard")
    # On other logs as everywhere.
    assert Recipe.for_data(None, "narm").complete().evaluation["ties"] == "conservative"


def test_what_a_file_says_of_evaluation_gives_way_to_its_recipes(tmp_path):
    path = write(
        tmp_path,
        """
        extends = "quadrana2017"
        keep = ["pop"]
        evaluation = { ks = [1], ties = "median" }
        [recipes.s-pop]
        evaluation = { ks = [2] }
        """,
    )
    assert Recipe.load(path, "pop").evaluation == {"ks": [1], "ties": "median"}
    assert Recipe.load(path, "s-pop").evaluation == {"ks": [2], "ties": "median"}


def test_a_file_may_keep_some_recipes_of_its_base():
    assert list(files.read("quadrana2017_yoochoose_100k")["recipes"]) == [
        *("gru4rec", "pop", "s-pop", "item-knn")
    ]


def test_a_recipe_may_be_like_another_but_for_what_it_says(tmp_path):
    path = write(
        tmp_path,
        """
        extends = "quadrana2017"
        keep = ["hrnn-init"]
        source = "ours"
        [recipes.small]
        like = "hrnn-init"
        arguments = { session_units = 7 }
        epochs = 2
        [recipes.smaller]
        like = "small"
        arguments = { user_units = 5 }
        loss = { name = "bpr" }
        """,
    )
    base, small, smaller = (Recipe.load(path, n) for n in ("hrnn-init", "small", "smaller"))
    assert small.arguments == base.arguments | {"session_units": 7}
    assert smaller.arguments == small.arguments | {"user_units": 5}
    assert (small.model, small.epochs, smaller.epochs) == ("hrnn-init", 2, 2)
    assert (small.loss, smaller.stream, smaller.name) == (base.loss, base.stream, "smaller")
    assert len(base.loss) > 1 and smaller.loss == {"name": "bpr"}
    assert (small.source, smaller.source) == ("ours", "ours")
    with pytest.raises(ValueError, match=r"`like of recipe b` was 'a', but must be one of 'c'"):
        files.read(write(tmp_path, '[recipes.c]\nmodel="pop"\n[recipes.b]\nlike = "a"'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keep = 3", "`keep` of .* was 3, but must be a list of recipes"),
        ("recipes = 3", "`recipes` of .* was 3, but must be a table"),
        ("[recipes]\na = 3", "`a` of recipes of .* was 3, but must be a table"),
        ("evaluation = 3\n[recipes.a]\nmodel = 'pop'", "`evaluation` of .* was 3, but"),
        ("[recipes.a]\nmodel = 'pop'\nevaluation = 3", "`evaluation` of recipe a of .* was 3, but"),
        ("model = 'pop'\narguments = 3", "`arguments` of recipe pop of .* was 3, but must be a"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        files.read(write(tmp_path, text))


def test_a_recipe_of_python_is_told_the_same():
    with pytest.raises(ValueError, match=r"`arguments` of recipe pop was 3, but must be a table"):
        Recipe.from_dict({"model": "pop", "arguments": 3})


def write(folder, text):
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_ones_own_with_a_single_recipe(tmp_path):
    path = write(
        tmp_path,
        """
        model = "hrnn-init"
        epochs = 2
        optimizer = { name = "adam", learning_rate = 0.001 }
        loss = { name = "cross_entropy" }
        stream = { num_lanes = 4 }
        """,
    )
    recipe = Recipe.load(path).complete()
    assert recipe.optimizer["beta_1"] == 0.9
    stream = {"num_lanes": 4, "steps": 1, "order": "random", "max_events": None}
    assert recipe.stream == stream


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model =", r"own.toml is not a TOML file"),
        ('model = "pop"\nlearning_rate = 1', r"'learning_rate', but must be one of"),
        ('recipe = "x"', r"`key of .*own.toml` was 'recipe'.*Did you mean 'recipes'"),
        ('model = "hrnn-init"\nepochs = 1', r"has no `optimizer`, but hrnn-init is trained"),
        ('model = "pop"\nepochs = 1', r"`epochs` was set for pop, which is counted, not trained"),
        ('extends = "quadrana2017"\nkeep = ["popp"]', r"was 'popp'.*Did you mean 'pop'"),
        ('model = "hrnn-inti"', r"Did you mean 'hrnn-init'"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        Recipe.load(write(tmp_path, text), model=None)


def test_a_file_of_several_recipes_needs_a_name():
    with pytest.raises(ValueError, match="holds the recipes gru4rec, gru4rec-by-user, lstm4rec"):
        Recipe.load("quadrana2017")
    with pytest.raises(ValueError, match=r"`recipe` was 'quadrana'.*'quadrana2017'"):
        Recipe.load("quadrana", "pop")
