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

Deliberately absent: iteration (execution must not depend on how much there is), nested layers for operations
(the first failed operation ends its envelope), the trie (it takes `changes` at the end of the block).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar

from protocol import limits
from protocol.codec import decode, encode
from protocol.errors import TOO_LARGE, BrokenInvariant, Malformed, Refused
from protocol.ledger.spaces import KeyParts, Space
from protocol.ledger.tables import Reader, Table

R = TypeVar("R")


class State(Protocol):
    """The state as an application sees it."""

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value, or None."""
        ...

    def put(self, space: Space[R], parts: KeyParts, value: R) -> None:
        """Set a value. Raises Refused(too_large) past the limits of keys and values."""
        ...

    def delete(self, space: Space[Any], parts: KeyParts) -> None:
        """Remove a value; nothing happens if there is none."""
        ...


class _Entry(NamedTuple):
    """A value, decoded and encoded; both None where there is none."""

    record: Any
    data: bytes | None


_NOTHING = _Entry(None, None)


class StateTransaction:
    """A block's work on the state; a `State`. See the essay for its layers."""

    __slots__ = ("_block", "_envelope", "_reader", "_stored", "writable")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._stored: dict[bytes, _Entry] = {}
        self._block: dict[bytes, _Entry] = {}
        self._envelope: dict[bytes, _Entry] = {}
        self.writable: frozenset[str] = frozenset()

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value at this moment, or None."""
        key = space.key(parts)
        entry = self._envelope.get(key) or self._block.get(key) or self._stored.get(key)
        if entry is None:
            entry = self._load(space, key)
        value: R | None = entry.record
        return value

    def put(self, space: Space[R], parts: KeyParts, value: R) -> None:
        """Set a value. Raises Refused(too_large), and BrokenInvariant for a space or class that is not the writer's."""
        self._may_write(space)
        if type(value) is not space.record:
            raise BrokenInvariant(f"{space.name} holds {space.record.__name__}, not {type(value).__name__}")
        data = encode(value)
        if len(data) > limits.STATE_VALUE_BYTES_MAX:
            raise Refused(
                TOO_LARGE,
                f"a value of {space.name} would have {len(data)} bytes, at most {limits.STATE_VALUE_BYTES_MAX}",
            )
        self._change(space, space.key(parts), _Entry(value, data))

    def delete(self, space: Space[Any], parts: KeyParts) -> None:
        """Remove a value. Raises BrokenInvariant for a space that is not the writer's."""
        self._may_write(space)
        self._change(space, space.key(parts), _NOTHING)

    def growth_bytes(self) -> int:
        """By how much the present envelope makes the state bigger (keys and values); negative if smaller."""
        growth = 0
        for key, entry in self._envelope.items():
            growth += _size(key, entry.data) - _size(key, self._below(key).data)
        return growth

    def keep(self) -> None:
        """The envelope ends and its changes stand."""
        self._block.update(self._envelope)
        self._envelope.clear()

    def discard(self) -> None:
        """The envelope ends and has changed nothing (L-8)."""
        self._envelope.clear()

    def changes(self) -> dict[bytes, bytes | None]:
        """What the block changed against the stored state, key to new value or None; equal values left out."""
        assert not self._envelope, "an envelope is still open"
        return {key: new.data for key, new in self._block.items() if new.data != self._stored[key].data}

    def before(self, key: bytes) -> bytes | None:
        """The stored value of a changed key, as it was before the block."""
        return self._stored[key].data

    def _may_write(self, space: Space[Any]) -> None:
        if space.name not in self.writable:
            raise BrokenInvariant(f"a write to {space.name}, which is not among {sorted(self.writable)}")

    def _change(self, space: Space[Any], key: bytes, entry: _Entry) -> None:
        if key not in self._stored:
            self._load(space, key)
        self._envelope[key] = entry

    def _below(self, key: bytes) -> _Entry:
        return self._block.get(key) or self._stored[key]

    def _load(self, space: Space[Any], key: bytes) -> _Entry:
        data = self._reader.get(Table.STATE, key)
        entry = _NOTHING if data is None else _Entry(stored_record(space, data), data)
        self._stored[key] = entry
        return entry


class StateReader:
    """The stored state at one height, read only; a `State` in its `get`."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value, or None."""
        data = self._reader.get(Table.STATE, space.key(parts))
        return None if data is None else stored_record(space, data)


class StateView(Protocol):
    """Whatever the state can be read from."""

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value, or None."""
        ...


def stored_record(space: Space[R], data: bytes) -> R:
    """A value of the space as it is stored, decoded. Raises BrokenInvariant if it is damaged."""
    try:
        return decode(space.record, data)
    except Malformed as fault:
        raise BrokenInvariant(f"a stored value of {space.name} is damaged: {fault.words}") from fault


def _size(key: bytes, value: bytes | None) -> int:
    return 0 if value is None else len(key) + len(value)
