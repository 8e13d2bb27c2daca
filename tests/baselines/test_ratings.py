import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from hrec_tf.baselines.descent import Descent
from hrec_tf.baselines.ratings import (
    AutoRec,
    FactorizationMachine,
    GlobalAverage,
    RollingAverage,
)
from hrec_tf.baselines.ratings.factorization_machine import interactions
from hrec_tf.baselines.ratings.rating_baseline import rating_rows
from hrec_tf.data.histories import Histories

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS = 4
FEATURES = np.random.default_rng(0).normal(size=(NUM_ITEMS + 1, 2))
SMALL = {"epochs": 2, "batch_size": 3}
BY_USERS = partial(AutoRec, view="users", mask=0.5)
LEARNT = {
    "FM": partial(FactorizationMachine, factors=2, **SMALL),
    "FM with features": partial(FactorizationMachine, item_features=FEATURES, **SMALL),
    "AutoRec by users": partial(BY_USERS, units=3, **SMALL),
    "AutoRec by items": partial(AutoRec, units=3, **SMALL),
}
ALL = (GlobalAverage, RollingAverage, *LEARNT.values())


def rated(users, ratings, missing=(), num_items=NUM_ITEMS):
    """Users 1, 2, ... of sessions of item ids, a rating for each event, missing at some."""
    histories = Histories.from_lists(users, num_items=num_items)
    feedback = np.zeros((histories.num_events, 2))
    feedback[:, 0] = ratings
    feedback[list(missing), 1] = 1.0
    return replace(histories, feedback=feedback, user_ids=1 + np.arange(histories.num_users))


# Item means 1.5, 4, -, 0 (event 4 has no rating) and a mean of 7 / 4.
TRAINING = rated([[[1, 2]], [[1], [3, 4]]], [1, 4, 2, 9, 0], missing=[3])

users_strategy = st.lists(
    st.lists(st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=4), min_size=1, max_size=3),
    min_size=1,
    max_size=3,
)


@st.composite
def histories_strategy(draw):
    users = draw(users_strategy)
    count = sum(len(session) for user in users for session in user)
    # Ratings of 0 and repeated items are among them.
    ratings = draw(st.lists(st.sampled_from([-1.5, 0.0, 1.0, 2.5]), min_size=count, max_size=count))
    missing = draw(st.sets(st.integers(0, count - 1), max_size=count - 1))
    return rated(users, ratings, missing)


def ratings_before(histories, event):
    """Item and rating of the events before, in the same user, that have a rating."""
    user = np.searchsorted(histories.user_offsets, event, side="right") - 1
    return [
        (int(histories.item_ids[earlier]), histories.feedback[earlier, 0])
        for earlier in range(histories.user_offsets[user], event)
        if histories.feedback[earlier, 1] == 0
    ]


def means_by_item(pairs):
    """Item -> mean of its ratings."""
    return {
        item: np.mean([rating for other, rating in pairs if other == item])
        for item in {item for item, _ in pairs}
    }


def all_ratings(histories):
    return [
        (int(histories.item_ids[event]), histories.feedback[event, 0])
        for event in range(histories.num_events)
        if histories.feedback[event, 1] == 0
    ]


def fill_distinct(model, names, seed=1):
    rng = np.random.default_rng(seed)
    for name in names:
        values = getattr(model, name)
        setattr(model, name, rng.normal(size=values.shape).astype(values.dtype))
    return model


def assert_slopes(model, names, found, loss, *, width, atol):
    """Compares gradients with the slopes of a loss, parameter by parameter."""
    for name, gradients in zip(names, found, strict=True):
        values = getattr(model, name)
        assert gradients.shape == values.shape
        for place in np.ndindex(values.shape):
            held, losses = values[place].copy(), []
            for offset in (width, -width):
                values[place] = held + offset
                losses.append(loss())
            values[place] = held
            slope = (losses[0] - losses[1]) / (2 * width)
            assert gradients[place] == pytest.approx(slope, abs=atol), (name, place)


def test_global_average_is_the_mean_of_the_known_ratings():
    assert GlobalAverage().fit(TRAINING).predict(TRAINING, [3, 0]).tolist() == [1.75, 1.75]


