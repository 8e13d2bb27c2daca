import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.optimizers import AdagradMomentum
from tests.reference.adagrad_momentum import ReferenceAdagradMomentum

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
ROWS, DIM, STEPS = 7, 3, 5


def make_table(rows=ROWS):
    table = 0.3 * np.sin(np.arange(1.0, rows * DIM + 1)).reshape(rows, DIM)
    table[0] = 0
    return table.astype(np.float32)


def make_gradients(seed=0, slots=8):
    """Row-sparse gradients with repeats; row 5 occurs in the first step only, row 6 never."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(1, 5, (STEPS, slots)).astype(np.int32)
    indices[0, 0] = 5
    indices[:, -2:] = [3, 3]
    return indices, rng.normal(size=(STEPS, slots, DIM)).astype(np.float32)


def as_dense(indices, values):
    dense = np.zeros((ROWS, DIM), np.float32)
    np.add.at(dense, indices, values)
    return dense


def slices(indices, values):
    return tf.IndexedSlices(tf.constant(values), tf.constant(indices), tf.constant([ROWS, DIM]))


def eagerly(optimizer, variable, indices, values):
    for step in range(STEPS):
        optimizer.apply([slices(indices[step], values[step])], [variable])


def in_a_loop(optimizer, variable, indices, values, jit_compile):
    """All steps inside one `tf.while_loop`, as `fit` runs them."""
    optimizer.build([variable])
    all_indices, all_values = tf.constant(indices), tf.constant(values)

    @tf.function(jit_compile=jit_compile)
    def train():
        def body(step):
            rows = tf.IndexedSlices(all_values[step], all_indices[step], tf.constant([ROWS, DIM]))
            optimizer.apply([rows], [variable])
            return (step + 1,)

        tf.while_loop(lambda step: step < STEPS, body, (tf.constant(0),))

    train()


RUNS = {
    "eager": eagerly,
    "graph": lambda *args: in_a_loop(*args, jit_compile=False),
    "xla": lambda *args: in_a_loop(*args, jit_compile=True),
}


def test_three_steps_golden():
    # Gradients 3, 4, -12 leave acc 9, 25, 169, so the steps are lr times 1, 4/5 and -12/13.
    # With mu = 1/2: v = -1, then -1/2 - 4/5 = -1.3, then -0.65 + 12/13, all times lr = 0.1.
    plain, heavy = keras.Variable([1.0]), keras.Variable([1.0])
    without, with_momentum = AdagradMomentum(0.1), AdagradMomentum(0.1, momentum=0.5)
    seen = []
    for gradient in (3.0, 4.0, -12.0):
        without.apply([tf.constant([gradient])], [plain])
        with_momentum.apply([tf.constant([gradient])], [heavy])
        seen.append((float(plain[0]), float(heavy[0])))
    expected = [
        (0.9, 0.9),
        (0.9 - 0.08, 0.9 - 0.13),
        (0.82 + 0.1 * 12 / 13, 0.77 + 0.1 * (12 / 13 - 0.65)),
    ]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


def test_the_accumulator_starts_at_zero_and_epsilon_is_under_the_root():
    """Pitfalls 1.7: with Keras' 0.1 a gradient of 1e-3 would hardly move."""
    variable = keras.Variable([0.0])
    AdagradMomentum(0.1).apply([tf.constant([1e-3])], [variable])
    np.testing.assert_allclose(variable, [-0.1 * 1e-3 / math.sqrt(1e-6 + 1e-6)], rtol=1e-5)


def test_a_weight_without_rows_is_trained_too():
    scalar = keras.Variable(1.0)
    AdagradMomentum(0.1).apply([tf.constant(4.0)], [scalar])
    np.testing.assert_allclose(scalar, 0.9, rtol=1e-6)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
