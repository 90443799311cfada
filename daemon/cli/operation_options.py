"""Options of `papilio submit APP OPERATION`, made from the description of the operation (protocol.ledger.describe).

Nothing here knows an application: each leaf of the arguments' JSON Schema becomes one option, named by the field, or by
its dotted path where two fields have one name (`--statement-digest`). What a description lets one leave out has a
default: null where null is allowed, "" where text may be empty, [] where a list may be, a new random id for a field
`id` of 16 bytes. Everything else has to be given. Arrays are given by repeating the option; structures in arrays as
JSON.

Values are read as the API reads them, and bytes also with the word in front that papilio writes (`account:`,
`ed25519:`, `transaction:`).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import click

Schema = Mapping[str, Any]
ID_DIGITS: Final = 32
SAMPLE_MS: Final = 1_800_000_000_000
RESERVED: Final = frozenset(
    {"consent", "digest-of", "file", "help", "json", "key", "node", "sender", "timeout", "valid", "wait"}
)
"""Options that every operation has; a field of such a name gets `--field-NAME`."""
_PREFIXED: Final = re.compile(r"(?:account|ed25519|transaction|network):([0-9a-f]+)")
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Leaf:
    """One field that has an option. path: from the top of the arguments. option: without its dashes."""

    path: tuple[str, ...]
    schema: Schema
    option: str

    @property
    def parameter(self) -> str:
        """The name under which click hands its value over."""
        return "field_" + "_".join(self.path)


def leaves(schema: Schema) -> list[Leaf]:
    """The fields of an operation's arguments, in their order."""
    found = list(_walk(schema, ()))
    names = [path[-1] for path, _ in found]
    listed = []
    for path, inner in found:
        option = "-".join(path if names.count(path[-1]) > 1 else path[-1:]).replace("_", "-")
        listed.append(Leaf(path, inner, f"field-{option}" if option in RESERVED else option))
    return listed


def _walk(schema: Schema, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Schema]]:
    for name, inner in schema["properties"].items():
        if inner.get("type") == "object":
            yield from _walk(inner, (*path, name))
        else:
            yield (*path, name), inner


def required(schema: Schema) -> list[Leaf]:
    """The fields that may not be left out."""
    return [leaf for leaf in leaves(schema) if default_of(leaf) is _ABSENT]


def options_of(schema: Schema, given_by: Mapping[str, str] | None = None) -> list[click.Option]:
    """The options of an operation. given_by: of names of fields, another option that gives their values."""
    return [_option(leaf, (given_by or {}).get(leaf.path[-1])) for leaf in leaves(schema)]


def _option(leaf: Leaf, given_by: str | None) -> click.Option:
    words = " ".join(filter(None, [leaf.schema.get("description", ""), f"{form_words(leaf.schema)}."]))
    default = default_of(leaf)
    if default is _ABSENT:
        words += f" Required, unless {given_by} is given." if given_by else " Required."
    elif isinstance(default, str) and len(default) == ID_DIGITS:
        words += " By default a new random one."
    return click.Option(
        [f"--{leaf.option}", leaf.parameter],
        multiple=_is_array(leaf.schema),
        metavar=_metavar(leaf.schema),
        help=words,
    )


