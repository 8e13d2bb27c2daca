import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.cells import HCRNNCell, ReferenceGRUCell
from hrec_tf.cells.hcrnn import AtLeastZero
from hrec_tf.cells.memory_attention import form_of
from hrec_tf.cells.protocol import dense
from tests.reference.hcrnn import cell_loop, cell_step, cell_weights, fill, options_of
from tests.reference.recurrent import sigmoid

BATCH, STEPS, UNITS, ITEM_DIM, CONTEXTS = 3, 7, 4, 3, 5
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
SIZES = {"units": UNITS, "item_dim": ITEM_DIM, "num_contexts": CONTEXTS}
VARIANTS = {
    "1": {"version": 1},
    "1_prev": {"version": 1, "v1_reset_uses_prev": True},
    "2": {"version": 2},
    "3": {"version": 3},
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def built(version=3, **arguments):
    cell = HCRNNCell(**SIZES | {"version": version} | arguments)
    cell.build()
    return cell


def filled(version=3, **arguments):
    cell = built(version, **arguments)
    # Large enough that a wrong term shows in the fifth digit.
    fill(cell, 0.6)
    return cell


def twin(cell, version):
    """A cell of another version with the same values wherever it has the same weight."""
    other = filled(version)
    own = {weight.name: weight for weight in cell.weights}
    for weight in other.weights:
        if weight.name in own:
            weight.assign(own[weight.name])
    return other


def shut_local_gate(cell):
    """Gives b_l, which stands first in the bias, the value -30."""
    others = np.asarray(cell.bias)[ITEM_DIM:]
    cell.bias.assign(np.concatenate([np.full(ITEM_DIM, -30.0, "float32"), others]))


def set_zero(*weights):
    for weight in weights:
        weight.assign(np.zeros(weight.shape))


def random_inputs(seed=0, contexts=CONTEXTS):
    """x, then θ, another one at each step."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(BATCH, STEPS, ITEM_DIM))
    theta = generator.dirichlet(np.ones(contexts), (BATCH, STEPS))
    return np.concatenate([x, theta], axis=-1).astype("float32")


def random_states(seed=1):
    generator = np.random.default_rng(seed)
    return [
        generator.uniform(-0.8, 0.8, (BATCH, size)).astype("float32") for size in (UNITS, ITEM_DIM)
    ]


def run(cell, inputs, states=None):
    """Returns h and c after each step."""
    states = random_states() if states is None else states
    outputs = keras.layers.RNN(cell, return_sequences=True)(inputs, initial_state=states)
    return np.split(np.asarray(outputs), [cell.units], axis=-1)


def values_of_step(cell, inputs=None, states=None):
    """The values of the first step by name."""
    inputs = random_inputs() if inputs is None else inputs
    states = random_states() if states is None else states
    found = cell.values(cell.project(inputs[:, 0]), states, dense)
    return {name: np.asarray(values) for name, values in found.items()}


def assert_same_h(cell, other, inputs=None):
    inputs = random_inputs() if inputs is None else inputs
    np.testing.assert_allclose(run(cell, inputs)[0], run(other, inputs)[0], **FLOAT32_NOISE)


@pytest.mark.parametrize(("version", "g"), [(1, 9 / 10), (2, 27 / 28), (3, 9 / 16)])
def test_golden_values_of_one_unit(version, g):
    """Every gate but one opens to 3/4 = σ(log 3); x = 2, h = 1/2, c = 1, θ = (1/2, 1/2).

    M = (4, 0): e = v (σ(log 3 + log 3), σ(log 3)) = v (9/10, 3/4), v = log 3 / (9/10 - 3/4),
    so α = (3/4, 1/4) and c~ = 3.  G^c = 3/4: c' = 1/4 + 9/4 = 5/2.  z = 3/4.
    Of version 1, r = σ((-2 + 1 + 2 + 5/2 · 2/5) log 3) = σ(log 9) = 9/10;
    of version 2, r = σ((-2 + 1 + 2 + 5 · 2/5) log 3) = σ(log 27) = 27/28;
    of version 3, r = 3/4 and G^d = σ((5 · 2/5 - 1) log 3) = 3/4.
    h~ = tanh(g/2 · 64/9 - 2 + 1/2);  h' = 1/8 + 3/4 h~.
    """
    cell = HCRNNCell(1, item_dim=1, num_contexts=2, version=version)
    cell.build()
    log3 = np.log(3)
    cell.memory.assign([[4.0], [0.0]])
    cell.memory_kernel.assign([[log3 / 2]])
    cell.v.assign([[log3 / (9 / 10 - 3 / 4)]])
    # The blocks are l, z, r, h; h's are α, l, z, r.
    cell.x_kernel.assign([[log3, log3, -log3, -1]])
    cell.h_kernel.assign([[2 * log3, -2 * log3, 2 * log3, 2 * log3]])
    cell.bias.assign([-log3, 0, 2 * log3, 1 / 2])
    cell.c_to_context.assign([[log3]])
    cell.c_to_update.assign([[-4 / 5 * log3]])
    cell.candidate_kernel.assign([[64 / 9]])
    (cell.c_to_reset if version == 1 else cell.drift_kernel).assign([[2 / 5 * log3]])
    if version == 3:
        cell.drift_bias.assign([-log3])
    output, (h, c) = cell(tf.constant([[2, 0.5, 0.5]]), [tf.constant([[0.5]]), tf.ones((1, 1))])
    expected = 1 / 8 + 3 / 4 * np.tanh(g / 2 * 64 / 9 - 3 / 2)
    np.testing.assert_allclose(c, [[5 / 2]], rtol=1e-6)
    np.testing.assert_allclose(h, [[expected]], rtol=1e-6)
    np.testing.assert_array_equal(output, np.concatenate([h, c], axis=1))


@every_variant
def test_agrees_with_a_float64_loop(variant):
    cell, inputs, states = filled(**VARIANTS[variant]), random_inputs(), random_states()
    expected, *_ = cell_loop(cell, inputs, *states)
    np.testing.assert_allclose(np.concatenate(run(cell, inputs), -1), expected, **FLOAT32_NOISE)
    values = values_of_step(cell, inputs, states)
    for row in range(BATCH):
        x, theta = np.split(inputs[row, 0].astype(float), [ITEM_DIM])
        h, c = (state[row].astype(float) for state in states)
        loop = cell_step(cell_weights(cell), x, theta, h, c, **options_of(cell))
        assert set(values) == set(loop)
        for name, expected in loop.items():
            np.testing.assert_allclose(values[name][row], expected, **FLOAT32_NOISE, err_msg=name)


def test_without_its_contexts_version_1_is_the_reference_gru():
    """C-T1: W_cr = W_cz = 0."""
    cell = filled(1)
    set_zero(cell.c_to_reset, cell.c_to_update)
    w = {name: values.astype("float32") for name, values in cell_weights(cell).items()}
    gru = ReferenceGRUCell(UNITS)
    gru.build((None, ITEM_DIM))
    gru.kernel.assign(np.concatenate([w["W_xr"], w["W_xz"], w["W_xh"]], axis=1))
    gru.recurrent_gates.assign(np.concatenate([w["W_hr"], w["W_hz"]], axis=1))
    gru.recurrent_candidate.assign(w["W_hh"])
    gru.bias.assign(np.concatenate([w["b_r"], w["b_z"], w["b_h"]]))
    inputs, (h, c) = random_inputs(), random_states()
    expected = keras.layers.RNN(gru, return_sequences=True)(
        inputs[..., :ITEM_DIM], initial_state=[h]
    )
    np.testing.assert_allclose(run(cell, inputs, [h, c])[0], expected, **FLOAT32_NOISE)


@pytest.mark.parametrize("drift_bias", [-1.5, 0.0, 2.0])
def test_without_its_kernel_the_drift_gate_is_a_constant(drift_bias):
    """C-T2: W_d = 0 gives G^d = σ(b_d); so g = σ(b_d) r, as if W_hh were σ(b_d) W_hh."""
    cell = filled(3)
    set_zero(cell.drift_kernel)
    cell.drift_bias.assign(np.full(UNITS, drift_bias))
    drift = values_of_step(cell)["drift"]
    np.testing.assert_allclose(drift, np.full((BATCH, UNITS), sigmoid(drift_bias)), rtol=1e-6)
    plain = twin(cell, 1)
    set_zero(plain.c_to_reset)
    plain.candidate_kernel.assign(sigmoid(drift_bias) * np.asarray(cell.candidate_kernel))
    assert_same_h(cell, plain)


def test_an_open_drift_gate_leaves_version_1_and_half_an_open_one_halves_its_reset():
    """C-T2: W_d = 0; b_d = 30 is version 1 with W_cr = 0, b_d = 0 is it with half of g."""
    cell = filled(3)
    set_zero(cell.drift_kernel)
    plain = twin(cell, 1)
    set_zero(plain.c_to_reset)
    cell.drift_bias.assign(np.full(UNITS, 30.0))
    assert_same_h(cell, plain)
    set_zero(cell.drift_bias)
    values = values_of_step(cell)
    np.testing.assert_allclose(values["drift"], np.full((BATCH, UNITS), 0.5), rtol=1e-6)
    assert np.abs(run(cell, random_inputs())[0] - run(plain, random_inputs())[0]).max() > 1e-2


def test_without_w_d_version_2_is_version_1_without_w_cr():
    """C-T3."""
    cell = filled(2)
    set_zero(cell.drift_kernel)
    plain = twin(cell, 1)
    set_zero(plain.c_to_reset)
    assert_same_h(cell, plain)


@pytest.mark.parametrize("theta", [0.0, 0.3, 1.0])
def test_a_single_context_is_proposed_whatever_its_share(theta):
    """C-T4: K = 1 gives α = 1 and c~ = M."""
    cell = filled(3, num_contexts=1)
    inputs = random_inputs(contexts=1)
    inputs[..., -1] = theta
    values, (_, c) = values_of_step(cell, inputs), random_states()
    np.testing.assert_array_equal(values["alpha"], np.ones((BATCH, 1)))
    gate = values["context"]
    np.testing.assert_allclose(
        values["c"], (1 - gate) * c + gate * np.asarray(cell.memory), **FLOAT32_NOISE
    )


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_closed_local_gate_leaves_the_local_context_and_no_drift_is_seen(version):
    """C-T5: b_l = -30 and c_0 = 0: c stays 0, and W_d has no part in versions 2 and 3."""
    cell = filled(version)
    shut_local_gate(cell)
    states, inputs = [random_states()[0], np.zeros((BATCH, ITEM_DIM), "float32")], random_inputs()
    h, c = run(cell, inputs, states)
    np.testing.assert_allclose(c, np.zeros(c.shape), atol=1e-10)
    reads_c = cell.c_to_reset if version == 1 else cell.drift_kernel
    reads_c.assign(3 * np.asarray(reads_c))
    np.testing.assert_allclose(run(cell, inputs, states)[0], h, **FLOAT32_NOISE)
    if version == 3:
        drift = values_of_step(cell, inputs, states)["drift"]
        expected = sigmoid(np.tile(cell.drift_bias, (BATCH, 1)))
        np.testing.assert_allclose(drift, expected, **FLOAT32_NOISE)


def test_the_reset_of_version_1_reads_the_new_context_or_the_one_before():
    """C.9: the paper's c_t is the default, the code's c_{t-1} an option."""
    new, old = filled(1), filled(1, v1_reset_uses_prev=True)
    values, others = values_of_step(new), values_of_step(old)
    assert np.abs(values["reset"] - others["reset"]).max() > 1e-3
    # With the local gate shut the two are one.
    for cell in (new, old):
        shut_local_gate(cell)
    assert_same_h(new, old)


@pytest.mark.integration
@settings(deadline=None, max_examples=15)
@given(
    variant=st.sampled_from(sorted(VARIANTS)),
    seed=st.integers(0, 999),
    order=st.permutations(range(CONTEXTS)),
)
def test_contexts_may_stand_in_any_order(variant, seed, order):
    cell, inputs = filled(**VARIANTS[variant]), random_inputs(seed)
    alpha, (h, c) = values_of_step(cell, inputs)["alpha"], run(cell, inputs)
    cell.memory.assign(np.asarray(cell.memory)[order])
    inputs[..., ITEM_DIM:] = inputs[..., ITEM_DIM:][..., order]
    np.testing.assert_allclose(values_of_step(cell, inputs)["alpha"], alpha[:, order], rtol=1e-5)
    for mine, other in zip(run(cell, inputs), (h, c), strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 999), scale=st.floats(0.1, 4))
def test_contexts_stay_among_what_they_are_made_of(seed, scale):
    """c is a mean of c_0 and rows of M, h one of h_0 and values of tanh; α adds up to 1."""
    cell = filled(3)
    cell.memory.assign(scale * np.asarray(cell.memory))
    inputs, states = random_inputs(seed), random_states(seed)
    inputs[..., :ITEM_DIM] *= scale
    h, c = run(cell, inputs, states)
    known = np.concatenate([states[1], cell.memory])
    assert np.all(c <= known.max(axis=0) + 1e-5) and np.all(c >= known.min(axis=0) - 1e-5)
    assert np.abs(h).max() <= 1
    alpha = values_of_step(cell, inputs, states)["alpha"]
    np.testing.assert_allclose(alpha.sum(axis=1), np.ones(BATCH), rtol=1e-6)
    assert np.all(alpha > 0)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 999))
@pytest.mark.parametrize("version", [2, 3])
def test_an_item_that_agrees_with_the_context_keeps_more_than_one_against_it(version, seed):
    """Drift: with W_d >= 0 the gate grows in each part of x ⊙ c'; here x alone changes signs."""
    cell = filled(version)
    # x has a part in nothing else.
    set_zero(cell.x_kernel)
    inputs, (h, _) = random_inputs(seed), random_states(seed)
    c = values_of_step(cell, inputs, [h, 0 * random_states()[1]])["c"]
    agrees, differs = inputs.copy(), inputs.copy()
    agrees[:, 0, :ITEM_DIM] = np.abs(inputs[:, 0, :ITEM_DIM]) * np.sign(c)
    differs[:, 0, :ITEM_DIM] = -agrees[:, 0, :ITEM_DIM]
    name = "reset" if version == 2 else "drift"
    more, less = (
        values_of_step(cell, some, [h, np.zeros_like(c)])[name] for some in (agrees, differs)
    )
    assert np.all(more > less)


@every_variant
def test_one_step_at_a_time_is_what_a_projection_of_all_steps_gives(variant):
    cell, inputs, states = filled(**VARIANTS[variant]), random_inputs(), random_states()
    projected = dict(cell.project(inputs))
    constants = projected.pop("constants")
    for step in range(STEPS):
        single, _ = cell(inputs[:, step], states)
        here = {name: values[:, step] for name, values in projected.items()}
        output, states = cell.step(here | {"constants": constants}, states)
        np.testing.assert_allclose(output, single, **FLOAT32_NOISE)


@pytest.mark.parametrize("theta", ["whole", "prefix"])
def test_a_training_chooses_the_form_of_the_energies_by_all_its_steps(theta):
    cell, inputs = filled(theta=theta), random_inputs()
    assert "cached" not in cell.project(inputs)
    projected = cell.project(inputs, training=True)
    expected = form_of(inputs[..., ITEM_DIM:], projected["constants"]["memory"])
    assert float(projected["cached"]["form"]) == float(expected)


@pytest.mark.parametrize("version", [2, 3])
def test_w_d_is_at_least_zero_when_it_is_made(version):
    """C-T9; C.3: the code's raw values are negative in half of their places until a first step."""
    kernel, raw = (
        np.asarray(built(version, units=40, seed=1, **arguments).drift_kernel)
        for arguments in ({}, {"raw_drift_init": True})
    )
    assert kernel.min() == np.float32(1e-12)
    assert 0.3 < np.mean(raw < 0) < 0.7
    np.testing.assert_array_equal(kernel, np.maximum(raw, np.float32(1e-12)))


def test_a_step_of_the_optimizer_leaves_w_d_at_least_zero():
    """C-T9."""
    cell = built(3, seed=1)
    optimizer = keras.optimizers.SGD(10.0)
    optimizer.apply([tf.ones(cell.drift_kernel.shape)], [cell.drift_kernel])
    np.testing.assert_array_equal(cell.drift_kernel, np.full((ITEM_DIM, UNITS), np.float32(1e-12)))
    kept = AtLeastZero()(tf.constant([-1.0, 0.0, 2.0]))
    np.testing.assert_array_equal(kept, np.array([1e-12, 1e-12, 2], "float32"))


def test_initial_values_are_those_of_the_codes_matrices():
    """C.5: U(-s, s), s = sqrt(6 / (rows + columns)) of matrices of which some hold x's and h's."""
    H, D, K = 50, 40, 30
    both = D + H
    columns = {"l": D, "z": H, "r": H, "h": H}
    for version in (1, 3):
        cell = HCRNNCell(H, item_dim=D, num_contexts=K, version=version, raw_drift_init=version > 1)
        cell.build()
        w = cell_weights(cell) | {"v": np.asarray(cell.v)}
        fans = {f"W_x{gate}": both + width for gate, width in columns.items()}
        fans |= {f"W_h{gate}": both + width for gate, width in columns.items()}
        fans |= {"W_ha": H + H, "W_ta": D + H, "W_cl": D + D, "W_cz": D + H}
        fans |= {"M": K + D, "v": 1 + H, ("W_cr" if version == 1 else "W_d"): D + H}
        assert {name for name in w if not name.startswith("b_")} == set(fans)
        for name, fan in fans.items():
            limit = np.sqrt(6 / fan)
            least = 0.8 if name == "v" else 0.97
            assert least * limit < np.abs(w[name]).max() <= limit * (1 + 1e-6), name


@pytest.mark.parametrize("gate_bias", [0.0, 1.0])
def test_gate_bias_is_that_of_z_r_and_the_drift_gate(gate_bias):
    """C.5: 1 if `zero_init=False`, which leaves b_l and b_h at 0."""
    w = cell_weights(built(3, gate_bias=gate_bias))
    for name in ("b_z", "b_r", "b_d"):
        np.testing.assert_array_equal(w[name], np.full(UNITS, gate_bias))
    assert not w["b_l"].any() and not w["b_h"].any()


def test_a_seed_draws_every_weight_anew():
    first, same = (built(1, seed=5).trainable_weights for _ in range(2))
    drawn = []
    for mine, again in zip(first, same, strict=True):
        np.testing.assert_array_equal(mine, again)
        values = np.asarray(mine).ravel()
        if mine.name != "bias":
            drawn.append(values / np.abs(values).max())
    for position, mine in enumerate(drawn):
        for other in drawn[:position]:
            length = min(len(mine), len(other))
            assert np.abs(mine[:length] - other[:length]).max() > 0.05


@every_variant
def test_config_round_trip(variant):
    cell = built(**VARIANTS[variant], theta="prefix", gate_bias=1.0, seed=4, name="c")
    again = HCRNNCell.from_config(json.loads(json.dumps(cell.get_config())))
    assert again.get_config() == cell.get_config()
    again.build()
    for mine, other in zip(again.weights, cell.weights, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be a positive int, but was 0"),
        ({"item_dim": -1}, "`item_dim` must be a positive int, but was -1"),
        ({"num_contexts": 2.5}, "`num_contexts` must be a positive int, but was 2.5"),
        ({"gate_bias": "1"}, "`gate_bias` must be a finite number, but was '1'. Pass 0, or 1 for"),
        ({"version": 4}, "`version` must be 1, 2 or 3, but was 4. Pass 3 for the paper's best"),
        ({"theta": "prefixes"}, "`theta` was 'prefixes', but must be one of 'whole', 'prefix'"),
        (
            {"version": 3, "v1_reset_uses_prev": True},
            "`v1_reset_uses_prev` was True with version=3, .*would ignore it. Leave it out",
        ),
        (
            {"version": 1, "raw_drift_init": True},
            "`raw_drift_init` was True with version=1, which has no such weight",
        ),
    ],
)
def test_bad_arguments_name_the_cure(arguments, message):
    with pytest.raises(ValueError, match=message):
        HCRNNCell(**arguments)
