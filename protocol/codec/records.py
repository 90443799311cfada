"""Records and structures: from annotations to strict packing and unpacking.

Each class is compiled once: in `structs.py` into a struct that is packed and unpacked in C and is asked first, here
into functions from plain lists that check field by field and say in words what is wrong. Canonical form is checked by
packing again and comparing bytes, which is cheaper than any rule-by-rule check, and covers minimal integers, minimal
headers, bin against str, and trailing bytes all at once.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_origin, get_type_hints

import msgpack
from msgspec import MsgspecError

from protocol import limits
from protocol.codec.fields import Items, Octets, Range, Text
from protocol.codec.structs import HEAD, Quick, pack, quick
from protocol.errors import BrokenInvariant, Malformed

T = TypeVar("T")
Unpack = Callable[[Any, str], Any]

KINDS: dict[int, type[Any]] = {}
"""Every kind of record, by number: a closed list, checked for doubles when a class is made."""

_FIELDS_MAX = 64
"""Fields of one record, kind and version included."""
_ARRAY_ITEMS_SLACK = _FIELDS_MAX

_packer = msgpack.Packer(use_bin_type=True, strict_types=True)


@dataclass_transform(frozen_default=True, kw_only_default=False)
def record(kind: int, version: int = 1, bytes_max: int = limits.MESSAGE_BYTES_MAX) -> Callable[[type[T]], type[T]]:
    """Make a class a record: an array behind (kind, version), of at most `bytes_max` bytes.

    Raises BrokenInvariant if the kind is taken, or a field has no bound.
    """

    def wrap(cls: type[T]) -> type[T]:
        if kind in KINDS:
            raise BrokenInvariant(f"record kind {kind} is taken by {KINDS[kind].__name__}, wanted by {cls.__name__}")
        made = _attach(cls, (kind, version), bytes_max)
        KINDS[kind] = made
        return made

    return wrap


@dataclass_transform(frozen_default=True, kw_only_default=False)
def structure(cls: type[T]) -> type[T]:
    """Make a class a structure: an array of its fields, without kind and version."""
    return _attach(cls, None, limits.MESSAGE_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What `encode` and `decode` need of one class."""

    head: tuple[int, int] | None
    """Kind and version of a record."""
    bytes_max: int
    array_items_max: int
    """Arrays longer than this are refused unread: the longest that the class can hold and some more, so that one
    slightly too long is still refused by name. With msgpack's bound on nesting (some 1,000 levels, whatever is
    decoded) it bounds what hostile headers allocate: half a MiB for most classes, some 32 MiB for a batch's body."""
    unpack: Unpack
    quick: Quick


_COMPILED: dict[type[Any], Compiled] = {}


def _attach(cls: type[T], head: tuple[int, int] | None, bytes_max: int) -> type[T]:
    hints = get_type_hints(cls, include_extras=True)
    unpacks = [_field(hint, f"{cls.__name__}.{name}") for name, hint in hints.items()]
    if len(HEAD) + len(hints) > _FIELDS_MAX:
        raise BrokenInvariant(f"{cls.__name__} has more than {_FIELDS_MAX} fields with kind and version")
    longest = max(map(_longest_array, hints.values()), default=0)
    found = quick(cls, hints, head)
    unpack = _unpacker_of(found.made, tuple(hints), unpacks, list(head or ()))
    _COMPILED[found.made] = Compiled(head, bytes_max, longest + _ARRAY_ITEMS_SLACK, unpack, found)
    return found.made


def _unpacker_of(cls: type[Any], names: tuple[str, ...], unpacks: list[Unpack], head: list[int]) -> Unpack:
    plan = tuple(zip(names, unpacks, strict=True))
    skip = len(head)
    length = skip + len(plan)

    def unpack(raw: Any, path: str) -> Any:
        if type(raw) is not list:
            raise Malformed(path, f"expected {cls.__name__}, an array of {length}, got {_kind_word(raw)}")
        if skip and (raw[:2] != head or type(raw[0]) is not int or type(raw[1]) is not int):  # True == 1 == 1.0
            got = [part if type(part) is int else _kind_word(part) for part in raw[:2]]  # arrays may be nested deeply
            raise Malformed(path, f"expected {cls.__name__}, kind and version {head}, got {got}")
        if len(raw) != length:
            raise Malformed(path, f"expected {cls.__name__}, an array of {length}, got {len(raw)} items")
        values = [inner(item, name) for (name, inner), item in zip(plan, raw[skip:], strict=True)]
        return cls(*values)

    def located(raw: Any, path: str) -> Any:
        try:
            return unpack(raw, "")
        except Malformed as fault:
            field = f"{path}.{fault.field}" if fault.field and path else (fault.field or path)
            words = fault.words.removeprefix(f"{fault.field}: ") if fault.field else fault.words
            raise Malformed(field, words) from None

    return located


