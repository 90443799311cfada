"""All tables of a node, found by looking: whatever in its state can grow, by its path.

A path names fields from the body down: `batches.held` is a table, `batches.held[].announced_by` a table in each of its
values (the largest of them counts). Records and configuration are frozen dataclasses and are not looked into: they
can't grow. So a table that somebody adds is found without being named anywhere, and a test asks for its bound.

Every node of every run is looked at several times a second. So what a class is, and where its fields are, is
found out once for each class.
"""

from __future__ import annotations

from collections import deque
from dataclasses import fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

TABLES = (dict, list, set, frozenset, deque)
DEPTH_MAX = 8


# What a class is to this module: whole numbers, because this is asked a thousand times a look.
_WHOLE: Final = 0
"""It can't grow, and nothing in it can."""
_TABLE: Final = 1
"""A table of other things: a list, or a dictionary by its values."""
_SET: Final = 2
"""A table of what can't grow."""
_TUPLE: Final = 3
"""It can't grow; what it holds may."""
_OBJECT: Final = 4
"""It has fields that may."""

_Known = tuple[int, tuple[str, ...] | None]
"""What a class is, and its fields if they are those of all its objects."""

_KNOWN: dict[type[Any], _Known] = {}


def sizes(root: Any) -> dict[str, int]:
    """Path of each table in `root` -> how many entries it has, the largest where there are several."""
    found: dict[str, int] = {}
    _measure(root, _known(type(root)), "", 0, found)
    return found


def _measure(value: Any, known: _Known, path: str, depth: int, found: dict[str, int]) -> None:
    shape, names = known
    if depth > DEPTH_MAX or shape == _WHOLE:
        return
    if shape == _OBJECT:
        for name in vars(value) if names is None else names:
            inner = getattr(value, name)
            known = _KNOWN.get(type(inner)) or _known(type(inner))
            if known[0] != _WHOLE:
                _measure(inner, known, f"{path}.{name}" if path else name, depth + 1, found)
        return
    if shape != _TUPLE and len(value) >= found.get(path, 0):
        found[path] = len(value)
    if shape != _SET:
        _measure_items(value, shape, f"{path}[]", depth + 1, found)


def _measure_items(value: Any, shape: int, path: str, depth: int, found: dict[str, int]) -> None:
    for item in value.values() if isinstance(value, dict) else value:
        known = _KNOWN.get(type(item)) or _known(type(item))
        if known[0] != _WHOLE:
            _measure(item, known, path, depth, found)
        elif shape == _TABLE:
            break  # one table holds one kind of thing


def _may_grow(cls: type[Any]) -> tuple[str, ...]:
    """Fields of a dataclass, without those that are declared to be numbers, text, bytes or records."""
    try:
        hints = get_type_hints(cls)
    except NameError:  # a type that is known to the type checker alone
        hints = {}
    return tuple([field.name for field in fields(cls) if not _is_whole(hints.get(field.name, Any))])


def _is_whole(hint: Any) -> bool:
    parts = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    return all(isinstance(part, type) and get_origin(part) is None and _known(part)[0] == _WHOLE for part in parts)


def _known(cls: type[Any]) -> _Known:
    if cls not in _KNOWN:
        _KNOWN[cls] = _look_at(cls)
    return _KNOWN[cls]


def _look_at(cls: type[Any]) -> _Known:
    if issubclass(cls, TABLES):
        return _SET if issubclass(cls, (set, frozenset)) else _TABLE, None
    if issubclass(cls, tuple):
        return _TUPLE, None
    if is_dataclass(cls):
        frozen = getattr(cls, "__dataclass_params__").frozen  # noqa: B009 - no stub knows it
        names = () if frozen else _may_grow(cls)
        return _OBJECT if names else _WHOLE, names
    whole = not cls.__module__.startswith("protocol.") or issubclass(cls, Enum) or cls.__dictoffset__ == 0
    return (_WHOLE, ()) if whole else (_OBJECT, None)