def test_rolling_average_golden_values():
    """models D.7: item means 1.5, 4, none, 0; the first user rates 5, (missing), 2, 8."""
    histories = rated([[[2, 3], [1, 4]], [[3]]], [5, 7, 2, 8, 1], missing=[1])
    predicted = RollingAverage().fit(TRAINING).predict(histories, np.arange(5))
    np.testing.assert_allclose(
        predicted,
        [
            4,  # no rating before: item 2 alone
            5,  # item 3 was not rated in training: the user alone
            (1.5 + 5) / 2,  # the missing rating does not count
            (0 + (5 + 2) / 2) / 2,
            1.75,  # neither: the mean of all
        ],
        rtol=1e-12,
    )


@settings(deadline=None, max_examples=30)
@given(training=histories_strategy(), histories=histories_strategy())
def test_rolling_average_equals_the_slow_loops(training, histories):
    item_means = means_by_item(all_ratings(training))
    expected = []
    for event in range(histories.num_events):
        means = [item_means[item] for item in [histories.item_ids[event]] if item in item_means]
        if so_far := [rating for _, rating in ratings_before(histories, event)]:
            means.append(np.mean(so_far))
        expected.append(np.mean(means or [r for _, r in all_ratings(training)]))
    found = RollingAverage().fit(training).predict(histories, np.arange(histories.num_events))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), columns=st.integers(1, 6), factors=st.integers(1, 4))
def test_interactions_are_the_sum_over_pairs(seed, columns, factors):
    """models G.11: each two inputs once, none with itself."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, columns)) * (rng.random((3, columns)) < 0.7)
    V = rng.normal(size=(columns, factors))
    expected = [
        sum(V[i] @ V[j] * row[i] * row[j] for i, j in itertools.combinations(range(columns), 2))
        for row in x
    ]
    np.testing.assert_allclose(interactions(sparse.csr_array(x), V), expected, atol=1e-12)


def fm_inputs(histories, event, num_users, user=None):
    """x as the docstring has it: user, item, previous item, features."""
    x = np.zeros(num_users + 2 * NUM_ITEMS + 2)
    if user is not None:
        x[user] = 1
    x[num_users + histories.item_ids[event] - 1] = 1
    if event not in histories.user_offsets:
        x[num_users + NUM_ITEMS + histories.item_ids[event - 1] - 1] = 1
    x[num_users + 2 * NUM_ITEMS :] = FEATURES[histories.item_ids[event]]
    return x


def fm_output(model, x):
    pairs = itertools.combinations(range(len(x)), 2)
    crossed = sum(model.V[i] @ model.V[j] * x[i] * x[j] for i, j in pairs)
    return float(model.w_0[0]) + model.w @ x + crossed


FM_PARAMETERS = ("w_0", "w", "V")


@settings(deadline=None, max_examples=15)
@given(histories=histories_strategy(), told=st.booleans(), data=st.data())
def test_fm_predicts_as_the_slow_loops(histories, told, data):
    """A user's part is there if training had the user, and histories say so."""
    model = FactorizationMachine(factors=2, item_features=FEATURES, **SMALL).fit(TRAINING)
    fill_distinct(model, FM_PARAMETERS)
    user_ids = np.array(data.draw(st.permutations([0, 1, 2])))[: histories.num_users]
    asked = replace(histories, user_ids=user_ids if told else None)
    expected = []
    for event, user in enumerate(histories.user_of_event()):
        x = fm_inputs(histories, event, num_users=2)
        if told and user_ids[user]:
            x[user_ids[user] - 1] = 1
        expected.append(fm_output(model, x))
    predicted = model.predict(asked, np.arange(len(expected)))
    np.testing.assert_allclose(predicted, expected, rtol=1e-10, atol=1e-12)


def test_fm_gradients_are_the_slopes_of_its_loss():
    """Over the known ratings of training, where the user is known, too."""
    model = FactorizationMachine(factors=2, item_features=FEATURES, l2=0.3, **SMALL).fit(TRAINING)
    fill_distinct(model, FM_PARAMETERS)
    events, users = np.array([0, 1, 2, 4]), np.array([0, 0, 1, 1])
    rows = [
        fm_inputs(TRAINING, event, num_users=2, user=user)
        for event, user in zip(events, users, strict=True)
    ]
    ratings = TRAINING.feedback[events, 0]

    def loss():
        total = 0.0
        for x, rating in zip(rows, ratings, strict=True):
            total += (fm_output(model, x) - rating) ** 2 / 2
            squares = model.w**2 + (model.V**2).sum(axis=1)
            total += 0.3 / 2 * (x**2 @ squares)
        return total / len(rows)

    np.testing.assert_array_equal(model._inputs(TRAINING, events, users).toarray(), rows)
    found = model._gradients(sparse.csr_array(np.array(rows)), ratings)
    assert_slopes(model, FM_PARAMETERS, found, loss, width=1e-5, atol=1e-7)


