"""serving/tf_serving/, and the same filled in by `hrec serve --print-config`.

After a change of what is written, write the example again from the checkout's root:

    PYTHONPATH=. .venv/bin/python tests/serving/test_tf_serving.py
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from hrec_tf import manifest as manifests
from hrec_tf.cli.deployment import write_deployment
from hrec_tf.cli.main import main
from hrec_tf.serving.deployment import EXAMPLE_SOURCE, FLAGS, XLA_FLAGS, texts
from hrec_tf.serving.server import HEALTH_SERVICES
from tests.reference.tf_serving import FLAGS as KNOWN_FLAGS
from tests.reference.tf_serving import BatchingParameters, MonitoringConfig

FOLDER = Path(__file__).parents[2] / "serving" / "tf_serving"
KUBERNETES = "1.33"
MESSAGES = {
    "config/models.config": model_server_config_pb2.ModelServerConfig,
    "config/batching_parameters.txt": BatchingParameters,
    "config/monitoring.config": MonitoringConfig,
}
MANIFESTS = ["deployment", "service", "autoscaler", "disruption_budget", "network_policy"]


def example():
    return texts(
        source=EXAMPLE_SOURCE,
        versions=[1, 2],
        model_name="recommender",
        address="127.0.0.1",
        port=8500,
        max_batch_size=32,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("a $hop") / "models"
    for name in ("9", "3", "10", "04", "aside", ".11.part"):
        (base / name).mkdir(parents=True)
    return base


@pytest.fixture(scope="module")
def written(base):
    folder = base.parent / "deployed"
    options = {"model_name": "shop_2", "address": "0.0.0.0", "port": 9000, "max_batch_size": 8}
    assert all(path.is_file() for path in write_deployment(base, folder, **options))
    return folder


def read(folder, name):
    return text_format.Parse((folder / name).read_text(encoding="utf-8"), MESSAGES[name]())


def manifest(name, folder=FOLDER):
    return yaml.safe_load((folder / f"kubernetes/{name}.yaml").read_text(encoding="utf-8"))


def test_the_repository_has_what_is_written_for_the_example():
    made = example()
    held = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert held == {*made, "README.md"}
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name


def test_messages_are_those_that_the_server_parses(written):
    (model,) = read(written, "config/models.config").model_config_list.config
    assert (model.name, model.base_path) == ("shop_2", "/models/shop_2")
    assert model.model_platform == "tensorflow"
    assert list(model.model_version_policy.specific.versions) == [9, 10]
    assert model.version_labels == {"stable": 10, "canary": 10}
    batching = read(written, "config/batching_parameters.txt")
    assert list(batching.allowed_batch_sizes) == [1, 2, 4, 8]
    assert batching.max_batch_size.value == 8
    assert 0 < batching.batch_timeout_micros.value <= 2000
    assert not batching.pad_variable_length_inputs
    prometheus = read(written, "config/monitoring.config").prometheus_config
    scraped = manifest("deployment", written)["spec"]["template"]["metadata"]["annotations"]
    assert prometheus.enable and prometheus.path == scraped["prometheus.io/path"]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("models.config", "version_labels", "version_label"),
        ("models.config", "versions: 2", 'versions: "2"'),
        ("batching_parameters.txt", "max_batch_size { value: 32 }", "max_batch_size: 32"),
        ("batching_parameters.txt", "allowed_batch_sizes", "allowed_sizes"),
        ("monitoring.config", "enable: true", "enabled: true"),
    ],
)
def test_a_field_that_the_server_does_not_know_is_found(name, right, wrong):
    text = example()[f"config/{name}"]
    assert right in text
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text.replace(right, wrong), MESSAGES[f"config/{name}"]())


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_those_of_kubernetes(name):
    kubernetes_validate.validate(manifest(name), KUBERNETES, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found():
    broken = manifest("deployment")
    (container,) = broken["spec"]["template"]["spec"]["containers"]
    container["readinessProbe"]["grpc"]["prot"] = container["readinessProbe"]["grpc"].pop("port")
    with pytest.raises(kubernetes_validate.ValidationError, match="port"):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_manifests_agree_with_each_other():
    deployment, service, autoscaler, budget, policy = map(manifest, MANIFESTS)
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"]]
    selectors += [budget["spec"]["selector"]["matchLabels"]]
    selectors += [policy["spec"]["podSelector"]["matchLabels"]]
    assert all(selector == labels for selector in selectors)
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]  # they would be set back at each apply
    rules = yaml.safe_load((FOLDER / "kubernetes/queue_length.rules.yaml").read_text("utf-8"))
    (metric,) = autoscaler["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rules["rules"][0]["name"]["as"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {port["targetPort"]: port["port"] for port in service["spec"]["ports"]}
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["ingress"]] == [*ports.values()]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == ports["grpc"]
        assert container[probe]["grpc"].get("service", "") in HEALTH_SERVICES


RULE = {
    "seriesQuery": str,
    "resources": {"overrides": {"namespace": {"resource": str}, "pod": {"resource": str}}},
    "name": {"as": str},
    "metricsQuery": str,
}
"""Of the fields that the Prometheus adapter reads (its pkg/config/config.go), those used here."""


def check_rules(text):
    held = yaml.safe_load(text)
    assert set(held) == {"rules"} and held["rules"]
    for rule in held["rules"]:
        check_fields(rule, RULE)
        # The adapter fills these in, and knows no others.
        placeholders = re.findall(r"<<(.*?)>>", rule["metricsQuery"])
        assert sorted(placeholders) == [".GroupBy", ".LabelMatchers", ".Series"]
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", rule["name"]["as"])


def check_fields(held, wanted):
    if wanted is str:
        assert isinstance(held, str) and held
        return
    assert set(held) == set(wanted)
    for name, inner in wanted.items():
        check_fields(held[name], inner)


RULES = FOLDER / "kubernetes/queue_length.rules.yaml"


def test_rules_are_those_of_the_prometheus_adapter():
    check_rules(RULES.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("rules:", "groups:"),
        ("metricsQuery", "metricQuery"),
        ("overrides", "override"),
        ("pod: {resource: pod}", "pod: pod"),
        ("as: hrec_serving_queue_length", "as: hrec-serving-queue-length"),
        ("<<.GroupBy>>", "<<.Groupby>>"),
    ],
)
def test_a_field_that_the_prometheus_adapter_does_not_know_is_found(right, wrong):
    text = RULES.read_text(encoding="utf-8")
    assert right in text
    with pytest.raises((AssertionError, TypeError)):
        check_rules(text.replace(right, wrong))


def test_a_pod_can_write_nowhere_but_to_its_scratch():
    pod = manifest("deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts == {"models": True, "config": True, "scratch": False}
    (claim,) = [volume for volume in pod["volumes"] if volume["name"] == "models"]
    assert claim["persistentVolumeClaim"]["readOnly"] is True


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes/deployment.yaml"])
def test_every_flag_is_one_of_the_server_and_its_file_is_there(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    flags = dict(re.findall(r"- --(\w+)=(\S+)", text))
    others = {flag.removeprefix("--").partition("=")[0] for flag in XLA_FLAGS}
    assert set(flags) | others <= KNOWN_FLAGS
    assert {flag.partition("=")[0] for flag in FLAGS} <= {f"--{flag}" for flag in flags}
    for place in (value for value in flags.values() if value.startswith("/config/")):
        assert place.removeprefix("/") in MESSAGES


def check_compose(*files):
    schema = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([sys.executable, *schema, *files], capture_output=True, text=True)


def test_compose_files_are_those_of_the_compose_specification(written):
    process = check_compose(*FOLDER.parent.rglob("compose*.yaml"), *written.glob("compose*.yaml"))
    assert process.returncode == 0, process.stdout


def test_a_field_that_compose_does_not_know_is_found(tmp_path):
    broken = (FOLDER / "compose.yaml").read_text(encoding="utf-8").replace("retries:", "retry:")
    (tmp_path / "compose.yaml").write_text(broken, encoding="utf-8")
    process = check_compose(tmp_path / "compose.yaml")
    assert process.returncode == 1 and "'healthcheck'" in process.stdout


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", ["kubernetes", "kubernetes-gpu"])
def test_kustomize_puts_everything_together(written, overlay):
    command = ["kubectl", "kustomize", str(written / overlay)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    built = {one["kind"]: one for one in yaml.safe_load_all(process.stdout)}
    for one in built.values():
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
    assert len(built) == len(MANIFESTS) + 1
    assert set(built["ConfigMap"]["data"]) == {Path(name).name for name in MESSAGES}
    pod = built["Deployment"]["spec"]["template"]["spec"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "config"]
    assert volume["configMap"]["name"] == built["ConfigMap"]["metadata"]["name"]
    (container,) = pod["containers"]
    is_gpu = overlay == "kubernetes-gpu"
    assert container["resources"]["limits"].get("nvidia.com/gpu") == ("1" if is_gpu else None)
    assert container["image"].endswith("-gpu") == is_gpu


def test_compose_has_the_place_of_the_model_and_its_ports(written, base):
    (service,) = yaml.safe_load((written / "compose.yaml").read_text("utf-8"))["services"].values()
    assert service["ports"] == ["0.0.0.0:9000:8500", "0.0.0.0:9001:8501"]
    models, config = service["volumes"]
    assert models["source"].replace("$$", "$") == str(base) and "$$" in models["source"]
    assert (models["target"], models["read_only"]) == ("/models/shop_2", True)
    assert (written / config["source"] / "models.config").is_file()


@pytest.mark.parametrize("name", ["4", "04"])
def test_an_export_for_xla_is_deployed_with_its_flags(tmp_path, name):
    (tmp_path / "models" / name).mkdir(parents=True)
    manifests.write(tmp_path / "models" / name, kind="saved_model", about={"xla": True})
    write_deployment(tmp_path / "models", tmp_path / "deployed")
    compose = yaml.safe_load((tmp_path / "deployed" / "compose.yaml").read_text("utf-8"))
    pod = manifest("deployment", tmp_path / "deployed")["spec"]["template"]["spec"]
    for command in (compose["services"]["serving"]["command"], pod["containers"][0]["args"]):
        assert set(XLA_FLAGS) <= set(command)
    assert "xla" not in "".join(example().values())


def test_the_first_version_is_served_alone(tmp_path):
    (tmp_path / "models" / "1").mkdir(parents=True)
    write_deployment(tmp_path / "models", tmp_path / "deployed")
    (model,) = read(tmp_path / "deployed", "config/models.config").model_config_list.config
    assert list(model.model_version_policy.specific.versions) == [1]
    assert model.version_labels == {"stable": 1, "canary": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_name": "../shop"}, "`model_name` was '../shop', but names the folder"),
        ({"port": 65_535}, "`port` was 65535, but REST has the port above"),
        ({"port": 0}, "`port` must be a positive int, but was 0"),
        ({"max_batch_size": 24}, "`max_batch_size` was 24, but batches are filled up to powers"),
        ({"folder": "."}, r"`folder` was .*, which exists"),
        ({"base_path": "none"}, "'none' is no folder, but a base path"),
    ],
)
def test_what_cannot_be_filled_in_is_said_and_leaves_nothing(base, tmp_path, options, message):
    places = {"base_path": base, "folder": tmp_path / "deployed"}
    options = places | options
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        write_deployment(**options)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_files_and_ends(capsys, base, tmp_path):
    folder = tmp_path / "deployed"
    options = ["--print-config", str(folder), "--model-name", "shop"]
    assert main(["serve", str(base), *options]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert {Path(line) for line in printed} == {folder / name for name in example()}
    assert 'name: "shop"' in (folder / "config" / "models.config").read_text(encoding="utf-8")


def test_readme_names_what_is_there():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/-]+\.(?:yaml|config|txt))`", text))
    assert named and all((FOLDER / name).is_file() for name in named)
    assert {"config/models.config", "config/batching_parameters.txt"} <= named


if __name__ == "__main__":
    for name, text in example().items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")
