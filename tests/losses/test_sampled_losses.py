import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.losses import (
    BPR,
    TOP1,
    BinaryCrossEntropy,
    BPRMax,
    CrossEntropy,
    TOP1Max,
    reduce_rows,
)
from tests.reference import losses as reference

FLOAT32_NOISE = {"rtol": 2e-5, "atol": 1e-6}
ROWS, COLUMNS = 4, 9

# (the loss, its equation, activation, alpha)
CASES = {
    "cross_entropy": (CrossEntropy(), reference.cross_entropy, "linear", None),
    "cross_entropy_smoothed": (
        CrossEntropy(label_smoothing=0.2),
        functools.partial(reference.smoothed_cross_entropy, epsilon=0.2),
        "linear",
        None,
    ),
    "bpr": (BPR(), reference.bpr_reference, "tanh", None),
    "bpr_paper_linear": (
        BPR(form="paper", activation="linear"),
        reference.bpr_paper,
        "linear",
        None,
    ),
    "top1": (TOP1(), reference.top1_reference, "tanh", None),
    "top1_relu": (TOP1(activation="relu"), reference.top1_reference, "relu", None),
    "top1_paper": (TOP1(form="paper"), reference.top1_paper, "tanh", None),
    "top1_max": (TOP1Max(), reference.top1_max, "linear", None),
    "top1_max_elu": (
        TOP1Max(activation="elu", elu_alpha=0.5),
        reference.top1_max,
        "elu",
        0.5,
    ),
    "bpr_max": (
        BPRMax(penalty=1.85),
        functools.partial(reference.bpr_max, penalty=1.85),
        "linear",
        None,
    ),
    "bpr_max_elu": (
        BPRMax(penalty=0.9, activation="elu", elu_alpha=1.0),
        functools.partial(reference.bpr_max, penalty=0.9),
        "elu",
        1.0,
    ),
    "binary_cross_entropy": (
        BinaryCrossEntropy(),
        reference.binary_cross_entropy,
        "linear",
        None,
    ),
}
each_loss = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def distinct_logits(rows=ROWS, columns=COLUMNS, scale=2.0):
    return scale * np.sin(1.7 * np.arange(1, rows * columns + 1) ** 1.3).reshape(rows, columns)


def losses_and_gradient(loss, logits, column_weights, row_weights=None, **options):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        rows = loss.row_losses(logits, tf.constant(column_weights, tf.float32), **options)
        total = (
            tf.reduce_sum(rows) if row_weights is None else reduce_rows(rows, row_weights, "valid")
        )
    return rows.numpy(), tape.gradient(total, logits).numpy()


@each_loss
def test_loss_is_the_equation(case):
    """docs/equations.md 0.6, in single precision."""
    loss, equation, activation, alpha = case
    logits = distinct_logits()
    rows = loss.row_losses(tf.constant(logits, tf.float32), tf.ones(COLUMNS))
    expected = reference.rows(
        equation, logits, np.ones(COLUMNS), activation=activation, alpha=alpha
    )
    np.testing.assert_allclose(rows, expected, **FLOAT32_NOISE)
    assert rows.dtype == tf.float32


@each_loss
def test_masked_columns_and_collisions_leave_every_normaliser(case):
    loss, equation, activation, alpha = case
    logits = distinct_logits()
    column_weights = np.array([1, 1, 1, 1, 0, 1, 0, 1, 1.0])
    collisions = np.zeros((ROWS, COLUMNS), bool)
    collisions[0, 2] = collisions[2, 0] = collisions[1, 7] = True
    rows = loss.row_losses(
        tf.constant(logits), tf.constant(column_weights), collisions=tf.constant(collisions)
    )
    expected = reference.rows(
        equation,
        logits,
        column_weights,
        activation=activation,
        alpha=alpha,
        collisions=collisions,
    )
    np.testing.assert_allclose(rows, expected, rtol=1e-10)


@each_loss
def test_gradient_is_the_finite_difference(case):
    loss, *_ = case
    logits, step = distinct_logits(scale=1.3), 1e-6
    column_weights = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1.0])
    _, gradient = losses_and_gradient(loss, logits, column_weights)
    measured = np.zeros_like(logits)
    for cell in np.ndindex(*logits.shape):
        for sign in (1, -1):
            moved = logits.copy()
            moved[cell] += sign * step
            rows = loss.row_losses(tf.constant(moved), tf.constant(column_weights))
            measured[cell] += sign * rows.numpy().sum() / (2 * step)
    np.testing.assert_allclose(gradient, measured, rtol=1e-6, atol=1e-8)


