from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hrec_tf import inference
from hrec_tf.data import Histories
from hrec_tf.data.prefixes import lay_out_rows, prefix_rows
from hrec_tf.inference import UNFILLED, Inference
from hrec_tf.models import HRNN, GRU4Rec, HiRNN, LSTM4Rec, RNNConcat
from hrec_tf.schema import ITEM_IDS, MINUTE, POSITIONS, SESSION_START, USER_START
from tests.reference.neighbour_scores import similarities
from tests.reference.tiny_prefix_model import TinyPrefixModel, TinySequenceModel
from tests.reference.weights import fill_distinct

pytestmark = pytest.mark.xdist_group("inference")

NUM_ITEMS = 6
SUPPORTS = np.array([9, 5, 5, 4, 2, 1])
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
IDLE = 1800

histories = st.lists(
    st.tuples(st.integers(0, NUM_ITEMS), st.sampled_from([0, 60, IDLE, IDLE + 1, 10**6])),
    max_size=8,
)


def distinct(model):
    fill_distinct(model)
    return model


def reminding():
    """An HRNN whose scores are also of what the user had, and of items like it."""
    sizes = {"session_units": 4, "user_units": 3, "reminders": 4}
    model = HRNN(num_items=NUM_ITEMS, neighbours=2, neighbour_weight=0.5, **sizes)
    model.set_neighbours(similarities(NUM_ITEMS, 2))
    return distinct(model)


STEPWISE = {
    "lstm": distinct(LSTM4Rec(num_items=NUM_ITEMS, units=(4,))),
    "concat": distinct(RNNConcat(num_items=NUM_ITEMS, units=(4,))),
    "session": distinct(GRU4Rec(num_items=NUM_ITEMS, units=(4,))),
    "user": distinct(HRNN(num_items=NUM_ITEMS, session_units=4, user_units=3)),
    "gaps": distinct(
        HiRNN(num_items=NUM_ITEMS, item_dim=3, short_units=4, long_units=3, segment_minutes=30)
    ),
    "fed": distinct(HRNN(num_items=NUM_ITEMS, session_units=4, user_units=3, feed_last_item=True)),
    "heads": reminding(),
}
PREFIXES = {
    "prefixes": distinct(TinyPrefixModel(num_items=NUM_ITEMS)),
    "latest": distinct(TinyPrefixModel(num_items=NUM_ITEMS, max_length=3)),
    "sequences": distinct(TinySequenceModel(num_items=NUM_ITEMS)),
}
MODELS = STEPWISE | PREFIXES
INFERENCES = {name: Inference(model, SUPPORTS) for name, model in MODELS.items()}
RECOMMEND = {
    name: tf.function(
        lambda ids, times, lengths, exclude, one=one: one.recommend(
            ids, times, lengths, exclude, k=NUM_ITEMS
        ),
        autograph=False,
        reduce_retracing=True,
    )
    for name, one in INFERENCES.items()
}
STEP = {
    name: tf.function(
        lambda ids, times, state, info, one=one: one.step(ids, times, state, info, k=NUM_ITEMS),
        autograph=False,
    )
    for name, one in INFERENCES.items()
    if "step" in one.signatures
}


def recommend(name, events, *, exclude_seen=False):
    """The answer for one history of (item id, seconds)."""
    ids = np.array([[item for item, _ in events]], np.int32).reshape(1, -1)
    times = np.array([[seconds for _, seconds in events]], np.int64).reshape(1, -1)
    return RECOMMEND[name](
        tf.constant(ids),
        tf.constant(times),
        tf.constant([len(events)]),
        tf.constant([exclude_seen]),
    )


def by_item(answer, row=0):
    """Scores (num_items,) in the order of the item ids."""
    order = np.argsort(answer.item_ids[row])
    return answer.scores.numpy()[row][order]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("exclude_seen", [False, True])
