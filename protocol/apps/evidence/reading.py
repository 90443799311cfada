"""Finding evidence in the stored state: by digest, page by page, and along a chain.

For APIs and tools, over the tables at one executed height; execution never walks anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from protocol.apps.evidence.application import FoundEvidence, evidence_by_id, latest_of_digest
from protocol.apps.evidence.records import EVIDENCE
from protocol.errors import BrokenInvariant
from protocol.ledger.added import newest, opened, record_at, second_name, shared_name, unpack_place
from protocol.ledger.state import StateReader
from protocol.ledger.tables import NAMES, Reader, Table

_ROWS: Final = 32
"""Read at a time."""


def evidence_by_digest(
    reader: Reader, algorithm: int, digest: bytes, *, after_owner: bytes | None = None, limit: int = 100
) -> list[FoundEvidence]:
    """The latest record of each owner who recorded this digest, in an order that stays; at most `limit`.

    digest: 32 bytes. after_owner: the last owner of the page before, or None.
    """
    state = StateReader(reader)
    owners = _owners(reader, algorithm, digest, after_owner)
    found: list[FoundEvidence] = []
    for owner in islice(owners, limit):
        latest = latest_of_digest(owner, algorithm, digest, state)
        one = None if latest is None else evidence_by_id(owner, latest, state)
        if one is None:
            raise BrokenInvariant("an owner's latest record of a digest is not there")
        found.append(one)
    return found


def _owners(reader: Reader, algorithm: int, digest: bytes, after: bytes | None) -> Iterator[bytes]:
    """Who recorded this digest, in the order of its names; from behind an owner on."""
    assert EVIDENCE.also is not None, "records of evidence are found by their digest"
    source, shared = newest(reader), shared_name(EVIDENCE.also, (algorithm, digest))
    name = shared if after is None else second_name(EVIDENCE.also, (algorithm, digest, after))
    start, passed = name, after is None
    while rows := reader.scan(Table.ALSO, shared, start, _ROWS):
        for row, _ in rows:
            first = record_at(source, unpack_place(row[NAMES[Table.ALSO].name :]))
            if first is None:
                raise BrokenInvariant("a digest leads to evidence which is not there")
            (owner, _), evidence = opened(EVIDENCE, first)
            start = row + b"\0"
            if (evidence.algorithm, evidence.digest) != (algorithm, digest):
                continue  # a hash cut short is shared: see ledger.tables
            assert isinstance(owner, bytes), "as the space says"
            # Of those who share the name of the owner before, what stands before his row was given already.
            if passed or not row.startswith(name):
                yield owner
            passed = passed or owner == after


def evidence_chain(reader: Reader, owner: bytes, identifier: bytes, *, limit: int = 100) -> list[FoundEvidence]:
    """The record and those that replaced it, oldest first; at most `limit`; empty if there is no such record."""
    state = StateReader(reader)
    found: list[FoundEvidence] = []
    following: bytes | None = identifier
    while following is not None and len(found) < limit:
        one = evidence_by_id(owner, following, state)
        if one is None:
            break
        found.append(one)
        following = None if one.end is None else one.end.replaced_by
    return found
