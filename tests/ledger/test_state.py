"""The state's layers, keys, and what an application may write (L-8, L-12, L-20)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import BrokenInvariant, Malformed, Refused
from protocol.ledger.accounts import Account, check_account
from protocol.ledger.application import OperationKind, make_rules
from protocol.ledger.memory import MemoryTables
from protocol.ledger.spaces import KeyPart, Part, Space, parse_state_key, parts_from_text, state_key
from protocol.ledger.state import StateReader, StateTransaction
from protocol.ledger.tables import Table
from tests.ledger.world import FOREIGN, NOTES, Drop, Note, TestApplication, Units, key

ACCOUNT = bytes(32)
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "keep", "discard"]), st.sampled_from("abc"), st.binary(max_size=3)),
    max_size=30,
)


def transaction(tables: MemoryTables) -> StateTransaction:
    state = StateTransaction(tables)
    state.writable = frozenset({NOTES.name})
    return state


@given(STEPS, st.dictionaries(st.sampled_from("abc"), st.binary(max_size=3)))
def test_layers_equal_a_naive_model(steps: list[tuple[str, str, bytes]], stored: dict[str, bytes]) -> None:
    """L-8: what an envelope changed is there at once, and gone when it is discarded."""
    tables = MemoryTables()
    first = transaction(tables)
    for name, value in stored.items():
        first.put(NOTES, (ACCOUNT, name), Note(value))
    first.keep()
    tables.apply({(Table.STATE, k): v for k, v in first.changes().items()})
    state = transaction(tables)
    kept, present = dict(stored), dict(stored)

    def size(model: dict[str, bytes]) -> int:
        """Bytes of keys and values: constant parts, and the note's."""
        scratch = transaction(MemoryTables())
        for name, value in model.items():
            scratch.put(NOTES, (ACCOUNT, name), Note(value))
        return scratch.growth_bytes()

    for what, name, value in steps:
        if what == "put":
            state.put(NOTES, (ACCOUNT, name), Note(value))
            present[name] = value
        elif what == "drop":
            state.delete(NOTES, (ACCOUNT, name))
            present.pop(name, None)
        else:
            assert state.growth_bytes() == size(present) - size(kept)
            if what == "keep":
                state.keep()
                kept = dict(present)
            else:
                state.discard()
                present = dict(kept)
        for other in "abc":
            found = state.get(NOTES, (ACCOUNT, other))
            assert (None if found is None else found.value) == present.get(other)
    state.discard()
    changes = state.changes()
    tables.apply({(Table.STATE, k): v for k, v in changes.items()})
    after = StateReader(tables)
    for name in "abc":
        found = after.get(NOTES, (ACCOUNT, name))
        assert (None if found is None else found.value) == kept.get(name)
        changed = kept.get(name) != stored.get(name)
        assert (NOTES.key((ACCOUNT, name)) in changes) == changed, "equal values are no change"


def test_only_own_spaces_and_their_record_class_are_written() -> None:
    state = transaction(MemoryTables())
    with pytest.raises(BrokenInvariant, match=r"other\.space"):
        state.put(FOREIGN, ("x",), Note(b""))
    with pytest.raises(BrokenInvariant, match=r"other\.space"):
        state.delete(FOREIGN, ("x",))
    with pytest.raises(BrokenInvariant, match="holds Note, not Units"):
        state.put(NOTES, (ACCOUNT, "x"), Units(1))  # type: ignore[misc]
    assert state.get(FOREIGN, ("x",)) is None, "all may be read"
    assert state.growth_bytes() == 0


def test_keys_and_values_are_bounded() -> None:
    state = transaction(MemoryTables())
    with pytest.raises(Refused) as caught:
        state.put(NOTES, (ACCOUNT, "x" * limits.STATE_KEY_BYTES_MAX), Note(b""))
    assert caught.value.code == "too_large"
    for parts in ((ACCOUNT,), (ACCOUNT, b"bytes"), ("text", "x"), (ACCOUNT, "x", "y"), (True, "x")):
        with pytest.raises(BrokenInvariant):
            state.get(NOTES, parts)
    with pytest.raises(BrokenInvariant):
        Space("test.bad", Note, (Part("x", "float", ""),), "")


def test_a_damaged_stored_value_stops_the_node() -> None:
    tables = MemoryTables()
    tables.apply({(Table.STATE, NOTES.key((ACCOUNT, "a"))): b"\x00"})
    for state in (transaction(tables), StateReader(tables)):
        with pytest.raises(BrokenInvariant, match="damaged"):
            state.get(NOTES, (ACCOUNT, "a"))


@given(
    st.text(min_size=1, max_size=9), st.lists(st.binary(max_size=9) | st.text(max_size=9) | st.integers(0, 2**63 - 1))
)
def test_state_keys_come_back_from_their_bytes(space: str, parts: list[KeyPart]) -> None:
    try:
        data = state_key(space, *parts)
    except Refused:
        return
    assert parse_state_key(data) == (space, tuple(parts))


@given(st.binary(max_size=60))
def test_garbage_is_no_state_key(data: bytes) -> None:
    try:
        space, parts = parse_state_key(data)
    except Malformed:
        return
    assert state_key(space, *parts) == data


def test_key_parts_as_people_write_them() -> None:
    mixed = Space("test.mixed", Note, (Part("a", "bytes", ""), Part("b", "text", ""), Part("c", "integer", "")), "")
    assert parts_from_text(mixed, ["00ff", "x/y", "12"]) == (b"\x00\xff", "x/y", 12)
    for texts in (["00f", "x", "1"], ["0F", "x", "1"], ["", "x", "01"], ["", "x", "-1"], ["", "x", "²"], ["", "x"]):
        with pytest.raises(Malformed):
            parts_from_text(mixed, texts)


def test_rules_refuse_applications_that_clash() -> None:
    """L-23: what stands in one set of rules has one meaning."""

    @dataclass(frozen=True)
    class Other(TestApplication):
        name: str = "other"
        spaces: tuple[Space[Any], ...] = ()
        operations: Mapping[str, OperationKind] = field(default_factory=dict)

    make_rules(1, [TestApplication(), Other()])
    kind = OperationKind("x", Drop, None, "", lambda *_: None)
    for applications in (
        [TestApplication(), TestApplication()],
        [Other(spaces=(NOTES,))],
        [Other(spaces=(FOREIGN, FOREIGN))],
        [Other(spaces=(Space("other.plain", bytes, (), ""),))],
        [Other(operations={"y": kind})],
        [Other(operations={"x": replace(kind, refusals=("no_such_code",))})],
    ):
        with pytest.raises(BrokenInvariant):
            make_rules(1, applications)


def test_account_records_are_checked() -> None:
    """L-6."""
    low, high = sorted([key(1).public, key(2).public])
    check_account(Account((low, high), 2))
    for wrong in (Account((high, low), 1), Account((low, low), 1), Account((low,), 2), Account((bytes(32),), 1)):
        with pytest.raises(Refused) as caught:
            check_account(wrong)
        assert caught.value.code == "bad_arguments"
