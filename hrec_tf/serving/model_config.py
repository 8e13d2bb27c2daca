"""Which versions of which models are wanted: TensorFlow Serving's own `ModelServerConfig`.

For each model a name, a base path with one folder per version, which of the versions are to be
served, and labels for some of them.
"""

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig, ModelType

from hrec_tf.serving.artefact import newest_version, versions_of

PLATFORM = "tensorflow"
_CONFIG = "Expected text as serving/tf_serving/config/models.config has it."
_USED = {
    "name",
    "base_path",
    "model_type",
    "model_platform",
    "model_version_policy",
    "version_labels",
}
"""Fields of a ModelConfig that say something here."""
_TYPES = (ModelType.MODEL_TYPE_UNSPECIFIED, ModelType.TENSORFLOW)


def one_model(name: str, base_path: str | Path) -> ModelServerConfig:
    """Returns the configuration of one model, whose newest version is served."""
    config = ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=str(base_path), model_platform=PLATFORM
    )
    return config


def read_config(path: str | Path) -> ModelServerConfig:
    """Reads a `models.config`, as TensorFlow Serving's `--model_config_file` does.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such text, or not one that can be served.
    """
    try:
        config = text_format.Parse(Path(path).read_text(encoding="utf-8"), ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{str(path)!r} is no ModelServerConfig: {error}. {_CONFIG}") from error
    check_config(config)
    return config


def check_config(config: ModelServerConfig) -> None:
    """Raises ValueError where a configuration cannot be served."""
    models = config.model_config_list.config
    if not models:
        raise ValueError(f"The configuration names no model in `model_config_list`. {_CONFIG}")
    names = [model.name for model in models]
    for row, model in enumerate(models):
        if not model.name or not model.base_path:
            raise ValueError(
                f"Model {row} of the configuration has the name {model.name!r} and the base path "
                f"{model.base_path!r}, but needs both. {_CONFIG}"
            )
        if names.count(model.name) > 1:
            raise ValueError(
                f"The configuration names {model.name!r} twice, but requests tell models apart by "
                "their names. Give each its own."
            )
        _check_model(model)


def _check_model(model: Any) -> None:
    if model.model_platform not in ("", PLATFORM) or model.model_type not in _TYPES:
        raise ValueError(
            f"Model {model.name!r} has the platform {model.model_platform!r} and the type number "
            f"{model.model_type}, but only SavedModels are served. Write model_platform: "
            f'"{PLATFORM}", and no model_type.'
        )
    unused = [field.name for field, _ in model.ListFields() if field.name not in _USED]
    if unused or _has_unknown_fields(model):
        what = f"`{unused[0]}`" if unused else "a field that is not known here"
        raise ValueError(
            f"Model {model.name!r} has {what}, but only {', '.join(sorted(_USED))} are read here: "
            "it would be ignored. Leave it out, or serve the model by TensorFlow Serving."
        )
    policy = model.model_version_policy
    if policy.WhichOneof("policy_choice") == "specific" and not policy.specific.versions:
        raise ValueError(
            f"Model {model.name!r} is to be served in specific versions, but its "
            "`model_version_policy` names none, so that nothing would answer. Name one, e.g. "
            "specific { versions: 1 }, or leave the policy out for the newest."
        )


def _has_unknown_fields(message: Any) -> bool:
    """Whether a message, or one inside it, has fields that its definition here lacks."""
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    return known.ByteSize() != message.ByteSize()


def all_wanted(config: ModelServerConfig) -> dict[str, dict[int, Path]]:
    """Model -> what `wanted_of` returns; raises as that does."""
    return {model.name: wanted_of(model) for model in config.model_config_list.config}


def wanted_of(model: Any) -> dict[int, Path]:
    """Version -> folder of those of a ModelConfig that are to be served, rising.

    Raises:
        FileNotFoundError: there is none, or one that is named is missing.
    """
    policy = model.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    newest_version(model.base_path)  # raises where there is none
    there = versions_of(model.base_path)
    if choice == "all":
        return there
    if choice == "specific":
        missing = [version for version in policy.specific.versions if version not in there]
        if missing:
            raise FileNotFoundError(
                f"Model {model.name!r} is to be served in version {missing[0]}, but "
                f"{model.base_path!r} has {', '.join(map(str, there))}. Export it, or take it out "
                "of the policy."
            )
        return {version: there[version] for version in sorted(policy.specific.versions)}
    return dict(list(there.items())[-max(policy.latest.num_versions, 1) :])