@each_loss
def test_an_idle_lane_changes_nothing(case):
    """Pitfalls 1: columns of masked slots are no negatives, and idle rows train nothing."""
    loss, *_ = case
    full = distinct_logits()
    busy_rows, busy_columns = [0, 2, 3], [0, 2, 3, 4, 5, 6, 7, 8]
    busy = np.ascontiguousarray(full[np.ix_(busy_rows, busy_columns)])
    column_weights, row_weights = np.ones(COLUMNS), np.ones(ROWS)
    column_weights[1] = row_weights[1] = 0

    with_idle, gradient = losses_and_gradient(loss, full, column_weights, row_weights)
    alone, gradient_alone = losses_and_gradient(loss, busy, np.ones(8), np.ones(3))

    np.testing.assert_allclose(with_idle[busy_rows], alone, rtol=1e-12)
    np.testing.assert_allclose(gradient[np.ix_(busy_rows, busy_columns)], gradient_alone)
    assert not gradient[1].any()
    assert not gradient[:, 1].any()


@each_loss
@pytest.mark.parametrize("logit", [0.0, 90.0, -90.0])
@pytest.mark.parametrize("usable", [0.0, 1.0])
def test_extreme_scores_and_wholly_masked_windows_stay_finite(case, logit, usable):
    loss, *_ = case
    logits = np.full((3, 5), -logit, np.float32)
    logits[[0, 1, 2], [0, 1, 2]] = logit
    rows, gradient = losses_and_gradient(loss, logits, np.full(5, usable))
    assert np.isfinite(rows).all()
    assert np.isfinite(gradient).all()


@each_loss
def test_one_lane_without_negatives_trains_nothing(case):
    loss, *_ = case
    rows, gradient = losses_and_gradient(loss, np.array([[1.5]]), np.ones(1))
    constant = {"BPR": math.log(2), "TOP1": 0.5}.get(type(loss).__name__, 0.0)
    if getattr(loss, "form", None) == "paper":
        constant = 0.0
    np.testing.assert_allclose(rows, [constant], atol=1e-12)
    np.testing.assert_array_equal(gradient, [[0.0]])


@each_loss
def test_half_precision_scores_are_raised_to_float32(case):
    loss, *_ = case
    half = tf.constant(distinct_logits(), tf.bfloat16)
    rows = loss.row_losses(half, tf.ones(COLUMNS))
    assert rows.dtype == tf.float32
    exact = loss.row_losses(tf.cast(half, tf.float32), tf.ones(COLUMNS))
    np.testing.assert_array_equal(rows, exact)


@each_loss
def test_steps_are_independent_rows_of_a_window(case):
    loss, *_ = case
    window = distinct_logits(rows=3 * ROWS).reshape(3, ROWS, COLUMNS)
    weights = (np.arange(3 * COLUMNS).reshape(3, COLUMNS) % 5 > 0).astype(np.float64)
    whole = loss.row_losses(tf.constant(window), tf.constant(weights))
    each = [
        loss.row_losses(tf.constant(x), tf.constant(w))
        for x, w in zip(window, weights, strict=True)
    ]
    np.testing.assert_allclose(whole, each, rtol=1e-12)