@pytest.mark.parametrize("momentum", [0.0, 0.4])
def test_row_sparse_steps_are_the_lazy_loop(run, momentum):
    """docs/equations.md 0.5: repeats are summed, untouched rows stay, eager, graph and XLA."""
    indices, values = make_gradients()
    reference = ReferenceAdagradMomentum(make_table(), 0.2, momentum)
    for step in range(STEPS):
        reference.step_rows(indices[step], values[step])
    variable, optimizer = keras.Variable(make_table()), AdagradMomentum(0.2, momentum=momentum)
    run(optimizer, variable, indices, values)

    np.testing.assert_allclose(variable, reference.p, **FLOAT32_NOISE)
    slots = {v.path.rsplit("_", 1)[-1]: v.numpy() for v in optimizer.variables}
    np.testing.assert_allclose(slots["accumulator"], reference.acc, **FLOAT32_NOISE)
    assert ("velocity" in slots) == (momentum > 0)
    if momentum:
        np.testing.assert_allclose(slots["velocity"], reference.v, **FLOAT32_NOISE)
    np.testing.assert_array_equal(variable[6], make_table()[6])


@pytest.mark.parametrize("momentum", [0.0, 0.4])
def test_dense_steps_are_the_dense_loop(momentum):
    indices, values = make_gradients(1)
    reference = ReferenceAdagradMomentum(make_table(), 0.2, momentum)
    variable, optimizer = keras.Variable(make_table()), AdagradMomentum(0.2, momentum=momentum)
    for step in range(STEPS):
        gradient = as_dense(indices[step], values[step])
        reference.step_all(gradient)
        optimizer.apply([tf.constant(gradient)], [variable])
    np.testing.assert_allclose(variable, reference.p, **FLOAT32_NOISE)


@pytest.mark.parametrize("momentum", [0.0, 0.4])
def test_dense_equals_lazy_without_momentum_only(momentum):
    """docs/equations.md 0.5: with momentum a dense update keeps moving untouched rows."""
    indices, values = make_gradients(2)
    lazy, dense = keras.Variable(make_table()), keras.Variable(make_table())
    for_lazy, for_dense = (AdagradMomentum(0.2, momentum=momentum) for _ in range(2))
    for step in range(STEPS):
        for_lazy.apply([slices(indices[step], values[step])], [lazy])
        for_dense.apply([tf.constant(as_dense(indices[step], values[step]))], [dense])
        if step == 0:
            after_its_only_step = lazy[5].numpy()
    np.testing.assert_array_equal(lazy[5], after_its_only_step)
    if momentum:
        assert not np.allclose(lazy[5], dense[5], atol=1e-3)
    else:
        np.testing.assert_allclose(lazy, dense, **FLOAT32_NOISE)


