"""Records as JSON: there and back for every kind, strict on the way in, described by a schema."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest

from protocol.codec import U53, U63, Blob, Hash, Items, Key, Text, record, structure
from protocol.codec.json import from_json, json_schema, to_json
from protocol.errors import Malformed
from tests.vectors import golden


@structure
class Inner:
    """A part."""

    number: U53


@record(kind=249)
class Sample:
    """One field of each type."""

    key: Annotated[Key, "whose"]
    data: Annotated[bytes, "free words", Blob(4)]
    small: U53
    large: U63
    text: Annotated[str, Text(1, 4)]
    flag: bool
    maybe: Annotated[Hash | None, "if any"]
    inner: Inner
    many: Annotated[tuple[Inner, ...], Items(0, 2)]


GOOD: dict[str, Any] = {
    "key": "ab" * 32,
    "data": "00ff",
    "small": 5,
    "large": "9223372036854775807",
    "text": "é",
    "flag": True,
    "maybe": None,
    "inner": {"number": 1},
    "many": [{"number": 2}],
}


def test_there_and_back() -> None:
    value = from_json(Sample, GOOD)
    assert to_json(value) == GOOD
    assert value.many == (Inner(2),)


@pytest.mark.parametrize(
    "field, wrong",
    [
        ("key", "AB" * 32),
        ("key", "ab" * 31),
        ("key", 5),
        ("data", "0"),
        ("data", "00" * 5),
        ("small", "5"),
        ("small", -1),
        ("small", 2**53),
        ("small", True),
        ("small", 1.0),
        ("large", "01"),
        ("large", "+1"),
        ("large", "9223372036854775808"),
        ("large", "²"),
        ("large", None),
        ("text", ""),
        ("text", "ééé"),
        ("text", "\ud800"),
        ("flag", 1),
        ("maybe", "00"),
        ("inner", []),
        ("many", [{"number": 1}] * 3),
        ("many", None),
    ],
)
def test_what_is_wrong_is_named_by_its_path(field: str, wrong: Any) -> None:
    with pytest.raises(Malformed) as caught:
        from_json(Sample, {**GOOD, field: wrong})
    assert caught.value.field == field


def test_unknown_missing_and_nested_fields_are_named() -> None:
    def field_of(value: Any) -> str:
        with pytest.raises(Malformed) as caught:
            from_json(Sample, value)
        return caught.value.field

    assert field_of({**GOOD, "more": 1}) == "more"
    assert field_of({name: value for name, value in GOOD.items() if name != "text"}) == "text"
    assert field_of({**GOOD, "many": [{"number": 1}, {"number": "x"}]}) == "many[1].number"
    assert field_of({**GOOD, "inner": {"number": 1, "x": 2}}) == "inner.x"
    assert field_of(None) == ""


def test_a_number_is_taken_where_decimal_text_is_given() -> None:
    assert from_json(Sample, {**GOOD, "large": 7}).large == 7
    assert from_json(Sample, {**GOOD, "large": "0"}).large == 0


def test_words_beside_a_bound_are_for_people() -> None:
    """They change neither bytes nor bounds."""
    schema = json_schema(Sample)
    assert schema["properties"]["key"]["description"] == "whose"
    assert schema["properties"]["data"]["description"] == "free words"
    assert schema["properties"]["maybe"]["description"] == "if any"
    assert schema["required"] == list(GOOD)
    assert json.loads(json.dumps(schema)) == schema


def test_every_record_of_the_protocol_goes_there_and_back() -> None:
    for cls in golden.all_records().values():
        for least in (False, True):
            value = golden.example(cls, cls.__name__, least=least)
            assert from_json(cls, json.loads(json.dumps(to_json(value)))) == value
        assert json_schema(cls)["title"] == cls.__name__