def _field(hint: Any, where: str) -> Unpack:
    origin = get_origin(hint)
    if origin is Annotated:
        base, *extras = get_args(hint)
        bounds = [extra for extra in extras if not isinstance(extra, str)]  # text is for people: see codec.json
        return _bounded(base, bounds, where) if bounds else _field(base, where)
    if origin in (typing.Union, types.UnionType):
        return _optional(hint, where)
    if hint is bool:
        return _boolean
    compiled = _COMPILED.get(hint)
    if compiled is None:
        raise BrokenInvariant(f"{where}: a field needs a bounded type, not {hint!r}")
    return compiled.unpack


def _bounded(base: Any, bounds: list[Any], where: str) -> Unpack:
    bound = bounds[-1] if bounds else None
    if base is bytes and isinstance(bound, Octets):
        return _octets(bound.low, bound.low if bound.high is None else bound.high)
    if base is str and isinstance(bound, Text):
        return _text(bound.low, bound.high)
    if base is int and isinstance(bound, Range):
        return _integer(bound.low, bound.high)
    if get_origin(base) is tuple and isinstance(bound, Items):
        inner, ellipsis = get_args(base)
        if ellipsis is not Ellipsis:
            raise BrokenInvariant(f"{where}: tuples are written tuple[X, ...]")
        return _items(bound, _field(inner, where))
    raise BrokenInvariant(f"{where}: {base!r} cannot be bounded by {bounds!r}")


def _optional(hint: Any, where: str) -> Unpack:
    inner = [part for part in get_args(hint) if part is not type(None)]
    if len(inner) != 1 or len(get_args(hint)) != 2:
        raise BrokenInvariant(f"{where}: only X | None is a field, not {hint!r}")
    unpack = _field(inner[0], where)

    def unpack_optional(raw: Any, path: str) -> Any:
        return None if raw is None else unpack(raw, path)

    return unpack_optional


def _longest_array(hint: Any) -> int:
    """Most items that an array somewhere in a field of this type can have."""
    if hint in _COMPILED:
        return _COMPILED[hint].array_items_max - _ARRAY_ITEMS_SLACK
    own = [bound.high for bound in getattr(hint, "__metadata__", ()) if isinstance(bound, Items)]
    inner = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    return max([*own, *(_longest_array(part) for part in inner if part is not Ellipsis)], default=0)


def _kind_word(raw: Any) -> str:
    return {list: "an array", dict: "a map", bytes: "bytes", str: "text", int: "an integer", bool: "a boolean"}.get(
        type(raw), "nil" if raw is None else type(raw).__name__
    )


def _boolean(raw: Any, path: str) -> bool:
    if raw is True or raw is False:
        return bool(raw)
    raise Malformed(path, f"expected a boolean, got {_kind_word(raw)}")


def _octets(low: int, high: int) -> Unpack:
    expected = f"{low} bytes" if low == high else f"{low} to {high} bytes"

    def unpack(raw: Any, path: str) -> bytes:
        if type(raw) is bytes and low <= len(raw) <= high:
            return raw
        got = f"{len(raw)} bytes" if type(raw) is bytes else _kind_word(raw)
        raise Malformed(path, f"expected {expected}, got {got}")

    return unpack


def _text(low: int, high: int) -> Unpack:
    def unpack(raw: Any, path: str) -> str:
        if type(raw) is not str:
            raise Malformed(path, f"expected text, got {_kind_word(raw)}")
        try:
            size = len(raw) if raw.isascii() else len(raw.encode("utf-8"))
        except UnicodeEncodeError:
            raise Malformed(path, "expected text, got a lone surrogate, which UTF-8 has not") from None
        if low <= size <= high:
            return raw
        raise Malformed(path, f"expected text of {low} to {high} bytes, got {size}")

    return unpack


def _integer(low: int, high: int) -> Unpack:
    def unpack(raw: Any, path: str) -> int:
        if type(raw) is int and low <= raw <= high:
            return raw
        got = str(raw) if type(raw) is int else _kind_word(raw)
        raise Malformed(path, f"expected an integer from {low} to {high}, got {got}")

    return unpack


