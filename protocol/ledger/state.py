"""The state during execution: what is stored, what the block has changed, what the envelope has changed (L-8, L-12).

Three layers. The stored state is read through `Reader` and what was read is kept, decoded, for the block. Over
it lies what the block's envelopes have changed so far, over that what the present envelope has. An envelope
ends in `keep` (its changes go down one layer) or `discard` (they are gone, as if it had never been). Records
are frozen, so a layer holds the record itself beside its bytes, and what one envelope wrote the next reads
without decoding.

`growth_bytes` says how much bigger the state gets by the present envelope, keys included: new less old, which
can be negative. Who pays for it is execution's affair (L-12).

An application writes only its own spaces: execution sets `writable` before it lets one run, and a write to
another space is a broken invariant, as is a value that is not of the space's record class. It may read all.

Records that are only ever added (`added`) are read and written in the same way, once each. Beside the layers of records
stand those of their second keys, which no two may share.

Deliberately absent: iteration (execution must not depend on how much there is), nested layers for operations
(the first failed operation ends its envelope), the trie (it takes `changes` and the pages of what was `added` at the
end of the block).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from protocol import limits
from protocol.codec import decode, encode
from protocol.errors import TOO_LARGE, BrokenInvariant, Malformed, Refused
from protocol.ledger.added import (
    CHARGED_BYTES,
    Added,
    AddedRecord,
    Names,
    Source,
    added_record,
    names_of,
    newest,
    second_found,
    second_of,
)
from protocol.ledger.spaces import KeyParts, Space, parse_state_key
from protocol.ledger.tables import NAMES, Reader, Table

R = TypeVar("R")


class StateView(Protocol):
    """Whatever values of the state can be read from."""

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value, or None."""
        ...


class SearchedState(StateView, Protocol):
    """...and records that are only ever added by their second key."""

    def find(self, space: Space[R], parts: KeyParts) -> tuple[KeyParts, R] | None:
        """Key and value of the added record whose second key (`Space.also`) has these parts, or None."""
        ...


class ChangedState(StateView, Protocol):
    """...and values written to."""

    def put(self, space: Space[R], parts: KeyParts, value: R) -> None:
        """Set a value; of a space of added records, one that is not there yet.

        Raises Refused(too_large) past the limits of keys and values.
        """
        ...

    def delete(self, space: Space[Any], parts: KeyParts) -> None:
        """Remove a value; nothing happens if there is none."""
        ...


class State(SearchedState, ChangedState, Protocol):
    """The state as an application sees it."""


class _Entry(NamedTuple):
    """A value, decoded and encoded; both None where there is none. names: of an added record."""

    record: Any
    data: bytes | None
    names: Names = ()


_NOTHING = _Entry(None, None)
_Second = tuple[str, KeyParts]
"""A second key: its name and parts."""
assert NAMES[Table.PLACE].name != NAMES[Table.ALSO].name, "a name tells by its size of which of the two tables it is"


