"""The derived tables' keys and values, written by execution and read by everyone else (L-7, L-20, L-21).

Values that every envelope writes are packed with fixed layouts, big endian, so that keys sort as numbers:

    META          b"height"                          height (8)
                  b"peaks"                           hashes of the log's peaks, largest first
                  b"base"                            see `Base`; only where the tables began with a snapshot
    ROOTS         height (8)                         state root, log size (8), log root, header hash, time_ms (8)
    RECEIPT       log index (8)                      encoded receipt
    TRANSACTION   first 8 bytes of its id,           nothing
                  log index (6)
    HISTORY       first 16 of the account,           nothing
                  log index (6)
    SEEN          name of account and id (16),       nothing
                  valid_until_ms (7), log index (6)
    SEEN_EXPIRY   latest valid_until_ms of those     names (16 each), at most `EXPIRING_TOGETHER`
                  that it names (8), log index (8)
    LOG           place of a subtree (8)             hash, of each third level; and of what has no receipts here
    TRIE          b"/", position                     node (a key is never empty, which some stores forbid)
    TRIE_UNDO     height (8)                         what the state held before that height: see `undo`

At height 0 stand the roots of genesis, with the network id in the place of the header's hash.

A subtree's *place* counts the subtrees that are complete before it is (post-order), so new ones always come last: a
store that keeps keys in order then fills its pages, instead of splitting them once for each level. A leaf is
the hash of its receipt, which is here anyway, and two levels of three are made of those below when a proof asks for
them: so the log costs a seventh of a hash for each receipt. What a block needs of it, to append and for its root, are
the peaks.

Tables without values are tables of names (`tables`). A receipt is taken for a transaction's only if it says so
(`locate`). An envelope's *name* in SEEN is a hash cut to 16 bytes, and nothing tells two apart that share one: who
finds two with the same name (2^64 tries, also where another chooses his id by what one says) has kept the second from
being final for as long as the first is remembered; another's own nobody finds (2^128). It has one row: that of an
envelope that came after another had ended takes its place. A row is there to be forgotten: many that end at about the
same time stand in one row of SEEN_EXPIRY, under the latest. Nor is a name of HISTORY looked behind: who makes two
accounts of his own with the same first 16 bytes sees the transactions of both at each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple

from protocol.codec import decode
from protocol.crypto.hashing import HASH_BYTES
from protocol.crypto.log import leaf_hash, node_hash, peaks
from protocol.errors import BrokenInvariant
from protocol.ledger.records import Executed, Receipt
from protocol.ledger.tables import NAMES, Reader, Table

HEIGHT_KEY = b"height"
INDEXED_FROM_KEY = b"indexed_from_ms"
BASE_KEY = b"base"
PEAKS_KEY = b"peaks"
LOG_STEP: Final = 3
"""Of so many levels of the log one is stored."""
EXPIRING_TOGETHER: Final = 256

_number = Struct(">Q")
_roots = Struct(">32sQ32s32sQ")
_expiry = Struct(">QQ")
_INDEX_BYTES: Final = NAMES[Table.TRANSACTION].rest
_UNTIL_BYTES: Final = 7
_SEEN_BYTES: Final = NAMES[Table.SEEN].name
_base = Struct(">QQQ32s")


class Roots(NamedTuple):
    """What stands at a height: results, hash of the header (network id at height 0), block time."""

    executed: Executed
    header_hash: bytes
    time_ms: int


class Location(NamedTuple):
    """Where a transaction became final."""

    log_index: int
    height: int
    position: int


class Seen(NamedTuple):
    """The final envelope of an (account, id), to be remembered until `valid_until_ms` has passed (L-7)."""

    valid_until_ms: int
    log_index: int

    def holds(self, time_ms: int) -> bool:
        """Whether it is remembered at this block time: from `valid_until_ms` on the id is free again."""
        return self.valid_until_ms > time_ms


class Base(NamedTuple):
    """Where tables begin that were filled by a snapshot: nothing below is there.

    height: of the snapshot's state. first_height: lowest block that came along, and the hash of the header below it.
    first_log_index: lowest receipt.
    """

    height: int
    first_height: int
    first_log_index: int
    below: bytes


def number_key(number: int) -> bytes:
    """A height, time or log index as a key (8 bytes)."""
    return _number.pack(number)


def number_of(key: bytes) -> int:
    """The number at the head of a key."""
    return int(_number.unpack_from(key)[0])


def log_key(level: int, index: int) -> bytes:
    """Key of a complete subtree of the receipt log."""
    last_leaf = ((index + 1) << level) - 1
    return _number.pack(2 * last_leaf - last_leaf.bit_count() + level)


def log_rows(subtrees: Mapping[tuple[int, int], bytes]) -> dict[tuple[Table, bytes], bytes]:
    """What LOG holds of newly complete subtrees whose leaves' receipts are stored."""
    return {
        (Table.LOG, log_key(level, index)): hashed
        for (level, index), hashed in subtrees.items()
        if level and level % LOG_STEP == 0
    }


