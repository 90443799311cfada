"""Records of the application `evidence`: its operations' arguments and what the state keeps (kinds 110 to 120).

In the state stands what must be known to judge the next operation and to answer "does this still hold": digest,
the chain, block time, where the envelope is, and that a record came to its end. Everything else an owner says about a
document (size, media type, business step, reference) is signed in the envelope and proven by its receipt.

A record never changes, so it is only ever added (`ledger.added`). What ends it stands in a space of its own, in which
absence can be proven: that is the proof that it still holds.
"""

from __future__ import annotations

from typing import Annotated, Final

from protocol import limits
from protocol.apps.common import Origin
from protocol.codec import U53, Hash, Id16, Range, Text, Words, record, structure
from protocol.ledger.spaces import Also, KeyParts, Part, Space

SHA256: Final = 1
"""Algorithm 1: SHA-256 of the document's bytes, with no prefix, as `sha256sum` prints it."""
SALTED_FIELDS: Final = 2
"""Algorithm 2: root over salted field digests, `protocol.apps.evidence.salted`."""

CURRENT: Final = 1
SUPERSEDED: Final = 2
REVOKED: Final = 3
STATUS_WORDS: Final = {CURRENT: "current", SUPERSEDED: "superseded", REVOKED: "revoked"}

MAY_RECORD: Final = 1
MAY_SUPERSEDE: Final = 2
MAY_REVOKE: Final = 4
RIGHTS_WORDS: Final = {MAY_RECORD: "record", MAY_SUPERSEDE: "supersede", MAY_REVOKE: "revoke"}

REASON_WORDS: Final = {1: "recorded in error", 2: "withdrawn", 3: "found false", 4: "another reason"}

Algorithm = Annotated[int, Range(SHA256, SALTED_FIELDS)]
Reason = Annotated[int, Range(1, 4)]
Label = Annotated[str, Text(0, limits.LABEL_BYTES_MAX)]


@structure
class Statement:
    """What an owner says about a document.

    algorithm: 1 SHA-256 of its bytes, 2 root of salted fields. digest: 32 bytes. size: bytes of the document, or
    number of its fields. media_type: as in RFC 6838, or empty. type, step, reference: the business's own words
    (kind of document, business step, a name given elsewhere), or empty. event_time_ms: when it happened, if stated;
    the ledger does not judge it.
    """

    algorithm: Algorithm
    digest: Hash
    size: U53
    media_type: Annotated[str, Text(0, limits.MEDIA_TYPE_BYTES_MAX)]
    type: Label
    step: Label
    reference: Annotated[str, Text(0, limits.REFERENCE_BYTES_MAX)]
    event_time_ms: U53 | None


@record(kind=110)
class RecordEvidence:
    """Record a statement under `id`, chosen by the client; `owner` None is the sender."""

    owner: Hash | None
    id: Id16
    statement: Statement


@record(kind=111)
class SupersedeEvidence:
    """Replace the current record `replaces` by a new one under `id`."""

    owner: Hash | None
    id: Id16
    replaces: Id16
    reason: Words
    statement: Statement


@record(kind=112)
class RevokeEvidence:
    """Revoke the current record `id`, for good.

    reason: 1 recorded in error, 2 withdrawn, 3 found false, 4 another. words: said in words, or empty.
    """

    owner: Hash | None
    id: Id16
    reason: Reason
    words: Words


@record(kind=113)
class GrantRights:
    """Let another account act for the sender's evidence: rights are a sum of 1 record, 2 supersede, 4 revoke.

    until_ms: block time from which they hold no more; None: until withdrawn. Replaces an earlier grant.
    """

    delegate: Hash
    rights: Annotated[int, Range(1, MAY_RECORD | MAY_SUPERSEDE | MAY_REVOKE)]
    until_ms: U53 | None


@record(kind=114)
class WithdrawRights:
    """Take back all rights that the sender granted to an account."""

    delegate: Hash


@record(kind=115)
class Evidence:
    """A record of evidence, as it was recorded.

    recorded, recorded_ms: where and at which block time. replaces: id of the record that it superseded (the same
    owner's). restates: whether the owner had recorded this digest before (E-2).
    """

    algorithm: Algorithm
    digest: Hash
    recorded: Origin
    recorded_ms: U53
    replaces: Id16 | None
    restates: bool


@record(kind=116)
class EvidenceId:
    """The id of an owner's latest record of a digest, where it has more than one."""

    id: Id16


@record(kind=117)
class Delegation:
    """What a delegate may do for an owner, and until when."""

    rights: Annotated[int, Range(1, MAY_RECORD | MAY_SUPERSEDE | MAY_REVOKE)]
    until_ms: U53 | None


@record(kind=120)
class EvidenceEnd:
    """That a record was superseded (status 2, by the record `replaced_by`) or revoked (3, for this reason).

    changed, changed_ms: where and at which block time.
    """

    status: Annotated[int, Range(SUPERSEDED, REVOKED)]
    changed: Origin
    changed_ms: U53
    replaced_by: Id16 | None
    reason: Reason | None


_OWNER: Final = Part("owner", "bytes", "account of the owner")

_ID: Final = Part("id", "bytes", "chosen by the client, 16 bytes")
_DIGEST: Final = (
    Part("algorithm", "integer", "1 SHA-256 of the bytes, 2 root of salted fields"),
    Part("digest", "bytes", "32 bytes"),
    _OWNER,
)


def _digest_of(parts: KeyParts, evidence: Evidence) -> KeyParts | None:
    return None if evidence.restates else (evidence.algorithm, evidence.digest, parts[0])


EVIDENCE: Final = Space(
    "evidence.record",
    Evidence,
    (_OWNER, _ID),
    "records of evidence",
    added=True,
    also=Also("evidence.digest", _DIGEST, "an owner's first record of a digest", _digest_of),
)
ENDS: Final = Space(
    "evidence.end", EvidenceEnd, (_OWNER, _ID), "that a record was superseded or revoked; absent: current"
)
LATEST: Final = Space("evidence.latest", EvidenceId, _DIGEST, "the latest record of a digest that was stated again")
DELEGATIONS: Final = Space(
    "evidence.delegation", Delegation, (_OWNER, Part("delegate", "bytes", "account that may act")), "rights granted"
)
