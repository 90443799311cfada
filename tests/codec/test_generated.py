"""What the generated functions accept is what the rules in words accept, for every class of the protocol."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import protocol.node.node  # noqa: F401 - so that every record class is made
from protocol.codec import records
from protocol.codec.fields import Items, Octets, Range, Text
from protocol.codec.generated import Slow, _plain
from protocol.errors import Malformed
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
    compiled = records._COMPILED[cls]
    try:
        slow = compiled.unpack(raw, "")
    except Malformed:
        for function in (compiled.quick.make, compiled.quick.check):
            with pytest.raises(Slow):
                function(raw)
        return False
    made = compiled.quick.make(raw)
    assert made == slow
    assert type(made) is cls
    compiled.quick.check(raw)
    assert compiled.quick.pack(made) == raw
    return True


def fields_of(cls: type[Any]) -> int:
    return len(cls.__dataclass_fields__)


@pytest.mark.parametrize("cls", sorted(records._COMPILED, key=str), ids=lambda c: c.__name__)
def test_each_class_at_its_bounds(cls: type[Any]) -> None:
    """Each field in turn gets every edge, the others stay; from a value that is taken, where one is found."""
    compiled = records._COMPILED[cls]
    head = [] if compiled.kind is None else [compiled.kind, compiled.version]
    base = head + [_fitting(cls, at) for at in range(fields_of(cls))]
    assert agree(cls, base), "the rest would say nothing"
    for at in range(len(base)):
        for edge in EDGES:
            agree(cls, [*base[:at], edge, *base[at + 1 :]])
    for other in (None, [], base[:-1], [*base, None], tuple(base), b"", 5):
        assert not agree(cls, other)


def _fitting(cls: type[Any], at: int) -> Any:
    """A plain value that field `at` takes."""
    name = list(cls.__dataclass_fields__)[at]
    return _plain_of(get_type_hints(cls, include_extras=True)[name])


def _plain_of(hint: Any) -> Any:
    if hint in records._COMPILED:
        compiled = records._COMPILED[hint]
        head = [] if compiled.kind is None else [compiled.kind, compiled.version]
        return head + [_fitting(hint, at) for at in range(fields_of(hint))]
    base, bound = _plain(hint)
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
    plain = records._COMPILED[Sample].quick.pack(value)
    assert agree(Sample, plain)
    agree(Sample, [*plain[:at], other, *plain[at + 1 :]])