def pack_peaks(subtrees: Mapping[tuple[int, int], bytes], size: int) -> bytes:
    """Value of META's peaks, of a log of `size`."""
    return b"".join(subtrees[place] for place in peaks(size))


def read_peaks(reader: Reader, size: int) -> dict[tuple[int, int], bytes]:
    """The log's complete subtrees at its present `size`. Raises BrokenInvariant if they are of another."""
    value, places = reader.get(Table.META, PEAKS_KEY) or b"", peaks(size)
    if len(value) != HASH_BYTES * len(places):
        raise BrokenInvariant(f"the state store has other peaks than of a log of {size}")
    return {place: value[HASH_BYTES * at : HASH_BYTES * (at + 1)] for at, place in enumerate(places)}


def trie_key(position: bytes) -> bytes:
    """Key of a node of the state trie."""
    return b"/" + position


def pack_roots(roots: Roots) -> bytes:
    """Value of ROOTS."""
    done = roots.executed
    return _roots.pack(done.state_root, done.log_size, done.log_root, roots.header_hash, roots.time_ms)


def _index(log_index: int) -> bytes:
    """A log index as the tables of names have it (6 bytes): a hundred thousand a second for 89 years."""
    if log_index >> 8 * _INDEX_BYTES:
        raise BrokenInvariant(f"receipt {log_index}, which no table of names can hold")
    return log_index.to_bytes(_INDEX_BYTES, "big")


def transaction_key(transaction: bytes, log_index: int) -> bytes:
    """Key of TRANSACTION (14 bytes)."""
    return transaction[: NAMES[Table.TRANSACTION].name] + _index(log_index)


def history_key(account: bytes, log_index: int) -> bytes:
    """Key of HISTORY (22 bytes)."""
    return account[: NAMES[Table.HISTORY].name] + _index(log_index)


def seen_name(account: bytes, envelope_id: bytes) -> bytes:
    """The name of an account's envelope in SEEN (16 bytes)."""
    return sha256(account + envelope_id).digest()[:_SEEN_BYTES]


def seen_key(name: bytes, seen: Seen) -> bytes:
    """Key of SEEN (29 bytes)."""
    until_ms, log_index = seen
    return name + until_ms.to_bytes(_UNTIL_BYTES, "big") + _index(log_index)


def seen_of(rest: bytes) -> Seen:
    """What a name leads to in SEEN, opened."""
    return Seen(int.from_bytes(rest[:_UNTIL_BYTES], "big"), int.from_bytes(rest[_UNTIL_BYTES:], "big"))


def expiry_rows(names: Iterable[tuple[bytes, Seen]]) -> dict[tuple[Table, bytes], bytes]:
    """What SEEN_EXPIRY holds of these entries of SEEN, by name: those that end first stand together."""
    ordered = sorted((*seen, name) for name, seen in names)
    rows: dict[tuple[Table, bytes], bytes] = {}
    for at in range(0, len(ordered), EXPIRING_TOGETHER):
        part = ordered[at : at + EXPIRING_TOGETHER]
        latest_ms, log_index, _ = part[-1]
        rows[Table.SEEN_EXPIRY, _expiry.pack(latest_ms, log_index)] = b"".join(name for _, _, name in part)
    return rows


