from dataclasses import replace

import numpy as np
import pytest

from hrec_tf import manifest
from hrec_tf.data.histories import Histories
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.models import HMRNN, HRNN, GRU4Rec
from hrec_tf.recommender import Recommender, rows_of_like_lengths
from tests.reference.made_explanations import ExplainingGRU, made_explanation
from tests.reference.neighbour_scores import similarities
from tests.reference.weights import fill_distinct

# Keras 3.15 saves a tf.Variable by np.array(), whose TensorFlow side knows no `copy` (NumPy 2).
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)

TEXT = ["tea", "jam", "rum", "gin, dry", "42", "ø"]
SUPPORTS = [9, 5, 5, 4, 2, 1]
NOON = 1_700_000_000


def made(raw_ids=TEXT, model=None):
    if model is None:
        model = HRNN(num_items=6, session_units=4, user_units=3)
        fill_distinct(model)
    descriptions = {"tea": "leaves"}
    return Recommender(model, Vocabulary(raw_ids, SUPPORTS), descriptions=descriptions)


RECOMMENDER = made()


def items(recommendations):
    return [item for item, _ in recommendations]


def test_raw_ids_go_in_and_come_out():
    """Golden: scores are those of the model on the numbers 1, 2 with flags written by hand."""
    model = RECOMMENDER.model
    hidden, states = model.step([1], [True], [True], model.step_states(1))
    hidden, _ = model.step([2], [False], [False], states)
    logits = model.score(hidden).numpy()[0]
    found = RECOMMENDER.recommend([("tea", NOON), ("jam", NOON + 60)], k=6, exclude_seen=False)
    assert items(found) == [TEXT[place] for place in np.argsort(-logits)]
    np.testing.assert_allclose(
        [score for _, score in found], np.sort(logits)[::-1], rtol=1e-5, atol=1e-6
    )


def test_whole_numbers_are_ids_too():
    found = made(raw_ids=[70, -1, 5, 10**12, 0, 3]).recommend([(70, NOON), (-1, NOON)], k=4)
    assert set(items(found)) == {5, 10**12, 0, 3}
    assert all(type(item) is int for item in items(found))


def test_a_new_user_gets_the_most_frequent_items():
    assert items(RECOMMENDER.recommend(k=3)) == ["tea", "jam", "rum"]
    assert items(RECOMMENDER.recommend(["never seen"], k=3)) == ["tea", "jam", "rum"]


def test_seen_items_are_left_out_unless_asked_for():
    history = [("tea", NOON), ("ø", NOON + 5)]
    assert set(items(RECOMMENDER.recommend(history, k=6))) == set(TEXT) - {"tea", "ø"}
    assert set(items(RECOMMENDER.recommend(history, k=6, exclude_seen=False))) == set(TEXT)


def test_other_histories_before_the_same_session_change_the_scores():
    session = [("tea", NOON), ("jam", NOON + 60)]
    before = [[("rum", NOON - 9000), ("42", NOON - 8000)], [("ø", NOON - 9000), ("ø", NOON - 1)]]
    first, second = (
        dict(RECOMMENDER.recommend([*old, *session], k=6, exclude_seen=False)) for old in before
    )
    assert max(abs(first[item] - second[item]) for item in TEXT) > 1e-4


def test_a_batch_is_its_rows():
    histories = [[("tea", NOON)], [], ["jam", "rum", "jam"]]
    batch = RECOMMENDER.recommend_batch(histories, k=3)
    for history, row in zip(histories, batch, strict=True):
        alone = RECOMMENDER.recommend(history, k=3)
        assert items(row) == items(alone)
        np.testing.assert_allclose([s for _, s in row], [s for _, s in alone], rtol=1e-5)
    assert RECOMMENDER.recommend_batch([], k=3) == []


def test_rows_of_a_batch_are_asked_with_those_of_like_length():
    lengths = [1000, 3, 249, 251, 33, 0, 62, 63]
    assert rows_of_like_lengths(lengths) == [[0, 3], [2, 7], [6, 4, 1, 5]]
    assert rows_of_like_lengths([5, 0, 128, 1]) == [[2, 0, 3, 1]]
    assert rows_of_like_lengths([]) == []


def test_a_batch_of_long_and_short_histories_is_its_rows():
    histories = [["tea"], ["jam", "tea"] * 200, [], ["rum"] * 60]
    batch = RECOMMENDER.recommend_batch(histories, k=3, exclude_seen=False)
    for history, row in zip(histories, batch, strict=True):
        alone = RECOMMENDER.recommend(history, k=3, exclude_seen=False)
        assert items(row) == items(alone)
        np.testing.assert_allclose([s for _, s in row], [s for _, s in alone], rtol=1e-5)
    assert len({tuple(items(row)) for row in batch}) > 1


