"""Short names for the application `evidence`, and its operations from a document's bytes.

For example:

    operation = evidence.record_of(data, media_type="application/ld+json", step="shipping")
    client.transact(account, [operation])
    client.state(evidence.RECORDS, account.name, operation.id)
    client.state(evidence.ENDS, account.name, operation.id)  # None: it is current
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from daemon.client.sealing import ID_BYTES
from protocol.apps.evidence.records import (
    CURRENT,
    DELEGATIONS,
    ENDS,
    REVOKED,
    SALTED_FIELDS,
    SHA256,
    SUPERSEDED,
    Evidence,
    EvidenceEnd,
    Statement,
)
from protocol.apps.evidence.records import EVIDENCE as RECORDS
from protocol.apps.evidence.records import GrantRights as Grant
from protocol.apps.evidence.records import RecordEvidence as Record
from protocol.apps.evidence.records import RevokeEvidence as Revoke
from protocol.apps.evidence.records import SupersedeEvidence as Supersede
from protocol.apps.evidence.records import WithdrawRights as Withdraw
from protocol.apps.evidence.salted import Disclosure, SaltedField, salted_fields, verify_disclosure

__all__ = [
    "CURRENT",
    "DELEGATIONS",
    "ENDS",
    "RECORDS",
    "REVOKED",
    "SALTED_FIELDS",
    "SHA256",
    "SUPERSEDED",
    "Disclosure",
    "Evidence",
    "EvidenceEnd",
    "Grant",
    "Record",
    "Revoke",
    "SaltedField",
    "Statement",
    "Supersede",
    "Withdraw",
    "new_id",
    "record_of",
    "revoke",
    "salted_fields",
    "statement_of",
    "supersede_by",
    "verify_disclosure",
]

ANOTHER_REASON: Final = 4


def new_id() -> bytes:
    """A new random id (16 bytes)."""
    return secrets.token_bytes(ID_BYTES)


def statement_of(
    data: bytes,
    *,
    media_type: str = "",
    type: str = "",  # noqa: A002 - the record's own word
    step: str = "",
    reference: str = "",
    event_time_ms: int | None = None,
) -> Statement:
    """What an owner says about a document of these bytes: its SHA-256, its size, and the words given."""
    digest = hashlib.sha256(data).digest()
    return Statement(SHA256, digest, len(data), media_type, type, step, reference, event_time_ms)


def record_of(document: bytes | Statement, *, owner: bytes | None = None, **words: str) -> Record:
    """Record a document (its bytes, or a statement), under a new id. owner: None for the sender's own."""
    return Record(owner, new_id(), _statement(document, words))


def supersede_by(
    replaces: bytes, document: bytes | Statement, *, reason: str = "", owner: bytes | None = None, **words: str
) -> Supersede:
    """Replace the record `replaces` (16 bytes) by one of another document, under a new id."""
    return Supersede(owner, new_id(), replaces, reason, _statement(document, words))


def revoke(identifier: bytes, *, reason: int = ANOTHER_REASON, words: str = "", owner: bytes | None = None) -> Revoke:
    """Revoke a record for good; reason: 1 recorded in error, 2 withdrawn, 3 found false, 4 another."""
    return Revoke(owner, identifier, reason, words)


def _statement(document: bytes | Statement, words: dict[str, str]) -> Statement:
    if isinstance(document, Statement):
        if words:
            raise TypeError("words belong into the statement")
        return document
    return statement_of(document, **words)  # type: ignore[arg-type] # event_time_ms is for statement_of alone
