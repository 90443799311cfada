"""What several blocks have written and no transaction has committed yet, over what the store holds.

A group of blocks is executed on one view of the store and committed at once (executor.py). Each block has to see what
those before it wrote: this is the `Reader` that shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import merge
from itertools import islice

from protocol.ledger.memory import MemoryTables
from protocol.ledger.tables import Reader, Table, Writes


class Overlay:
    """A `Reader` over `base` with writes on top."""

    __slots__ = ("_applied", "_base", "_over", "_removed")

    def __init__(self, base: Reader) -> None:
        self._base = base
        self._applied = False
        self._over = MemoryTables()
        self._removed: dict[Table, set[bytes]] = {table: set() for table in Table}

    def apply(self, writes: Writes) -> None:
        """Show these writes from now on."""
        self._applied = True
        self._over.apply(writes)
        for (table, key), value in writes.items():
            if value is None:
                self._removed[table].add(key)
            else:
                self._removed[table].discard(key)

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value, or None."""
        if not self._applied:
            return self._base.get(table, key)
        value = self._over.get(table, key)
        if value is not None or key in self._removed[table]:
            return value
        return self._base.get(table, key)

    def scan(self, table: Table, prefix: bytes, start: bytes = b"", limit: int = 1000) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs whose key starts with `prefix` and is >= `start`, ascending by key."""
        if not self._applied:
            return list(self._base.scan(table, prefix, start, limit))
        above = self._over.scan(table, prefix, start, limit)
        below = self._visible_below(table, prefix, start, limit)
        return list(islice(merge(above, below), limit))

    def named(self, table: Table, name: bytes) -> Sequence[bytes]:
        """What a name leads to in one of the tables of `NAMES`, ascending; the caller does not change it."""
        below = self._base.named(table, name)
        if not self._applied:
            return below
        removed = self._removed[table]
        if removed and below:
            below = [rest for rest in below if name + rest not in removed]
        above = self._over.named(table, name)
        return sorted({*above, *below}) if above and below else above or below

    def _visible_below(self, table: Table, prefix: bytes, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Pairs of the base that nothing above hides, read on until there are `limit` of them or no more."""
        removed = self._removed[table]
        found: list[tuple[bytes, bytes]] = []
        while len(found) < limit:
            pairs = list(self._base.scan(table, prefix, start, limit))
            found += [pair for pair in pairs if pair[0] not in removed and self._over.get(table, pair[0]) is None]
            if len(pairs) < limit:
                break
            start = pairs[-1][0] + b"\0"
        return found[:limit]
