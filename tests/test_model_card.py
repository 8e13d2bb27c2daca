"""Model cards: each kind of log and of model gets the words that are true of it."""

from hrec_tf import model_card
from hrec_tf.data.log_source import LogSource
from hrec_tf.recipe import Recipe
from tests.reference import prefix_mean
from tests.reference.tiny_log import COLUMNS, write_ring_log


def card(log, model="gru4rec", recipe=None, **more):
    return model_card.text(
        recipe=recipe or Recipe.load("quadrana2017", model),
        log=log,
        seed=5,
        num_items=20,
        **{"metrics": {"Recall@5": 0.25, "num_points": 1234, "ties": "standard"}, **more},
    )


def test_a_named_log_brings_its_terms():
    text = card(LogSource("online-retail"), validation=True)
    assert "CC BY 4.0" in text and "- Files: online-retail/purchases.tsv.gz" in text
    assert "| Recall@5 | 0.2500 |" in text and "| num_points | 1,234 |" in text
    assert "was held back for validation" in text
    assert "events in" not in text, "without histories nothing is known of them"


def test_a_split_in_place_of_the_logs_own_is_named():
    log = LogSource("online-retail", split={"name": "temporal", "days": 30})
    text = card(log, validation=True)
    assert "last session out. In place of that split: temporal(days=30)." in text
    assert "Split: temporal(days=30). Every event" in text
    assert "The last period of training was held back for validation." in text


def test_a_log_without_terms_says_so():
    assert "- Terms of use: not stated here" in card(LogSource("ml-100k"))


def test_serving_limits_are_those_of_the_log(tmp_path):
    path = str(write_ring_log(tmp_path / "log.csv", num_users=1))
    assert "a whole history is one session" in card(LogSource("ml-100k"))
    preparation = {"idle_minutes": 45, "drop_repeats": False}
    reading = {**COLUMNS, "session": None}
    text = card(LogSource(path, reading=reading, preparation=preparation))
    assert "after 45 idle minutes" in text
    assert "repeats of an item" not in text
    assert "repeats of an item" in card(LogSource(path, reading=COLUMNS))
    assert "- preparation.idle_minutes: 45" in text
    assert str(tmp_path) not in text


def test_a_model_that_reads_prefixes_has_no_step_where_it_is_served():
    log = LogSource("online-retail")
    assert "has no `step`" not in card(log)
    narm = Recipe.from_dict(prefix_mean.VALUES | {"model": "narm"})
    assert "it answers `recommend` and `score`, and has no `step`" in card(log, recipe=narm)


def test_a_counted_model_is_not_called_trained():
    text = card(LogSource("online-retail"), model="item-knn")
    assert "counted from the data, seed 5" in text
    assert "it cannot be served alone" in text
    assert "idle minutes unless" not in text


def test_a_card_says_that_weights_are_averaged():
    recipe = Recipe.load("quadrana2017", "gru4rec").with_changes({"average_from": 4})
    text = card(LogSource("online-retail"), recipe=recipe)
    assert "trained for 10 epochs, its weights averaged from epoch 4 on, seed 5" in text
