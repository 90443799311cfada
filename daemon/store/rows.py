"""How the ledger's rows lie in LMDB, and how they are read and written; opening, committing and growing are `tables`.

**Keys.** LMDB knows no empty key, and keys of at most 511 bytes; each is stored behind one byte (0x01, or 0x02, see
below), so that the empty key (the root of the trie) is one as any other, and order is kept. A named database for each
table; one more, `store`, holds the format, the network id and the height, so that the ledger's META is exactly what
execution wrote.

**Tables of names** have rows of one size without values: all stand as duplicates under one key, in pages that LMDB
packs without a head for each (MDB_DUPFIXED). Such a row takes a third of what a pair takes, and a commit touches as
many fewer pages.

**Long values** of the state, its undo and the receipts are squeezed (squeeze.py). *Pages* of added records
(`protocol.ledger.added`) are most of the state: they are of a size that then fits LMDB's pages, and stand behind all
other values, under the byte 0x02, where each new one comes last and LMDB fills its pages. A scan shows them in their
place.

Deliberately absent: what a table means, but for two facts that the ledger states: which tables are of names, and how
the keys of pages begin.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

import lmdb

from daemon.store.errors import StateDamaged
from daemon.store.squeeze import Unsqueezable, squeeze, unsqueeze
from protocol import limits
from protocol.ledger.added import PAGE_PREFIX, is_page
from protocol.ledger.tables import NAMES, Table

KEY_BYTES_MAX: Final = 510
_MARK: Final = b"\x01"
_MARK_PAGES: Final = b"\x02"
_BEHIND_PAGES: Final = PAGE_PREFIX[:-1] + bytes([PAGE_PREFIX[-1] + 1])
_SQUEEZED: Final = (Table.STATE, Table.TRIE_UNDO, Table.RECEIPT)
_REMEDY: Final = "see papilio store check and papilio store repair"

Database = lmdb._Database  # noqa: SLF001 - the handle's type has no public name
Databases = dict[Table, Database]


class StateReader:
    """A `Reader`: one consistent view, until the context that gave it ends."""

    __slots__ = ("_cursors", "_databases", "_transaction", "height")

    def __init__(self, transaction: lmdb.Transaction[bytes], databases: Databases, height: int | None) -> None:
        self._transaction = transaction
        self._databases = databases
        self._cursors: dict[Table, lmdb.Cursor[bytes]] = {}
        """Of tables of names; they end with the transaction."""
        self.height = height
        """The executed height of this view; None if nothing was ever committed, not even genesis."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value, or None; None too for a key longer than any that can be stored."""
        if len(key) > KEY_BYTES_MAX:
            return None
        if table in NAMES:
            return b"" if len(key) == sum(NAMES[table]) and self._rows(table, key, key, 1) else None
        try:
            value = self._transaction.get(_stored_key(table, key), db=self._databases[table])
            return value if value is None or table not in _SQUEEZED else unsqueeze(value)
        except (lmdb.Error, Unsqueezable) as error:
            raise _damaged(error) from error

    def scan(self, table: Table, prefix: bytes, start: bytes = b"", limit: int = 1000) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs whose key starts with `prefix` and is >= `start`, ascending by key."""
        if table in NAMES:
            # What is longer than a row begins behind the row that it starts with.
            size, first = sum(NAMES[table]), max(prefix, start)
            rows = self._rows(table, prefix, first[:size], limit + 1)
            return [(row, b"") for row in rows if row >= start][:limit]
        first = max(prefix, start)
        if table is not Table.STATE:
            return self._range(table, _MARK, prefix, first, limit)
        found: list[tuple[bytes, bytes]] = []
        if first < PAGE_PREFIX:
            found = self._range(table, _MARK, prefix, first, limit, PAGE_PREFIX)
        if len(found) < limit and first < _BEHIND_PAGES:
            found += self._range(table, _MARK_PAGES, prefix, first, limit - len(found))
        if len(found) < limit:
            found += self._range(table, _MARK, prefix, max(first, _BEHIND_PAGES), limit - len(found))
        return found

    def _range(
        self, table: Table, mark: bytes, prefix: bytes, first: bytes, limit: int, end: bytes | None = None
    ) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs under `mark` whose key starts with `prefix`, is >= `first` and below `end`."""
        found: list[tuple[bytes, bytes]] = []
        squeezed = table in _SQUEEZED
        stored_prefix = mark + prefix
        try:
            with self._transaction.cursor(self._databases[table]) as cursor:
                more = limit > 0 and cursor.set_range((mark + first)[: KEY_BYTES_MAX + 1])
                while more and len(found) < limit:
                    stored, value = cursor.item()
                    key = stored[1:]
                    if not stored.startswith(stored_prefix) or (end is not None and key >= end):
                        break
                    if key >= first:
                        found.append((key, unsqueeze(value) if squeezed else value))
                    more = cursor.next()
        except (lmdb.Error, Unsqueezable) as error:
            raise _damaged(error) from error
        return found

    def named(self, table: Table, name: bytes) -> list[bytes]:
        """What a name leads to in one of the tables of `NAMES`, ascending."""
        assert len(name) == NAMES[table].name, "a name of this table"
        return [row[len(name) :] for row in self._rows(table, name, name, sys.maxsize)]

    def _rows(self, table: Table, prefix: bytes, first: bytes, limit: int) -> list[bytes]:
        """At most `limit` rows of a table of names that start with `prefix` and are >= `first`, which fits one."""
        found: list[bytes] = []
        size = sum(NAMES[table])
        try:
            cursor = self._cursors.get(table)
            if cursor is None:
                cursor = self._cursors[table] = self._transaction.cursor(self._databases[table])
                # All rows have the size of one, and with a wrong one a search finds nothing.
                if cursor.set_key(_MARK) and len(cursor.value()) != size:
                    raise StateDamaged(f"rows of {table.value} have {len(cursor.value())} bytes, not {size}; {_REMEDY}")
            more = limit > 0 and cursor.set_range_dup(_MARK, first or b"\0")  # LMDB takes no empty value here
            while more:
                row = cursor.value()
                if not row.startswith(prefix):
                    break
                found.append(row)
                more = len(found) < limit and cursor.next_dup()
        except lmdb.Error as error:
            raise _damaged(error) from error
        return found

    def count(self, table: Table) -> int:
        """How many pairs the table holds."""
        try:
            entries: int = self._transaction.stat(self._databases[table])["entries"]
        except lmdb.Error as error:
            raise _damaged(error) from error
        return entries


