"""Runs a cell over the steps of a window."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from hrec_tf.cells.protocol import dense, is_projecting

FIXED = ("constants", "cached")
"""Keys of a projection that hold what is the same at every step."""
COMPILED_ROWS = 64
"""Fewer rows make a step so short that calling a compiled one costs more than it saves."""
_NOTHING: dict[str, dict[str, tf.Tensor]] = {name: {} for name in FIXED}


@keras.saving.register_keras_serializable(package="hrec_tf")
class Recurrence(keras.layers.Layer):
    """Runs a cell over time, with resets and padding by row, states in and states out.

    A cell with `project` and `step` (`hrec_tf.cells.protocol`) runs fast: the projection of
    all steps is one product before the loop, and the gradient of each weight inside the loop
    is one product after it. Any other Keras RNN cell runs in `keras.layers.RNN`. The two give
    equal outputs to 1e-5.

    At step t, with flags `reset` and `mask` of each row:

        output, new <- cell(inputs_t, where(reset_t, 0, states))
        states <- where(is_event_t, new, states)

    Args:
        cell: a Keras RNN cell.
        compile_steps: in training, on batches of 64 rows or more, compile a step and its gradient
            by XLA: once for each size of the batch, for any number of steps. For cells of ours.

    Call:
        inputs: (batch, steps, features).
        initial_state: list of (batch, units), one per state of the cell; zeros if None.
        reset: bool (batch, steps), rows whose states are zero before the step; or None.
        is_event: bool (batch, steps), false where the event is padding: the states stay as they
            are, whatever its flags, and the output has no meaning; or None.
        Returns `(outputs (batch, steps, units), states)`.
    """

    def __init__(self, cell, *, compile_steps: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.cell, self.compile_steps = cell, compile_steps
        self._rnn: Any = None
        if not is_projecting(cell):
            self._rnn = keras.layers.RNN(
                _FlaggedCell(cell), return_sequences=True, return_state=True, name="rnn"
            )

    @property
    def state_sizes(self) -> list[int]:
        return keras.tree.flatten(self.cell.state_size)

    def build(self, input_shape):
        batch, steps, features = input_shape
        if self._rnn is not None:
            self._rnn.build((batch, steps, features + 2))
        elif not self.cell.built:
            self.cell.build((batch, features))

    def initial_states(self, batch_size) -> list[tf.Tensor]:
        """Returns zeros (batch_size, units) for each state."""
        return [ops.zeros((batch_size, size), self.compute_dtype) for size in self.state_sizes]

    def call(self, inputs, initial_state=None, reset=None, is_event=None, training=False):
        states = initial_state
        if states is None:
            states = self.initial_states(ops.shape(inputs)[0])
        for state in states:
            if None not in (state.shape[0], inputs.shape[0]) and state.shape[0] != inputs.shape[0]:
                raise ValueError(
                    f"`initial_state` has batch {state.shape[0]}, but `inputs` has batch "
                    f"{inputs.shape[0]}. Use one `num_lanes` for stream and states."
                )
        if self._rnn is not None:
            return self._call_keras_rnn(inputs, states, reset, is_event, training)
        projected = dict(self.cell.project(inputs, training=training))
        shortcuts = projected.pop("shortcuts", [])
        fixed = {name: projected.pop(name, {}) for name in FIXED}

        given = (inputs.shape[:2], states, reset, is_event, training)

        def run(number: int):
            if number == len(shortcuts):
                return self._run(projected, fixed, *given)
            fits, more = shortcuts[number]
            shorter = projected | {"shortcut": more}
            return tf.cond(
                fits,
                lambda: self._run(shorter, fixed, *given),
                lambda: run(number + 1),
            )

        return run(0)

    def _run(self, projected, fixed, shape, states, reset, is_event, training):
        steps = {"projected": projected}
        if reset is not None:
            steps["reset"] = reset[..., None]
        if is_event is not None:
            steps["is_event"] = is_event[..., None]
        batch, num_steps = shape
        if num_steps == 1:
            first = tf.nest.map_structure(lambda sequence: sequence[:, 0], steps)
            output, states = _guarded_step(self.cell, first, states, dense, fixed)
            return output[:, None], states
        # An export must not be compiled: it would be again for every new shape.
        is_large = (batch or 0) >= COMPILED_ROWS
        compiled = _by_xla if training and self.compile_steps and is_large else _as_it_is
        return _scan(self.cell, steps, list(states), fixed, compiled)

    def _call_keras_rnn(self, inputs, states, reset, is_event, training):
        rows = ops.shape(inputs)[:2]
        reset = ops.zeros(rows, bool) if reset is None else reset
        is_event = ops.ones(rows, bool) if is_event is None else is_event
        flags = ops.cast(ops.stack([reset, is_event], axis=-1), inputs.dtype)
        outputs, *states = self._rnn(
            ops.concatenate([inputs, flags], axis=-1), initial_state=states, training=training
        )
        return outputs, states

    def get_config(self):
        return super().get_config() | {
            "cell": keras.saving.serialize_keras_object(self.cell),
            "compile_steps": self.compile_steps,
        }

    @classmethod
    def from_config(cls, config):
        cell = keras.saving.deserialize_keras_object(config.pop("cell"))
        return cls(cell, **config)


class _FlaggedCell(keras.layers.Layer):
    """Gives a foreign cell the resets and the padding of `Recurrence`."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell
        self.state_size = keras.tree.flatten(cell.state_size)
        self.output_size = getattr(cell, "output_size", self.state_size[0])

    def build(self, input_shape):
        if not self.cell.built:
            self.cell.build((*input_shape[:-1], input_shape[-1] - 2))
            self.cell.built = True

    def call(self, inputs, states, training=False):
        reset, is_event = inputs[:, -2:-1] > 0, inputs[:, -1:] > 0
        start = [ops.where(reset, 0.0, state) for state in states]
        given = keras.tree.pack_sequence_as(self.cell.state_size, start)
        if not isinstance(given, (list, tuple)):
            given = [given]
        takes_training = self.cell._call_has_training_arg
        extra = {"training": training} if takes_training else {}
        output, new = self.cell(inputs[:, :-2], given, **extra)
        new = keras.tree.flatten(new)
        return output, [ops.where(is_event, n, s) for n, s in zip(new, states, strict=True)]