def test_the_best_of_a_large_catalogue_are_found_block_by_block(name, exclude_seen, monkeypatch):
    """Also what nobody is left for, and shares, of which two are equal."""
    monkeypatch.setattr(inference, "LARGE", NUM_ITEMS)
    monkeypatch.setattr(inference, "BLOCK", 4)
    ids = tf.constant([[5, 2, 6, 2], [1, 0, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4]])
    times = tf.constant([[0, 60, 70, 9000], [3, 0, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4]], tf.int64)
    asked = ids, times, tf.constant([4, 1, 0, 4]), tf.fill([4], exclude_seen)
    one = INFERENCES[name]
    by_blocks = tf.function(lambda *given: one.recommend(*given, k=5), autograph=False)(*asked)
    whole = RECOMMEND[name](*asked)
    np.testing.assert_array_equal(by_blocks.item_ids, whole.item_ids[:, :5])
    np.testing.assert_allclose(by_blocks.scores, whole.scores[:, :5], **FLOAT32_NOISE)
    assert (by_blocks.item_ids.numpy()[3] == 0).sum() == (3 if exclude_seen else 0)


@pytest.fixture(scope="module")
def of_the_hour():
    """A model with a popularity of the hour: item 1 at 0 s, item 6 an hour later."""
    sizes = {"session_units": 4, "user_units": 3, "reminders": 2}
    model = distinct(HRNN(num_items=NUM_ITEMS, popular=4, popular_moments=20, **sizes))
    taken = Histories.from_lists([[[1, 6]]], num_items=NUM_ITEMS)
    model.heads.recent.amount.assign([2.0])
    model.set_popular(replace(taken, timestamps=np.array([0, 3600])))
    return model


def asked_at(model, events, at, candidates=range(1, NUM_ITEMS + 1)):
    """Scores (num_items,) after events of (item id, seconds), asked at a time."""
    ids = np.array([[item for item, _ in events]], np.int32)
    times = np.array([[seconds for _, seconds in events]], np.int64)
    given = (ids, times, [len(events)], [list(candidates)])
    return Inference(model, SUPPORTS).score(
        *map(tf.constant, given), at=tf.constant([at], tf.int64)
    )[0]


def test_a_popularity_of_the_hour_is_that_of_the_time_of_asking(of_the_hour):
    """At the last event it is what a stream is told; later it is as if that event had come then,
    but for what its session is."""
    events = [(2, 0), (3, 600)]
    streamed = {
        ITEM_IDS: [[2, 3]],
        SESSION_START: [[True, False]],
        USER_START: [[True, False]],
        MINUTE: [[0, 10]],
    }
    hidden = of_the_hour({name: tf.constant(values) for name, values in streamed.items()})
    now = asked_at(of_the_hour, events, 600)
    np.testing.assert_allclose(now, of_the_hour.score(hidden)[0, -1], **FLOAT32_NOISE)
    streamed[MINUTE] = [[0, 75]]
    hidden = of_the_hour({name: tf.constant(values) for name, values in streamed.items()})
    later = asked_at(of_the_hour, events, 75 * 60 + 59)
    np.testing.assert_allclose(later, of_the_hour.score(hidden)[0, -1], **FLOAT32_NOISE)
    assert (later - now)[5] > 0.01 and abs((later - now)[1]) < 1e-5


