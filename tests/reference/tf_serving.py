"""What TensorFlow Serving reads beside ModelServerConfig, of which its Python package has nothing.

Names, numbers and types of the fields, and the flags of `tensorflow_model_server`, as its
documentation and its `--help` list them (2.20). Text of another field, or of another type, does
not parse here as it does not parse there.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

FLAGS = {
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "enable_grpc_healthcheck_service",
    "enable_model_warmup",
    "file_system_poll_wait_seconds",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "monitoring_config_file",
    "port",
    "rest_api_port",
}
"""Those that are used here."""

_Field = descriptor_pb2.FieldDescriptorProto
_WHOLE, _TEXT, _BOOL = "Int64Value", "StringValue", "BoolValue"
_MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": (1, _WHOLE),
        "batch_timeout_micros": (2, _WHOLE),
        "max_enqueued_batches": (3, _WHOLE),
        "num_batch_threads": (4, _WHOLE),
        "thread_pool_name": (5, _TEXT),
        "allowed_batch_sizes": (6, [_Field.TYPE_INT64]),
        "pad_variable_length_inputs": (7, _Field.TYPE_BOOL),
        "enable_large_batch_splitting": (8, _BOOL),
        "max_execution_batch_size": (9, _WHOLE),
    },
    "PrometheusConfig": {"enable": (1, _Field.TYPE_BOOL), "path": (2, _Field.TYPE_STRING)},
    "MonitoringConfig": {"prometheus_config": (1, "PrometheusConfig")},
}


def _classes():
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    file = descriptor_pb2.FileDescriptorProto(name="tf_serving.proto", package="tf_serving")
    file.syntax = "proto3"
    file.dependency.append(wrappers.name)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            made = message.field.add(name=field, number=number, label=_Field.LABEL_OPTIONAL)
            if isinstance(kind, list):
                made.label, (kind,) = _Field.LABEL_REPEATED, kind
            if isinstance(kind, str):
                package = "tf_serving" if kind in _MESSAGES else "google.protobuf"
                made.type, made.type_name = _Field.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                made.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(wrappers)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tf_serving.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _classes()
BatchingParameters = _CLASSES["BatchingParameters"]
MonitoringConfig = _CLASSES["MonitoringConfig"]
