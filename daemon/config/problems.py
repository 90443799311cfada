"""What is wrong with a file: every problem, with file, line, column, key, what was expected and what was found.

A model of pydantic refuses a file with a list of errors in its own words; here each becomes a `Problem` in ours. An
unknown key gets the nearest known one: of the same table first, then of the whole file. Whatever was found is shown
shortened, and never when it is a secret.

Deliberately absent: reading files (files.py) and judging what they mean together (network.py, node.py).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path as File
from types import NoneType
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from daemon.config import texts
from daemon.config.places import Path, Place
from protocol.errors import OperatorFault

FOUND_CHARACTERS_MAX: Final = 80
"""More of a value is not needed to recognise it."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, and where. Line and column count from 1; 0 means the file as a whole."""

    file: str
    line: int
    column: int
    key: str
    expected: str
    found: str
    nearest: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        nearest = f"; the nearest known key is {self.nearest}" if self.nearest else ""
        key = f"{self.key}: " if self.key else ""
        return f"{where}: {key}expected {self.expected}; found {self.found}{nearest}"


class ConfigurationFault(OperatorFault):
    """Files that a node cannot run with; `problems` has all that is wrong, in the order of the files."""

    code = "configuration"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        assert self.problems, "a fault has a reason"
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @property
    def facts(self) -> dict[str, object]:
        """The same for programs."""
        return {"problems": [asdict(problem) for problem in self.problems]}


class Problems:
    """Collects problems of one or several files, so that all are told at once."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, problem: Problem) -> None:
        """One more."""
        self.found.append(problem)

    def catch(self, fault: ConfigurationFault) -> None:
        """Those of a file that could not be read, while others are looked at."""
        self.found += fault.problems

    def settle(self) -> None:
        """Raises ConfigurationFault if there was a problem."""
        if self.found:
            raise ConfigurationFault(self.found)


def dotted(path: Path) -> str:
    """`genesis.members[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def show(value: object) -> str:
    """A value as it may be shown in a message: short, on one line, no secret, no bytes."""
    match value:
        case bool():
            text = "true" if value else "false"
        case str():
            text = '"' + texts.without_secrets(value).replace("\n", "\\n") + '"'
        case Mapping():
            return "a table"
        case list() | tuple():
            return f"an array of {len(value)}" if value else "an empty array"
        case datetime():
            text = value.isoformat()
        case bytes():
            return f"{len(value)} bytes"
        case _:
            text = str(value)
    return text if len(text) <= FOUND_CHARACTERS_MAX else text[: FOUND_CHARACTERS_MAX - 3] + "..."


def place_of(places: Mapping[Path, Place], path: Path) -> Place | None:
    """The place of `path`, or of the nearest part above it that stands in the file."""
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read: what problems about it need."""

    file: File
    places: Mapping[Path, Place]
    model: type[BaseModel]

    def problem(self, path: Path, expected: str, found: str, *, nearest: str = "", at_key: bool = False) -> Problem:
        """A problem about what stands (or does not stand) at `path` in this file."""
        place = place_of(self.places, path)
        if place is None:
            line, column = 0, 0
        elif at_key:
            line, column = place.line, place.column
        else:
            line, column = place.value_line, place.value_column
        return Problem(str(self.file), line, column, dotted(path), expected, found, nearest)


def translate(source: Source, error: ValidationError) -> list[Problem]:
    """The problems in a refusal by the file's model, in the order of the file."""
    return sorted(_translate(source, details) for details in error.errors(include_url=False) if not _is_echo(details))


def _is_echo(details: Any) -> bool:
    """An array whose items were refused counts as too short for pydantic; the items are told already."""
    return bool(details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"])


def _translate(source: Source, details: Any) -> Problem:
    path: Path = tuple(details["loc"])
    kind, found = details["type"], show(details["input"])
    context: Mapping[str, Any] = details.get("ctx", {})
    match kind:
        case "extra_forbidden":
            nearest = nearest_key(source.model, path)
            expected = "a known key" if nearest else f"one of {', '.join(fields_at(source.model, path[:-1]))}"
            return source.problem(path, expected, f"{path[-1]}", nearest=nearest, at_key=True)
        case "missing":
            return source.problem(path, _wanted(source.model, path), "nothing", at_key=True)
        case "value_error" if "error" in context and hasattr(context["error"], "expected"):
            return source.problem(path, context["error"].expected, context["error"].found)
    return source.problem(path, _expected(kind, context, details["msg"]), found)


_TYPES: Final = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "datetime_type": "a date and time with its offset, as in 2026-01-31T12:00:00Z",
    "timezone_aware": "a date and time with its offset, as in 2026-01-31T12:00:00Z",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
}
_BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least {}"),
    "less_than_equal": ("le", "at most {}"),
    "string_too_short": ("min_length", "text of at least {} characters"),
    "string_too_long": ("max_length", "text of at most {} characters"),
    "too_short": ("min_length", "at least {} items"),
    "too_long": ("max_length", "at most {} items"),
    "literal_error": ("expected", "one of {}"),
    "string_pattern_mismatch": ("pattern", "text that matches {}"),
}


def _expected(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return words.format(context[name])
    return message[:1].lower() + message[1:]


def _wanted(model: type[BaseModel], path: Path) -> str:
    """What a missing key is for, in the model's own words."""
    table = _model_at(model, path[:-1])
    field = table.model_fields.get(str(path[-1])) if table is not None else None
    words = (field.description or "" if field is not None else "").rstrip(".")
    return f"this key: {words[:1].lower()}{words[1:]}"


def nearest_key(model: type[BaseModel], path: Path) -> str:
    """The known key most like the unknown last part of `path`: in its own table, else anywhere in the file; or ""."""
    unknown = str(path[-1])
    here = difflib.get_close_matches(unknown, fields_at(model, path[:-1]), n=1)
    if here:
        return dotted((*path[:-1], here[0]))
    everywhere = {name.rpartition(".")[2]: name for name in reversed(list(all_keys(model)))}
    close = difflib.get_close_matches(unknown, everywhere, n=1, cutoff=0.75)
    return everywhere[close[0]] if close else ""


def fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the table at `path` may have."""
    inner = _model_at(model, path)
    return list(inner.model_fields) if inner is not None else []


def all_keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every dotted key of a file; items of arrays as `members[]`."""
    for name, field in model.model_fields.items():
        yield above + name
        inner = inner_model(field.annotation)
        if inner is not None:
            is_array = _is_array(field.annotation)
            yield from all_keys(inner, f"{above}{name}{'[]' if is_array else ''}.")


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model in `M`, `M | None` or `tuple[M, ...]`; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        if part is not NoneType and (inner := inner_model(part)) is not None:
            return inner
    return None


def _is_array(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is tuple


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part) if current is not None else None
        current = inner_model(field.annotation) if field is not None else None
    return current
