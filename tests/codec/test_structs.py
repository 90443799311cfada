"""What the structs accept is what the rules in words accept, for every class of the protocol."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any, get_args, get_type_hints

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import MsgspecError

import protocol.node.node  # noqa: F401 - so that every record class is made
from protocol.codec import decode, encode, records
from protocol.codec.fields import Items, Octets, Range, Text
from protocol.codec.structs import _split, pack
from protocol.errors import BrokenInvariant, Malformed
from tests.codec.test_codec import Part, Sample, Tiny, _samples

EDGES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 9, 10, 255, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 1.0, 5.0),
    *map(bytes, (0, 1, 16, 20, 31, 32, 33, 64, 300, 301)),
    *("", "n", "w\u00f6rter", "\ud800", "x" * 63, "x" * 64, "\u00e9" * 32, "\u00e9" * 33, "x" * 65),
    *([], [1], [[]], [bytes(32)], [bytes(32)] * 41, {}, ()),
]
"""Values at and beside bounds, and of every other type."""


def agree(cls: type[Any], raw: Any) -> bool:
    """Both ways say the same of this plain value; whether they take it."""
    try:
        data = msgpack.packb(raw, use_bin_type=True)
    except (ValueError, OverflowError, TypeError):
        return not_packed(cls, raw)
    compiled = records._COMPILED[cls]
    try:
        slow = compiled.unpack(msgpack.unpackb(data), "")
    except Malformed as fault:
        words = fault.words
        assert quickly(cls, data) is None
        with pytest.raises(Malformed, match=re.escape(words) if len(data) <= compiled.bytes_max else "more than"):
            decode(cls, data)
        return not_packed(cls, raw)
    made = quickly(cls, data)
    assert made == slow == decode(cls, data)
    assert type(made) is cls
    assert encode(slow) == pack(slow) == data
    assert records.plain(made) == msgpack.unpackb(data)
    return True


def quickly(cls: type[Any], data: bytes) -> Any:
    """What the struct alone makes of it; None if it refuses."""
    quick = records._COMPILED[cls].quick
    try:
        value = quick.unpack(data)
    except (MsgspecError, UnicodeDecodeError):
        return None
    return value if pack(value) == data and (quick.fits is None or quick.fits(value)) else None


def not_packed(cls: type[Any], raw: Any) -> bool:
    """A value of ours with these fields does not leave either."""
    head = [(int, number) for number in records._COMPILED[cls].head or ()]
    skip = len(head)
    whole = type(raw) is list and len(raw) == skip + fields_of(cls)
    if whole and [(type(part), part) for part in raw[:skip]] == head:
        with pytest.raises(BrokenInvariant):
            encode(cls(*raw[skip:]))
    return False


def fields_of(cls: type[Any]) -> int:
    return len(cls.__dataclass_fields__)


@pytest.mark.parametrize("cls", sorted(records._COMPILED, key=str), ids=lambda c: c.__name__)
def test_each_class_at_its_bounds(cls: type[Any]) -> None:
    """Each field in turn gets every edge, the others stay; from a value that is taken, where one is found."""
    compiled = records._COMPILED[cls]
    head = list(compiled.head or ())
    base = head + [_fitting(cls, at) for at in range(fields_of(cls))]
    assert agree(cls, base), "the rest would say nothing"
    for at in range(len(base)):
        for edge in EDGES:
            agree(cls, [*base[:at], edge, *base[at + 1 :]])
    for other in (None, [], base[:-1], [*base, None], b"", 5):
        assert not agree(cls, other)


def _fitting(cls: type[Any], at: int) -> Any:
    """A plain value that field `at` takes."""
    name = list(cls.__dataclass_fields__)[at]
    return _plain_of(get_type_hints(cls, include_extras=True)[name])


def _plain_of(hint: Any) -> Any:
    if hint in records._COMPILED:
        compiled = records._COMPILED[hint]
        head = list(compiled.head or ())
        return head + [_fitting(hint, at) for at in range(fields_of(hint))]
    base, bound = _split(hint)
    match bound:
        case Octets(low):
            return bytes(low)
        case Text(low):
            return "x" * low
        case Range(low):
            return low
        case Items(low):
            return [_plain_of(get_args(base)[0])] * max(low, 1)
    if base is bool:
        return True
    return _plain_of(next(part for part in get_args(base) if part is not type(None)))


_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False),
    st.binary(max_size=40),
    st.text(),
)
_values: st.SearchStrategy[Any] = st.recursive(_leaves, lambda inner: st.lists(inner, max_size=6), max_leaves=20)


@given(raw=_values)
@settings(max_examples=300)
def test_any_plain_value(raw: Any) -> None:
    for cls in (Sample, Part, Tiny):
        agree(cls, raw)


@given(value=_samples, at=st.integers(0, 8), other=_values)
@settings(max_examples=300)
def test_a_sample_with_one_field_replaced(value: Sample, at: int, other: Any) -> None:
    plain = records.plain(value)
    assert agree(Sample, plain)
    agree(Sample, [*plain[:at], other, *plain[at + 1 :]])


def test_it_answers_like_a_dataclass() -> None:
    part = Part("name", 7, None)
    assert [field.name for field in fields(part)] == ["name", "count", "inner"]
    assert replace(part, count=8) == Part("name", 8, None)
    assert is_dataclass(part)
    assert asdict(part) == {"name": "name", "count": 7, "inner": None}
    assert repr(part) == "Part(name='name', count=7, inner=None)"
    with pytest.raises(AttributeError):
        part.count = 9  # type: ignore[misc]


@given(value=_samples)
@settings(max_examples=20)
def test_a_record_shows_and_copies_its_own_fields(value: Sample) -> None:
    """The head is in the bytes, and nowhere else."""
    assert "_kind" not in repr(value)
    assert copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == replace(value) == value
    assert hash(copy.copy(value)) == hash(value)
    assert Sample.__match_args__ == tuple(field.name for field in fields(value))


NESTED = [depth for depth in range(900, 1_025) if depth % 25 == 0 or depth > 1_010]


@pytest.mark.parametrize("cls", sorted(records._COMPILED, key=str), ids=lambda c: c.__name__)
def test_arrays_in_arrays_are_malformed_however_deep(cls: type[Any]) -> None:
    """L-1: what is said of them does not depend on how deep Python's stack is: a receipt may hold it."""
    compiled = records._COMPILED[cls]
    length = len(compiled.head or ()) + fields_of(cls)
    for depth in NESTED:
        deep = b"\x91" * depth + b"\x90"
        for at in range(length):
            before = b"".join(map(msgpack.packb, [*(compiled.head or ()), *[0] * length][:at]))
            opening = bytes([0x90 + length]) if length < 16 else b"\xdc" + length.to_bytes(2, "big")
            with pytest.raises(Malformed):
                decode(cls, opening + before + deep + b"\x00" * (length - at - 1))
        with pytest.raises(Malformed):
            decode(cls, deep)


def test_what_only_packs_alike_does_not_leave() -> None:
    """A set has no order: two nodes would sign different bytes."""
    sample = Sample(bytes(16), 5, True, "", (Part("n", 0, None),), (bytes(32),), None)
    encode(sample)
    with pytest.raises(BrokenInvariant):
        encode(replace(sample, hashes=frozenset({bytes(32)})))  # type: ignore[arg-type]
