"""Every model under a policy of half precision: what is computed is short, what is kept is not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.lanes import user_parallel_stream
from hrec_tf.losses import TOP1, CrossEntropy, InBatch
from hrec_tf.models import HRNN, GRU4Rec
from hrec_tf.optimizers import AdagradMomentum
from tests.conformance.cases import (
    CASES,
    NUM_ITEMS,
    PREFIX_CASES,
    SAMPLED_CASES,
    cyclic_histories,
)
from tests.reference.weights import fill_distinct

ROWS, STEPS = 3, 2
"""Two events are enough for a state that is carried: more take longer, and round alike."""
every_model = pytest.mark.parametrize("case", CASES + PREFIX_CASES, ids=lambda case: case.name)


@pytest.fixture
def policy():
    """Sets the policy of models that are built from here on."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@every_model
def test_scores_are_those_of_full_precision_but_for_rounding(case, policy):
    events = case.events(rows=ROWS, steps=STEPS)
    scores = {}
    for name in ("float32", "mixed_bfloat16"):
        policy(name)
        model = case.build()
        fill_distinct(model)
        assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
        states = model.initial_states(ROWS)
        assert {state.dtype.name for state in states} <= {keras.config.dtype_policy().compute_dtype}
        trained, _ = model.encode(events, states, training=True)
        hidden, _ = model.encode(events, states)
        assert trained.dtype == hidden.dtype == keras.config.dtype_policy().compute_dtype
        scores[name] = np.asarray(tf.cast(model.score(hidden), tf.float32))
    furthest = np.abs(scores["mixed_bfloat16"] - scores["float32"]).max()
    assert 0 < furthest < 0.05 * max(1.0, np.abs(scores["float32"]).max())


@pytest.mark.integration
@pytest.mark.parametrize(
    "case",
    [case for case in SAMPLED_CASES if not case.trains_alike],
    ids=lambda case: case.name,
)
def test_no_table_is_cast_as_a_whole(case, policy):
    """A step would grow with the catalogue: by the cast, and by a gradient of every row."""
    policy("mixed_bfloat16")
    model = case.build()
    events, columns = case.events(rows=2, steps=2), tf.constant([3, 4, 5])
    tables = [weight for weight in model.trainable_weights if weight.shape[0] == NUM_ITEMS + 1]

    @tf.function(autograph=False)
    def gradients():
        with tf.GradientTape() as tape:
            hidden, _ = model.encode(events, model.initial_states(2))
            total = tf.reduce_sum(tf.cast(model.score(hidden, columns), tf.float32))
        return tape.gradient(total, [table.value for table in tables])

    operations = gradients.get_concrete_function().graph.get_operations()
    casts = [operation for operation in operations if operation.type == "Cast"]
    wide = [op.name for op in casts if op.outputs[0].shape[:1].as_list() == [NUM_ITEMS + 1]]
    assert casts and not wide
    assert tables and all(isinstance(given, tf.IndexedSlices) for given in gradients())


@pytest.mark.integration
@pytest.mark.parametrize(("kind", "steps"), [(GRU4Rec, 1), (HRNN, 3)])
@pytest.mark.parametrize("half", ["mixed_bfloat16", "mixed_float16"])
def test_a_fit_goes_as_in_full_precision(kind, half, steps, policy):
    """float16 by way of Keras' `LossScaleOptimizer`, which `compile` puts around."""
    histories, losses = cyclic_histories(), {}
    for name in ("float32", half):
        policy(name)
        model = kind(num_items=NUM_ITEMS, seed=3)
        model.compile(AdagradMomentum(0.1), TOP1(), negatives=InBatch(), jit_compile=False)
        is_scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert is_scaled == (name == "mixed_float16")
        stream = user_parallel_stream(histories, num_lanes=3, steps=steps)
        losses[name] = model.fit(stream, epochs=4, verbose=0).history["loss"]
    np.testing.assert_allclose(losses[half], losses["float32"], rtol=0.05)
    assert min(losses[half]) < 0.97 * losses[half][0]


def test_a_loss_is_scaled_before_its_gradient_and_back_after_it(policy):
    """A scale far from 1 changes nothing but rounding; forgetting either half would show."""
    weights = []
    for optimizer in (
        keras.optimizers.SGD(0.5),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=1024.0),
    ):
        model = GRU4Rec(num_items=NUM_ITEMS, units=(4,), seed=3)
        model.compile(optimizer, CrossEntropy(), jit_compile=False)
        stream = user_parallel_stream(cyclic_histories(), num_lanes=3, steps=2)
        model.fit(stream, epochs=1, verbose=0)
        weights.append(model.get_weights())
    for mine, plain in zip(*weights, strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-4, atol=1e-6)
