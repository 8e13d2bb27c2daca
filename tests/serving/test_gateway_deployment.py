"""serving/gateway/ and docs/gateway.md have the names, ports and options of `hrec gateway`."""

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from hrec_tf.cli.gateway import gateway
from hrec_tf.serving import Gateway

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "serving" / "gateway"
OPTIONS = {name: one.default for name, one in inspect.signature(gateway).parameters.items()}
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
TEXT = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")


def test_defaults_of_the_command_are_those_of_the_class():
    ours = {name: one.default for name, one in inspect.signature(Gateway).parameters.items()}
    for name, default in OPTIONS.items():
        if name not in ("model", "port"):
            argument = "model_tls" if name.startswith("model_tls_") else name
            assert default == ours[argument], name


def test_the_container_is_started_with_options_that_there_are():
    service = COMPOSE["services"]["gateway"]
    address, *options = service["command"]
    given = dict(option.removeprefix("--").split("=") for option in options)
    assert {name.replace("-", "_") for name in given} <= set(OPTIONS)
    assert address == "serving:8500"
    assert given["store"] == "redis://redis:6379/0"
    ports = [given["port"], given["grpc-port"]]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports]
    assert f"127.0.0.1:{given['port']}/health" in service["healthcheck"]["test"][-1]
    assert given["token-file"] == f"/run/secrets/{service['secrets'][0]}"
    assert set(service["depends_on"]) == {"serving", "redis"}
    dockerfile = ROOT / service["build"]["dockerfile"]
    assert (FOLDER / service["build"]["context"]).resolve() == ROOT
    assert f"EXPOSE {' '.join(ports)}" in dockerfile.read_text(encoding="utf-8")
    redis = COMPOSE["services"]["redis"]["command"]
    assert "--maxmemory-policy noeviction" in redis and "--appendfsync always" in redis
    assert re.search(r"--maxmemory \$\{HREC_REDIS_MEMORY:-\d+[mg]b\} ", redis)
    extended = COMPOSE["services"]["serving"]["extends"]
    other = yaml.safe_load((FOLDER / extended["file"]).read_text(encoding="utf-8"))
    assert extended["service"] in other["services"]


def test_the_document_names_defaults_and_options_that_there_are():
    for option in re.findall(r"--([a-z][a-z-]+)", TEXT):
        assert option.replace("-", "_") in OPTIONS, option
    for option, shown in re.findall(r"`--([a-z-]+)` \((\d+)", TEXT):
        wanted = OPTIONS[option.replace("-", "_")]
        assert int(shown) in (wanted, wanted / 1024), option
    assert f"HTTP on {OPTIONS['address']}:8080, users in {OPTIONS['store']}" in TEXT


def test_the_image_installs_all_that_the_gateway_imports():
    """What the package needs elsewhere, and the image is without, cannot be imported here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.match(r"[\w-]+", name)[0] for name in project["dependencies"]}
    installed = set(re.findall(r'"([a-z-]+)>=', (FOLDER / "Dockerfile").read_text("utf-8")))
    missing = [name.replace("-", "_") for name in needed - installed]
    assert {"tensorflow", "keras", "polars"} <= set(missing)
    code = f"""
import sys, hrec_tf
sys.modules.update(dict.fromkeys({[*missing, "tensorflow_serving"]}))
from hrec_tf.cli.main import main
from hrec_tf.serving import Gateway
from hrec_tf.serving.state_store import open_store
open_store("redis://127.0.0.1:1/0", keep_seconds=1)
sys.exit(main(["gateway", "--help"]))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert process.returncode == 0, process.stderr
