"""The codec is canonical, strict, bounded, and says which field is wrong (L-1)."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Annotated, Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import (
    KINDS,
    U53,
    U63,
    Blob,
    Flag,
    Hash,
    Id16,
    Items,
    Name,
    Octets,
    Range,
    Text,
    Words,
    decode,
    encode,
    kind_of,
    record,
    structure,
)
from protocol.errors import BrokenInvariant, Malformed
from protocol.ledger.records import BatchBody

SAMPLE_KIND = 60_001


@structure
class Part:
    """A structure inside the sample."""

    name: Name
    count: U63
    inner: Annotated[bytes, Blob(300)] | None


@record(kind=SAMPLE_KIND, bytes_max=4096)
class Sample:
    """One field of each form."""

    id: Id16
    small: Annotated[int, Range(3, 9)]
    flag: Flag
    words: Words
    parts: Annotated[tuple[Part, ...], Items(1, 3)]
    hashes: Annotated[tuple[Hash, ...], Items(0, 40)]
    again: Part | None


@record(kind=1_000_001, version=7)
class Tiny:
    """One number."""

    number: Annotated[int, Range(-5, 70_000)]


PART = Part("n", 2**40, b"i")
SAMPLE = Sample(bytes(16), 5, True, "wörter", (PART, Part("m", 0, None)), (bytes(32),), None)

_texts = st.text(max_size=16)
_parts = st.builds(
    Part, st.text(min_size=1, max_size=16), st.integers(0, 2**63 - 1), st.none() | st.binary(max_size=300)
)
_samples = st.builds(
    Sample,
    st.binary(min_size=16, max_size=16),
    st.integers(3, 9),
    st.booleans(),
    _texts,
    st.lists(_parts, min_size=1, max_size=3).map(tuple),
    st.lists(st.binary(min_size=32, max_size=32), max_size=40).map(tuple),
    st.none() | _parts,
)


def raw(value: Any) -> list[Any]:
    """The plain lists of an encoded value, by msgpack alone."""
    found = msgpack.unpackb(encode(value))
    assert isinstance(found, list)
    return found


def packed(items: list[Any]) -> bytes:
    """Plain lists as msgpack."""
    return bytes(msgpack.packb(items))


@given(value=_samples)
def test_round_trip(value: Sample) -> None:
    """L-1: decode gives back what was encoded, and the bytes are msgpack's shortest form of kind, version, fields."""
    data = encode(value)
    assert decode(Sample, data) == value
    assert raw(value)[:2] == [SAMPLE_KIND, 1]
    assert msgpack.packb(msgpack.unpackb(data)) == data
    assert kind_of(data) == SAMPLE_KIND


@given(data=st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_a_record_or_malformed(data: bytes) -> None:
    """L-1: nothing else is raised, and what is accepted encodes to the same bytes."""
    for cls in (Sample, Part, Tiny):
        try:
            value = decode(cls, data)
        except Malformed:
            continue
        assert encode(value) == data


@given(value=_samples, at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
@settings(max_examples=300)
def test_damaged_bytes_are_never_a_second_encoding(*, value: Sample, at: int, byte: int, cut: bool) -> None:
    """L-1: with one byte replaced or the end missing: another value, or malformed; never the same value again."""
    data = encode(value)
    at %= len(data)
    changed = data[:at] if cut else data[:at] + bytes([byte]) + data[at + 1 :]
    if changed == data:
        return
    try:
        other = decode(Sample, changed)
    except Malformed:
        return
    assert other != value
    assert encode(other) == changed


# Tiny(1) is 93 ce000f4241 07 01: array of 3, kind as uint32, version, the number.
_HEAD = bytes.fromhex("93ce000f424107")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_HEAD + b"\xcc\x01", id="uint8 for 1"),
        pytest.param(_HEAD + b"\xcd\x00\x01", id="uint16 for 1"),
        pytest.param(_HEAD + b"\xce\x00\x00\x00\x01", id="uint32 for 1"),
        pytest.param(_HEAD + b"\xcf" + bytes(7) + b"\x01", id="uint64 for 1"),
        pytest.param(_HEAD + b"\xd0\x01", id="int8 for 1"),
        pytest.param(_HEAD + b"\xd3" + bytes(7) + b"\x01", id="int64 for 1"),
        pytest.param(_HEAD + b"\xd0\xff", id="int8 for -1"),
        pytest.param(_HEAD + b"\xcd\x00\xc8", id="uint16 for 200"),
        pytest.param(_HEAD + b"\xca" + struct.pack(">f", 1.0), id="float32"),
        pytest.param(_HEAD + b"\xcb" + struct.pack(">d", 1.0), id="float64"),
        pytest.param(_HEAD + b"\xc3", id="boolean for 1"),
        pytest.param(_HEAD + b"\xc0", id="nil for a number"),
        pytest.param(_HEAD + b"\x01\x00", id="trailing byte"),
        pytest.param(_HEAD, id="last field missing"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xdc\x00\x03" + _HEAD[1:] + b"\x01", id="array16 for three"),
        pytest.param(b"\xdd\x00\x00\x00\x03" + _HEAD[1:] + b"\x01", id="array32 for three"),
        pytest.param(b"\x94" + _HEAD[1:] + b"\x01\x01", id="a field too many"),
        pytest.param(b"\x92" + _HEAD[1:], id="a field too few"),
        pytest.param(b"\x93\xcf\x00\x00\x00\x00\x00\x0f\x42\x41\x07\x01", id="kind as uint64"),
        pytest.param(b"\x93\xce\x00\x0f\x42\x42\x07\x01", id="another kind"),
        pytest.param(b"\x93\xce\x00\x0f\x42\x41\x08\x01", id="another version"),
        pytest.param(b"\x93\xcb" + struct.pack(">d", 1_000_001.0) + b"\x07\x01", id="kind as float"),
        pytest.param(b"\x80", id="empty map"),
        pytest.param(b"\x81\x01\x01", id="map"),
        pytest.param(_HEAD + b"\x80", id="map in a field"),
        pytest.param(_HEAD + b"\xd4\x01\x00", id="fixext1"),
        pytest.param(_HEAD + b"\xc7\x00\x01", id="empty ext"),
        pytest.param(_HEAD + b"\xd6\xff\x00\x00\x00\x00", id="timestamp"),
        pytest.param(_HEAD + b"\xc1", id="the byte msgpack never uses"),
        pytest.param(_HEAD + b"\xfa", id="-6, out of range"),
        pytest.param(_HEAD + b"\xce\x00\x01\x11\x71", id="70001, out of range"),
        pytest.param(_HEAD + b"\xcf" + b"\xff" * 8, id="2**64 - 1"),
    ],
)
def test_only_one_form_is_accepted(data: bytes) -> None:
    """L-1: every other way to write the same thing, and every foreign type, is refused."""
    assert encode(Tiny(1)) == _HEAD + b"\x01"
    assert decode(Tiny, _HEAD + b"\x01") == Tiny(1)
    with pytest.raises(Malformed):
        decode(Tiny, data)


