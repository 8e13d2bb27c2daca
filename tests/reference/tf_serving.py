"""What TensorFlow Serving reads beside ModelServerConfig, of which its Python package has nothing.

The messages of tf_serving.proto, compiled, and the flags of `tensorflow_model_server`, as its
`--help` lists them (2.20).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

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
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
}
"""Those that are used here."""


def _classes() -> dict:
    """Returns the message classes by name, of a pool of their own."""
    file = Path(__file__).with_suffix(".proto")
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own, since its compiler and TensorFlow's protobuf do not get on.
        out = Path(folder) / "tf_serving.pb"
        compiler = [sys.executable, "-m", "grpc_tools.protoc", f"-I{file.parent}", f"-o{out}"]
        subprocess.run([*compiler, file.name], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    for one in files.file:
        pool.Add(one)
    found = pool.FindFileByName(file.name).message_types_by_name
    return {name: message_factory.GetMessageClass(kind) for name, kind in found.items()}


_CLASSES = _classes()
BatchingParameters = _CLASSES["BatchingParameters"]
MonitoringConfig = _CLASSES["MonitoringConfig"]
