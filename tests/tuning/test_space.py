"""Search spaces: what a file may say, what is refused, and that those of the package are sound."""

import itertools

import pytest

from hrec_tf.recipe import Recipe
from hrec_tf.tuning import Choices, Range, Space
from hrec_tf.tuning import space as spaces

GRU = Recipe.load("quadrana2017", "gru4rec")
SEARCH = {
    "optimizer": {"learning_rate": {"low": 0.02, "high": 0.5, "log": True}},
    "arguments.hidden_dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
    "stream.num_lanes": {"low": 32, "high": 128, "step": 32},
    "arguments": {"units": {"choices": [[50], [100]]}},
}
SHIPPED = [(name, model) for name in spaces.names() for model in Space.load(name).models]


@pytest.mark.parametrize(("name", "model"), SHIPPED)
def test_spaces_of_the_package_fit_their_recipes_and_hold_their_settings(name, model):
    recipe = Recipe.for_data(None, model)
    space = Space.load(name).check(recipe)
    assert space.source and spaces.name_for(recipe) == name
    # The first trial is the recipe as it is: no setting of it may lie outside.
    assert set(space.start(recipe)) == set(space.searched)
    for edge in (0, -1):
        values = {key: where.edges[edge] for key, where in space.searched.items()}
        recipe.with_changes({**space.fixed, **values}).complete()


@pytest.mark.parametrize("model", ["item-knn", "v-sknn", "stan", "recent-pop"])
def test_edges_of_baselines_go_together(model):
    """No trial is lost to two settings of which one refuses the other."""
    recipe = Recipe.for_data(None, model)
    space = Space.for_recipe(recipe)
    for low, high in itertools.permutations(space.searched, 2):
        edges = {low: space.searched[low].edges[0], high: space.searched[high].edges[-1]}
        changed = recipe.with_changes(edges).complete()
        assert changed.entry.build(num_items=3, **changed.arguments)


def test_models_that_are_tuned_have_a_space():
    wanted = {"gru4rec", "gru4rec+", "hrnn-init", "hrnn-all", "hrnn-meta", "narm", "stamp"}
    wanted |= {"item-knn", "v-sknn", "stan", "hcrnn-3-bi"}
    assert wanted <= {model for _, model in SHIPPED}
    assert len({model for _, model in SHIPPED}) == len(SHIPPED), "one model, one space"


def test_a_recipe_of_another_name_has_the_space_of_its_model():
    assert spaces.name_for(Recipe.for_data(None, "hrnn-all-rz")) == "hrnn-all"
    assert spaces.name_for(Recipe.for_data(None, "gru4rec+-bpr-max")) == "gru4rec+-bpr-max"
    with pytest.raises(ValueError, match=r"`model` was 'pop', for which the package has no search"):
        Space.for_recipe(Recipe.for_data(None, "pop"))


def test_tables_and_dotted_keys_say_the_same():
    space = Space.from_dict({"search": SEARCH, "fixed": {"epochs": 3, "loss": {"form": "paper"}}})
    assert dict(space.searched) == {
        "optimizer.learning_rate": Range(0.02, 0.5, log=True),
        "arguments.hidden_dropout": Range(0.0, 0.5, step=0.1),
        "stream.num_lanes": Range(32, 128, step=32),
        "arguments.units": Choices(([50], [100])),
    }
    assert space.fixed == {"epochs": 3, "loss.form": "paper"}
    assert Space.from_dict(space.to_dict()) == space


def test_what_optuna_keeps_is_read_back_as_it_was_written():
    space = Space.from_dict({"search": SEARCH})
    params = {
        "stream.num_lanes": 64,
        "arguments.hidden_dropout": 0.1 + 0.2,  # steps of 0.1 end in 0.30000000000000004
        "arguments.units": "[100]",
    }
    assert space.changes(params) == {
        "stream.num_lanes": 64,
        "arguments.hidden_dropout": 0.3,
        "arguments.units": [100],
    }
    choices = Choices(("none", 0.5, True, "a b", [1, 2]))
    assert [choices.decoded(choices.encoded(v)) for v in choices.values] == list(choices.values)
    changed = GRU.with_changes(space.changes(params))
    assert (changed.arguments["units"], changed.stream["num_lanes"]) == ((100,), 64)


