"""Requests with something wrong, and the codes of which each must get one."""

import functools
import json

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2

from tests.serving import toy
from tests.serving.rest_parts import PREDICT, ROW

GIGANTIC, BACK = (tf.make_tensor_proto(np.array(held)) for held in ([2**31 - 1], [[1, -(2**63)]]))
NOT_FINITE = [tf.make_tensor_proto([[1.0, float(held)]]) for held in ("nan", "inf")]
ITEMS = ["tea", "jam", "never seen", "", "\0", "ø" * 99]


def grpc_request(draw):
    """The bytes of a PredictRequest, and the codes of which it must get one."""
    asked = predict_pb2.PredictRequest.FromString(whole(draw.choice(ITEMS), draw.choice(ITEMS)))
    asked.model_spec.signature_name = draw.choice(["", "recommend"])
    if draw.randrange(5) == 0:
        sent = bent(draw, asked.SerializeToString())
        try:
            predict_pb2.PredictRequest.FromString(sent)
        except DecodeError:
            return sent, {"INTERNAL"}
        return sent, {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"}
    spoils = draw.sample(list(GRPC), draw.choice([1, 1, 1, 2]))
    for spoil in spoils:
        spoil(draw, asked)
    return asked.SerializeToString(), codes_of(GRPC, spoils, "OK")


def rest_request(draw):
    """Path and body of a POST, and the statuses of which it must get one."""
    asked = {
        "signature_name": draw.choice(["", "recommend"]),
        "instances": [
            ROW | {"item_ids": draw.sample(ITEMS, 2)} for _ in range(draw.choice([1, 3]))
        ],
    }
    if draw.randrange(5) == 0:
        sent = bent(draw, json.dumps(asked).encode())
        try:
            json.loads(sent)
        except ValueError:
            return PREDICT, sent, {400}
        return PREDICT, sent, {200, 400}
    spoils = draw.sample(list(REST), draw.choice([1, 1, 1, 2]))
    path = PREDICT
    for spoil in spoils:
        path = spoil(draw, asked) or path
    return path, as_json(asked), codes_of(REST, spoils, 200)


def state_request(draw, whole):
    """The bytes of a step, mostly with a state that its model has not made, and their codes."""
    inputs = {name: np.array(values) for name, values in whole.items()}
    spoil = draw.choice([None, *STATES])
    if spoil is not None:
        spoil(draw, inputs)
    codes = {"OK" if spoil is None else "INVALID_ARGUMENT"}
    return toy.request("step", inputs).SerializeToString(), codes


def a_bit_of_a_state(draw, inputs):
    bits = inputs["state"].view(np.uint32)
    bits[0, draw.randrange(bits.shape[1])] ^= np.uint32(1 << draw.randrange(32))


def a_bit_of_what_belongs_to_it(draw, inputs):
    info = inputs["state_info"]
    info[0, draw.randrange(info.shape[1])] ^= np.int64(1) << draw.randrange(63)


def a_state_that_is_not_finite(draw, inputs):
    values = inputs["state"]
    values[0, draw.randrange(values.shape[1])] = draw.choice([np.nan, np.inf, -np.inf])


def a_state_without_what_belongs_to_it(draw, inputs):
    inputs[draw.choice(["state", "state_info"])][:] = 0


def a_state_of_another_width(draw, inputs):
    name = draw.choice(["state", "state_info"])
    width = draw.choice([0, inputs[name].shape[1] - 1, inputs[name].shape[1] + 1])
    inputs[name] = np.resize(inputs[name], (1, width))


def a_state_of_another_type(draw, inputs):
    inputs["state"] = inputs["state"].astype(draw.choice([np.float64, np.float16, np.int32]))


def a_time_before_the_state(draw, inputs):
    inputs["timestamps"][:] = draw.choice([59, 0, -(2**62), 2**62])


STATES = (
    a_bit_of_a_state,
    a_bit_of_what_belongs_to_it,
    a_state_that_is_not_finite,
    a_state_without_what_belongs_to_it,
    a_state_of_another_width,
    a_state_of_another_type,
    a_time_before_the_state,
)


@functools.cache
def whole(*items):
    return toy.request("", toy.recommend_inputs(item_ids=[items])).SerializeToString()


def codes_of(table, spoils, fine):
    """Those of what is wrong: which of them is found first is not promised."""
    return {table[spoil] for spoil in spoils} - {fine} or {fine}


def bent(draw, sent):
    sent = bytearray(sent)
    for _ in range(draw.randint(1, 5)):
        sent[draw.randrange(len(sent))] = draw.randrange(256)
    return bytes(sent)


def nothing(draw, asked):
    pass


def any_input(draw, asked):
    return asked.inputs[draw.choice(sorted(asked.inputs))]


def another_type(draw, asked):
    tensor = any_input(draw, asked)
    tensor.dtype = draw.choice([number for number in range(40) if number != tensor.dtype])


def another_batch(draw, asked):
    any_input(draw, asked).tensor_shape.dim[0].size = draw.choice([-7, 0, 2, 2**31, 2**62])


def another_rank(draw, asked):
    any_input(draw, asked).tensor_shape.dim.add().size = draw.choice([0, 1, 2**40])


def many_rows(draw, asked):
    """A few bytes that stand for as many rows as they say."""
    rows = draw.choice([2**11, 2**20, 2**40])
    for tensor in asked.inputs.values():
        tensor.tensor_shape.dim[0].size = rows


def many_events(draw, asked):
    events = draw.choice([2**15, 2**18, 2**50])
    for name in {"item_ids", "timestamps"} & set(asked.inputs):
        asked.inputs[name].tensor_shape.dim[1].size = events


def an_input_too_few(draw, asked):
    del asked.inputs[draw.choice(sorted(asked.inputs))]


def a_gigantic_k(draw, asked):
    asked.inputs["k"].CopyFrom(GIGANTIC)


def times_that_are_not_finite(draw, asked):
    asked.inputs["timestamps"].CopyFrom(draw.choice(NOT_FINITE))


def times_that_go_back(draw, asked):
    asked.inputs["timestamps"].CopyFrom(BACK)


def bytes_cut_short(draw, asked):
    tensor = asked.inputs["timestamps"]
    tensor.tensor_content = tensor.tensor_content[: draw.randrange(1, 15)]


def another_output(draw, asked):
    asked.output_filter.extend(draw.choice([["k"], [""], ["x" * 3000], ["scores", "scores"]]))


def another_model(draw, asked):
    asked.model_spec.name = draw.choice(["other", "x" * 3000, "\0"])


def no_model(draw, asked):
    asked.model_spec.name = ""


def another_version(draw, asked):
    asked.model_spec.version.value = draw.choice([-1, 2, 2**63 - 1])


def another_label(draw, asked):
    asked.model_spec.version_label = draw.choice(["stable", "x" * 3000])


def another_signature(draw, asked):
    asked.model_spec.signature_name = draw.choice(["guess", "x" * 3000])


GRPC = {
    nothing: "OK",
    another_type: "INVALID_ARGUMENT",
    another_batch: "INVALID_ARGUMENT",
    another_rank: "INVALID_ARGUMENT",
    many_rows: "INVALID_ARGUMENT",
    many_events: "INVALID_ARGUMENT",
    an_input_too_few: "INVALID_ARGUMENT",
    a_gigantic_k: "INVALID_ARGUMENT",
    times_that_are_not_finite: "INVALID_ARGUMENT",
    times_that_go_back: "INVALID_ARGUMENT",
    bytes_cut_short: "INVALID_ARGUMENT",
    another_output: "INVALID_ARGUMENT",
    another_model: "NOT_FOUND",
    no_model: "INVALID_ARGUMENT",
    another_version: "NOT_FOUND",
    another_label: "INVALID_ARGUMENT",
    another_signature: "FAILED_PRECONDITION",
}

NINES, DEEP = "<nines>", "<deep>"


def as_json(asked):
    """With numbers and lists that `json` would not write."""
    text = json.dumps(asked).replace(f'"{NINES}"', "9" * 5000)
    return text.replace(f'"{DEEP}"', "[" * 2000 + "]" * 2000).encode()


def a_value_in_rows(draw, asked):
    """One that its input cannot hold, in one row or in all."""
    name, values = draw.choice(
        [
            ("lengths", ["2", 2**40, 2**70, 2.5, None, True, {}, float("nan"), NINES, DEEP]),
            ("timestamps", [[0, "1"], [0, 2**63], [0, 1.5], [0, float("inf")], [[0], [1]], 7]),
            ("item_ids", [["tea", 1], ["tea", None], ["tea", {"b64": "?"}], "tea", [["tea"]]]),
            ("exclude_seen", [1, "true", None, [True], DEEP]),
        ]
    )
    value = draw.choice(values)
    for row in draw.choice([rows_of(asked)[:1], rows_of(asked)]):
        row[name] = value


def rows_of(asked):
    """Those that are still there."""
    rows = asked.get("instances")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def an_input_more_or_less(draw, asked):
    for row in rows_of(asked):
        if draw.randrange(2):
            row["k"] = 2**31 - 1
        else:
            row.pop("lengths", None)


def times_back_in_rows(draw, asked):
    for row in rows_of(asked):
        row["timestamps"] = [1, -(2**63)]


def another_body(draw, asked):
    asked |= draw.choice([{"labels": 1}, {"inputs": {}}, {"signature_name": 5}])


def no_rows(draw, asked):
    asked["instances"] = draw.choice([[], {}, None, "tea", 5, [5], [[]], [{}], DEEP])


def another_signature_of_rows(draw, asked):
    asked["signature_name"] = draw.choice(["guess", "x" * 3000])


def another_path(draw, asked):
    model = "/v1/models/recommender"
    return draw.choice(
        [f"{model}:classify", f"{model}/labels/stable:predict", f"{model}/versions/-1:predict"]
    )


def another_model_of_rows(draw, asked):
    return draw.choice(["/v1/models/other:predict", "/v1/models/recommender/versions/2:predict"])


REST = {
    nothing: 200,
    a_value_in_rows: 400,
    an_input_more_or_less: 400,
    times_back_in_rows: 400,
    another_body: 400,
    no_rows: 400,
    another_signature_of_rows: 400,
    another_path: 400,
    another_model_of_rows: 404,
}
