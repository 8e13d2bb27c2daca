"""Which versions of which models are served: found in folders, loaded, swapped, let go.

`hrec_tf.serving.model_config` says which are wanted.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from hrec_tf.serving.artefact import Artefact, versions_of
from hrec_tf.serving.model_config import all_wanted, check_config, wanted_of
from hrec_tf.serving.requests import Limits, RefusedError

_LOG = logging.getLogger(__name__)
State = ModelVersionStatus.State
_NOT_SERVED = "Model %r version %d is not served: %s"


class Loaded:
    """A version in service.

    Attributes:
        artefact: what answers.
        runner: what was made of it, e.g. a queue in front of it.
        users: who uses it now.
        is_retired: whether it takes no more of them.
    """

    def __init__(self, artefact: Artefact, runner: Any):
        self.artefact, self.runner = artefact, runner
        self.users, self.is_retired = 0, False

    def close(self) -> None:
        self.runner.close()
        self.artefact.close()


class _Status(NamedTuple):
    """State of a version, what was wrong with it, and the folder's stamp at that time."""

    state: int
    error: str = ""
    stamp: Any = None


class Models:
    """All models of a server. Its methods may be called by several threads.

    Args:
        config: which; checked.
        limits: of one request.
        runner_of: makes what answers the requests of an artefact that was loaded and is warm.

    Raises:
        ValueError: a configuration that cannot be served.
    """

    def __init__(
        self, config: ModelServerConfig, limits: Limits, runner_of: Callable[[Artefact], Any]
    ):
        check_config(config)
        self._config, self._limits, self._runner_of = config, limits, runner_of
        self._loaded: dict[str, dict[int, Loaded]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._statuses: dict[tuple[str, int], _Status] = {}
        self._lock = threading.Lock()  # of the four above, never held while a model is loaded
        self._changing, self._is_ending = threading.Lock(), threading.Event()
        self._unseen: dict[str, str] = {}  # model -> why its base path could not be looked at
        self._closing: list[threading.Thread] = []

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return [model.name for model in self._config.model_config_list.config]

    def start(self) -> None:
        """Loads and warms up what the configuration wants.

        Where that is the newest versions and none of them can be served, an older one begins.

        Raises:
            FileNotFoundError, ValueError: a model has no version that can be served, or not those
                that its configuration names.
        """
        with self._changing:
            try:
                wanted = all_wanted(self._config)
                for model in self._config.model_config_list.config:
                    self._begin(model, wanted[model.name])
                self._set_labels(self._config, self._loaded)
            except BaseException:
                self._retire(list(self._loaded))
                raise

    def poll(self) -> None:
        """Takes new versions into service, and then lets go of those that are not wanted.

        A version that cannot be loaded is reported, and the others go on; it is tried again when
        its folder has changed.
        """
        with self._changing:
            if self._is_ending.is_set():
                return
            for model in self._config.model_config_list.config:
                try:
                    wanted = wanted_of(model)
                except (OSError, ValueError) as error:
                    if self._unseen.get(model.name) != str(error):  # it lasts, and polls are many
                        _LOG.error("Model %r stays as it is: %s", model.name, error)
                    self._unseen[model.name] = str(error)
                    continue
                self._unseen.pop(model.name, None)
                for version, folder in wanted.items():
                    self._try_load(model, version, folder)
                held = self._loaded.get(model.name, {})
                # Never leaves a model without a version that answers.
                if any(version in held for version in wanted):
                    self._let_go(model.name, [v for v in held if v not in wanted])

    def reload(self, config: ModelServerConfig) -> None:
        """Serves another configuration from now on; what stays is not loaded anew.

        Raises:
            ValueError, FileNotFoundError: it cannot be served; what was served goes on.
        """
        check_config(config)
        with self._changing:
            if self._is_ending.is_set():
                raise ValueError("The server ends, and takes no configuration any more.")
            fresh = []
            paths = {m.name: m.base_path for m in self._config.model_config_list.config}
            for model in config.model_config_list.config:
                if paths.get(model.name, model.base_path) != model.base_path:
                    raise ValueError(
                        f"Model {model.name!r} has the base path {paths[model.name]!r}, but the "
                        f"new configuration says {model.base_path!r}. Serve that one by another "
                        "name."
                    )
            # Once: folders change while versions are loaded, and what is loaded is what is kept.
            wanted = all_wanted(config)
            try:
                for model in config.model_config_list.config:
                    for version, folder in wanted[model.name].items():
                        if version not in self._loaded.get(model.name, {}):
                            self._load(model.name, version, folder)
                            fresh.append((model.name, version))
                self._set_labels(config, wanted)
            except BaseException:
                for name, version in fresh:
                    self._let_go(name, [version])
                raise
            self._config = config
            for name, held in list(self._loaded.items()):
                self._let_go(name, [v for v in held if v not in wanted.get(name, [])])

    def close(self) -> None:
        """Lets go of all, each as soon as nobody uses it; what is warming up is broken off."""
        self._is_ending.set()
        with self._changing:
            self._retire(list(self._loaded))
            for thread in self._closing:
                thread.join()

    @contextmanager
    def using(self, spec: Any) -> Iterator[Loaded]:
        """Finds the version that a ModelSpec names; it stays until the block ends.

        Raises:
            RefusedError: with the code that TensorFlow Serving answers.
        """
        with self._lock:
            loaded = self._find(spec)
            loaded.users += 1
        try:
            yield loaded
        finally:
            with self._lock:
                loaded.users -= 1
                is_last = loaded.is_retired and not loaded.users
            if is_last:
                # It waits for what is run, and whoever used it last may be a loop of requests.
                thread = threading.Thread(target=loaded.close, name="closing")
                self._closing = [one for one in self._closing if one.is_alive()] + [thread]
                thread.start()

    def statuses(self, spec: Any) -> dict[int, tuple[int, str]]:
        """Returns version -> its state and what was wrong with it, newest first.

        Of all versions, where the spec does not name one by its number: as TensorFlow Serving
        does, a label is passed over.

        Raises:
            RefusedError: a model or version that was never here.
        """
        with self._lock:
            found = {
                version: (status.state, status.error)
                for (name, version), status in self._statuses.items()
                if name == spec.name
            }
            if spec.HasField("version"):
                found = {v: status for v, status in found.items() if v == spec.version.value}
        if not found:
            raise _not_found(spec, self.names)
        return dict(sorted(found.items(), reverse=True))

    def newest(self, name: str) -> Artefact:
        """Returns the artefact of a model's newest version in service."""
        with self._lock:
            return self._loaded[name][max(self._loaded[name])].artefact

    def versions(self) -> dict[str, list[int]]:
        """Returns the versions in service of each model, newest first."""
        with self._lock:
            return {name: sorted(held, reverse=True) for name, held in self._loaded.items()}

    def _find(self, spec: Any) -> Loaded:
        if not spec.name:
            names = ", ".join(repr(name) for name in self.names)
            raise RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"`model_spec` has no name. Name the model: {names}.",
            )
        held, wanted = self._loaded.get(spec.name, {}), self._number_of(spec)
        version = max(held, default=None) if wanted is None else wanted
        if version not in held:
            raise _not_found(spec, self.names, sorted(held))
        return held[version]

    def _number_of(self, spec: Any) -> int | None:
        """The number that a spec asks for by itself or by a label; None for the newest."""
        if spec.WhichOneof("version_choice") == "version_label":
            labels = self._labels.get(spec.name, {})
            if spec.version_label not in labels:
                known = ", ".join(sorted(labels)) or "none"
                if spec.name not in self._loaded:
                    known = f"none, since this server has {', '.join(self.names)}"
                raise RefusedError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Unrecognized servable version label: {spec.version_label}. Labels of this "
                    f"model: {known}. Name one of them, a version by its number, or nothing.",
                )
            return labels[spec.version_label]
        return spec.version.value if spec.HasField("version") else None

    def _set_labels(
        self, config: ModelServerConfig, served: Mapping[str, Mapping[int, Any]]
    ) -> None:
        for model in config.model_config_list.config:
            for label, version in model.version_labels.items():
                if version not in served[model.name]:
                    raise ValueError(
                        f"Label {label!r} of model {model.name!r} names version {version}, which "
                        "is not in service. Serve it first: name it in model_version_policy."
                    )
        with self._lock:
            self._labels = {
                model.name: dict(model.version_labels) for model in config.model_config_list.config
            }

    def _begin(self, model: Any, wanted: dict[int, Path]) -> None:
        """Loads what is wanted of a model of which nothing is loaded."""
        if model.model_version_policy.WhichOneof("policy_choice") in ("all", "specific"):
            for version, folder in wanted.items():
                self._load(model.name, version, folder)
            return
        broken = []
        older = {v: at for v, at in versions_of(model.base_path).items() if v < min(wanted)}
        for version, folder in reversed((older | wanted).items()):
            if version in older and model.name in self._loaded:
                break
            stamp = _stamp(folder)
            try:
                self._load(model.name, version, folder, stamp)
            except Exception as error:
                if self._is_ending.is_set():
                    raise
                broken.append((version, error))
        for version, reason in broken:
            _LOG.error(_NOT_SERVED, model.name, version, reason)
        if model.name not in self._loaded:
            raise broken[0][1]

    def _try_load(self, model: Any, version: int, folder: Path) -> None:
        if version in self._loaded.get(model.name, {}):
            return
        stamp = _stamp(folder)
        before = self._statuses.get((model.name, version))
        if before is not None and before.error and before.stamp == stamp:
            return
        try:
            self._load(model.name, version, folder, stamp)
            _LOG.info("Model %r version %d is in service.", model.name, version)
        except Exception as error:
            if not self._is_ending.is_set():
                _LOG.error(_NOT_SERVED, model.name, version, error)

    def _load(self, name: str, version: int, folder: Path, stamp: Any = None) -> None:
        """Loads and warms up a version; it is asked from the moment it is ready."""
        self._note(name, version, _Status(State.LOADING))
        artefact = None
        try:
            artefact = Artefact(folder, version, limits=self._limits)
            artefact.warm_up(until=self._is_ending)
            loaded = Loaded(artefact, self._runner_of(artefact))
        except Exception as error:
            if artefact is not None:
                artefact.close()
            self._note(name, version, _Status(State.END, str(error), stamp))
            raise
        with self._lock:
            # A new mapping: who looks at the old one is not disturbed.
            held = self._loaded.get(name, {})
            self._loaded[name] = {**held, version: loaded}
            self._statuses[name, version] = _Status(State.AVAILABLE)

    def _let_go(self, name: str, versions: list[int]) -> None:
        unused = []
        with self._lock:
            held = dict(self._loaded.get(name, {}))
            for version in versions:
                loaded = held.pop(version)
                loaded.is_retired = True
                self._statuses[name, version] = _Status(State.END)
                if not loaded.users:
                    unused.append(loaded)
            self._loaded[name] = held
            if not held:
                del self._loaded[name]
        for loaded in unused:
            loaded.close()

    def _retire(self, names: list[str]) -> None:
        for name in names:
            self._let_go(name, list(self._loaded[name]))

    def _note(self, name: str, version: int, status: _Status) -> None:
        with self._lock:
            self._statuses[name, version] = status


def _stamp(folder: Path) -> Any:
    """Changes when files of a version are written; what is seen of it is not read."""
    try:
        held = [(str(p.relative_to(folder)), p.stat()) for p in sorted(folder.rglob("*"))]
    except OSError:
        return None
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in held]


def _not_found(spec: Any, names: list[str], versions: list[int] | None = None) -> RefusedError:
    asked = spec.name
    if spec.version_label:
        asked = f"{asked} version {spec.version_label!r}"
    elif spec.HasField("version"):
        asked = f"{asked} version {spec.version.value}"
    held = f"the versions {', '.join(map(str, versions))} of it" if versions else ", ".join(names)
    return RefusedError(
        grpc.StatusCode.NOT_FOUND,
        f"Servable not found for request: {asked}. This server has {held}.",
    )
