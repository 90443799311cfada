"""Records as JSON, and back, and what they look like: for the API and the command line, never for signing.

One form for each type, so that nothing has to be guessed: byte strings are lower-case hex; integers are numbers
up to 2^53 - 1 and, where a field may pass that, decimal text (many readers of JSON would round them otherwise);
text, booleans, null and arrays are themselves; records and structures are objects with exactly their fields.

`from_json` is as strict as `decode`: unknown and missing fields, other types, numbers out of bounds are `Malformed`
with the dotted path of the field. An integer field that is decimal text on the way out takes a number too.

`json_schema` gives the same as a JSON Schema (2020-12), with the bounds; `Annotated[..., "words"]` beside a bound
becomes the description of a field.
"""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from protocol import limits
from protocol.codec.fields import Items, Octets, Range, Text
from protocol.codec.records import encode
from protocol.errors import BrokenInvariant, Malformed

T = TypeVar("T")
_HEX = frozenset("0123456789abcdef")


def to_json(record: Any) -> dict[str, Any]:
    """A record or structure as plain JSON values."""
    hints = _hints(type(record))
    return {name: _value_out(hint, getattr(record, name)) for name, hint in hints.items()}


def from_json(cls: type[T], value: Any) -> T:
    """The record or structure that `value` describes. Raises Malformed, with the field's path."""
    made: T = _object_in(cls, value, "")
    try:
        encode(made)
    except BrokenInvariant as fault:
        raise Malformed("", fault.words) from fault
    return made


def json_schema(cls: type[Any]) -> dict[str, Any]:
    """JSON Schema of a record or structure, all inline."""
    hints = _hints(cls)
    return {
        "type": "object",
        "title": cls.__name__,
        "description": (cls.__doc__ or "").strip(),
        "properties": {name: _schema(hint) for name, hint in hints.items()},
        "required": list(hints),
        "additionalProperties": False,
    }


_HINTS: dict[type[Any], dict[str, Any]] = {}
"""Field types by class, once for each: as many as there are records in the program."""


def _hints(cls: type[Any]) -> dict[str, Any]:
    if cls not in _HINTS:
        if not is_dataclass(cls):
            raise BrokenInvariant(f"{cls!r} is neither a record nor a structure")
        hints = get_type_hints(cls, include_extras=True)
        _HINTS[cls] = {field.name: hints[field.name] for field in fields(cls)}
    return _HINTS[cls]


def _split(hint: Any) -> tuple[Any, Any, str]:
    """(base type, its bound or None, words) of a field."""
    if get_origin(hint) is not Annotated:
        return hint, None, ""
    base, *extras = get_args(hint)
    words = next((extra for extra in extras if isinstance(extra, str)), "")
    return base, next((extra for extra in reversed(extras) if not isinstance(extra, str)), None), words


def _optional(base: Any) -> Any:
    """X of X | None, or None if it is not optional."""
    if get_origin(base) not in (typing.Union, types.UnionType):
        return None
    return next(part for part in get_args(base) if part is not type(None))


def _value_out(hint: Any, value: Any) -> Any:
    base, bound, _ = _split(hint)
    inner = _optional(base)
    if inner is not None:
        return None if value is None else _value_out(inner, value)
    if isinstance(bound, Items):
        return [_value_out(get_args(base)[0], item) for item in value]
    if base is bytes:
        return value.hex()
    if isinstance(bound, Range) and bound.high > limits.U53_MAX:
        return str(value)
    return to_json(value) if is_dataclass(base) else value


def _object_in(cls: type[Any], value: Any, path: str) -> Any:
    hints = _hints(cls)
    if type(value) is not dict:
        raise Malformed(path, f"expected an object with the fields of {cls.__name__}")
    unknown = sorted(str(name) for name in value if name not in hints)
    if unknown:
        raise Malformed(_join(path, unknown[0]), f"{cls.__name__} has no such field; it has {', '.join(hints)}")
    missing = [name for name in hints if name not in value]
    if missing:
        raise Malformed(_join(path, missing[0]), f"is missing in {cls.__name__}")
    return cls(*(_value_in(hint, value[name], _join(path, name)) for name, hint in hints.items()))