def expiring_names(value: bytes) -> list[bytes]:
    """Value of SEEN_EXPIRY, opened."""
    return [value[at : at + _SEEN_BYTES] for at in range(0, len(value), _SEEN_BYTES)]


def pack_base(base: Base) -> bytes:
    """Value of META's base."""
    return _base.pack(*base)


def read_base(reader: Reader) -> Base | None:
    """Where the tables begin; None if with genesis."""
    value = reader.get(Table.META, BASE_KEY)
    return None if value is None else Base(*_base.unpack(value))


def executed_height(reader: Reader) -> int | None:
    """The newest executed height; None in an empty store."""
    value = reader.get(Table.META, HEIGHT_KEY)
    return None if value is None else number_of(value)


def read_roots(reader: Reader, height: int) -> Roots | None:
    """What stands at a height, None if it is not executed."""
    value = reader.get(Table.ROOTS, number_key(height))
    if value is None:
        return None
    state_root, log_size, log_root, header_hash, time_ms = _roots.unpack(value)
    return Roots(Executed(height, state_root, log_size, log_root), header_hash, time_ms)


def read_head(reader: Reader) -> Roots:
    """What stands at the newest executed height. Raises BrokenInvariant on a store without genesis."""
    height = executed_height(reader)
    roots = None if height is None else read_roots(reader, height)
    if roots is None:
        raise BrokenInvariant("the state store has no genesis, or its newest height has no roots")
    return roots


def locate(reader: Reader, transaction: bytes) -> Location | None:
    """Where a transaction became final, None if it has not (here)."""
    for rest in reader.named(Table.TRANSACTION, transaction[: NAMES[Table.TRANSACTION].name]):
        log_index = int.from_bytes(rest, "big")
        receipt = receipt_at(reader, log_index)
        if receipt is not None and receipt.transaction == transaction:
            return Location(log_index, receipt.height, receipt.position)
    return None


def read_seen(reader: Reader, account: bytes, envelope_id: bytes) -> Seen | None:
    """The final envelope of this (account, id), as far as it is remembered."""
    return read_named(reader, seen_name(account, envelope_id))


def read_named(reader: Reader, name: bytes) -> Seen | None:
    """The same by its name in SEEN, which has one row at most."""
    found = reader.named(Table.SEEN, name)
    return seen_of(found[-1]) if found else None


def read_receipt(reader: Reader, log_index: int) -> bytes | None:
    """The encoded receipt at a place of the log."""
    return reader.get(Table.RECEIPT, number_key(log_index))


def receipt_at(reader: Reader, log_index: int) -> Receipt | None:
    """The receipt at a place of the log."""
    data = read_receipt(reader, log_index)
    return None if data is None else decode(Receipt, data)


def account_history(reader: Reader, account: bytes, first_log_index: int = 0, limit: int = 100) -> list[int]:
    """Log indices of an account's receipts from `first_log_index` on, ascending, at most `limit`."""
    if first_log_index >> 8 * _INDEX_BYTES:
        return []
    start = history_key(account, first_log_index)
    split = NAMES[Table.HISTORY].split
    found = reader.scan(Table.HISTORY, split(start)[0], start, limit)
    return [int.from_bytes(split(key)[1], "big") for key, _ in found]


def log_getter(reader: Reader) -> Callable[[int, int], bytes | None]:
    """What `crypto.log` reads subtrees with."""

    def get(level: int, index: int) -> bytes | None:
        if level % LOG_STEP:
            left = get(level - 1, 2 * index)
            right = None if left is None else get(level - 1, 2 * index + 1)
            if left is not None and right is not None:
                return node_hash(left, right)
        elif not level:
            receipt = read_receipt(reader, index)
            if receipt is not None:
                return leaf_hash(receipt)
        return reader.get(Table.LOG, log_key(level, index))

    return get


def trie_getter(reader: Reader) -> Callable[[bytes], bytes | None]:
    """What `crypto.trie` reads nodes with."""
    return lambda position: reader.get(Table.TRIE, b"/" + position)