@record(kind=1_000_002, version=1)
class VersionOne:
    """Its version equals True and 1.0 in Python."""

    number: U53


def test_a_version_of_another_type_is_refused() -> None:
    """L-1: True and 1.0 equal 1 in Python; as kind or version they would be a second encoding."""
    good = encode(VersionOne(0))
    assert good.endswith(b"\x01\x00")
    for version in (b"\xc3", b"\xca" + struct.pack(">f", 1.0), b"\xcb" + struct.pack(">d", 1.0)):
        with pytest.raises(Malformed, match="kind and version"):
            decode(VersionOne, good[:-2] + version + b"\x00")


def test_bytes_and_text_do_not_stand_for_each_other() -> None:
    """L-1: bin is bin and str is str, each with its shortest header."""
    good = encode(Part("n", 0, b"i"))
    assert good == b"\x93\xa1n\x00\xc4\x01i"
    for bad in (
        b"\x93\xc4\x01n\x00\xc4\x01i",
        b"\x93\xa1n\x00\xa1i",
        b"\x93\xd9\x01n\x00\xc4\x01i",
        b"\x93\xa1n\x00\xc5\x00\x01i",
        b"\x93\xa1n\x00\xc6\x00\x00\x00\x01i",
    ):
        with pytest.raises(Malformed):
            decode(Part, bad)


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3"])
def test_text_is_strict_utf_8(bad: bytes) -> None:
    """L-1: invalid, overlong, surrogate, beyond Unicode, cut: none is text."""
    with pytest.raises(Malformed):
        decode(Part, b"\x93" + bytes([0xA0 + len(bad)]) + bad + b"\x00\xc0")


def test_nothing_of_ours_leaves_malformed() -> None:
    """L-1: encoding a value that breaks its bounds, or is of another type, is our fault."""
    for number in (-6, 70_001, 2**70, True, 1.0, "1", None):
        with pytest.raises(BrokenInvariant):
            encode(Tiny(number))  # type: ignore[arg-type]
    for name in ("", "x" * 65, "ä" * 33, b"n", "\ud800"):
        with pytest.raises(BrokenInvariant):
            encode(Part(name, 0, None))  # type: ignore[arg-type]
    with pytest.raises(BrokenInvariant):
        encode(Part("n", 0, 5))  # type: ignore[arg-type]
    with pytest.raises(BrokenInvariant, match="more than 4096"):
        encode(Large(bytes(4096)))


@record(kind=1_000_003, bytes_max=4096)
class Large:
    """Its fields can be longer than the whole may be."""

    data: Annotated[bytes, Octets(0, 10_000)]


def test_the_whole_is_measured_first() -> None:
    """L-1: more bytes than the record's bound are refused before anything is unpacked."""
    assert len(encode(Large(bytes(4000)))) < 4096
    with pytest.raises(Malformed, match="5000 bytes, more than 4096"):
        decode(Large, b"\xc1" * 5000)