def test_a_new_user_gets_what_is_taken_at_the_time_of_asking(of_the_hour):
    """Golden: an hour on (τ 1 h) item 6 has twice the share of item 1; before, there is none, and
    the most frequent ones of training come first. Also of an unknown item alone."""
    one = Inference(of_the_hour, SUPPORTS)
    ids, times = tf.zeros((2, 1), tf.int32), tf.constant([[0], [-9]], tf.int64)
    asked = ids, times, tf.constant([0, 1]), tf.constant([True, True])
    found = one.recommend(*asked, k=3, at=tf.constant([7_200, 3_000], tf.int64))
    assert found.item_ids.numpy()[0].tolist() == [6, 1, 2]
    np.testing.assert_allclose(found.scores[0], [2 / 3, 1 / 3, 0], atol=1e-6)
    assert found.item_ids.numpy()[1].tolist() == [1, 2, 3]
    before = one.recommend(*asked, k=3, at=tf.constant([-60, 0], tf.int64))
    assert before.item_ids.numpy()[0].tolist() == [1, 2, 3]
    # A time of 0 says nothing: the last moment holds, at minute 70.
    shares = np.array([2 ** -(7 / 6), 2 ** -(1 / 6)])
    np.testing.assert_allclose(before.scores[1, :2], shares[::-1] / shares.sum(), atol=1e-6)
    candidates = tf.constant([[1, 6, 0], [6, 5, 1]])
    scores = one.score(*asked[:3], candidates, at=tf.constant([7_200, 7_200], tf.int64))
    expected = [[1 / 3, 2 / 3, UNFILLED], [2 / 3, 0, 1 / 3]]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_steps_are_asked_at_any_time_and_keep_nothing_of_it(of_the_hour):
    """Also an unknown item: what is told of the hour is that of the asking, not of its event."""
    one, at = Inference(of_the_hour, SUPPORTS), [0, 4500, 4600, 9000]
    events = [(2, 0), (3, 600), (0, 700), (4, 800)]
    state = tf.zeros((1, one.state_size)), tf.zeros((1, one.info_size), tf.int64)
    for row, (item, seconds) in enumerate(events):
        asked = tf.constant([at[row]], tf.int64)
        event = tf.constant([item]), tf.constant([seconds], tf.int64)
        answer = one.step(*event, *state, k=NUM_ITEMS, at=asked)
        state = answer.state, answer.state_info
        expected = asked_at(of_the_hour, events[: row + 1], at[row])
        np.testing.assert_allclose(by_item(answer), expected, **FLOAT32_NOISE)


def scores_of(model, item_ids, session_start, user_start):
    """What the model says after events with flags that were written by hand."""
    rows = {ITEM_IDS: item_ids, SESSION_START: session_start, USER_START: user_start}
    hidden, _ = model.encode(
        {name: tf.constant([values]) for name, values in rows.items()}, model.initial_states(1)
    )
    return model.score(hidden[:, -1])[0]


def test_sessions_are_cut_by_gaps_above_the_threshold_only():
    """1800 s stay inside a session, 1801 s do not; HRNN is not fed a session's last event."""
    events = [(1, 0), (2, 1800), (3, 3601), (4, 3602)]
    expected = scores_of(MODELS["user"], [1, 3, 4], [True, True, False], [True, False, False])
    np.testing.assert_allclose(by_item(recommend("user", events)), expected, **FLOAT32_NOISE)
    expected = scores_of(
        MODELS["fed"], [1, 2, 3, 4], [True, False, True, False], [True, False, False, False]
    )
    np.testing.assert_allclose(by_item(recommend("fed", events)), expected, **FLOAT32_NOISE)
    expected = scores_of(MODELS["session"], [3, 4], [True, False], [True, False])
    np.testing.assert_allclose(by_item(recommend("session", events)), expected, **FLOAT32_NOISE)


@pytest.mark.parametrize(
    ("events", "read"),
    [
        ([(1, 0), (2, 1800), (3, 3601), (4, 3602)], [3, 4]),
        # An unknown item inside the session, before it, and in a session after it.
        ([(1, 0), (3, 9000), (0, 9001), (4, 9002)], [3, 4]),
        ([(1, 0), (0, 9000), (3, 9001), (4, 9002)], [3, 4]),
        ([(3, 0), (4, 60), (0, 9000)], [3, 4]),
        ([(5, 0), (1, 9000), (2, 9001), (3, 9002), (4, 9003)], [1, 2, 3, 4]),
    ],
)
@pytest.mark.parametrize("name", PREFIXES)
def test_a_prefix_is_the_last_session_that_holds_a_known_event(name, events, read):
    model = MODELS[name]
    read = read[-(model.max_length or 9) :]
    row = {ITEM_IDS: tf.constant([read]), POSITIONS: tf.constant([[len(read) - 1]])}
    expected = model.score(model.encode(row, [])[0][0, 0][None])[0]
    np.testing.assert_allclose(by_item(recommend(name, events)), expected, **FLOAT32_NOISE)


