"""The state as it was at recent heights, for proofs (L-20).

A header commits to results of a height that lies some blocks back, while the tables hold the newest. Each block
that changes the state leaves the old values of what it changed; `HistoricState` takes those of all later blocks,
the oldest wins, and applies them to the trie in memory. The root that comes out has to be the one that was
computed at that height: a check of trie, undo and roots at once.

Old values instead of old nodes: a proof costs as much as executing the changes since, but a block writes a few
dozen bytes for each change instead of kilobytes. Undo of heights that no proof can need is removed, a few each block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgpack
from msgspec.msgpack import Encoder

from protocol.crypto import trie
from protocol.errors import NOT_FOUND, BrokenInvariant, Refused
from protocol.ledger.added import Source, second_found
from protocol.ledger.index import executed_height, number_key, number_of, read_roots, trie_getter
from protocol.ledger.spaces import KeyParts, Space
from protocol.ledger.state import stored_record, stored_value
from protocol.ledger.tables import Reader, Table, Writes

R = TypeVar("R")
MARGIN_HEIGHTS = 64
"""Undo is kept for so many heights below what the newest header covers: a proof may be in the making."""
_PRUNED_IN_ONE_BLOCK_MAX = 16
_pack = Encoder().encode
_PAGE = 1_000


def pack_undo(before: dict[bytes, bytes | None]) -> bytes:
    """Value of TRIE_UNDO: state key to the value that the block found, None where there was none."""
    return _pack(sorted(before.items()))


def changed_keys(undo: bytes) -> frozenset[bytes]:
    """The state keys that a block changed, by its value of TRIE_UNDO."""
    raw: list[list[Any]] = msgpack.unpackb(undo, raw=False)
    return frozenset(key for key, _ in raw)


def prune_undo(reader: Reader, covered_height: int, writes: Writes) -> None:
    """Remove what no proof needs once a final header covers `covered_height`; bounded work."""
    for key, _ in reader.scan(Table.TRIE_UNDO, b"", limit=_PRUNED_IN_ONE_BLOCK_MAX):
        if number_of(key) + MARGIN_HEIGHTS > covered_height:
            return
        writes[Table.TRIE_UNDO, key] = None


class HistoricState:
    """The state at an executed height: values, and trie nodes for `trie.prove`.

    Raises Refused(not_found) for a height that is not executed or too far back.
    """

    __slots__ = ("_before", "_nodes", "_reader", "height", "root")

    def __init__(self, reader: Reader, height: int) -> None:
        roots, newest = read_roots(reader, height), executed_height(reader)
        if roots is None or newest is None:
            raise Refused(NOT_FOUND, f"height {height} is not executed here")
        self._reader = reader
        self.height = height
        self._before = _values_before(reader, height, newest)
        self.root, self._nodes = trie.update(trie_getter(reader), self._before)
        if self.root != roots.executed.state_root:
            oldest = next(iter(reader.scan(Table.TRIE_UNDO, b"", limit=1)), None)
            if oldest is None or number_of(oldest[0]) > height + 1:
                raise Refused(NOT_FOUND, f"the state at height {height} is not kept any more")
            raise BrokenInvariant(f"the state undone to height {height} has another root than was computed then")

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value at that height, decoded, or None; so it is a `StateView`."""
        data = stored_value(self.source, space, space.key(parts))
        return None if data is None else stored_record(space, data)

    def find(self, space: Space[R], parts: KeyParts) -> tuple[KeyParts, R] | None:
        """Key and value of the added record with this second key at that height, or None."""
        return second_found(self.source, space, parts)

    @property
    def source(self) -> Source:
        """Where added records of that height are read from: what came later stands in pages that were not there."""
        return Source(self._reader.named, self.value, is_newest=False)

    def value(self, key: bytes) -> bytes | None:
        """The value of an encoded state key at that height."""
        return self._before[key] if key in self._before else self._reader.get(Table.STATE, key)

    def node(self, position: bytes) -> bytes | None:
        """The trie node at a position at that height."""
        return self._nodes[position] if position in self._nodes else trie_getter(self._reader)(position)

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """All pairs of the state at that height, in no order."""
        before = dict(self._before)
        start: bytes | None = b""
        while start is not None:
            page = list(self._reader.scan(Table.STATE, b"", start, _PAGE))
            start = page[-1][0] + b"\0" if len(page) == _PAGE else None
            for key, value in page:
                old = before.pop(key, value)
                if old is not None:
                    yield key, old
        yield from ((key, old) for key, old in before.items() if old is not None)

    def prove(self, key: bytes) -> trie.TrieProof:
        """The proof of the key's value, or of its absence, under `root`."""
        return trie.prove(self.node, key)


def _values_before(reader: Reader, height: int, newest: int) -> dict[bytes, bytes | None]:
    before: dict[bytes, bytes | None] = {}
    start = number_key(height + 1)
    while True:
        pairs = list(reader.scan(Table.TRIE_UNDO, b"", start, 64))
        for _, data in pairs:
            raw: list[list[Any]] = msgpack.unpackb(data, raw=False)
            for key, value in raw:
                before.setdefault(key, value)
        if len(pairs) < 64:
            return before
        start = number_key(number_of(pairs[-1][0]) + 1)
        assert number_of(pairs[-1][0]) <= newest, "undo of a height that is not executed"
