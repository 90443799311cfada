"""Spaces: the named parts of the state, and the bytes of a key (L-20).

A state key is the canonical msgpack array `[space name, part, part, ...]`, each part bytes, text or an integer
below 2^63. One space has one number of parts, one type for each, and one record class of its values; so every
pair of the state can be read by a program that knows only the description. The name of an application's space
begins with the application's name and a dot; `ledger.` is this room's own.

A space may be of records that are **only ever added** (`added`): they never change and never go. They lie in pages,
which are values of the state in their place: see `ledger.added`. Their keys begin with nil, `[nil, space name, part,
...]`, so that nobody takes the absence of such a key from the state for the absence of the record. One can be found by
a second key too (`Also`), which follows from the record.

Deliberately absent: order. Execution never walks a space; whoever lists one does so over the stored table.
"""

from __future__ import annotations

from collections.abc import Callable
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


class _Keyed:
    """Has keys of declared parts."""

    __slots__ = ()
    name: str
    parts: tuple[Part, ...]
    _types: tuple[type, ...]

    def fits(self, parts: KeyParts) -> bool:
        """Whether these are parts as declared."""
        return tuple(map(type, parts)) == self._types

    def check(self, parts: KeyParts) -> None:
        """Raises BrokenInvariant if they are not."""
        if not self.fits(parts):
            declared = ", ".join(f"{part.name} ({part.kind})" for part in self.parts)
            raise BrokenInvariant(f"space {self.name}: a key has the parts: {declared or 'none'}")


@dataclass(frozen=True, slots=True, eq=False)
class Also(_Keyed):
    """A second key of an added record: its name, its parts (the last of them bytes), what it finds.

    of(parts, record): the parts of this key, which no other record of the space has; None: this record has no such key.
    """

    name: str
    parts: tuple[Part, ...]
    words: str
    of: Callable[[KeyParts, Any], KeyParts | None]
    _types: tuple[type, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_types", _types_of(self.name, self.parts))
        if self.parts[-1:] == () or self.parts[-1].kind != "bytes":
            raise BrokenInvariant(f"{self.name}: the last part of a second key is bytes")


@dataclass(frozen=True, slots=True)
class Space(_Keyed, Generic[R]):
    """A part of the state: its name, the record class of its values, the parts of its keys, what it holds.

    added: its records are only ever added. also: the second key of such records.
    """

    name: str
    record: type[R]
    parts: tuple[Part, ...]
    words: str
    added: bool = False
    also: Also | None = None
    _types: tuple[type, ...] = field(init=False, repr=False, compare=False)
    """Of the parts, in order: a key is made five times in a transfer, so its check is one comparison."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_types", _types_of(self.name, self.parts))
        if self.also is not None and not self.added:
            raise BrokenInvariant(f"space {self.name}: only records that are only ever added have a second key")

    def key(self, parts: KeyParts) -> bytes:
        """The encoded state key.

        Raises BrokenInvariant if the parts are not as declared, Refused(too_large) past `STATE_KEY_BYTES_MAX`.
        """
        self.check(parts)
        return _key(None, self.name, *parts) if self.added else _key(self.name, *parts)


def _types_of(name: str, parts: tuple[Part, ...]) -> tuple[type, ...]:
    if any(part.kind not in _TYPES for part in parts):
        raise BrokenInvariant(f"space {name}: a part is bytes, text or an integer")
    return tuple(_TYPES[part.kind] for part in parts)


def state_key(space: str, *parts: KeyPart) -> bytes:
    """Canonical bytes of a state key. Raises Refused(too_large) past `STATE_KEY_BYTES_MAX`."""
    return _key(space, *parts)


def _key(*parts: KeyPart | None) -> bytes:
    data = _pack(parts)
    if len(data) > limits.STATE_KEY_BYTES_MAX:
        space = parts[0] or parts[1]
        raise Refused(
            TOO_LARGE, f"a key of {space!s} would have {len(data)} bytes, at most {limits.STATE_KEY_BYTES_MAX}"
        )
    return data


def is_added_key(key: bytes) -> bool:
    """Whether this key, in canonical form, is of an added record, which stands in a page: nil comes first."""
    return key[3:4] == b"\xc0" if key[:1] == b"\xdc" else key[1:2] == b"\xc0"


def parse_state_key(data: bytes) -> tuple[str, KeyParts]:
    """Space name and parts of an encoded key, of an added record's too. Raises Malformed."""
    if len(data) > limits.STATE_KEY_BYTES_MAX:
        raise Malformed("key", f"longer than {limits.STATE_KEY_BYTES_MAX} bytes")
    try:
        raw: Any = msgpack.unpackb(data, raw=False, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.exceptions.UnpackException):
        raise Malformed("key", "not a state key") from None
    named = raw[1:] if type(raw) is list and raw[:1] == [None] else raw
    if type(named) is not list or not named or type(named[0]) is not str:
        raise Malformed("key", "a state key is an array that begins with the name of its space")
    if any(type(part) not in (bytes, str, int) for part in named) or _pack(raw) != data:
        raise Malformed("key", "not in canonical form")
    return named[0], tuple(named[1:])


def parts_from_text(space: Space[Any] | Also, texts: list[str]) -> KeyParts:
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
