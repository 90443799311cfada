"""Admission: what a node says about an envelope before it is in a block, and about its outcome (L-7, L-9).

`admit` judges at the newest executed state, as execution would if the next block came now: the same reasons to
skip, in the same order, so that what is sealed is not skipped for anything that could have been known. Its
word speaks for this node and this moment only. `check_operations` says, without state, what execution would
refuse in any state: a client hears at once of an argument that can never be right.

`outcome_of` gives what the tables know of a transaction: *final*, *expired, and can't become final any more*,
or nothing, in which case the pool knows more (*pending*, *refused*) or nobody here does (*not seen here*).

Signatures have to be verified before, or what is refused here must not be remembered (L-9).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from protocol.errors import (
    CONFLICT,
    DUPLICATE,
    EXPIRED,
    NOT_AUTHORISED,
    QUOTA_EXCEEDED,
    TOO_FAR_AHEAD,
    BrokenInvariant,
    Refused,
)
from protocol.ledger.accounts import authorised
from protocol.ledger.application import Rules, read_operation
from protocol.ledger.envelope import ParsedEnvelope
from protocol.ledger.genesis import Parameters
from protocol.ledger.index import (
    INDEXED_FROM_KEY,
    Location,
    Seen,
    locate,
    number_of,
    read_head,
    read_seen,
    receipt_at,
)
from protocol.ledger.members import member_by_name, usage_bytes
from protocol.ledger.state import StateReader
from protocol.ledger.tables import Reader, Table


class AlreadyFinal(Refused):
    """The envelope is final already: not an error to a client that sends again, but its first receipt (L-7)."""

    def __init__(self, location: Location) -> None:
        super().__init__(DUPLICATE, f"final already, at height {location.height}, position {location.position}")
        self.location = location


class Known(Enum):
    """What the tables know of a transaction (L-9)."""

    FINAL = "final"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the tables know; `location` where it is final."""

    known: Known
    location: Location | None = None


def admit(
    reader: Reader,
    parsed: ParsedEnvelope,
    clock_ms: int,
    parameters: Parameters,
    sealing_member: str | None = None,
) -> None:
    """Raises Refused unless the envelope would run in a block made now (L-7).

    clock_ms: this node's; time counts from the later of it and block time, as the next block's will.
    sealing_member: whose node would seal it; None for one that seals nothing.
    Raises AlreadyFinal for a duplicate; else Refused: expired, too_far_ahead, conflict, not_authorised, quota_exceeded.
    """
    body = parsed.body
    time_ms = read_head(reader).time_ms
    location = locate(reader, parsed.transaction)
    if location is not None:
        raise AlreadyFinal(location)
    _check_window(body.valid_until_ms, max(time_ms, clock_ms), parameters)
    seen = read_seen(reader, body.account, body.id)
    if seen is not None and seen.holds(time_ms):
        raise Refused(CONFLICT, f"id {body.id.hex()} of this account {other_content(reader, seen)}")
    state = StateReader(reader)
    if not authorised(body.account, body.signers, state):
        raise Refused(NOT_AUTHORISED, f"the signers may not act for account {body.account.hex()}")
    if sealing_member is not None:
        _check_quota(sealing_member, state)


def other_content(reader: Reader, seen: Seen) -> str:
    """The words for an envelope whose (account, id) another one has."""
    receipt = receipt_at(reader, seen.log_index)
    name = "" if receipt is None else f", as {receipt.transaction.hex()}"
    return f"is final already with other content{name}"


def check_operations(rules: Rules, parsed: ParsedEnvelope) -> None:
    """Raises Refused, naming the operation, for what no state would let pass: unknown or wrong arguments."""
    for index, operation in enumerate(parsed.body.operations):
        try:
            read_operation(rules, operation)
        except Refused as refusal:
            raise Refused(refusal.code, f"operations[{index}]: {refusal.words}") from refusal


def outcome_of(reader: Reader, transaction: bytes, valid_until_ms: int | None, parameters: Parameters) -> Outcome:
    """What the tables know of a transaction; without its `valid_until_ms` only whether it is final (L-9).

    *Expired* is said only when block time has reached `valid_until_ms` and this node has indexed every block from
    `valid_until_ms` less the network's envelope_ttl_max_ms on: an earlier block could not have held it.
    """
    location = locate(reader, transaction)
    if location is not None:
        return Outcome(Known.FINAL, location)
    if valid_until_ms is None or read_head(reader).time_ms < valid_until_ms:
        return Outcome(Known.UNKNOWN)
    indexed = reader.get(Table.META, INDEXED_FROM_KEY)
    if indexed is None or number_of(indexed) > max(0, valid_until_ms - parameters.envelope_ttl_max_ms):
        return Outcome(Known.UNKNOWN)
    return Outcome(Known.EXPIRED)


def _check_window(valid_until_ms: int, now_ms: int, parameters: Parameters) -> None:
    if valid_until_ms <= now_ms:
        raise Refused(EXPIRED, f"valid_until_ms {valid_until_ms} is not after {now_ms}")
    ahead = valid_until_ms - now_ms
    if ahead > parameters.envelope_ttl_max_ms:
        words = f"valid_until_ms is {ahead} ms ahead of {now_ms}, at most {parameters.envelope_ttl_max_ms}"
        raise Refused(TOO_FAR_AHEAD, words)


def _check_quota(sealing_member: str, state: StateReader) -> None:
    member = member_by_name(sealing_member, state)
    if member is None:
        raise BrokenInvariant(f"this node's member {sealing_member} is not in the state")
    used = usage_bytes(sealing_member, state)
    if used >= member.state_quota_bytes:
        words = f"member {sealing_member} has used {used} bytes of state, of {member.state_quota_bytes}"
        raise Refused(QUOTA_EXCEEDED, words)