def test_repeats_are_summed_before_the_square():
    # g = 3 + 1 = 4 gives a step of lr whatever its size; row by row it would be another.
    variable = keras.Variable(np.ones((ROWS, 1), np.float32))
    rows = tf.IndexedSlices(tf.constant([[3.0], [1.0], [3.0], [-3.0]]), tf.constant([2, 2, 4, 4]))
    optimizer = AdagradMomentum(0.1)
    optimizer.apply([rows], [variable])
    np.testing.assert_allclose(variable[:, 0], [1, 1, 0.9, 1, 1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(optimizer.variables[-1][:, 0], [0, 0, 16, 0, 0, 0, 0])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_row_used_as_input_and_as_target_gets_both_gradients(jit_compile):
    """A-T7: in tied mode, the gradient of a row is the sum over its two uses."""
    table, optimizer = tf.Variable(make_table()), AdagradMomentum(0.1, momentum=0.3)
    optimizer.build([table])
    inputs, targets = tf.constant([2, 4, 2]), tf.constant([4, 5, 1])

    @tf.function(jit_compile=jit_compile)
    def train():
        with tf.GradientTape() as tape:
            hidden = tf.tanh(tf.gather(table, inputs))
            scores = tf.matmul(hidden, tf.gather(table, targets), transpose_b=True)
            loss = tf.reduce_sum(tf.square(scores - tf.eye(3)))
        gradient = tape.gradient(loss, table)
        assert isinstance(gradient, tf.IndexedSlices)
        optimizer.apply([gradient], [table])

    whole = tf.constant(make_table())
    with tf.GradientTape() as tape:
        tape.watch(whole)
        one_hot_in, one_hot_out = tf.one_hot(inputs, ROWS), tf.one_hot(targets, ROWS)
        scores = tf.matmul(tf.tanh(one_hot_in @ whole), one_hot_out @ whole, transpose_b=True)
        loss = tf.reduce_sum(tf.square(scores - tf.eye(3)))
    reference = ReferenceAdagradMomentum(make_table(), 0.1, 0.3)
    gradient = tape.gradient(loss, whole).numpy()
    reference.step_rows([1, 2, 4, 5], gradient[[1, 2, 4, 5]])

    train()
    np.testing.assert_allclose(table, reference.p, **FLOAT32_NOISE)


@pytest.mark.parametrize("momentum", [0.0, 0.4])
def test_the_padding_row_never_moves(momentum):
    """Row 0 occurs in every batch, with the gradient 0 that a masked row has."""
    indices, values = make_gradients(3)
    indices[:, 2:4], values[:, 2:4] = 0, 0.0
    variable, optimizer = keras.Variable(make_table()), AdagradMomentum(0.2, momentum=momentum)
    eagerly(optimizer, variable, indices, values)
    for step in range(STEPS):
        gradient = tf.constant(as_dense(indices[step], values[step]))
        optimizer.apply([gradient], [variable])
    np.testing.assert_array_equal(variable[0], np.zeros(DIM))
    for slot in optimizer.variables[2:]:
        np.testing.assert_array_equal(slot[0], np.zeros(DIM))


def test_a_one_dimensional_table_is_lazy_too():
    variable, optimizer = keras.Variable([0.0, 1.0, 2.0]), AdagradMomentum(0.1, momentum=0.5)
    rows = tf.IndexedSlices(tf.constant([2.0, -1.0, 5.0]), tf.constant([2, 1, 2]))
    optimizer.apply([rows], [variable])
    np.testing.assert_allclose(variable, [0.0, 1.1, 1.9], rtol=1e-6)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_clipping_acts_on_the_summed_rows(clip):
    """Lazy and clipped equals dense and clipped; Keras counts repeats one by one."""
    indices, values = make_gradients(4)
    options = {clip: 0.7, "epsilon": 1.0}  # AdaGrad alone would hide a factor of the gradient.
    lazy, dense = keras.Variable(make_table()), keras.Variable(make_table())
    lazy_bias, dense_bias = keras.Variable([0.2, 0.4]), keras.Variable([0.2, 0.4])
    for_lazy, for_dense = AdagradMomentum(0.2, **options), AdagradMomentum(0.2, **options)
    for step in range(STEPS):
        bias = tf.constant([0.9, -2.0])
        rows = slices(indices[step], values[step])
        for_lazy.apply_gradients([(rows, lazy), (bias, lazy_bias)])
        whole = tf.constant(as_dense(indices[step], values[step]))
        for_dense.apply_gradients([(whole, dense), (bias, dense_bias)])
    np.testing.assert_allclose(lazy, dense, **FLOAT32_NOISE)
    np.testing.assert_allclose(lazy_bias, dense_bias, **FLOAT32_NOISE)

    first = as_dense(indices[0], values[0])
    norms = {
        "clipnorm": np.linalg.norm(first),
        "global_clipnorm": np.hypot(np.linalg.norm(first), np.hypot(0.9, 2.0)),
        "clipvalue": None,
    }
    once, optimizer = keras.Variable(make_table()), AdagradMomentum(0.2, **options)
    extra = keras.Variable([0.2, 0.4])
    optimizer.apply([slices(indices[0], values[0]), tf.constant([0.9, -2.0])], [once, extra])
    norm = norms[clip]
    clipped = np.clip(first, -0.7, 0.7) if norm is None else first * min(1.0, 0.7 / norm)
    moved = 0.2 * clipped / np.sqrt(clipped**2 + 1.0)
    np.testing.assert_allclose(once, make_table() - moved, **FLOAT32_NOISE)


def test_clipping_keeps_untouched_rows_with_momentum():
    indices, values = make_gradients(5)
    optimizer = AdagradMomentum(0.2, momentum=0.9, global_clipnorm=0.5)
    variable = keras.Variable(make_table())
    optimizer.apply([slices(indices[0], values[0])], [variable])
    after_its_only_step = variable[5].numpy()
    for step in range(1, STEPS):
        optimizer.apply([slices(indices[step], values[step])], [variable])
    np.testing.assert_array_equal(variable[5], after_its_only_step)


def test_a_loss_scale_optimizer_may_wrap_it():
    indices, values = make_gradients(6)
    plain, scaled = keras.Variable(make_table()), keras.Variable(make_table())
    optimizer = AdagradMomentum(0.2, momentum=0.4)
    wrapped = keras.optimizers.LossScaleOptimizer(
        AdagradMomentum(0.2, momentum=0.4), initial_scale=8.0
    )
    for step in range(STEPS):
        optimizer.apply([slices(indices[step], values[step])], [plain])
        wrapped.apply([slices(indices[step], 8 * values[step])], [scaled])
    np.testing.assert_allclose(plain, scaled, **FLOAT32_NOISE)


def test_a_learning_rate_schedule_is_followed():
    # Steps of AdaGrad's first kind: gradients 1 and sqrt(3) leave lr and lr sqrt(3)/2.
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.1])
    variable, optimizer = keras.Variable([0.0]), AdagradMomentum(schedule)
    for gradient in (1.0, math.sqrt(3)):
        optimizer.apply([tf.constant([gradient])], [variable])
    np.testing.assert_allclose(variable, [-0.5 - 0.1 * math.sqrt(3) / 2], rtol=1e-5)


