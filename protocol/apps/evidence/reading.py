"""Finding evidence in the stored state: by digest, page by page, and along a chain.

For APIs and tools, over the tables at one executed height; execution never walks anything.
"""

from __future__ import annotations

from typing import NamedTuple

from protocol.apps.evidence.records import DIGESTS, EVIDENCE, Evidence, EvidenceId
from protocol.codec import decode
from protocol.errors import BrokenInvariant
from protocol.ledger.spaces import parse_state_key
from protocol.ledger.state import StateReader
from protocol.ledger.tables import Reader, Table


class FoundEvidence(NamedTuple):
    """A record with its name."""

    owner: bytes
    id: bytes
    evidence: Evidence


def evidence_by_digest(
    reader: Reader, algorithm: int, digest: bytes, *, after_owner: bytes = b"", limit: int = 100
) -> list[FoundEvidence]:
    """The latest record of each owner who recorded this digest, ascending by owner; at most `limit`.

    digest: 32 bytes. after_owner: the last owner of the page before, or nothing.
    """
    state = StateReader(reader)
    first = DIGESTS.key((algorithm, digest, bytes(32)))
    prefix = first[:-32]  # the owner is the key's last part and always 32 bytes: what stands before it is shared
    start = prefix + after_owner + b"\x00" if after_owner else first
    found: list[FoundEvidence] = []
    for key, value in reader.scan(Table.STATE, prefix, start, limit):
        _, parts = parse_state_key(key)
        owner, name = parts[-1], decode(EvidenceId, value).id
        evidence = state.get(EVIDENCE, (owner, name))
        if evidence is None or not isinstance(owner, bytes):
            raise BrokenInvariant(f"a digest leads to evidence {name.hex()}, which is not there")
        found.append(FoundEvidence(owner, name, evidence))
    return found


def evidence_chain(reader: Reader, owner: bytes, identifier: bytes, *, limit: int = 100) -> list[FoundEvidence]:
    """The record and those that replaced it, oldest first; at most `limit`; empty if there is no such record."""
    state = StateReader(reader)
    found: list[FoundEvidence] = []
    following: bytes | None = identifier
    while following is not None and len(found) < limit:
        evidence = state.get(EVIDENCE, (owner, following))
        if evidence is None:
            break
        found.append(FoundEvidence(owner, following, evidence))
        following = evidence.replaced_by
    return found
