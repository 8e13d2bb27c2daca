"""Layers that look back, with distinct weights, and a stream for them to read."""

import numpy as np
import tensorflow as tf

from hrec_tf.layers.causal_attention import TOGETHER, CausalAttention
from hrec_tf.layers.causal_convolutions import CausalConvolutions
from tests.reference.weights import fill_distinct

# More steps than attend at once, see `TOGETHER`.
BATCH, STEPS, FEATURES, UNITS, CONTEXT = 3, TOGETHER + 6, 3, 4, 5
DRAW = np.random.default_rng(0)
INPUTS = DRAW.normal(size=(BATCH, STEPS, FEATURES)).astype(np.float32)
RESET = DRAW.random((BATCH, STEPS)) < 0.12
IS_EVENT = DRAW.random((BATCH, STEPS)) < 0.85


def convolutions(features=FEATURES, units=UNITS, **arguments):
    return _filled(CausalConvolutions(units, **arguments), features)


def attention(features=FEATURES, units=UNITS, **arguments):
    return _filled(CausalAttention(units, **{"context": CONTEXT} | arguments), features)


def _filled(layer, features):
    layer.build((None, None, features))
    fill_distinct(layer, 0.9)
    return layer


def random_states(layer, seed=1):
    generator = np.random.default_rng(seed)
    return [
        tf.constant(generator.uniform(-0.8, 0.8, (BATCH, size)), tf.float32)
        for size in layer.state_sizes
    ]


def run(layer, at=slice(None), states=None, reset=RESET, is_event=IS_EVENT, **arguments):
    given = {"reset": tf.constant(reset[:, at]), "is_event": tf.constant(is_event[:, at])}
    return layer(tf.constant(INPUTS[:, at]), initial_state=states, **given, **arguments)