def test_a_search_begins_at_the_recipe_where_the_space_holds_it():
    space = Space.from_dict({"search": SEARCH})
    # 100 lanes are not 32 + a multiple of 32.
    assert space.start(GRU) == {
        "optimizer.learning_rate": 0.1,
        "arguments.hidden_dropout": 0.2,
        "arguments.units": "[100]",
    }
    none = Space(
        {"optimizer.clipnorm": Choices(("none", 1.0)), "optimizer.momentum": Range(0.2, 0.5)}
    )
    assert none.start(GRU) == {"optimizer.clipnorm": '"none"'}
    whole = GRU.with_changes({"optimizer.momentum": 0})
    assert Space({"optimizer.momentum": Range(0.0, 0.5)}).start(whole) == {
        "optimizer.momentum": 0.0
    }


def test_what_is_set_is_not_searched():
    space = Space.from_dict({"search": SEARCH, "fixed": {"epochs": 3}})
    left = space.without(["learning_rate", "arguments.units", "epochs"])
    assert set(left.searched) == {"arguments.hidden_dropout", "stream.num_lanes"}
    assert left.fixed == {}
    with pytest.raises(ValueError, match="searches nothing"):
        space.without(space.searched)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"low": 1, "high": 2.0}, "from 1 to 2.0 has no one kind of number"),
        ({"low": True, "high": False}, "has no one kind of number"),
        ({"low": 2, "high": 2}, "from 2 to 2 holds nothing to choose from"),
        ({"low": 0.0, "high": float("inf")}, "holds nothing to choose from"),
        ({"low": 0.1, "high": 1.0, "log": "yes"}, "`log` was 'yes', but must be true or false"),
        ({"low": 0.0, "high": 1.0, "log": True}, "must begin above 0 and have no step"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "must begin above 0 and have no step"),
        ({"low": 0.0, "high": 1.0, "step": 0.3}, "steps of it do not lead from 0.0 to 1.0"),
        ({"low": 0, "high": 10, "step": 2.5}, "`step` was 2.5 in a range of whole numbers"),
        ({"low": 0, "high": 10, "step": 0}, "`step` was 0, but steps of it do not lead"),
        ({"choices": [0.5]}, "must be at least two values, each once"),
        ({"choices": [1, 1]}, "must be at least two values, each once"),
        ({"low": 1, "hihg": 2}, "must be a table of low and high"),
        ({"low": 1, "high": 2, "choices": [1, 2]}, "must be a table of low and high"),
        ([1, 2], "must be a table of low and high"),
        (0.1, "must be a table of low and high"),
    ],
)
def test_ranges_that_are_none_are_refused(where, message):
    with pytest.raises(ValueError, match=message):
        Space.from_dict({"search": {"optimizer.learning_rate": where}})


RATE = {"low": 0.1, "high": 0.2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"search": {}}, "searches nothing"),
        ({"search": {"units": {"choices": [1, 2]}}}, "`units` is no key that a search space"),
        ({"search": {"data.units": {"choices": [1, 2]}}}, "sections are arguments, optimizer"),
        ({"search": {"evaluation.ties": {"choices": ["a", "b"]}}}, "says how trials are measured"),
        ({"search": {"epochs": RATE}, "fixed": {"epochs": 2}}, "`epochs` is searched and fixed"),
        ({"search": RATE}, "`low` of a search space was 0.1"),
        ({"search": {"epochs": RATE}, "models": "gru4rec"}, "`models` of .* was 'gru4rec', but"),
        ({"search": {"epochs": RATE}, "models": 3}, "must be a list of names. Write e.g. models ="),
        ({"search": 3}, "A table of a search space was 3"),
        ({"serach": {}}, "Did you mean 'search'?"),
    ],
)
def test_files_that_are_no_space_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Space.from_dict(values)


def test_a_space_that_does_not_fit_the_recipe_is_refused_before_any_trial(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text("[search]\narguments.unit = { choices = [[5], [8]] }\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Did you mean 'arguments\.units'\?"):
        Space.load(file).check(GRU)
    file.write_text('[search]\nloss.name = { choices = ["top1", "bpr"] }\n[search', "utf-8")
    with pytest.raises(ValueError, match="is not a TOML file"):
        Space.load(file)
    with pytest.raises(ValueError, match="The space is for hrnn-all, but the recipe is 'gru4rec'"):
        Space.load("hrnn-all").check(GRU)
    with pytest.raises(ValueError, match="`space` was 'gru', but must be one of"):
        Space.load("gru")
    with pytest.raises(FileNotFoundError, match=r"`space` was '.*none.toml', but there is no such"):
        Space.load(tmp_path / "none.toml")
    # One of the losses has no `activation`: whatever is chosen, all keys must be there.
    losses = {"loss.name": Choices(("top1", "cross_entropy")), "loss.form": Choices(("a", "b"))}
    with pytest.raises(ValueError, match=r"`loss\.form` is no key of the recipe"):
        Space(losses).check(GRU)