def small_model():
    model = keras.Sequential(
        [keras.layers.Embedding(ROWS, DIM), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.build((None, 2))
    for offset, weight in enumerate(model.weights):
        size = int(np.prod(weight.shape))
        weight.assign(0.3 * np.sin(np.arange(1, size + 1) + offset).reshape(weight.shape))
    model.compile(AdagradMomentum(0.05, momentum=0.3), loss="mse")
    return model


# Keras 3.15 saves a tf.Variable by np.array(), whose TensorFlow side knows no `copy` (NumPy 2).
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_fit_save_load_and_go_on(tmp_path):
    """A saved model keeps acc and v: training after loading equals training on."""
    ids = np.array([[1, 2], [2, 2], [3, 1], [4, 2]])
    labels = np.array([[1.0, 0.0], [0.5, 1.0], [0.0, -1.0], [0.2, 0.3]])
    model = small_model()
    history = model.fit(ids, labels, batch_size=2, epochs=3, shuffle=False, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for mine, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for either in (model, loaded):
        either.fit(ids, labels, batch_size=2, epochs=2, shuffle=False, verbose=0)
    for mine, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(mine, theirs, **FLOAT32_NOISE)
    np.testing.assert_array_equal(loaded.weights[0][5:], small_model().weights[0][5:])


def test_configuration_round_trip():
    optimizer = AdagradMomentum(0.05, momentum=0.3, epsilon=1e-5, clipnorm=2.0, name="mine")
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is AdagradMomentum
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, "`momentum` was 1.0, but must be below 1"),
        ({"momentum": -0.1}, "`momentum` must be a finite number of at least 0"),
        ({"epsilon": 0.0}, "`epsilon` was 0, but must be above it"),
        ({"learning_rate": -1.0}, "`learning_rate` must be a finite number"),
        ({"weight_decay": 0.1}, "`weight_decay` was 0.1, but it would read or write every row"),
        ({"use_ema": True}, "`use_ema` was True, but it would read or write every row"),
        ({"gradient_accumulation_steps": 2}, "Use more lanes per batch instead"),
        ({"loss_scale_factor": 8.0}, "Wrap the optimizer in keras.optimizers.LossScaleOptimizer"),
    ],
)
def test_bad_arguments_name_the_cure(options, message):
    with pytest.raises(ValueError, match=message):
        AdagradMomentum(**options)
