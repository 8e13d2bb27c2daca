"""What models promise that read padded rows: nothing but a target's own prefix counts."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.losses import CrossEntropy, reduce_rows
from hrec_tf.schema import ITEM_IDS, POSITIONS, PREFIXES
from tests.conformance.cases import NUM_ITEMS, PREFIX_CASES, cyclic_histories, distinct, for_each
from tests.reference.padded_rows import padded_events

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
ROWS, STEPS = 4, 5

every_prefix_model = for_each(PREFIX_CASES)
item_ids = st.integers(1, NUM_ITEMS)
batches = st.lists(st.lists(item_ids, min_size=1, max_size=STEPS), min_size=2, max_size=4)


def positions_of(case, histories):
    """Those that a stream would give: of each history's last event, or of every step."""
    if case.layout == PREFIXES:
        return [[max(len(history) - 1, 0)] for history in histories]
    return [list(range(max(map(len, histories))))] * len(histories)


@settings(deadline=None, max_examples=15)
@given(histories=batches, more_padding=st.integers(0, 2))
@every_prefix_model
def test_a_target_is_predicted_as_if_its_prefix_stood_alone(case, histories, more_padding):
    """Rows do not know of one another, and padding, however much, changes nothing.

    Neither do the events after a position, where each event of a row is one.
    """
    _, encode = distinct(case)
    positions = positions_of(case, histories)
    hidden, _ = encode(padded_events(histories, positions, more_padding=more_padding), [])
    for row, history in enumerate(histories):
        for target, position in enumerate(positions[row]):
            if position < len(history):
                alone, _ = encode(padded_events([history[: position + 1]]), [])
                np.testing.assert_allclose(hidden[row, target], alone[0, 0], **FLOAT32_NOISE)


@every_prefix_model
def test_events_after_the_last_position_change_no_bit(case):
    _, encode = distinct(case)
    events = padded_events([[3, 1, 2, 7, 0], [5, 2, 9, 9, 9]], [[1], [1]])
    others = events | {ITEM_IDS: tf.constant([[3, 1, 0, 0, 12], [5, 2, 1, 0, 0]])}
    hidden, _ = encode(events, [])
    np.testing.assert_array_equal(encode(others, [])[0], hidden)
    earlier = events | {ITEM_IDS: tf.constant([[3, 4, 2, 7, 0], [6, 2, 9, 9, 9]])}
    assert np.abs(encode(earlier, [])[0] - hidden).max(axis=-1).min() > 1e-3


@every_prefix_model
def test_rows_may_come_in_any_order(case):
    _, encode = distinct(case)
    events, order = case.events(rows=ROWS, steps=STEPS), [2, 0, 3, 1]
    moved = {name: tf.gather(values, order) for name, values in events.items()}
    hidden, _ = encode(events, [])
    np.testing.assert_allclose(encode(moved, [])[0], tf.gather(hidden, order), **FLOAT32_NOISE)


@every_prefix_model
def test_a_row_without_events_changes_no_gradient(case):
    """The rows of weight 0 that fill up an epoch's last batch."""
    model, _ = distinct(case)

    def gradients(histories, weights):
        positions = positions_of(case, histories)
        weights = tf.constant(weights)[:, None] * tf.ones_like(positions, tf.float32)
        with tf.GradientTape() as tape:
            hidden, _ = model.encode(padded_events(histories, positions), [])
            labels = tf.where(weights > 0, 4, 0)
            losses = CrossEntropy().full_row_losses(model.score(hidden), labels)
            loss = reduce_rows(losses, weights, "valid")
        # Some weights have a part in training alone.
        found = tape.gradient(
            loss,
            [weight.value for weight in model.trainable_weights],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return [tf.convert_to_tensor(gradient) for gradient in found]

    alone = gradients([[3, 1, 2]], [1.0])
    for mine, other in zip(alone, gradients([[3, 1, 2], []], [1.0, 0.0]), strict=True):
        # Products of more rows may round otherwise, sums of large numbers by more.
        noise = 2e-6 * max(1.0, float(tf.reduce_max(tf.abs(mine))))
        np.testing.assert_allclose(other, mine, rtol=1e-5, atol=noise)


@every_prefix_model
def test_there_is_no_step(case):
    model, _ = distinct(case)
    assert not model.incremental and model.initial_states(3) == []
    yes = tf.ones((1,), bool)
    with pytest.raises(
        NotImplementedError, match=r"`step` was called on \w+, which reads a prefix"
    ):
        model.step(tf.constant([1]), yes, yes, [])


@every_prefix_model
def test_a_batch_of_prefixes_is_no_other_than_that_of_the_stream(case):
    """`Case.events` makes what streams make: the same names, types and axes."""
    stream = case.stream(cyclic_histories(), rows=ROWS)
    events = case.events(rows=ROWS, steps=STEPS)
    assert set(events) == {ITEM_IDS, POSITIONS} == set(stream.element_spec[0])
    for name, spec in stream.element_spec[0].items():
        assert spec.is_compatible_with(events[name])