def _value_in(hint: Any, value: Any, path: str) -> Any:
    base, bound, _ = _split(hint)
    inner = _optional(base)
    if inner is not None:
        return None if value is None else _value_in(inner, value, path)
    if isinstance(bound, Items):
        return _items_in(get_args(base)[0], bound, value, path)
    if isinstance(bound, Octets):
        return _octets_in(bound, value, path)
    if isinstance(bound, Range):
        return _integer_in(bound, value, path)
    if isinstance(bound, Text):
        return _text_in(bound, value, path)
    if base is bool:
        if type(value) is not bool:
            raise Malformed(path, "expected true or false")
        return value
    return _object_in(base, value, path)


def _items_in(inner: Any, bound: Items, value: Any, path: str) -> tuple[Any, ...]:
    if type(value) is not list or not bound.low <= len(value) <= bound.high:
        raise Malformed(path, f"expected an array of {bound.low} to {bound.high} items")
    return tuple(_value_in(inner, item, f"{path}[{index}]") for index, item in enumerate(value))


def _octets_in(bound: Octets, value: Any, path: str) -> bytes:
    high = bound.low if bound.high is None else bound.high
    size = f"{high}" if bound.low == high else f"{bound.low} to {high}"
    hexadecimal = type(value) is str and len(value) % 2 == 0 and _HEX.issuperset(value)
    if not (hexadecimal and bound.low <= len(value) // 2 <= high):
        raise Malformed(path, f"expected {size} bytes in lower-case hex")
    return bytes.fromhex(value)


def _integer_in(bound: Range, value: Any, path: str) -> int:
    number = value
    large = bound.high > limits.U53_MAX
    if large and type(value) is str and len(value) <= 20 and value.isascii() and value.isdecimal():
        number = int(value) if str(int(value)) == value else None
    if type(number) is not int or not bound.low <= number <= bound.high:
        form = "an integer, as decimal text or number," if large else "an integer"
        raise Malformed(path, f"expected {form} from {bound.low} to {bound.high}")
    return number


def _text_in(bound: Text, value: Any, path: str) -> str:
    try:
        size = len(value.encode("utf-8")) if type(value) is str else -1
    except UnicodeEncodeError:
        size = -1
    if type(value) is not str or not bound.low <= size <= bound.high:
        raise Malformed(path, f"expected text of {bound.low} to {bound.high} bytes")
    return value


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _schema(hint: Any) -> dict[str, Any]:
    base, bound, words = _split(hint)
    inner = _optional(base)
    if inner is not None:
        schema: dict[str, Any] = {"anyOf": [_schema(inner), {"type": "null"}]}
    elif is_dataclass(base):
        schema = json_schema(base)  # type: ignore[arg-type]
    else:
        schema = _plain_schema(base, bound)
    return {**schema, "description": words} if words else schema


def _plain_schema(base: Any, bound: Any) -> dict[str, Any]:
    if isinstance(bound, Items):
        items = _schema(get_args(base)[0])
        return {"type": "array", "items": items, "minItems": bound.low, "maxItems": bound.high}
    if isinstance(bound, Octets):
        high = bound.low if bound.high is None else bound.high
        pattern = "^([0-9a-f]{2})*$"
        return {"type": "string", "pattern": pattern, "minLength": 2 * bound.low, "maxLength": 2 * high}
    if isinstance(bound, Text):
        # Bounds are in bytes of UTF-8, the schema's in characters: at most four bytes each.
        return {"type": "string", "minLength": (bound.low + 3) // 4, "maxLength": bound.high}
    if isinstance(bound, Range) and bound.high > limits.U53_MAX:
        number = {"type": "integer", "minimum": bound.low, "maximum": bound.high}
        return {"anyOf": [{"type": "string", "pattern": "^(0|[1-9][0-9]{0,18})$"}, number]}
    if isinstance(bound, Range):
        return {"type": "integer", "minimum": bound.low, "maximum": bound.high}
    return {"type": "boolean"}
