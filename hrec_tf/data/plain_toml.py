"""Plain values as TOML, which the standard library reads and does not write."""

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(values: Mapping[str, Any]) -> str:
    """Writes plain values as TOML: text, numbers, bools, lists of these, and tables.

    Raises:
        TypeError: any other value, also None, which TOML does not have.

    Example:
        >>> print(to_toml({"seed": 1, "log": {"data": "online-retail", "ks": [5, 20]}}))
        seed = 1
        <BLANKLINE>
        [log]
        data = "online-retail"
        ks = [5, 20]
        <BLANKLINE>
    """
    return "\n".join(_toml_lines(values, ())).lstrip("\n") + "\n"


def to_words(value: Any) -> Any:
    """Turns None into "none" and tuples into lists, at any depth: TOML has neither."""
    if isinstance(value, Mapping):
        return {key: to_words(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [to_words(inner) for inner in value]
    return "none" if value is None else value


def from_words(value: Any) -> Any:
    """Turns "none" into None, at any depth of tables."""
    if isinstance(value, Mapping):
        return {key: from_words(inner) for key, inner in value.items()}
    return None if value == "none" else value


def _toml_lines(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = ["", f"[{'.'.join(map(_toml_key, path))}]"] if path and plain else []
    lines += [f"{_toml_key(key)} = {_toml_value(key, value)}" for key, value in plain.items()]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _toml_lines(value, (*path, key))
    return lines


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _toml_value(key, key)


def _toml_value(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_value(key, inner) for inner in value)}]"
    raise TypeError(
        f"`{key}` is {value!r}, which TOML cannot hold. Use text, numbers, bools, lists or tables."
    )