class StateTransaction:
    """A block's work on the state; a `State`. See the essay for its layers."""

    __slots__ = (
        "_block",
        "_block_seconds",
        "_envelope",
        "_envelope_seconds",
        "_named",
        "_named_stored",
        "_source",
        "_stored",
        "writable",
    )

    def __init__(self, reader: Reader) -> None:
        stored = newest(reader)
        self._source = stored._replace(named=self._find_named)
        self._named_stored = stored.named
        self._named: dict[bytes, Sequence[bytes]] = {}
        """What the envelope's names lead to: each is looked for again when its record is written."""
        self._stored: dict[bytes, _Entry] = {}
        self._block: dict[bytes, _Entry] = {}
        self._envelope: dict[bytes, _Entry] = {}
        self._block_seconds: dict[_Second, bytes] = {}
        self._envelope_seconds: dict[_Second, bytes] = {}
        """Second key of an added record -> its key."""
        self.writable: frozenset[str] = frozenset()

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value at this moment, or None."""
        value: R | None = self._entry(space, space.key(parts)).record
        return value

    def find(self, space: Space[R], parts: KeyParts) -> tuple[KeyParts, R] | None:
        """Key and value of the added record with this second key, or None."""
        also = space.also
        assert also is not None, "the space has a second key"
        second = (also.name, parts)
        key = self._envelope_seconds.get(second) or self._block_seconds.get(second)
        if key is None:
            return second_found(self._source, space, parts)
        return parse_state_key(key)[1], self._entry(space, key).record

    def put(self, space: Space[R], parts: KeyParts, value: R) -> None:
        """Set a value. Raises Refused(too_large), and BrokenInvariant for what is not the writer's."""
        self._may_write(space)
        if type(value) is not space.record:
            raise BrokenInvariant(f"{space.name} holds {space.record.__name__}, not {type(value).__name__}")
        data, most = encode(value), limits.ADDED_VALUE_BYTES_MAX if space.added else limits.STATE_VALUE_BYTES_MAX
        if len(data) > most:
            raise Refused(TOO_LARGE, f"a value of {space.name} would have {len(data)} bytes, at most {most}")
        key = space.key(parts)
        if space.added:
            self._add(space, key, second_of(space, parts, value), _Entry(value, data))
        else:
            self._change(space, key, _Entry(value, data))

    def _add(self, space: Space[Any], key: bytes, second: KeyParts | None, entry: _Entry) -> None:
        if self._entry(space, key).data is not None:
            raise BrokenInvariant(f"a second record of {space.name} under one key: they are only ever added")
        if space.also is not None and second is not None:
            if self.find(space, second) is not None:
                raise BrokenInvariant(f"a second record of {space.name} under one {space.also.name}")
            self._envelope_seconds[space.also.name, second] = key
        del self._stored[key]  # nothing; the layer above has it now
        self._envelope[key] = entry._replace(names=names_of(space, key, second))

    def delete(self, space: Space[Any], parts: KeyParts) -> None:
        """Remove a value. Raises BrokenInvariant for a space that is not the writer's, or of added records."""
        self._may_write(space)
        if space.added:
            raise BrokenInvariant(f"records of {space.name} are only ever added")
        self._change(space, space.key(parts), _NOTHING)

    def growth_bytes(self) -> int:
        """By how much the present envelope makes the state bigger (keys and values); negative if smaller."""
        growth = 0
        for key, entry in self._envelope.items():
            below = CHARGED_BYTES if entry.names else -_size(key, self._below(key).data)
            growth += _size(key, entry.data) + below
        return growth

    def keep(self) -> None:
        """The envelope ends and its changes stand."""
        self._block.update(self._envelope)
        self._block_seconds.update(self._envelope_seconds)
        self._end()

    def discard(self) -> None:
        """The envelope ends and has changed nothing (L-8)."""
        self._end()

    def changes(self) -> dict[bytes, bytes | None]:
        """What the block changed against the stored state, key to new value or None; equal values left out.

        Without what it `added`.
        """
        assert not self._envelope, "an envelope is still open"
        return {
            key: new.data for key, new in self._block.items() if not new.names and new.data != self._stored[key].data
        }

    def added(self) -> Iterator[Added]:
        """The records that the block added, in the order in which its envelopes did."""
        assert not self._envelope, "an envelope is still open"
        for key, new in self._block.items():
            if new.names and new.data is not None:
                yield Added(AddedRecord(key, new.data), new.names)

    def before(self, key: bytes) -> bytes | None:
        """The stored value of a changed key, as it was before the block."""
        return self._stored[key].data

    def _end(self) -> None:
        self._envelope.clear()
        self._envelope_seconds.clear()
        self._named.clear()

    def _may_write(self, space: Space[Any]) -> None:
        if space.name not in self.writable:
            raise BrokenInvariant(f"a write to {space.name}, which is not among {sorted(self.writable)}")

    def _change(self, space: Space[Any], key: bytes, entry: _Entry) -> None:
        if key not in self._stored:
            self._load(space, key)
        self._envelope[key] = entry

    def _find_named(self, table: Table, name: bytes) -> Sequence[bytes]:
        """What a name leads to in PLACE or ALSO."""
        found = self._named.get(name)
        if found is None:
            found = self._named[name] = self._named_stored(table, name)
        return found

    def _below(self, key: bytes) -> _Entry:
        return self._block.get(key) or self._stored[key]

    def _entry(self, space: Space[Any], key: bytes) -> _Entry:
        return self._envelope.get(key) or self._block.get(key) or self._stored.get(key) or self._load(space, key)

    def _load(self, space: Space[Any], key: bytes) -> _Entry:
        data = stored_value(self._source, space, key)
        entry = _NOTHING if data is None else _Entry(stored_record(space, data), data)
        self._stored[key] = entry
        return entry


class StateReader:
    """The stored state at one height, read only; a `State` in its `get` and `find`."""

    __slots__ = ("_source",)

    def __init__(self, reader: Reader) -> None:
        self._source = newest(reader)

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value, or None."""
        data = stored_value(self._source, space, space.key(parts))
        return None if data is None else stored_record(space, data)

    def find(self, space: Space[R], parts: KeyParts) -> tuple[KeyParts, R] | None:
        """Key and value of the added record with this second key, or None."""
        return second_found(self._source, space, parts)


def stored_value(source: Source, space: Space[Any], key: bytes) -> bytes | None:
    """The stored value of an encoded key of the space, wherever the space keeps it."""
    if not space.added:
        return source.value(key)
    found = added_record(source, key)
    return None if found is None else found.value


def stored_record(space: Space[R], data: bytes) -> R:
    """A value of the space as it is stored, decoded. Raises BrokenInvariant if it is damaged."""
    try:
        return decode(space.record, data)
    except Malformed as fault:
        raise BrokenInvariant(f"a stored value of {space.name} is damaged: {fault.words}") from fault


def _size(key: bytes, value: bytes | None) -> int:
    return 0 if value is None else len(key) + len(value)
