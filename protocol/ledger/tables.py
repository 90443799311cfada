"""The tables that execution reads and writes: one interface for a dictionary and for a disk.

Everything derived from final blocks stands in these tables. Execution is a pure function from a `Reader`
and a block to a `Writes`; whoever owns the store applies the writes at once or not at all (L-26). The
simulator keeps them in dictionaries, the daemon in one embedded store.

Some are *tables of names*: hashes cut short, and what is found under each. Their rows have one size and no values (a
store keeps such rows without a head for each), and any number of rows may share a name: a reader looks at what each
leads to, and takes only what is the thing that was asked for. So a name may be short, and who makes two things with the
same name has gained nothing by it. How short is a matter of work: each further thing under a name costs its readers one
look, so many under one name have to be out of reach (a hundred under one of 7 bytes: 2^61 tries). Where what is there
cannot tell whose it is (SEEN, HISTORY), the name has 16 bytes instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol


class Table(Enum):
    """A named space of keys. The value is the name on disk."""

    __hash__ = object.__hash__  # Enum's own runs in Python, and every read and write hashes its table

    META = "meta"
    """Small facts: height, log size, frontier, schema version."""
    STATE = "state"
    """Encoded state key -> encoded value (L-20)."""
    PLACE = "place"
    """Name of a record that is only ever added, and its place in a page of the state: see `added`."""
    ALSO = "also"
    """The same of its second key."""
    TRIE = "trie"
    """Nibble path -> branch node of the state trie."""
    TRIE_UNDO = "trie_undo"
    """Height -> what the trie held before it, for proofs at recent heights."""
    LOG = "log"
    """Place -> hash of a complete subtree of the receipt log (RFC 6962)."""
    RECEIPT = "receipt"
    """Log index -> encoded receipt."""
    TRANSACTION = "transaction"
    """Begin of a transaction id, and log index."""
    SEEN = "seen"
    """Name of (account, id), with valid_until_ms and log index (L-7)."""
    SEEN_EXPIRY = "seen_expiry"
    """Latest valid_until_ms -> names: what may be forgotten, in order."""
    ROOTS = "roots"
    """Height -> executed (state root, log size, log root), header hash."""
    HISTORY = "history"
    """Begin of an account's name, and log index: the transactions of an account, in order."""


class Row(NamedTuple):
    """Sizes of a table of names: of the name, and of what it leads to, in bytes."""

    name: int
    rest: int

    def split(self, key: bytes) -> tuple[bytes, bytes]:
        """A row of the table: its name, and what that leads to."""
        return key[: self.name], key[self.name :]


NAMES: Final = {
    Table.PLACE: Row(7, 8),
    Table.ALSO: Row(12, 8),
    Table.TRANSACTION: Row(8, 6),
    Table.SEEN: Row(16, 13),
    Table.HISTORY: Row(16, 6),
}
"""The tables of names. A row is a key of both parts, its value is empty."""


class Reader(Protocol):
    """Consistent reads at one executed height."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def scan(self, table: Table, prefix: bytes, start: bytes = b"", limit: int = 1000) -> Iterable[tuple[bytes, bytes]]:
        """At most `limit` pairs whose key starts with `prefix` and is >= `start`, ascending by key."""
        ...

    def named(self, table: Table, name: bytes) -> Sequence[bytes]:
        """What a name leads to in one of the tables of `NAMES`, ascending; the caller does not change it."""
        ...


Writes = dict[tuple[Table, bytes], bytes | None]
"""What execution changes: a value, or None to remove. Insertion order has no meaning."""