@each_loss
def test_xla_agrees_with_plain(case):
    loss, *_ = case
    logits = tf.constant(distinct_logits(), tf.float32)
    weights = tf.constant([1, 1, 0, 1, 1, 1, 0, 1, 1.0])

    def value_and_gradient(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            total = tf.reduce_sum(loss.row_losses(logits, weights))
        return total, tape.gradient(total, logits)

    compiled = tf.function(value_and_gradient, jit_compile=True)(logits)
    for got, expected in zip(compiled, value_and_gradient(logits), strict=True):
        np.testing.assert_allclose(got, expected, **FLOAT32_NOISE)


@each_loss
def test_full_rows_are_sampled_rows_with_every_item_once(case):
    """A-T4, and its counterpart for the pairwise losses."""
    loss, *_ = case
    logits = distinct_logits()
    next_item_ids = np.array([3, 1, 7, 9])
    full = loss.full_row_losses(tf.constant(logits), tf.constant(next_item_ids))
    for row, item in enumerate(next_item_ids):
        order = np.r_[item - 1, np.delete(np.arange(COLUMNS), item - 1)]
        once = tf.constant(logits[row : row + 1, order])
        np.testing.assert_allclose(
            full[row], loss.row_losses(once, tf.ones(COLUMNS))[0], rtol=1e-12
        )


@each_loss
def test_full_rows_take_a_window_and_ignore_padding(case):
    loss, *_ = case
    logits = tf.constant(distinct_logits().reshape(2, 2, COLUMNS))
    ids = tf.constant([[3, 0], [7, 9]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        rows = loss.full_row_losses(logits, ids)
        total = reduce_rows(rows, tf.cast(ids > 0, tf.float32))
    gradient = tape.gradient(total, logits).numpy()
    assert rows.shape == (2, 2)
    assert np.isfinite(rows).all()
    assert not gradient[0, 1].any()
    flat = loss.full_row_losses(tf.reshape(logits, (4, COLUMNS)), tf.reshape(ids, (4,)))
    np.testing.assert_allclose(tf.reshape(rows, (4,)), flat)


@each_loss
def test_configuration_round_trip(case):
    loss, *_ = case
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


def test_cross_entropy_golden_value():
    # Row 0 scores 0, log 2, log 5: p = 1 / 8. Row 1 scores log 3, 0, 0: p = 1 / 5.
    logits = np.log([[1.0, 2.0, 5.0], [3.0, 1.0, 1.0]])
    rows = CrossEntropy().row_losses(tf.constant(logits), tf.ones(3))
    np.testing.assert_allclose(rows, np.log([8.0, 5.0]))


def test_label_smoothing_golden_value():
    # Two columns, p = (3/4, 1/4): 0.9 log(4/3) + 0.1 (log(4/3) + log 4) / 2.
    loss = CrossEntropy(label_smoothing=0.1).full_row_losses(np.log([[3.0, 1.0]]), [1])
    expected = 0.9 * np.log(4 / 3) + 0.05 * (np.log(4 / 3) + np.log(4))
    np.testing.assert_allclose(loss, [expected], rtol=1e-6)


def test_cross_entropy_floor_golden_value():
    # p = e^-100 is far below 1e-24, so the loss stops at -log(1e-24) = 24 log 10.
    rows = CrossEntropy().row_losses(tf.constant([[0.0, 100.0]]), tf.ones(2))
    np.testing.assert_allclose(rows, [24 * math.log(10)], rtol=1e-6)


def test_top1_golden_value():
    # σ(log 3) = 3/4 and σ(0) = 1/2: the positive scores 0, the negative sqrt(log 3).
    negative = math.sqrt(math.log(3))
    logits = tf.constant([[0.0, negative]], tf.float64)
    pair = 1 / (1 + math.exp(-negative)) + 0.75
    paper = TOP1(form="paper", activation="linear").row_losses(logits, tf.ones(2))
    by_code = TOP1(activation="linear").row_losses(logits, tf.ones(2))
    np.testing.assert_allclose(paper, [pair])
    np.testing.assert_allclose(by_code, [(pair + 0.5) / 2])


def test_bpr_golden_value():
    # σ(log 3) = 3/4; the reference adds its own column's log 2 and divides by 2.
    logits = tf.constant([[math.log(3), 0.0]], tf.float64)
    paper = BPR(form="paper", activation="linear").row_losses(logits, tf.ones(2))
    by_code = BPR(activation="linear").row_losses(logits, tf.ones(2))
    np.testing.assert_allclose(paper, [math.log(4 / 3)])
    np.testing.assert_allclose(by_code, [(math.log(4 / 3) + math.log(2)) / 2])


def test_max_losses_golden_values():
    # Positive log 3; negatives 0 and log 3 share 1/4 and 3/4; σ is 3/4 and 1/2 against them.
    log3 = math.log(3)
    logits = tf.constant([[log3, 0.0, log3]], tf.float64)
    bpr_max = BPRMax(penalty=2.0).row_losses(logits, tf.ones(3))
    np.testing.assert_allclose(bpr_max, [-math.log(9 / 16) + 2.0 * 0.75 * log3**2])
    top1_max = TOP1Max().row_losses(logits, tf.ones(3))
    square = 1 / (1 + math.exp(-(log3**2)))
    np.testing.assert_allclose(top1_max, [0.25 * (0.25 + 0.5) + 0.75 * (0.5 + square)])


def test_binary_cross_entropy_golden_value():
    # σ(log 3) = 3/4: the positive is granted 3/4, the negatives log 3 and 0 refused 1/4 and 1/2.
    logits = tf.constant([[math.log(3), math.log(3), 0.0]], tf.float64)
    rows = BinaryCrossEntropy().row_losses(logits, tf.ones(3))
    np.testing.assert_allclose(rows, [math.log(4 / 3) + (math.log(4) + math.log(2)) / 2])


def test_binary_cross_entropy_of_one_negative_is_keras_own():
    """SASRec's case: labels 1 and 0 of two scores, whose mean Keras takes and SASRec the sum."""
    logits = distinct_logits(5, 2)[:, None]
    rows = BinaryCrossEntropy().row_losses(tf.constant(logits), tf.ones((5, 2)))
    labels = np.tile([1.0, 0.0], (5, 1))
    mean = keras.losses.binary_crossentropy(labels, logits[:, 0], from_logits=True)
    np.testing.assert_allclose(rows[:, 0], 2 * mean, rtol=1e-6)


def test_binary_cross_entropy_of_all_items_is_the_mean_of_every_draw():
    """What one negative, drawn uniformly from the other items, costs in the mean."""
    logits = distinct_logits(1, 6)
    draws = [
        BinaryCrossEntropy().row_losses(tf.constant(logits[:, [0, drawn]]), tf.ones(2))[0]
        for drawn in range(1, 6)
    ]
    whole = BinaryCrossEntropy().full_row_losses(tf.constant(logits), [1])
    np.testing.assert_allclose(whole[0], np.mean(draws), rtol=1e-12)


def test_bpr_max_of_equal_scores():
    """A-T2: without extra columns and with all scores r it is -log σ(0) + λ r^2."""
    rows = BPRMax(penalty=1.95).row_losses(tf.fill((5, 5), 0.7), tf.ones(5))
    np.testing.assert_allclose(rows, np.full(5, math.log(2) + 1.95 * 0.49), rtol=1e-6)


def test_with_one_negative_the_max_losses_are_the_plain_ones():
    """A-T3."""
    logits, ones = tf.constant(distinct_logits(2, 2)), tf.ones(2)
    top1 = TOP1(form="paper", activation="linear").row_losses(logits, ones)
    np.testing.assert_allclose(TOP1Max().row_losses(logits, ones), top1)
    bpr = BPR(form="paper", activation="linear").row_losses(logits, ones)
    np.testing.assert_allclose(BPRMax(penalty=0.0).row_losses(logits, ones), bpr)


def test_cross_entropy_over_every_item_is_the_full_softmax():
    """A-T4, against TensorFlow's own softmax loss."""
    logits = distinct_logits(4, 4)
    sampled = CrossEntropy().row_losses(tf.constant(logits), tf.ones(4))
    full = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=[0, 1, 2, 3], logits=logits)
    np.testing.assert_allclose(sampled, full, rtol=1e-10)


@settings(deadline=None, max_examples=20)
@given(log_p=st.floats(-12, 3))
def test_equal_sampling_probabilities_need_no_correction(log_p):
    """A-T5."""
    logits = tf.constant(distinct_logits())
    equal = tf.fill((COLUMNS,), tf.constant(log_p, tf.float64))
    corrected = CrossEntropy(logq=1.0).row_losses(logits, tf.ones(COLUMNS), logq=equal)
    np.testing.assert_allclose(
        corrected, CrossEntropy().row_losses(logits, tf.ones(COLUMNS)), rtol=1e-9
    )


def test_logq_is_subtracted_before_the_softmax():
    logits, log_q = distinct_logits(), 0.3 * np.arange(COLUMNS)
    rows = CrossEntropy(logq=1.0).row_losses(
        tf.constant(logits), tf.ones(COLUMNS), logq=tf.constant(log_q)
    )
    expected = reference.rows(
        functools.partial(reference.cross_entropy, log_q=log_q), logits, np.ones(COLUMNS)
    )
    np.testing.assert_allclose(rows, expected, rtol=1e-10)


def test_top1_forms_differ_by_the_gradient_factor():
    """docs/equations.md 0.6: (M-1)/M, and nothing else."""
    logits, ones = distinct_logits(), np.ones(COLUMNS)
    _, paper = losses_and_gradient(TOP1(form="paper"), logits, ones)
    _, by_code = losses_and_gradient(TOP1(form="reference"), logits, ones)
    np.testing.assert_allclose(by_code, paper * (COLUMNS - 1) / COLUMNS, rtol=1e-10, atol=1e-15)


def test_top1_batch_size_divisor():
    """M_d of hgru4rec: the diagonal term is divided by B, not by M."""
    logits = distinct_logits()
    loss = TOP1(diagonal_divisor="batch_size", activation="linear")
    equation = functools.partial(reference.top1_reference, diagonal_divisor=ROWS)
    rows = loss.row_losses(tf.constant(logits), tf.ones(COLUMNS))
    np.testing.assert_allclose(rows, reference.rows(equation, logits, np.ones(COLUMNS)))
    in_batch = tf.constant(distinct_logits(ROWS, ROWS))
    np.testing.assert_allclose(
        loss.row_losses(in_batch, tf.ones(ROWS)),
        TOP1(activation="linear").row_losses(in_batch, tf.ones(ROWS)),
    )
    with pytest.raises(ValueError, match="no in-batch columns to count"):
        loss.full_row_losses(in_batch, tf.constant([1, 2, 3, 4]))


def test_the_positive_is_outside_the_max_softmax():
    """Pitfalls 1.4: raising the positive must not move the negatives' shares or the penalty."""
    low, high = np.array([[0.0, 0.4, -0.3]]), np.array([[40.0, 0.4, -0.3]])
    share = math.exp(0.4) / (math.exp(0.4) + math.exp(-0.3))
    penalty = share * 0.16 + (1 - share) * 0.09
    rows = BPRMax(penalty=1.0).row_losses(tf.constant(high), tf.ones(3))
    np.testing.assert_allclose(rows, [penalty], rtol=1e-9)
    assert BPRMax(penalty=1.0).row_losses(tf.constant(low), tf.ones(3))[0] > rows[0]


def test_reduce_rows_averages_what_is_valid():
    """docs/equations.md 0.6, the scaling trap."""
    rows = tf.constant([[1.0, np.nan, 3.0], [5.0, 7.0, np.nan]])
    weights = tf.constant([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    assert float(reduce_rows(rows, weights, "valid")) == 16.0 / 4
    assert float(reduce_rows(rows, weights)) == pytest.approx(16.0 / 6)
    assert float(reduce_rows(rows, tf.zeros((2, 3)), "valid")) == 0.0


def test_a_nan_of_a_valid_row_is_not_hidden():
    """Pitfalls 1.10."""
    assert np.isnan(reduce_rows(tf.constant([1.0, np.nan]), tf.ones(2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TOP1(form="papre"), "Did you mean 'paper'"),
        (lambda: TOP1(form="paper", diagonal_divisor="columns"), "leaves the diagonal out"),
        (lambda: BPR(activation="softmax"), "`activation` was 'softmax'"),
        (lambda: BPRMax(elu_alpha=0.5), "used only by activation='elu'"),
        (lambda: BPRMax(activation="elu"), "`elu_alpha` must be a finite number"),
        (lambda: BPRMax(penalty=-1.0), "`penalty` must be a finite number of at least 0"),
        (lambda: CrossEntropy(logq=math.nan), "`logq` must be a finite number"),
        (lambda: CrossEntropy(label_smoothing=1.0), "`label_smoothing` was 1.0, but must be below"),
        (lambda: CrossEntropy(normalise="mean"), "`normalise` was 'mean'"),
        (
            lambda: TOP1().row_losses(tf.ones((2, 2)), tf.ones(2), logq=tf.ones(2)),
            "passed to TOP1, but only CrossEntropy",
        ),
        (
            lambda: CrossEntropy().row_losses(tf.ones((2, 2)), tf.ones(2), logq=tf.ones(2)),
            "which would be ignored",
        ),
        (
            lambda: CrossEntropy(logq=1.0).row_losses(tf.ones((2, 2)), tf.ones(2)),
            "no log-probabilities of the columns were passed",
        ),
        (
            lambda: CrossEntropy(logq=1.0).full_row_losses(tf.ones((2, 2)), tf.ones(2)),
            "with the full catalogue",
        ),
        (lambda: TOP1().row_losses(tf.ones((3, 2)), tf.ones(2)), "3 rows but 2 columns"),
        (lambda: TOP1().row_losses(tf.ones((2, 4)), tf.ones(2)), "`column_weights` has 2 columns"),
    ],
)
def test_bad_arguments_name_the_cure(call, message):
    with pytest.raises(ValueError, match=message):
        call()
