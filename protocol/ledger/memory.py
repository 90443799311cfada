"""The tables in dictionaries: what the simulator and tests use where the daemon has a disk.

One dictionary for each table answers `get`. `scan` needs keys in order; a sorted list of them is made when a
table is first scanned and from then on kept up lazily: `apply` only notes which keys came and went, and the
next scan folds them in, one by one when they are few, by one sort (nearly linear, the list being almost
sorted) when they are many. A table that is never scanned costs nothing for it. Tables of names have one more
dictionary, by name.

Deliberately absent: transactions, snapshots, heights. `apply` takes all of a `Writes` and cannot fail half-way;
a reader that must not see the next block takes a `copy`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from protocol.ledger.tables import NAMES, Row, Table, Writes

_FOLDED_ONE_BY_ONE_MAX = 64
"""Up to so many changed keys each are inserted into the sorted list; above, it is sorted once."""


class _Space:
    """One table: values, the keys in order once somebody asked for them, and what that order lacks.

    row: of a table of names.
    """

    __slots__ = ("changed", "named", "ordered", "row", "values")

    def __init__(self, row: Row | None) -> None:
        self.row = row
        self.values: dict[bytes, bytes] = {}
        self.named: dict[bytes, list[bytes]] = {}
        self.ordered: list[bytes] | None = None
        self.changed: dict[bytes, None] = {}

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set or remove one key; notes it for the order if its presence changed."""
        present = key in self.values
        if value is None:
            if not present:
                return
            del self.values[key]
        else:
            self.values[key] = value
            if present:
                return
        if self.row is not None:
            self._name(self.row, key, value)
        if self.ordered is not None:
            self.changed[key] = None

    def _name(self, row: Row, key: bytes, value: bytes | None) -> None:
        assert len(key) == sum(row), "rows of a table of names have one size"
        assert not value, "and no values"
        name, rest = row.split(key)
        if value is None:
            self.named[name].remove(rest)
            if not self.named[name]:
                del self.named[name]
        else:
            insort(self.named.setdefault(name, []), rest)

    def in_order(self) -> list[bytes]:
        """All keys, ascending; the caller does not change the list."""
        if self.ordered is None:
            self.ordered = sorted(self.values)
        elif len(self.changed) > _FOLDED_ONE_BY_ONE_MAX:
            self.ordered = [key for key in self.ordered if key not in self.changed]
            self.ordered.extend(key for key in self.changed if key in self.values)
            self.ordered.sort()
        else:
            for key in self.changed:
                self._fold(self.ordered, key)
        self.changed.clear()
        assert len(self.ordered) == len(self.values), "the order holds exactly the table's keys"
        return self.ordered

    def _fold(self, ordered: list[bytes], key: bytes) -> None:
        at = bisect_left(ordered, key)
        listed = at < len(ordered) and ordered[at] == key
        if key in self.values and not listed:
            insort(ordered, key)
        elif key not in self.values and listed:
            del ordered[at]


class MemoryTables:
    """A `Reader` over dictionaries, and the one way to change them."""

    __slots__ = ("_spaces",)

    def __init__(self) -> None:
        self._spaces: dict[Table, _Space] = {table: _Space(NAMES.get(table)) for table in Table}

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value, or None."""
        return self._spaces[table].values.get(key)

    def scan(self, table: Table, prefix: bytes, start: bytes = b"", limit: int = 1000) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs whose key starts with `prefix` and is >= `start`, ascending by key."""
        assert limit >= 0, "a scan has a limit"
        space = self._spaces[table]
        ordered = space.in_order()
        found: list[tuple[bytes, bytes]] = []
        for at in range(bisect_left(ordered, max(prefix, start)), len(ordered)):
            key = ordered[at]
            if len(found) == limit or not key.startswith(prefix):
                break
            found.append((key, space.values[key]))
        return found

    def named(self, table: Table, name: bytes) -> Sequence[bytes]:
        """What a name leads to in one of the tables of `NAMES`, ascending; the caller does not change it."""
        return self._spaces[table].named.get(name, ())

    def apply(self, writes: Writes) -> None:
        """Take over all of `writes` at once."""
        for (table, key), value in writes.items():
            self._spaces[table].put(key, value)

    def copy(self) -> MemoryTables:
        """The same content, independent from now on."""
        other = MemoryTables()
        for table, space in self._spaces.items():
            other._spaces[table].values = dict(space.values)
            other._spaces[table].named = {name: list(rests) for name, rests in space.named.items()}
        return other