def test_candidates_are_ranked_among_themselves():
    history = [("tea", NOON)]
    scores = dict(RECOMMENDER.recommend(history, k=6, exclude_seen=False))
    asked = ["ø", "jam", "jam", "never seen", "tea"]
    found = RECOMMENDER.recommend(history, k=6, candidates=asked, exclude_seen=False)
    assert items(found) == sorted(["ø", "jam", "tea"], key=scores.get, reverse=True)
    np.testing.assert_allclose(
        [s for _, s in found],
        sorted((s for i, s in scores.items() if i in asked), reverse=True),
        rtol=1e-5,
    )
    assert set(items(RECOMMENDER.recommend(history, candidates=asked, k=6))) == {"ø", "jam"}
    assert RECOMMENDER.recommend(history, candidates=["never seen"], k=3) == []
    assert items(RECOMMENDER.recommend([], candidates=["jam", "tea"], k=1)) == ["tea"]
    denied = {"candidates": asked, "deny": ["jam", "never seen"]}
    assert items(RECOMMENDER.recommend(history, k=6, **denied)) == ["ø"]


def test_denied_items_are_left_out():
    history = [("tea", NOON)]
    whole = RECOMMENDER.recommend(history, k=6, exclude_seen=False)
    found = RECOMMENDER.recommend(history, k=6, exclude_seen=False, deny=["ø", "never seen", "jam"])
    assert found == [one for one in whole if one.item not in ("ø", "jam")]


def test_texts_of_items():
    assert RECOMMENDER.describe("tea") == "leaves"
    assert RECOMMENDER.describe("jam") == ""


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, ValueError, "`k` must be a positive int, but was 0"),
        ({"k": 7}, ValueError, "`k` was 7, but the catalogue has 6 items"),
        ({"k": 2.0}, ValueError, "`k` must be a positive int, but was 2.0"),
        ({"history": [(5, NOON)]}, TypeError, "In `history`: .*text"),
        ({"history": ["tea", None]}, ValueError, "In `history`: .*row 1"),
        ({"history": [("tea", NOON), ("jam", 5)]}, ValueError, "go back at row 1"),
        ({"history": "tea"}, TypeError, "`history` was 'tea'"),
        ({"candidates": [5]}, TypeError, "In `candidates`: "),
        ({"candidates": "tea"}, TypeError, "In `candidates`: "),
        ({"deny": [5]}, TypeError, "In `deny`: "),
    ],
)
def test_bad_questions_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        RECOMMENDER.recommend(**{"k": 3} | arguments)


def test_the_row_of_a_batch_is_named():
    with pytest.raises(TypeError, match=r"In `histories\[1\]`: "):
        RECOMMENDER.recommend_batch([["tea"], [5]], k=3)
    with pytest.raises(ValueError, match=r"Times of `histories\[1\]` go back at row 1"):
        RECOMMENDER.recommend_batch([[], [("tea", 9), ("tea", 8)]], k=3)


def changed(folder, name, edit):
    """Rewrites a file, and the manifest to match: what a forger would do."""
    path = folder / name
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    manifest.write(folder, kind="recommender", about={})


@pytest.mark.integration
def test_reminders_and_neighbours_are_saved_with_the_network(tmp_path):
    sizes = {"session_units": 4, "user_units": 3, "reminders": 4, "neighbours": 2}
    model = HRNN(num_items=6, neighbour_weight=0.5, **sizes)
    model.set_neighbours(similarities(6, 2))
    fill_distinct(model)
    kept = made(model=model)
    again = Recommender.load(kept.save(tmp_path / "kept"))
    asked = {"history": [("tea", NOON), ("jam", NOON + 60)], "k": 6, "exclude_seen": False}
    assert again.recommend(**asked) == kept.recommend(**asked)
    network = HRNN(num_items=6, session_units=4, user_units=3)
    for mine, other in zip(network.weights, model.weights[: len(network.weights)], strict=True):
        mine.assign(other)
    assert made(model=network).recommend(**asked) != kept.recommend(**asked)


def popular(**arguments):
    model = HRNN(num_items=6, session_units=4, user_units=3, popular=6, **arguments)
    fill_distinct(model)
    model.set_popular(
        replace(Histories.from_lists([[[1, 2]]], num_items=6), timestamps=np.array([NOON, NOON]))
    )
    return made(model=model)


