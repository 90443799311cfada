"""Closed epochs as the tables remember them, and the sets of validators at recent heights (C-21, C-22).

A block whose header names another next set than its own *closes* its epoch. Execution of such a block writes, under
META, its epoch, height and hash with the set that it names, after making sure that the state at the header's *executed*
says so. That is what a node needs to know in which epoch it is, and what a proof needs beside the segments:

    META    b"closing/", epoch (8)    height (8), header hash (32), encoded `ValidatorSet`

The state holds the newest set only. What it held at a recent height follows from the undo of the blocks since
(`undo`), which is kept as far back as any header that may still come names results.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final, NamedTuple

import msgpack

from protocol.codec import decode
from protocol.codec import encode as encoded
from protocol.errors import BrokenInvariant
from protocol.ledger.genesis import ValidatorSet
from protocol.ledger.index import executed_height, number_key, number_of
from protocol.ledger.members import NEXT_VALIDATORS
from protocol.ledger.records import Header
from protocol.ledger.tables import Reader, Table

_PREFIX: Final = b"closing/"
_head = Struct(">Q32s")
_PAGE: Final = 64


class Closing(NamedTuple):
    """An ended epoch: the block that closed it, and the set of the next."""

    epoch: int
    height: int
    hash: bytes
    validators: ValidatorSet


def closes(header: Header) -> bool:
    """Whether this block closes its epoch (C-21)."""
    return header.next_validators_hash != header.validators_hash


def closing_key(epoch: int) -> bytes:
    """Key under META."""
    return _PREFIX + number_key(epoch)


def pack_closing(closing: Closing) -> bytes:
    """Value under META."""
    return _head.pack(closing.height, closing.hash) + encoded(closing.validators)


def read_closing(reader: Reader, epoch: int) -> Closing | None:
    """What closed the epoch, None if it is not closed in what was executed here."""
    value = reader.get(Table.META, closing_key(epoch))
    return None if value is None else _unpack(epoch, value)


def closings(reader: Reader, first_epoch: int = 1, limit: int = 1_000_000) -> list[Closing]:
    """Ended epochs from `first_epoch` on, ascending, at most `limit`."""
    found = reader.scan(Table.META, _PREFIX, closing_key(first_epoch), limit)
    return [_unpack(number_of(key[len(_PREFIX) :]), value) for key, value in found]


def _unpack(epoch: int, value: bytes) -> Closing:
    height, hashed = _head.unpack_from(value)
    return Closing(epoch, height, hashed, decode(ValidatorSet, value[_head.size :]))


def validators_at(reader: Reader, height: int) -> ValidatorSet:
    """The set that a header naming `height` as executed names next. Raises BrokenInvariant too far back."""
    return sets_since(reader, height)[0][1]


def sets_since(reader: Reader, height: int) -> list[tuple[int, ValidatorSet]]:
    """What the state says of the next set: at `height`, then for each later height that changed it, ascending.

    `height` is executed here, and not further back than undo is kept.
    """
    key = NEXT_VALIDATORS.key(())
    value = reader.get(Table.STATE, key)
    if value is None:
        raise BrokenInvariant("the state names no validators")
    changes = _changes(reader, key, height)
    # Each change tells what stood before it: what stands from it on, the next change tells, or the state.
    heights = [height, *(at for at, _ in changes)]
    values = [*(before for _, before in changes), value]
    return [(at, decode(ValidatorSet, data)) for at, data in zip(heights, values, strict=True)]


def _changes(reader: Reader, key: bytes, height: int) -> list[tuple[int, bytes]]:
    """(height, what the block of that height found under `key`), above `height`, ascending."""
    newest, found = executed_height(reader), []
    assert newest is not None
    assert height <= newest, "asked of executed heights"
    start = number_key(height + 1)
    while True:
        pairs = list(reader.scan(Table.TRIE_UNDO, b"", start, _PAGE))
        for number, data in pairs:
            raw: list[list[Any]] = msgpack.unpackb(data, raw=False)
            found += [(number_of(number), before) for changed, before in raw if changed == key]
        if len(pairs) < _PAGE:
            return found
        start = number_key(number_of(pairs[-1][0]) + 1)