def test_fm_without_vectors_is_linear():
    model = FactorizationMachine(factors=2, **SMALL).fit(TRAINING)
    model.w_0, model.V = np.array([0.5]), np.zeros_like(model.V)
    model.w = np.arange(10.0)  # two users, four items, four previous items
    histories = replace(rated([[[3, 1]]], [0, 0]), user_ids=np.array([2]))
    expected = [0.5 + 1 + 4, 0.5 + 1 + 2 + 8]
    np.testing.assert_allclose(model.predict(histories, [0, 1]), expected, rtol=1e-12)


def test_fm_predicts_the_mean_of_what_it_knows_nothing_of():
    """Item 3 has no rating in training, and no item came after it; item 4 came after it."""
    model = FactorizationMachine(**SMALL).fit(TRAINING)
    assert not model.w[2 + 2] and not model.V[2 + 2].any()
    assert model.V[2 + 3].any()
    predicted = model.predict(replace(rated([[[3]]], [0]), user_ids=np.array([0])), [0])
    np.testing.assert_array_equal(predicted, model.w_0)


AUTOREC_PARAMETERS = ("V", "mu", "W", "b")


def autorec_output(model, row, column):
    """h(r) at one place, in float64, from {place: rating}."""
    hidden = []
    for unit in range(model.units):
        z = float(model.mu[unit])
        for place, rating in row.items():
            z += float(model.V[place, unit]) * rating
        hidden.append(1 / (1 + np.exp(-z)))
    weights = [float(value) for value in model.W[column]]
    return sum(w * g for w, g in zip(weights, hidden, strict=True)) + float(model.b[column])


def test_autorec_golden_value():
    """models G.10: V r + μ = log 3 with r = 2 for item 1, so g = 3/4 and h = 8 · 3/4 + 1."""
    model = BY_USERS(units=1, **SMALL).fit(TRAINING)
    model.V[:] = np.array([[np.log(3) / 4], [9], [9], [9]])
    model.mu[:] = np.log(3) / 2
    model.W[:] = np.array([[5], [8], [9], [5]])
    model.b[:] = np.array([2, 1, 9, 2])
    predicted = model.predict(rated([[[1], [2, 3]]], [2, 0, 0]), [1, 2])
    # Item 3 was not rated in training, whatever its weights are: the mean of all.
    np.testing.assert_allclose(predicted, [7, 1.75], **FLOAT32_NOISE)


@settings(deadline=None, max_examples=20)
@given(histories=histories_strategy())
def test_autorec_folds_a_user_in_as_the_slow_loops(histories):
    model = fill_distinct(BY_USERS(units=3, **SMALL).fit(TRAINING), AUTOREC_PARAMETERS)
    expected = []
    for event in range(histories.num_events):
        so_far = means_by_item(ratings_before(histories, event))
        row = {item - 1: rating for item, rating in so_far.items()}
        item = histories.item_ids[event]
        expected.append(1.75 if item == 3 else autorec_output(model, row, item - 1))
    found = model.predict(histories, np.arange(histories.num_events))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_autorec_by_items_knows_the_users_of_training():
    """I-AutoRec: of items 2 and 1 there are the ratings of training, and none of item 3."""
    model = fill_distinct(AutoRec(units=3, **SMALL).fit(TRAINING), AUTOREC_PARAMETERS)
    histories = rated([[[2, 1]], [[2, 1, 3]]], [0] * 5)
    histories = replace(histories, user_ids=np.array([0, 2]))
    expected = [1.75] * 2 + [
        autorec_output(model, {0: 4.0}, 1),
        autorec_output(model, {0: 1.0, 1: 2.0}, 1),
        autorec_output(model, {}, 1),
    ]
    predicted = model.predict(histories, np.arange(5))
    np.testing.assert_allclose(predicted, expected, **FLOAT32_NOISE)