def open_table(environment: lmdb.Environment, table: Table, *, create: bool) -> Database:
    """The table's database. Raises lmdb.NotFoundError, lmdb.ReadonlyError if it is not there and not to be made."""
    of_names = table in NAMES
    return environment.open_db(table.value.encode(), create=create, dupsort=of_names, dupfixed=of_names)


def put_rows(
    transaction: lmdb.Transaction[bytes], database: Database, table: Table, writes: Mapping[bytes, bytes | None]
) -> None:
    """Write rows of a table: a value, or None to remove one."""
    row = NAMES.get(table)
    pairs: list[tuple[bytes, bytes]] = []
    pages: list[tuple[bytes, bytes]] = []
    for key, value in sorted(writes.items()):
        assert len(key) <= KEY_BYTES_MAX, "a key fits the store"
        assert row is None or (len(key) == sum(row) and not value), "rows of names have one size, and no values"
        stored = _stored_key(table, key) if row is None else _MARK
        if value is None:
            transaction.delete(stored, b"" if row is None else key, database)
        elif row is not None:
            pairs.append((stored, key))
        elif stored.startswith(_MARK_PAGES):
            pages.append((stored, squeeze(value)))
        else:
            pairs.append((stored, squeeze(value) if table in _SQUEEZED else value))
    if pairs or pages:
        with transaction.cursor(database) as cursor:
            # LMDB is told when pages come behind all that is there: else it would leave each page of its own less
            # full, ready for what never comes between.
            cursor.putmulti(pages, append=bool(pages) and (not cursor.last() or cursor.key() < pages[0][0]))
            cursor.putmulti(pairs, dupdata=True)


def _stored_key(table: Table, key: bytes) -> bytes:
    """How LMDB has a key of a table that is not one of names."""
    return (_MARK_PAGES if table is Table.STATE and is_page(key) else _MARK) + key


def _damaged(error: lmdb.Error | Unsqueezable) -> StateDamaged:
    return StateDamaged(f"the state cannot be read ({error}); {_REMEDY}")


assert limits.STATE_KEY_BYTES_MAX <= KEY_BYTES_MAX, "every state key fits the store"