@pytest.mark.parametrize(
    ("name", "fed"),
    # The last known event is for `step`, which encodes it alone.
    [("session", [[3, 4]]), ("fed", [[1, 2, 3, 4]])],
)
def test_a_model_without_a_past_reads_the_last_session_alone(name, fed, monkeypatch):
    model, seen = MODELS[name], []

    def encode(events, states, training=False):
        seen.append(events[ITEM_IDS].numpy().tolist())
        return type(model).encode(model, events, states, training=training)

    monkeypatch.setattr(model, "encode", encode)
    ids, times = [[1, 2, 3, 4, 5, 0]], [[0, 60, 9000, 9001, 9002, 99_999]]
    history = tf.constant(ids), tf.constant(times, tf.int64), tf.constant([6])
    INFERENCES[name].recommend(*history, tf.constant([False]), k=1)
    assert seen[0] == fed


def test_a_gap_is_since_the_last_known_event():
    """As in a log whose unknown items were dropped."""
    with_unknown = [(1, 0), (0, 1700), (2, 3400), (0, 9000), (0, 9001), (3, 9002)]
    known = [(item, time) for item, time in with_unknown if item]
    expected = by_item(recommend("gaps", known))
    np.testing.assert_allclose(by_item(recommend("gaps", with_unknown)), expected, **FLOAT32_NOISE)
    later = [*known[:-1], (3, 900_000)]
    assert np.abs(by_item(recommend("gaps", later)) - expected).max() > 1e-3