def _guarded_step(cell, step, states, dense, fixed=_NOTHING):
    """One step of the cell with its row's reset and padding."""
    start = states
    if "reset" in step:
        start = [tf.where(step["reset"], tf.zeros_like(state), state) for state in states]
    given = {name: values for name, values in fixed.items() if values}
    output, new = cell.step(step["projected"] | given, start, dense=dense)
    if "is_event" in step:
        new = [tf.where(step["is_event"], n, s) for n, s in zip(new, states, strict=True)]
    return output, list(new)


def _by_xla(function):
    return tf.function(function, autograph=False, jit_compile=True)


def _as_it_is(function):
    return function


def _scan(cell, steps, states, fixed=_NOTHING, compiled=_as_it_is):
    """Runs `_guarded_step` over axis 1, with a backward pass of its own.

    Backward, each step runs once more under a tape to give the gradients of its inputs, its
    states and its *products*. With x_t the left factor of a product and g_t the gradient of
    its result, a weight's gradient is the sum over t of x_tᵀ g_t: one product of the stacked
    factors, after the loop. The gradients of constants are summed inside it.
    """
    time_major = tf.nest.map_structure(_time_major, steps)
    flat = tf.nest.flatten(time_major)
    is_float = [sequence.dtype.is_floating for sequence in flat]
    floats = [sequence for sequence, yes in zip(flat, is_float, strict=True) if yes]
    others = [sequence for sequence, yes in zip(flat, is_float, strict=True) if not yes]
    weights = [tf.convert_to_tensor(weight) for weight in cell.step_weights]
    position = {id(weight): index for index, weight in enumerate(cell.step_weights)}
    # Inside a branch of `tf.cond` its own, or TensorFlow has no gradient of a branch in a branch.
    constants = [tf.identity(constant) for constant in tf.nest.flatten(fixed["constants"])]
    num_steps = flat[0].shape[0]
    if num_steps is None:
        num_steps = tf.shape(flat[0])[0]

    def others_at(t):
        return [sequence[t] for sequence in others]

    def step_of(floats_t, others_t, constants, states, dense):
        floats_t, others_t = iter(floats_t), iter(others_t)
        flat_t = [next(floats_t if yes else others_t) for yes in is_float]
        step = tf.nest.pack_sequence_as(time_major, flat_t)
        given = {
            "constants": tf.nest.pack_sequence_as(fixed["constants"], constants),
            "cached": fixed["cached"],
        }
        return _guarded_step(cell, step, states, dense, given)

    @tf.custom_gradient
    def scan(floats, constants, states, weights):
        def forward_dense(x, kernel, bias=None):
            product = x @ weights[position[id(kernel)]]
            return product if bias is None else product + weights[position[id(bias)]]

        @compiled
        def one_step(floats_t, others_t, states):
            return step_of(floats_t, others_t, constants, states, forward_dense)

        def body(t, states, before, outputs):
            before = [array.write(t, s) for array, s in zip(before, states, strict=True)]
            output, states = one_step([f[t] for f in floats], others_at(t), states)
            return t + 1, states, before, outputs.write(t, output)

        batch = states[0].shape[0]
        before = [_array(num_steps, state.dtype, state.shape) for state in states]
        outputs = _array(num_steps, states[0].dtype, (batch, cell.output_size))
        _, last, before, outputs = tf.while_loop(
            lambda t, *_: t < num_steps,
            body,
            (tf.constant(0), states, before, outputs),
            maximum_iterations=num_steps,
        )
        before = [array.stack() for array in before]

        def gradient(output_gradients, *last_gradients):
            return _scan_gradient(
                step_of,
                others_at,
                position,
                num_steps,
                (floats, constants, before, weights),
                (output_gradients, list(last_gradients)),
                compiled,
            )

        return (outputs.stack(), *last), gradient

    outputs, *last = scan(floats, constants, states, weights)
    return tf.transpose(outputs, [1, 0, 2]), last