def _items(bound: Items, unpack: Unpack) -> Unpack:
    low, high = bound.low, bound.high

    def unpack_items(raw: Any, path: str) -> tuple[Any, ...]:
        if type(raw) is not list:
            raise Malformed(path, f"expected an array, got {_kind_word(raw)}")
        if not low <= len(raw) <= high:
            raise Malformed(path, f"expected {low} to {high} items, got {len(raw)}")
        try:
            return tuple([unpack(item, "") for item in raw])
        except Malformed:
            return tuple(unpack(item, f"{path}[{index}]") for index, item in enumerate(raw))

    return unpack_items


def encode(value: Any) -> bytes:
    """Canonical bytes of a record or structure.

    Raises BrokenInvariant if the value breaks its own bounds: nothing of ours leaves malformed.
    """
    compiled = _COMPILED[type(value)]
    data = _packed(compiled.quick, value) or _packed_by_the_rules(compiled, value)
    if len(data) > compiled.bytes_max:
        raise BrokenInvariant(f"{type(value).__name__} has {len(data)} bytes, more than {compiled.bytes_max}")
    return data


def _packed(found: Quick, value: Any) -> bytes:
    """Nothing if the value breaks its bounds."""
    try:
        data = pack(value)
        read = found.unpack(data)  # a set packs as an array does, in any order, and is not equal
        return data if read == value and (found.fits is None or found.fits(read)) else b""
    except (MsgspecError, TypeError, OverflowError, UnicodeEncodeError):
        return b""


def _packed_by_the_rules(compiled: Compiled, value: Any) -> bytes:
    raw = plain(value)
    try:
        compiled.unpack(raw, "")
    except Malformed as fault:
        raise BrokenInvariant(f"{type(value).__name__} breaks its own bounds: {fault.words}") from fault
    return bytes(_packer.pack(raw))


def plain(value: Any) -> Any:
    """A record or structure as the lists and plain values that are packed."""
    compiled = _COMPILED.get(type(value))
    if compiled is not None:
        return [*(compiled.head or ()), *(plain(getattr(value, name)) for name in compiled.quick.hints)]
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


def decode(cls: type[T], data: bytes) -> T:
    """The record in `data`; the inverse of `encode`.

    Raises Malformed, naming the field, unless `data` is exactly what `encode` would give.
    """
    compiled = _COMPILED[cls]
    if len(data) > compiled.bytes_max:
        raise Malformed("", f"{cls.__name__} of {len(data)} bytes, more than {compiled.bytes_max}")
    found = compiled.quick
    try:
        value: T = found.unpack(data)
    except (MsgspecError, UnicodeDecodeError):
        return _unpacked_by_the_rules(cls, compiled, data)
    if pack(value) == data and (found.fits is None or found.fits(value)):
        return value
    return _unpacked_by_the_rules(cls, compiled, data)


def _unpacked_by_the_rules(cls: type[T], compiled: Compiled, data: bytes) -> T:
    """Says in words what is wrong with `data`."""
    raw = _plain(data, cls.__name__, compiled.array_items_max)
    value: T = compiled.unpack(raw, "")
    if _packer.pack(raw) != data:
        raise Malformed("", f"{cls.__name__} is not in canonical form")
    return value


def kind_of(data: bytes) -> int | None:
    """The kind that `data` claims at its head, or None; reads only the first bytes."""
    if len(data) >= 2 and 0x92 <= data[0] <= 0x9F and data[1] < 0x80:  # a short array and a small number
        return data[1]
    unpacker = msgpack.Unpacker(raw=True, max_buffer_size=16)
    unpacker.feed(data[:16])
    try:
        if not 2 <= unpacker.read_array_header() <= _FIELDS_MAX:
            return None
        kind = unpacker.unpack()
    except (ValueError, msgpack.exceptions.UnpackException):
        return None
    return kind if type(kind) is int else None


def _plain(data: bytes, what: str, array_items_max: int) -> Any:
    size = len(data)
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            max_str_len=size,
            max_bin_len=size,
            max_array_len=min(size, array_items_max),
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError):
        # Our words, not msgpack's: a receipt may hold them, and all nodes must say the same.
        raise Malformed("", f"{what}: not msgpack, or an array far longer than any of its fields") from None
