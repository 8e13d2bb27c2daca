from hrec_tf.settings import Difference, first_difference, flat

NESTED = {"seed": 3, "recipe": {"name": "a", "loss": {"name": "top1", "logq": 0.0}, "ks": [1, 5]}}


def test_nested_settings_become_dotted_names():
    assert flat(NESTED) == {
        "seed": 3,
        "recipe.name": "a",
        "recipe.loss.name": "top1",
        "recipe.loss.logq": 0.0,
        "recipe.ks": [1, 5],
    }


def test_the_first_difference_in_order_is_named():
    assert first_difference(flat(NESTED), flat(NESTED)) is None
    other = {"seed": 3, "ks": 2, "at": 1}
    assert first_difference({"at": 2, "ks": 1, "seed": 3}, other) == Difference("ks", 1, 2)


def test_a_setting_that_only_one_side_has_is_a_difference():
    assert first_difference({"seed": 3}, {"seed": 3, "at": None}) == ("at", "nothing", None)
    assert first_difference({"seed": 3, "at": 0}, {"seed": 3}) == ("at", 0, "nothing")
