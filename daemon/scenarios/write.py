"""A scenario as TOML: what differs from the defaults, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from daemon.scenarios.tables import ScenarioFile


def to_toml(value: ScenarioFile) -> str:
    """The text of a file with this content; reading it gives an equal value."""
    return "\n".join(_table(value.model_dump(exclude_defaults=True), ())).strip() + "\n"


def _table(content: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Plain keys first, then tables below: TOML wants it so."""
    below = {key: value for key, value in content.items() if _is_tables(value) or (path == () and _is_table(value))}
    for key, value in content.items():
        if key not in below:
            yield f"{key} = {_value(value)}"
    for key, value in below.items():
        header = ".".join((*path, key))
        if isinstance(value, dict):
            yield from ("", f"[{header}]", *_table(value, (*path, key)))
            continue
        for item in value:
            yield from ("", f"[[{header}]]", *_table(item, (*path, key)))


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, dict) for item in value)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case dict():
            return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(_value(item) for item in value) + "]"
    return str(value)