@pytest.mark.parametrize(
    "change, field",
    [
        (lambda items: items.__setitem__(2, bytes(15)), "id"),
        (lambda items: items.__setitem__(3, 10), "small"),
        (lambda items: items.__setitem__(3, True), "small"),
        (lambda items: items.__setitem__(4, 1), "flag"),
        (lambda items: items.__setitem__(5, "ä" * 129), "words"),
        (lambda items: items.__setitem__(6, []), "parts"),
        (lambda items: items.__setitem__(6, 5), "parts"),
        (lambda items: items[6].__setitem__(1, 5), "parts[1]"),
        (lambda items: items[6][1].__setitem__(0, ""), "parts[1].name"),
        (lambda items: items[6][0].__setitem__(1, -1), "parts[0].count"),
        (lambda items: items[6][0].__setitem__(2, bytes(301)), "parts[0].inner"),
        (lambda items: items[6][0].append(0), "parts[0]"),
        (lambda items: items[7].append(bytes(31)), "hashes[1]"),
        (lambda items: items.__setitem__(7, [bytes(32)] * 41), "hashes"),
        (lambda items: items.__setitem__(8, ["n", "c", None]), "again.count"),
    ],
)
def test_words_name_the_field(change: Any, field: str) -> None:
    """L-1: the error says which field, by its path."""
    items = raw(SAMPLE)
    assert decode(Sample, packed(items)) == SAMPLE
    change(items)
    with pytest.raises(Malformed) as fault:
        decode(Sample, packed(items))
    assert fault.value.field == field
    assert fault.value.words.startswith(f"{field}: expected")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x93\xa1n\x00\xc6\xff\xff\xff\xff", id="bin of 4 GiB"),
        pytest.param(b"\x93\xdb\xff\xff\xff\xff", id="text of 4 GiB"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="array of 4 G"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="map of 4 G"),
        pytest.param(b"\x91\xc9\xff\xff\xff\xff\x01", id="ext of 4 GiB"),
        pytest.param(b"\x91" * 100_000, id="nested 100,000 deep"),
        pytest.param(b"\xdc\x10\x00" * 100_000, id="nested arrays of 4,096"),
        pytest.param(b"\xdc\x00\x40" * 100_000, id="nested arrays of 64"),
    ],
)
def test_declared_lengths_allocate_nothing(data: bytes) -> None:
    """L-1: a header that promises more than its record can hold costs no memory (but pointers for 64 items a level)."""
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            decode(Part, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 768 * 1024 + len(data)


def test_the_worst_nesting_is_bounded() -> None:
    """L-1: in the class with the longest arrays, nested headers cost at most 1,024 levels of 4,160 pointers."""
    data = b"\xdc\x10\x40" * 100_000
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            decode(BatchBody, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * 1024 * 1024


def test_a_field_without_a_bound_is_refused_when_the_class_is_made() -> None:
    """L-1: so no record can be decoded without limits."""
    for hint in (int, bytes, str, float, tuple[int, ...], dict[str, int], int | None, Annotated[int, "no bound"]):
        namespace = {"__annotations__": {"field": hint}, "__module__": __name__}
        with pytest.raises(BrokenInvariant):
            structure(type("Loose", (), namespace))
    with pytest.raises(BrokenInvariant, match="tuple"):
        structure(type("Pair", (), {"__annotations__": {"field": Annotated[tuple[U53, U53], Items(2, 2)]}}))
    with pytest.raises(BrokenInvariant, match="only X"):
        structure(type("Either", (), {"__annotations__": {"field": U53 | Name}}))


def test_a_kind_has_one_class() -> None:
    """L-1: two records of one kind could be taken for each other."""
    with pytest.raises(BrokenInvariant, match="taken by Sample"):
        record(kind=SAMPLE_KIND)(type("Second", (), {"__annotations__": {"field": U53}}))
    assert KINDS[SAMPLE_KIND] is Sample


def test_kind_of_reads_the_head_only() -> None:
    """L-1: the kind that bytes claim, whatever follows; None for what cannot be a record."""
    assert kind_of(encode(SAMPLE)) == SAMPLE_KIND
    assert kind_of(b"\x9f\x05" + bytes(100_000)) == 5
    for data in (
        b"",
        b"\x91\x05",
        b"\x05",
        b"\xdd\xff\xff\xff\xff\x05",
        b"\x92\xc3\x01",
        b"\x92\xa1x\x01",
        b"\x92",
        b"\xc1",
    ):
        assert kind_of(data) is None


def test_texts_are_measured_in_bytes() -> None:
    """L-1: limits of text are of its UTF-8, not of its characters."""

    @structure
    class Short:
        text: Annotated[str, Text(1, 4)]

    assert decode(Short, encode(Short("ää"))) == Short("ää")
    with pytest.raises(BrokenInvariant):
        encode(Short("ääa"))