@pytest.mark.parametrize("untold", ["training", "histories"])
def test_autorec_by_items_must_be_told_who_users_are(untold):
    make, nobody = (
        partial(AutoRec, units=3, **SMALL),
        replace(TRAINING, user_ids=None),
    )
    with pytest.raises(ValueError, match="`histories` has no `user_ids`, but"):
        if untold == "training":
            make().fit(nobody)
        make().fit(TRAINING).predict(nobody, [0])


@pytest.mark.parametrize("view", ["users", "items"])
def test_autorec_gradients_are_the_slopes_of_its_loss(view):
    """The loss has known ratings alone, one of them 0; inputs are fewer than outputs."""
    model = AutoRec(units=2, l2=0.3, view=view, **SMALL).fit(TRAINING)
    rows = model.rows
    for name, values in zip(AUTOREC_PARAMETERS, (model.V, model.mu, model.W, model.b), strict=True):
        setattr(model, name, values.astype(np.float64))
    fill_distinct(model, AUTOREC_PARAMETERS)
    inputs = rows.copy()
    inputs.data[::2] = 0.0
    known = [(row, column) for row, column in zip(*given_places(rows), strict=True)]
    assert len(known) == 4 and 0.0 in rows.data

    def loss():
        total = 0.0
        for row, column in known:
            held = {c: float(inputs[[row], [c]][0]) for r, c in known if r == row}
            output = autorec_output(model, held, column)
            total += (float(rows[[row], [column]][0]) - output) ** 2
        return total + 0.3 / 2 * 0.5 * ((model.W**2).sum() + (model.V**2).sum())

    found = model._gradients(inputs, rows, share=0.5)
    assert_slopes(model, AUTOREC_PARAMETERS, found, loss, width=1e-4, atol=1e-6)


def given_places(rows):
    """Rows and columns of the entries, those of value 0 too."""
    return np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices


def test_autorec_without_inputs_gives_every_user_the_same():
    """models G.10: with V = 0, h(r) = W g(μ) + b."""
    model = fill_distinct(BY_USERS(units=3, **SMALL).fit(TRAINING), AUTOREC_PARAMETERS)
    model.V = np.zeros_like(model.V)
    histories = rated([[[1, 2, 4, 2]], [[4, 2]]], [5, 1, -3, 2, 0, 1])
    predicted = model.predict(histories, [1, 3, 5])
    constant = model.W[1] @ (1 / (1 + np.exp(-model.mu))) + model.b[1]
    np.testing.assert_allclose(predicted, [constant] * 3, **FLOAT32_NOISE)


@pytest.mark.parametrize("mask", [0.0, 0.25])
def test_the_mask_hides_inputs_but_no_outputs(mask, monkeypatch):
    histories = rated([[[1, 2, 3, 4]]] * 200, np.arange(1, 801))
    seen = []

    def record(self, inputs, outputs, *, share):
        seen.append((inputs.toarray(), outputs.toarray(), share))
        return [np.zeros_like(v) for v in (self.V, self.mu, self.W, self.b)]

    monkeypatch.setattr(AutoRec, "_gradients", record)
    BY_USERS(units=2, mask=mask, epochs=2, batch_size=50).fit(histories)
    inputs, outputs, shares = (np.array(values) for values in zip(*seen, strict=True))
    assert shares.tolist() == [0.25] * 8
    assert (outputs > 0).all()
    hidden = inputs == 0
    np.testing.assert_array_equal(inputs[~hidden], outputs[~hidden])
    assert hidden.mean() == pytest.approx(mask, abs=0.05)
    assert bool((hidden[:4] != hidden[4:]).any()) == (mask > 0)  # anew every epoch