def _time_major(sequence):
    """Swaps the first two axes."""
    if sequence.dtype == tf.bool:
        # Without AVX-512, oneDNN transposes floats alone, and complains on stderr of the rest. A
        # cast would be moved behind the transpose again by TensorFlow's graph optimiser.
        return _time_major(tf.where(sequence, 1.0, 0.0)) > 0
    return tf.transpose(sequence, [1, 0, *range(2, len(sequence.shape))])


def _scan_gradient(step_of, others_at, position, num_steps, saved, given, compiled):
    """The backward pass of `_scan`; returns gradients as (floats, constants, states, weights)."""
    floats, constants, before, weights = saved
    output_gradients, state_gradients = given

    def first_step(dense):
        states = [b[0] for b in before]
        return step_of([f[0] for f in floats], others_at(0), constants, states, dense)

    shapes = _product_shapes(first_step, position, weights)
    batch = before[0].shape[1]
    if batch is None:
        batch = tf.shape(before[0])[1]

    @compiled
    def gradients_of_step(floats_t, others_t, states, given):
        probes = [
            tf.zeros((batch if result[0] is None else result[0], *result[1:]), floats_t[0].dtype)
            for _, result, _, _ in shapes
        ]
        seen: list[tf.Tensor] = []
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([floats_t, constants, states, probes])

            def probing_dense(x, kernel, bias=None):
                # The probe is zero: it stands where the product's gradient is read off.
                product = x @ weights[position[id(kernel)]] + probes[len(seen)]
                seen.append(x)
                return product if bias is None else product + weights[position[id(bias)]]

            output, new = step_of(floats_t, others_t, constants, states, probing_dense)
        gradients = tape.gradient(
            [output, *new],
            [floats_t, constants, states, probes],
            output_gradients=given,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return *gradients, seen

    def body(t, state_gradients, constant_gradients, float_gradients, lefts, product_gradients):
        floats_t, states = [f[t] for f in floats], [b[t] for b in before]
        given = [output_gradients[t], *state_gradients]
        float_gradient, constant_gradient, state_gradient, product_gradient, seen = (
            gradients_of_step(floats_t, others_at(t), states, given)
        )
        return (
            t - 1,
            state_gradient,
            [s + g for s, g in zip(constant_gradients, constant_gradient, strict=True)],
            _write(float_gradients, t, float_gradient),
            _write(lefts, t, seen),
            _write(product_gradients, t, product_gradient),
        )

    _, state_gradients, constant_gradients, *arrays = tf.while_loop(
        lambda t, *_: t >= 0,
        body,
        (
            tf.constant(num_steps - 1) if isinstance(num_steps, int) else num_steps - 1,
            state_gradients,
            [tf.zeros_like(constant) for constant in constants],
            [_array(num_steps, f.dtype, f.shape[1:]) for f in floats],
            [_array(num_steps, floats[0].dtype, shape[0]) for shape in shapes],
            [_array(num_steps, floats[0].dtype, shape[1]) for shape in shapes],
        ),
        maximum_iterations=num_steps,
    )
    float_gradients, lefts, product_gradients = arrays
    weight_gradients = [tf.zeros_like(weight) for weight in weights]
    for (_, _, kernel, bias), left, right in zip(shapes, lefts, product_gradients, strict=True):
        left, right = left.concat(), right.concat()
        weight_gradients[kernel] += tf.matmul(left, right, transpose_a=True)
        if bias is not None:
            weight_gradients[bias] += tf.reduce_sum(right, axis=0)
    float_gradients = [array.stack() for array in float_gradients]
    return float_gradients, constant_gradients, state_gradients, weight_gradients


def _product_shapes(first_step, position, weights):
    """Lists each product of a step: shapes of its left factor and result, kernel, bias."""
    shapes = []

    def recording_dense(x, kernel, bias=None):
        product = x @ weights[position[id(kernel)]]
        bias = None if bias is None else position[id(bias)]
        shapes.append((x.shape, product.shape, position[id(kernel)], bias))
        return product if bias is None else product + weights[bias]

    # Its results are not used, so the graph's pruning takes them out again.
    first_step(recording_dense)
    return shapes


def _array(size, dtype, element_shape):
    return tf.TensorArray(dtype, size=size, element_shape=element_shape, clear_after_read=False)


def _write(arrays, t, values):
    return [array.write(t, value) for array, value in zip(arrays, values, strict=True)]
