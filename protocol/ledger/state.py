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
stand those of their names, which no two keys may share.

Deliberately absent: iteration (execution must not depend on how much there is), nested layers for operations
(the first failed operation ends its envelope), the trie (it takes `changes` and the pages of what was `added` at the
end of the block).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

from protocol import limits
from protocol.codec import decode, encode
from protocol.errors import ALREADY_EXISTS, TOO_LARGE, BrokenInvariant, Malformed, Refused
from protocol.ledger.added import (
    CHARGED_BYTES,
    Added,
    AddedRecord,
    Source,
    added_record,
    names_of,
    newest,
    second_found,
    second_name,
)
from protocol.ledger.spaces import KeyParts, Space, parse_state_key
from protocol.ledger.tables import Reader

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

        Raises Refused(too_large) past the limits of keys and values, Refused(already_exists) where the hash by which an
        added record is found is another's.
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
    names: tuple[bytes, ...] = ()


_NOTHING = _Entry(None, None)


class StateTransaction:
    """A block's work on the state; a `State`. See the essay for its layers."""

    __slots__ = (
        "_block",
        "_block_names",
        "_envelope",
        "_envelope_names",
        "_place_stored",
        "_places",
        "_source",
        "_stored",
        "writable",
    )

    def __init__(self, reader: Reader) -> None:
        stored = newest(reader)
        self._source = stored._replace(place=self._place)
        self._place_stored = stored.place
        self._places: dict[bytes, bytes | None] = {}
        """Rows of PLACE that the envelope has looked for: a name is, before its record is written."""
        self._stored: dict[bytes, _Entry] = {}
        self._block: dict[bytes, _Entry] = {}
        self._envelope: dict[bytes, _Entry] = {}
        self._block_names: dict[bytes, bytes] = {}
        self._envelope_names: dict[bytes, bytes] = {}
        """Name of an added record -> its key."""
        self.writable: frozenset[str] = frozenset()

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value at this moment, or None."""
        value: R | None = self._entry(space, space.key(parts)).record
        return value

    def find(self, space: Space[R], parts: KeyParts) -> tuple[KeyParts, R] | None:
        """Key and value of the added record with this second key, or None."""
        also = space.also
        assert also is not None, "the space has a second key"
        name = second_name(also, parts)
        key = self._envelope_names.get(name) or self._block_names.get(name)
        if key is None:
            return second_found(self._source, space, parts)
        found, record = parse_state_key(key)[1], self._entry(space, key).record
        return (found, record) if also.of(found, record) == parts else None

    def put(self, space: Space[R], parts: KeyParts, value: R) -> None:
        """Set a value. Raises Refused(too_large, already_exists), and BrokenInvariant for what is not the writer's."""
        self._may_write(space)
        if type(value) is not space.record:
            raise BrokenInvariant(f"{space.name} holds {space.record.__name__}, not {type(value).__name__}")
        data, most = encode(value), limits.ADDED_VALUE_BYTES_MAX if space.added else limits.STATE_VALUE_BYTES_MAX
        if len(data) > most:
            raise Refused(TOO_LARGE, f"a value of {space.name} would have {len(data)} bytes, at most {most}")
        key = space.key(parts)
        if space.added:
            self._add(space, key, _Entry(value, data, names_of(space, key, parts, value)))
        else:
            self._change(space, key, _Entry(value, data))

    def _add(self, space: Space[Any], key: bytes, entry: _Entry) -> None:
        if self._entry(space, key).data is not None:
            raise BrokenInvariant(f"a second record of {space.name} under one key: they are only ever added")
        for name in entry.names:
            if self._taken(name):
                raise Refused(
                    ALREADY_EXISTS, f"another record of {space.name} is found by the same hash: take another key"
                )
        del self._stored[key]  # nothing; the layer above has it now
        self._envelope_names.update(dict.fromkeys(entry.names, key))
        self._envelope[key] = entry

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
        self._block_names.update(self._envelope_names)
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
        self._envelope_names.clear()
        self._places.clear()

    def _may_write(self, space: Space[Any]) -> None:
        if space.name not in self.writable:
            raise BrokenInvariant(f"a write to {space.name}, which is not among {sorted(self.writable)}")

    def _change(self, space: Space[Any], key: bytes, entry: _Entry) -> None:
        if key not in self._stored:
            self._load(space, key)
        self._envelope[key] = entry

    def _taken(self, name: bytes) -> bool:
        """Whether a name leads to a record."""
        return name in self._envelope_names or name in self._block_names or self._place(name) is not None

    def _place(self, name: bytes) -> bytes | None:
        """The stored place of a name."""
        if name not in self._places:
            self._places[name] = self._place_stored(name)
        return self._places[name]

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