def default_of(leaf: Leaf) -> Any:
    """What a field is when it is left out; `_ABSENT` if it may not be."""
    schema = leaf.schema
    if any(part.get("type") == "null" for part in schema.get("anyOf", ())):
        return None
    if _is_array(schema) and not schema.get("minItems", 0):
        return []
    is_bytes = "pattern" in schema
    if schema.get("type") == "string" and not is_bytes and not schema.get("minLength", 0):
        return ""
    if leaf.path[-1] == "id" and is_bytes and schema.get("minLength") == schema.get("maxLength") == ID_DIGITS:
        return secrets.token_hex(ID_DIGITS // 2)
    return _ABSENT


def arguments_from(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as JSON, from options by parameter name. Raises UsageError that names every option missing."""
    arguments: dict[str, Any] = {}
    missing = []
    for leaf in leaves(schema):
        text = given.get(leaf.parameter)
        value = default_of(leaf) if text in (None, ()) else _value(leaf, text)
        if value is _ABSENT:
            missing.append(f"--{leaf.option} ({form_words(leaf.schema)})")
            continue
        where = arguments
        for name in leaf.path[:-1]:
            where = where.setdefault(name, {})
        where[leaf.path[-1]] = value
    if missing:
        raise click.UsageError(f"missing: {', '.join(missing)}")
    return arguments


def _value(leaf: Leaf, text: Any) -> Any:
    try:
        if _is_array(leaf.schema):
            return [_read(leaf.schema["items"], item) for item in text]
        return _read(leaf.schema, text)
    except ValueError as fault:
        raise click.UsageError(f"--{leaf.option}: {fault}") from fault


def _read(schema: Schema, text: str) -> Any:
    """One value of the schema. Raises ValueError with words."""
    schema = _without_null(schema)
    if schema.get("type") == "object":
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError(f"expected {form_words(schema)}") from None
    if schema.get("type") == "boolean":
        if text not in ("true", "false"):
            raise ValueError("expected true or false")
        return text == "true"
    if schema.get("type") == "integer":
        if not re.fullmatch("[0-9]{1,19}", text):
            raise ValueError(f"expected {form_words(schema)}")
        return int(text)
    if "pattern" in schema:
        prefixed = _PREFIXED.fullmatch(text)
        return prefixed[1] if prefixed else text
    return text


def _without_null(schema: Schema) -> Schema:
    """The part of a schema that is not null; of large integers, their text."""
    parts = [part for part in schema.get("anyOf", ()) if part.get("type") != "null"]
    return _without_null(parts[0]) if parts else schema


def _is_array(schema: Schema) -> bool:
    return schema.get("type") == "array"


def form_words(schema: Schema) -> str:
    """What a value looks like, in a few words."""
    if _is_array(schema):
        return f"{form_words(schema['items'])}, may be repeated"
    schema = _number(schema) or _without_null(schema)
    kind = schema.get("type")
    if kind == "object":
        return f"JSON with {', '.join(schema['properties'])}"
    if kind == "boolean":
        return "true or false"
    if kind == "integer":
        return f"an integer from {schema['minimum']} to {schema['maximum']}"
    low, high = schema.get("minLength", 0), schema.get("maxLength", 0)
    if "pattern" in schema:
        return f"{high // 2} bytes in hex" if low == high else f"{low // 2} to {high // 2} bytes in hex"
    return f"text of at most {high} bytes"


def sample_of(leaf: Leaf) -> str:
    """A value for an example: what is long is cut short."""
    schema = leaf.schema.get("items", leaf.schema)
    inner = _number(schema) or _without_null(schema)
    match inner.get("type"):
        case "integer":
            return str(SAMPLE_MS if leaf.path[-1].endswith("_ms") else max(1, inner["minimum"]))
        case "boolean":
            return "true"
        case "string" if "pattern" in inner:
            return "5d…0c" if inner.get("maxLength") == ID_DIGITS else "9f…3a"
    return "'{…}'" if inner.get("type") == "object" else '"…"'


def _number(schema: Schema) -> Schema | None:
    """The integer that a schema allows beside its text."""
    return next((part for part in schema.get("anyOf", ()) if part.get("type") == "integer"), None)


def _metavar(schema: Schema) -> str:
    schema = schema.get("items", schema)
    inner = _number(schema) or _without_null(schema)
    kind = inner.get("type")
    if kind == "string":
        return "HEX" if "pattern" in inner and "0-9a-f" in inner["pattern"] else "TEXT"
    return {"integer": "N", "boolean": "BOOL", "object": "JSON"}.get(str(kind), "VALUE")
