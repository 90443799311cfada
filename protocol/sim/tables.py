"""All tables of a node, found by looking: whatever in its state can grow, by its path.

A path names fields from the body down: `batches.held` is a table, `batches.held[].announced_by` a table in each of its
values (the largest of them counts). Records and configuration are frozen dataclasses and are not looked into: they
can't grow. So a table that somebody adds is found without being named anywhere, and a test asks for its bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

TABLES = (dict, list, set, frozenset, deque)
DEPTH_MAX = 8


def sizes(root: Any) -> dict[str, int]:
    """Path of each table in `root` -> how many entries it has, the largest where there are several."""
    found: dict[str, int] = {}
    for path, size in _walk(root, "", 0):
        found[path] = max(found.get(path, 0), size)
    return found


def _walk(value: Any, path: str, depth: int) -> Iterator[tuple[str, int]]:
    if depth > DEPTH_MAX:
        return
    if isinstance(value, TABLES):
        yield path, len(value)
        inner = value.values() if isinstance(value, dict) else () if isinstance(value, (set, frozenset)) else value
        for item in inner:
            if not _can_grow(item):
                break  # one table holds one kind of thing
            yield from _walk(item, f"{path}[]", depth + 1)
    elif isinstance(value, tuple):
        for item in value:
            if _can_grow(item):
                yield from _walk(item, f"{path}[]", depth + 1)
    elif _can_grow(value):
        for name in _names(value):
            yield from _walk(getattr(value, name), f"{path}.{name}" if path else name, depth + 1)


def _can_grow(value: Any) -> bool:
    if isinstance(value, (*TABLES, tuple)):
        return True
    if is_dataclass(value):
        return not getattr(value, "__dataclass_params__").frozen  # noqa: B009 - no stub knows it
    return type(value).__module__.startswith("protocol.") and hasattr(value, "__dict__")


def _names(value: Any) -> list[str]:
    return [field.name for field in fields(value)] if is_dataclass(value) else list(vars(value))