def test_rows_of_ratings_hold_zeros_and_the_mean_of_repeated_items():
    histories = rated([[[1, 2, 1, 3]], [[4]]], [2, 0, 5, 7, 1], missing=[3])
    ratings = np.where(histories.feedback[:, 1] == 1, np.nan, histories.feedback[:, 0])
    rows = rating_rows(histories, ratings, np.array([0, 0, 0, 4]), np.array([4, 1, 0, 5]))
    expected = [[3.5, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(rows.toarray(), expected)
    assert np.diff(rows.indptr).tolist() == [2, 1, 0, 1]


def test_descent_equals_adam_written_out():
    theta, target, eta = np.array([1.0, -2.0]), np.array([3.0, 5.0]), 0.1
    expected, m, v = theta.copy(), np.zeros(2), np.zeros(2)
    for step in range(1, 7):
        g = 2 * (expected - target)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        ahead = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        expected -= eta * ahead
    taken = []

    def gradients(rows):
        taken.append(sorted(rows.tolist()))
        return [2 * (theta - target)]

    descent = Descent(learning_rate=eta, epochs=2, batch_size=2, seed=0)
    descent([theta], gradients, num_rows=5, rng=descent.rng())
    np.testing.assert_allclose(theta, expected, rtol=1e-12)
    assert [len(rows) for rows in taken] == [2, 2, 1] * 2
    for epoch in (taken[:3], taken[3:]):
        assert sorted(itertools.chain(*epoch)) == [0, 1, 2, 3, 4]
    assert taken[:3] != taken[3:]


@settings(deadline=None, max_examples=25)
@given(histories=histories_strategy(), data=st.data())
def test_neither_the_rating_of_the_target_nor_anything_later_is_read(histories, data):
    target = data.draw(st.integers(0, histories.num_events - 1))
    later = np.arange(histories.num_events) > target
    feedback = histories.feedback.copy()
    feedback[target:, 0] += 50
    feedback[target:, 1] = 1 - feedback[target:, 1]
    changed = replace(
        histories,
        feedback=feedback,
        item_ids=np.where(later, 1 + histories.item_ids % NUM_ITEMS, histories.item_ids),
        timestamps=np.where(later, 1 + histories.timestamps, histories.timestamps),
    )
    for make in ALL:
        model = make().fit(histories)
        np.testing.assert_array_equal(
            model.predict(histories, [target]), model.predict(changed, [target])
        )


def test_what_the_user_did_before_is_read():
    """The FM reads the previous item, the rolling average and AutoRec earlier ratings."""
    histories = rated([[[1, 2, 4]]], [1, 2, 3])
    other_rating = rated([[[1, 2, 4]]], [5, 2, 3])
    for model in (RollingAverage(), BY_USERS(units=3, **SMALL)):
        model.fit(TRAINING)
        assert model.predict(histories, [2]) != model.predict(other_rating, [2])
    fm = FactorizationMachine(**SMALL).fit(TRAINING)
    assert fm.predict(histories, [2]) != fm.predict(rated([[[1, 1, 4]]], [1, 2, 3]), [2])


def test_missing_ratings_are_neither_learnt_from_nor_counted():
    users = [[[1, 2, 3]], [[2, 4], [1]], [[3, 4, 2]]]
    low = rated(users, [1, -50, 2, 3, 1, -50, 2, 2, 1], missing=[1, 5])
    high = rated(users, [1, 50, 2, 3, 1, 50, 2, 2, 1], missing=[1, 5])
    for make in ALL:
        predicted = [make().fit(each).predict(each, np.arange(9)) for each in (low, high)]
        np.testing.assert_array_equal(*predicted)
        assert np.abs(predicted[0]).max() < 10


def test_without_a_second_number_no_rating_is_missing():
    histories = replace(TRAINING, feedback=TRAINING.feedback[:, :1])
    assert GlobalAverage().fit(histories).mean_rating == (1 + 4 + 2 + 9 + 0) / 5


@pytest.fixture(scope="module")
def tastes():
    """Users who all rate twelve items in their own order: a taste, an item's worth, a level."""
    rng = np.random.default_rng(3)
    num_users, num_items = 150, 12
    worth, sign = rng.normal(size=num_items), np.where(np.arange(num_items) % 2, 1, -1)
    orders = np.array([rng.permutation(num_items) for _ in range(num_users)])
    taste = rng.choice([-1.0, 1.0], num_users)[:, None]
    level = rng.normal(0, 0.5, num_users)[:, None]
    ratings = taste * sign[orders] + worth[orders] + level
    ratings += rng.normal(0, 0.1, ratings.shape)

    def part(some):
        users = [[(order + 1).tolist()] for order in orders[some]]
        return rated(users, ratings[some].ravel(), num_items=num_items)

    return part(slice(0, 120)), part(slice(120, None))


def rmse(model, histories, targets):
    return np.sqrt(
        np.mean((model.predict(histories, targets) - histories.feedback[targets, 0]) ** 2)
    )


def test_what_is_learnt_predicts_better_than_the_mean(tastes):
    training, test = tastes
    targets = np.flatnonzero(~test.user_starts)
    error = {
        name: rmse(model.fit(training), test, targets)
        for name, model in {
            "mean": GlobalAverage(),
            "rolling": RollingAverage(),
            "FM": FactorizationMachine(learning_rate=0.02, l2=0.01),
            "AutoRec": BY_USERS(units=20, learning_rate=0.01, epochs=200, l2=0.1),
        }.items()
    }
    assert error["rolling"] < 0.95 * error["mean"]
    assert error["FM"] < 0.9 * error["mean"]
    assert error["AutoRec"] < 0.6 * error["mean"]


def test_by_items_autorec_predicts_what_users_of_training_rate_later(tastes):
    whole, _ = tastes
    whole = replace(whole, user_ids=1 + np.arange(whole.num_users))
    later = np.tile(np.arange(12) >= 8, whole.num_users)
    training, targets = whole.select(~later), np.flatnonzero(later)
    mean = rmse(GlobalAverage().fit(training), whole, targets)
    model = AutoRec(units=20, learning_rate=0.01, epochs=300, l2=0.1, mask=0.2)
    assert rmse(model.fit(training), whole, targets) < 0.8 * mean


@pytest.mark.parametrize("name", LEARNT)
def test_predictions_follow_from_the_seed(name):
    goes_on = rated([[[1, 2], [4, 1]]], [1, 4, 0, 0])  # the first user of TRAINING
    first, again, other = (
        LEARNT[name](seed=seed).fit(TRAINING).predict(goes_on, [2, 3]) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
    assert LEARNT[name]().is_random


def test_no_targets_give_no_predictions():
    for make in ALL:
        assert make().fit(TRAINING).predict(TRAINING, []).shape == (0,)


def test_bad_input_is_named_and_mended():
    plain = Histories.from_lists([[[1, 2]]], num_items=NUM_ITEMS)
    fitted = GlobalAverage().fit(TRAINING)
    for act in (GlobalAverage().fit, lambda h: fitted.predict(h, [0])):
        with pytest.raises(ValueError, match=r"`histories` has no feedback, but .*Name its column"):
            act(plain)
    with pytest.raises(ValueError, match=r"holds 0 ratings in 2 events, but Rolling.*Check the"):
        RollingAverage().fit(rated([[[1, 2]]], [1, 2], missing=[0, 1]))
    with pytest.raises(ValueError, match=r"`predict` was called on a GlobalAverage.*Call `fit"):
        GlobalAverage().predict(TRAINING, [1])
    with pytest.raises(ValueError, match=r"num_items 6.*fitted on 4 items.*Encode both"):
        fitted.predict(rated([[[1, 2]]], [1, 2], num_items=6), [1])
    with pytest.raises(ValueError, match=r"`targets` holds 9 \(row 1\).*events 0\.\.4\. Pass"):
        fitted.predict(TRAINING, [1, 9])
    with pytest.raises(TypeError, match=r"`targets` has shape \(1,\) and type float64, but must"):
        fitted.predict(TRAINING, [1.5])


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`item_features` has shape \(6,\), but must .*Pass for"):
        FactorizationMachine(item_features=np.zeros(6))
    with pytest.raises(ValueError, match=r"`item_features` has 3 rows.*makes 5.*Lay the table"):
        FactorizationMachine(item_features=np.zeros((3, 2))).fit(TRAINING)
    with pytest.raises(ValueError, match=r"`factors` must be a positive int, but was 0\. Pass"):
        FactorizationMachine(factors=0)
    with pytest.raises(ValueError, match=r"`l2` must be a finite number.*was nan\. Pass λ"):
        FactorizationMachine(l2=float("nan"))
    with pytest.raises(ValueError, match=r"`learning_rate` was 1e\+300, .*grew beyond.*smaller"):
        FactorizationMachine(learning_rate=1e300).fit(TRAINING)
    with pytest.raises(ValueError, match=r"`units` must be a positive int, but was -1\. Pass"):
        AutoRec(units=-1)
    with pytest.raises(ValueError, match=r"`view` was 'user'.*Did you mean 'users'\?"):
        AutoRec(view="user")
    with pytest.raises(ValueError, match=r"`mask` must be a dropout rate in .*was 1\.0"):
        AutoRec(mask=1.0)
    with pytest.raises(ValueError, match=r"`epochs` must be a positive int, but was 1\.5\. Pass"):
        AutoRec(epochs=1.5)
