"""Finding evidence in the stored state: by digest, page by page, and along a chain.

For APIs and tools, over the tables at one executed height; execution never walks anything.
"""

from __future__ import annotations

from typing import NamedTuple

from protocol.apps.evidence.application import FoundEvidence, evidence_by_id, latest_of_digest
from protocol.apps.evidence.records import EVIDENCE
from protocol.errors import BrokenInvariant
from protocol.ledger.added import newest, opened, record_at, shared_name, unpack_place
from protocol.ledger.state import StateReader
from protocol.ledger.tables import NAMES, Reader, Table


class FoundPage(NamedTuple):
    """Some of what was looked for, and where to go on; None: that was all."""

    found: tuple[FoundEvidence, ...]
    after: bytes | None


def evidence_by_digest(
    reader: Reader, algorithm: int, digest: bytes, *, after: bytes | None = None, limit: int = 100
) -> FoundPage:
    """The latest record of each owner who recorded this digest, in an order that stays.

    digest: 32 bytes. after: of the page before, or None. limit: of what is looked at; what shares the digest's name
    with it (see `ledger.tables`) counts, so a page may have less, or nothing, and others follow all the same.
    """
    assert EVIDENCE.also is not None, "records of evidence are found by their digest"
    assert limit > 0, "a page looks at something"
    state, source = StateReader(reader), newest(reader)
    shared = shared_name(EVIDENCE.also, (algorithm, digest))
    start = shared if after is None else after + b"\0"
    rows = [row for row, _ in reader.scan(Table.ALSO, shared, start, limit)]
    found: list[FoundEvidence] = []
    for row in rows:
        first = record_at(source, unpack_place(NAMES[Table.ALSO].split(row)[1]))
        if first is None:
            raise BrokenInvariant("a digest leads to evidence which is not there")
        record = opened(EVIDENCE, first)
        if record is None or (record[1].algorithm, record[1].digest) != (algorithm, digest):
            continue
        owner = record[0][0]
        assert isinstance(owner, bytes), "as the space says"
        latest = latest_of_digest(owner, algorithm, digest, state)
        one = None if latest is None else evidence_by_id(owner, latest, state)
        if one is None:
            raise BrokenInvariant("an owner's latest record of a digest is not there")
        found.append(one)
    return FoundPage(tuple(found), rows[-1] if len(rows) == limit else None)


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
