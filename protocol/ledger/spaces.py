"""Spaces: the named parts of the state, and the bytes of a key (L-20).

A state key is the canonical msgpack array `[space name, part, part, ...]`, each part bytes, text or an integer
below 2^63. One space has one number of parts, one type for each, and one record class of its values; so every
pair of the state can be read by a program that knows only the description. The name of an application's space
begins with the application's name and a dot; `ledger.` is this room's own.

Deliberately absent: order. Execution never walks a space; whoever lists one does so over the stored table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgpack
from msgspec.msgpack import Encoder

from protocol import limits
from protocol.errors import TOO_LARGE, BrokenInvariant, Malformed, Refused

R = TypeVar("R")
KeyPart = bytes | str | int
KeyParts = tuple[KeyPart, ...]

_pack = Encoder().encode
_TYPES: dict[str, type] = {"bytes": bytes, "text": str, "integer": int}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a key: what it is called, its type (`bytes`, `text` or `integer`), and what it means."""

    name: str
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Space(Generic[R]):
    """A part of the state: its name, the record class of its values, the parts of its keys, what it holds."""

    name: str
    record: type[R]
    parts: tuple[Part, ...]
    words: str
    _types: tuple[type, ...] = field(init=False, repr=False, compare=False)
    """Of the parts, in order: a key is made five times in a transfer, so its check is one comparison."""

    def __post_init__(self) -> None:
        if any(part.kind not in _TYPES for part in self.parts):
            raise BrokenInvariant(f"space {self.name}: a part is bytes, text or an integer")
        object.__setattr__(self, "_types", tuple(_TYPES[part.kind] for part in self.parts))

    def key(self, parts: KeyParts) -> bytes:
        """The encoded state key.

        Raises BrokenInvariant if the parts are not as declared, Refused(too_large) past `STATE_KEY_BYTES_MAX`.
        """
        if tuple(map(type, parts)) != self._types:
            declared = ", ".join(f"{part.name} ({part.kind})" for part in self.parts)
            raise BrokenInvariant(f"space {self.name}: a key has the parts: {declared or 'none'}")
        return state_key(self.name, *parts)


def state_key(space: str, *parts: KeyPart) -> bytes:
    """Canonical bytes of a state key. Raises Refused(too_large) past `STATE_KEY_BYTES_MAX`."""
    data = _pack([space, *parts])
    if len(data) > limits.STATE_KEY_BYTES_MAX:
        raise Refused(TOO_LARGE, f"a key of {space} would have {len(data)} bytes, at most {limits.STATE_KEY_BYTES_MAX}")
    return data


def parse_state_key(data: bytes) -> tuple[str, KeyParts]:
    """Space name and parts of an encoded key; the inverse of `state_key`. Raises Malformed."""
    if len(data) > limits.STATE_KEY_BYTES_MAX:
        raise Malformed("key", f"longer than {limits.STATE_KEY_BYTES_MAX} bytes")
    try:
        raw: Any = msgpack.unpackb(data, raw=False, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.exceptions.UnpackException):
        raise Malformed("key", "not a state key") from None
    if type(raw) is not list or not raw or type(raw[0]) is not str:
        raise Malformed("key", "a state key is an array that begins with the name of its space")
    if any(type(part) not in (bytes, str, int) for part in raw) or _pack(raw) != data:
        raise Malformed("key", "not in canonical form")
    return raw[0], tuple(raw[1:])


def parts_from_text(space: Space[Any], texts: list[str]) -> KeyParts:
    """Key parts as a person or a URL writes them: bytes as hex, integers as decimals. Raises Malformed."""
    if len(texts) != len(space.parts):
        names = ", ".join(part.name for part in space.parts)
        raise Malformed("key", f"{space.name} has the parts: {names or 'none'}")
    return tuple(_part_from_text(part, text) for part, text in zip(space.parts, texts, strict=True))


def _part_from_text(part: Part, text: str) -> KeyPart:
    if part.kind == "text":
        return text
    if part.kind == "bytes":
        if len(text) % 2 or any(digit not in "0123456789abcdef" for digit in text):
            raise Malformed(part.name, "expected lower-case hex")
        return bytes.fromhex(text)
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and str(int(text)) == text):
        raise Malformed(part.name, "expected a decimal integer")
    return int(text)