@pytest.mark.parametrize("name", [name for name in MODELS if name != "gaps"])
def test_an_unknown_item_is_no_event_but_its_time_counts(name):
    # At 1700 and 3400 nothing known happens, and still the session lives on.
    kept_alive = [(1, 0), (0, 1700), (2, 3400)]
    np.testing.assert_allclose(
        by_item(recommend(name, kept_alive)),
        by_item(recommend(name, [(1, 0), (2, 1700)])),
        **FLOAT32_NOISE,
    )
    # A session that an unknown item begins is a new one for the known item after it.
    begun = [(1, 0), (3, 1), (0, 4000), (2, 4001)]
    np.testing.assert_allclose(
        by_item(recommend(name, begun)),
        by_item(recommend(name, [(1, 0), (3, 1), (2, 4000)])),
        **FLOAT32_NOISE,
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("events", [[], [(0, 5)], [(0, 5), (0, 9000)]])
def test_a_user_without_a_known_event_gets_the_most_frequent_items(name, events):
    answer = recommend(name, events)
    assert answer.item_ids.numpy().tolist() == [[1, 2, 3, 4, 5, 6]]
    np.testing.assert_allclose(answer.scores[0], SUPPORTS / SUPPORTS.sum(), rtol=1e-6)


@pytest.mark.parametrize("name", PREFIXES)
@settings(deadline=None, max_examples=25)
@given(gaps=histories, next_item=st.integers(1, NUM_ITEMS))
def test_a_prefix_is_that_of_evaluation(name, gaps, next_item):
    """Property: what is read is the row by which the next item of the session is ranked."""
    times = np.cumsum([gap for _, gap in gaps]).tolist()
    events = [(item, seconds) for (item, _), seconds in zip(gaps, times, strict=True)]
    sessions, before = [], None
    for item, seconds in events:
        if before is None or seconds - before > IDLE:
            sessions.append([])
        before = seconds
        sessions[-1] += [item] if item else []
    sessions = [session for session in sessions if session]
    assume(sessions)
    sessions[-1].append(next_item)
    user = Histories.from_lists([sessions], num_items=NUM_ITEMS)
    rows = prefix_rows(user, np.array([user.num_events - 1]), max_length=MODELS[name].max_length)
    prefix, _, _ = lay_out_rows(user, rows, layout="prefixes", batch_size=1)
    expected = MODELS[name].score(MODELS[name].encode(prefix, [])[0][:, 0])[0]
    np.testing.assert_allclose(by_item(recommend(name, events)), expected, **FLOAT32_NOISE)


def test_without_an_idle_time_a_history_is_one_session():
    one = Inference(MODELS["user"], SUPPORTS, idle_minutes=None)
    ids, times = np.array([[1, 2, 3]], np.int32), np.array([[0, 10**9, 10**10]], np.int64)
    answer = one.recommend(ids, times, tf.constant([3]), tf.constant([False]), k=NUM_ITEMS)
    expected = scores_of(MODELS["user"], [1, 2, 3], [True, False, False], [True, False, False])
    np.testing.assert_allclose(by_item(answer), expected, **FLOAT32_NOISE)
    one = Inference(MODELS["prefixes"], SUPPORTS, idle_minutes=None)
    answer = one.recommend(ids, times, tf.constant([3]), tf.constant([False]), k=NUM_ITEMS)
    at_once = by_item(recommend("prefixes", [(1, 0), (2, 0), (3, 0)]))
    np.testing.assert_allclose(by_item(answer), at_once, **FLOAT32_NOISE)


def test_padding_changes_nothing():
    events = [(1, 0), (2, 60), (3, 9000)]
    ids, times = np.full((2, 9), 5, np.int32), np.full((2, 9), -77, np.int64)
    ids[0, :3], times[0, :3] = zip(*events, strict=True)
    answer = RECOMMEND["user"](ids, times, tf.constant([3, 0]), tf.constant([True, True]))
    alone = recommend("user", events, exclude_seen=True)
    np.testing.assert_array_equal(answer.item_ids[0], alone.item_ids[0])
    np.testing.assert_allclose(answer.scores[0], alone.scores[0], **FLOAT32_NOISE)
    np.testing.assert_array_equal(answer.state_info[0], alone.state_info[0])
    assert not answer.state_info[1].numpy().any()
    assert not answer.state[1].numpy().any()


@pytest.mark.parametrize("name", PREFIXES)
def test_rows_of_prefixes_are_read_alone(name):
    """A short session beside a longer one, an empty history, and padding that holds items."""
    events = [[(1, 0), (2, 9000), (3, 9060)], [], [(4, 0), (5, 1), (6, 2), (1, 3), (2, 4)]]
    ids, times = np.full((3, 9), 5, np.int32), np.full((3, 9), -77, np.int64)
    for row, history in enumerate(events):
        for column, (item, seconds) in enumerate(history):
            ids[row, column], times[row, column] = item, seconds
    answer = RECOMMEND[name](ids, times, tf.constant([3, 0, 5]), tf.constant([True] * 3))
    for row, history in enumerate(events):
        alone = recommend(name, history, exclude_seen=True)
        np.testing.assert_array_equal(answer.item_ids[row], alone.item_ids[0])
        np.testing.assert_allclose(answer.scores[row], alone.scores[0], **FLOAT32_NOISE)
    # Items of earlier sessions are seen, too.
    assert 1 not in answer.item_ids[0] and 3 not in answer.item_ids[0]


def test_seen_items_leave_the_list_and_their_places_are_unfilled():
    answer = recommend("user", [(1, 0), (4, 60), (1, 61)], exclude_seen=True)
    kept = by_item(recommend("user", [(1, 0), (4, 60), (1, 61)]))
    assert set(answer.item_ids.numpy()[0, :4]) == {2, 3, 5, 6}
    assert answer.item_ids.numpy()[0, 4:].tolist() == [0, 0]
    assert answer.scores.numpy()[0, 4:].tolist() == [UNFILLED, UNFILLED]
    np.testing.assert_allclose(
        answer.scores[0, :4], np.sort(kept[[1, 2, 4, 5]])[::-1], **FLOAT32_NOISE
    )


@pytest.mark.parametrize("name", STEPWISE)
@settings(deadline=None, max_examples=25)
@given(gaps=histories)
def test_step_by_step_is_the_whole_history(name, gaps):
    """Property: after every event, scores and state are those of `recommend`."""
    times = np.cumsum([gap for _, gap in gaps]).tolist()
    events = [(item, seconds) for (item, _), seconds in zip(gaps, times, strict=True)]
    state = tf.zeros((1, INFERENCES[name].state_size))
    info = tf.zeros((1, INFERENCES[name].info_size), tf.int64)
    for position, (item, seconds) in enumerate(events, start=1):
        stepped = STEP[name](
            tf.constant([item], tf.int32), tf.constant([seconds], tf.int64), state, info
        )
        state, info = stepped.state, stepped.state_info
        whole = recommend(name, events[:position])
        np.testing.assert_allclose(by_item(stepped), by_item(whole), **FLOAT32_NOISE)
        np.testing.assert_allclose(stepped.state, whole.state, **FLOAT32_NOISE)
        np.testing.assert_array_equal(stepped.state_info, whole.state_info)


@pytest.mark.parametrize("name", ["user", "prefixes"])
def test_score_is_recommend_read_at_the_candidates(name):
    events = [(1, 0), (2, 60), (3, 9000)]
    ids, times = (np.array([values]) for values in zip(*events, strict=True))
    ids = np.repeat(ids.astype(np.int32), 2, axis=0)
    times = np.repeat(times.astype(np.int64), 2, axis=0)
    candidates = np.array([[6, 2, 0, 6], [1, 3, 0, 5]], np.int32)
    scores = INFERENCES[name].score(ids, times, tf.constant([3, 0]), candidates).numpy()
    every = by_item(recommend(name, events))
    np.testing.assert_allclose(scores[0, [0, 1, 3]], every[[5, 1, 5]], **FLOAT32_NOISE)
    np.testing.assert_allclose(scores[1, [0, 1, 3]], np.array([9, 5, 2]) / 26, rtol=1e-6)
    assert scores[:, 2].tolist() == [UNFILLED, UNFILLED]


def test_a_model_number_tells_weights_and_session_rules_apart():
    model = HRNN(num_items=NUM_ITEMS, session_units=4, user_units=3, seed=1)
    number = Inference(model, SUPPORTS).model_number
    same = HRNN(num_items=NUM_ITEMS, session_units=4, user_units=3, seed=1)
    assert Inference(same, SUPPORTS).model_number == number > 0
    assert Inference(model, SUPPORTS, idle_minutes=31).model_number != number
    model.weights[0].assign(model.weights[0] + 1e-6)
    assert Inference(model, SUPPORTS).model_number != number


def test_a_model_that_reads_prefixes_has_no_step():
    one = INFERENCES["prefixes"]
    assert (one.signatures, one.state_size) == (("recommend", "score"), 0)
    assert INFERENCES["user"].signatures == ("recommend", "step", "score")
    answer = recommend("prefixes", [(1, 0)])
    assert (answer.state, answer.state_info) == (None, None)
    assert set(answer.outputs()) == {"item_ids", "scores"}
    event = tf.constant([1]), tf.constant([0], tf.int64)
    with pytest.raises(ValueError, match=r"asked of TinyPrefixModel, which .* to `recommend`\."):
        one.step(*event, tf.zeros((1, 0)), tf.zeros((1, 4), tf.int64), k=2)


def test_bad_arguments_are_refused():
    class Inexact(GRU4Rec):
        incremental = False

    with pytest.raises(
        ValueError, match="`model` is a Inexact of layout 'session_parallel' without an exact"
    ):
        Inference(Inexact(num_items=NUM_ITEMS, units=(4,)), SUPPORTS)
    with pytest.raises(
        ValueError, match=r"`item_supports` has shape \(2,\), but the model knows 6"
    ):
        Inference(MODELS["user"], [1, 2])
    with pytest.raises(ValueError, match="`idle_minutes` must be a finite number"):
        Inference(MODELS["user"], SUPPORTS, idle_minutes=float("nan"))