def test_events_of_others_are_counted_and_lists_follow():
    """What was counted before and what is unknown is passed over, in any order."""
    recommender, asked = popular(popular_moments=20), {"history": [("tea", NOON + 9_000)], "k": 6}
    before, number = dict(recommender.recommend(**asked)), recommender.inference.model_number
    came = [("jam", NOON + 7_300), ("no such", NOON + 7_200), ("jam", NOON + 7_200), ("tea", NOON)]
    assert recommender.count_on(came) == 2
    assert recommender.inference.model_number != number
    gains = {item: score - before[item] for item, score in recommender.recommend(**asked)}
    assert max(gains, key=gains.get) == "jam" and gains["jam"] > 0
    assert recommender.count_on(came) == recommender.count_on([("no such", NOON + 9_000)]) == 0


@pytest.mark.parametrize(
    ("events", "error", "message"),
    [
        ([], ValueError, "`events` is empty. Pass"),
        (
            [("tea", 0.5)],
            TypeError,
            r"`events` has the time 0\.5 \(row 0\), but .* Pass for example int",
        ),
        (["ab"], TypeError, "`events` has 'ab' at row 0, but each must be a pair. Pass"),
        (
            [("tea", NOON * 1000)],
            ValueError,
            r"time 1700000000000 \(row 0\), .* Divide milliseconds",
        ),
        ([("tea", NOON * 50)], ValueError, r"the time 85000000000 at row 0, .* a day from now"),
        ([(5, NOON)], TypeError, "In `events`: "),
    ],
)
def test_events_that_cannot_be_counted_are_refused(events, error, message):
    with pytest.raises(error, match=message):
        popular(popular_moments=2).count_on(events)
    with pytest.raises(ValueError, match=r"with a HRNN that counts no popularity .* Train an hrnn"):
        RECOMMENDER.count_on([("tea", NOON)])


@pytest.mark.integration
@pytest.mark.parametrize("raw_ids", [TEXT, [70, -1, 5, 10**12, 0, 3]])
def test_what_was_saved_answers_alike(raw_ids, tmp_path):
    saved = made(raw_ids)
    folder = saved.save(tmp_path / "kept")
    again = Recommender.load(folder)
    history = [(raw_ids[0], NOON), (raw_ids[4], NOON + 4000)]
    assert again.recommend(history, k=4) == saved.recommend(history, k=4)
    assert again.descriptions == saved.descriptions
    assert again.idle_minutes == saved.idle_minutes == 30
    assert again.inference.model_number == saved.inference.model_number
    assert Recommender.load(folder, idle_minutes=None).idle_minutes is None
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(ValueError, match="which exists, and nothing is overwritten"):
        saved.save(folder)


def test_a_folder_that_was_changed_is_refused(tmp_path):
    folder = RECOMMENDER.save(tmp_path / "kept")
    settings = folder / "recommender.toml"
    settings.write_text(settings.read_text().replace("= 4", "= 5", 1))
    with pytest.raises(ValueError, match=r"recommender.toml"):
        Recommender.load(folder)


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("recommender.toml", lambda s: s.replace('"HRNN"', '"Lambda"'), "`class` was 'Lambda'"),
        ("recommender.toml", lambda s: s + "evil = 1\n", "`arguments` was 'evil'"),
        ("recommender.toml", lambda s: "danger = 1\n" + s, "`key of .*` was 'danger'"),
        ("recommender.toml", lambda s: s.replace("recommender 1", "recommender 9"), "the format"),
        (
            "recommender.toml",
            lambda s: s.replace("session_units = 4", "session_units = 5"),
            "model.weights.h5 does not fit",
        ),
        (
            "recommender.toml",
            lambda s: s.replace("session_units = 4", "session_units = 100000"),
            "`session_units` is 100000, for which [0-9,]+ bytes of weights are too few",
        ),
        ("vocabulary.txt", lambda s: s.replace("\njam\n", "\nham\n"), "item numbers would mean"),
    ],
)
def test_files_that_do_not_fit_one_another_are_refused(tmp_path, name, edit, message):
    folder = RECOMMENDER.save(tmp_path / "kept")
    changed(folder, name, edit)
    with pytest.raises(ValueError, match=message):
        Recommender.load(folder)


def test_weights_of_another_model_of_the_same_shape_are_refused(tmp_path):
    folder = RECOMMENDER.save(tmp_path / "kept")
    other = HRNN(num_items=6, session_units=4, user_units=3, seed=5)
    weights = made(model=other).save(tmp_path / "other") / "model.weights.h5"
    (folder / "model.weights.h5").write_bytes(weights.read_bytes())
    manifest.write(folder, kind="recommender", about={})
    with pytest.raises(ValueError, match=r"is not the file that recommender.toml .* written for"):
        Recommender.load(folder)


def test_a_place_that_cannot_be_written_is_named():
    with pytest.raises(OSError, match=r"'/proc/kept' could not be written: .*choose another place"):
        RECOMMENDER.save("/proc/kept")


def test_texts_by_numpys_numbers_are_kept(tmp_path):
    ids = np.array([70, -1, 5, 9, 0, 3])
    model = RECOMMENDER.model
    texts = dict(zip(ids, "abcdef", strict=True))
    folder = Recommender(model, Vocabulary(ids, SUPPORTS), descriptions=texts).save(tmp_path / "r")
    assert Recommender.load(folder).describe(70) == "a"


def test_a_class_of_ones_own_is_not_saved(tmp_path):
    class Mine(GRU4Rec):
        pass

    with pytest.raises(ValueError, match=r"`model` is a Mine, but only classes of the registry"):
        made(model=Mine(num_items=6, units=(3,))).save(tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_be_used_is_refused():
    with pytest.raises(ValueError, match="`vocabulary` has 6 items, but the model knows 5"):
        made(model=GRU4Rec(num_items=5, units=(3,)))
    broken = GRU4Rec(num_items=6, units=(3,))
    broken.weights[0].assign(broken.weights[0] * float("nan"))
    with pytest.raises(ValueError, match="NaN or infinity"):
        made(model=broken)


@pytest.fixture(scope="module")
def explaining():
    return made(model=ExplainingGRU(num_items=6, units=(4,)))


def test_the_last_session_is_explained_with_raw_ids_and_times(explaining):
    history = [("jam", 0), ("tea", NOON), ("coal", NOON + 30), ("ø", NOON + 60)]
    found = explaining.explain(history)
    assert found.raw_ids == ("tea", "ø")
    assert found.item_ids.tolist() == [1, 6] and found.timestamps.tolist() == [NOON, NOON + 60]
    for name, weights in made_explanation([1, 6]).attentions.items():
        np.testing.assert_array_equal(found.attentions[name], weights)


def test_an_unknown_item_can_begin_the_session_that_is_explained(explaining):
    """As for a recommendation: its time counts, though it is no event for the model."""
    history = [("jam", NOON), ("coal", NOON + 1801), ("tea", NOON + 3601)]
    assert explaining.explain(history).raw_ids == ("tea",)
    kept = [history[0], ("tea", NOON + 1800)]
    assert explaining.explain(kept).raw_ids == ("jam", "tea")


def test_without_an_idle_time_the_whole_history_is_explained():
    model = ExplainingGRU(num_items=6, units=(4,))
    recommender = Recommender(model, Vocabulary(TEXT, SUPPORTS), idle_minutes=None)
    assert recommender.explain([("jam", 0), ("tea", NOON)]).raw_ids == ("jam", "tea")


def test_a_model_of_whole_histories_explains_all_with_gaps_and_session_starts():
    """Of an unknown item, the session that it began counts, and the gap runs over it."""
    model = HMRNN(num_items=6, item_dim=2, units=3, use_gaps=True, seed=0)
    history = [("jam", 0), ("tea", 60), ("coal", 4000), ("ø", 4060), ("jam", 4090)]
    found = made(model=model).explain(history)
    assert found.raw_ids == ("jam", "tea", "ø", "jam")
    assert found.session_start.tolist() == [True, False, True, False]
    expected = model.explain([found.item_ids], gaps=[0, 60, 4000, 30])
    np.testing.assert_array_equal(found.boundaries["z1"], expected.boundaries["z1"])


def test_a_model_that_reads_the_latest_events_explains_those():
    model = ExplainingGRU(num_items=6, units=(4,))
    model.max_length = 2
    found = made(model=model).explain([("tea", 3), ("jam", 4), ("rum", 5)])
    assert found.raw_ids == ("jam", "rum") and found.timestamps.tolist() == [4, 5]


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ([], "`history` has 0 events in its last session, none of an item that the model knows"),
        (
            [("tea", 0), ("coal", NOON)],
            "has 1 events in its last session, none .* Pass at least one item",
        ),
        ([("tea", 5), ("jam", 4)], "Times of `history` go back"),
    ],
)
def test_a_history_that_cannot_be_explained_is_refused(explaining, history, message):
    with pytest.raises(ValueError, match=message):
        explaining.explain(history)


def test_a_model_that_cannot_explain_is_refused():
    with pytest.raises(ValueError, match=r"is a HRNN, which has no attention .* Choose a model"):
        RECOMMENDER.explain(["tea"])


def test_an_explanation_of_other_events_is_refused():
    class Astray(ExplainingGRU):
        def explain(self, item_ids):
            return made_explanation(item_ids[:1])

    recommender = made(model=Astray(num_items=6, units=(4,)))
    with pytest.raises(ValueError, match="Astray explained 1 events, which are not the 2 that it"):
        recommender.explain(["tea", "jam"])
