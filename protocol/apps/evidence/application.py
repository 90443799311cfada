"""The application `evidence`: digests of documents, recorded, superseded, revoked, and by whom.

A record is named by (owner, id); the id is chosen by the client, so it is known before anything is sent, and nobody
else can take it. Its life:

    record ──► current ──supersede──► superseded        (the newer record is current; both name each other)
                  └─────revoke──────► revoked

Rules kept:

* E-1 Only a current record changes; superseded and revoked are final. Who superseded one by mistake supersedes the
  newer; who revoked one by mistake makes a statement about another document. A revocation that could be taken back
  would prove nothing.
* E-2 One owner has one latest record of a digest. A second `record` of it is refused, whatever became of the first.
  `supersede` may state a digest again whose latest record is, or by this becomes, superseded: to correct what was said
  about a document, or to go back to an earlier version. Other owners may record the same digest: who holds a document
  finds all of them by it.
* E-3 The owner may do everything; a delegate what the owner granted, until it is withdrawn or its time is over.
  Delegates grant nothing. What a delegate recorded is the owner's.
* E-4 Any account may own records. Who pays for the state is the member whose node sealed the envelope (L-12), and
  which clients a node takes is that member's affair; the ledger has no list of recorders.

Refusals come in this order: who may, the object, its status, the new id, the new digest.

Deliberately absent: documents; a judgement of what is said in statements; walking a chain (readers do, a step a read).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from protocol.apps.common import App, make_app, origin_of, quoted, short
from protocol.apps.evidence.records import (
    CURRENT,
    DELEGATIONS,
    ENDS,
    EVIDENCE,
    LATEST,
    MAY_RECORD,
    MAY_REVOKE,
    MAY_SUPERSEDE,
    REASON_WORDS,
    REVOKED,
    RIGHTS_WORDS,
    SHA256,
    SUPERSEDED,
    Delegation,
    Evidence,
    EvidenceEnd,
    EvidenceId,
    GrantRights,
    RecordEvidence,
    RevokeEvidence,
    Statement,
    SupersedeEvidence,
    WithdrawRights,
)
from protocol.errors import (
    ALREADY_EXISTS,
    ALREADY_RECORDED,
    BAD_ARGUMENTS,
    EVIDENCE_REVOKED,
    EVIDENCE_SUPERSEDED,
    FORBIDDEN,
    NOT_FOUND,
    Refused,
)
from protocol.ledger.application import Context, OperationKind
from protocol.ledger.state import SearchedState, State, StateView


class FoundEvidence(NamedTuple):
    """A record with its name, and its end where it has come to one."""

    owner: bytes
    id: bytes
    evidence: Evidence
    end: EvidenceEnd | None

    @property
    def status(self) -> int:
        """1 current, 2 superseded, 3 revoked."""
        return CURRENT if self.end is None else self.end.status


def evidence_by_id(owner: bytes, identifier: bytes, state: StateView) -> FoundEvidence | None:
    """The record of that name, whatever its status."""
    evidence = state.get(EVIDENCE, (owner, identifier))
    if evidence is None:
        return None
    return FoundEvidence(owner, identifier, evidence, state.get(ENDS, (owner, identifier)))


def latest_of_digest(owner: bytes, algorithm: int, digest: bytes, state: SearchedState) -> bytes | None:
    """The id of an owner's latest record of a digest (16 bytes), or None."""
    first = state.find(EVIDENCE, (algorithm, digest, owner))
    if first is None:
        return None
    latest = state.get(LATEST, (algorithm, digest, owner))
    name = first[0][1] if latest is None else latest.id
    assert isinstance(name, bytes), "as the space says"
    return name


def current_evidence(owner: bytes, identifier: bytes, state: StateView) -> Evidence:
    """The record of that name. Raises Refused: not_found, evidence_superseded, evidence_revoked."""
    found = evidence_by_id(owner, identifier, state)
    if found is None:
        raise Refused(NOT_FOUND, f"account {owner.hex()} has no evidence {identifier.hex()}")
    end = found.end
    if end is None:
        return found.evidence
    if end.status == REVOKED:
        raise Refused(EVIDENCE_REVOKED, f"evidence {identifier.hex()} is revoked")
    newer = b"" if end.replaced_by is None else end.replaced_by
    raise Refused(EVIDENCE_SUPERSEDED, f"evidence {identifier.hex()} is superseded by {newer.hex()}")


def _owner_for(context: Context, stated: bytes | None, right: int, state: State) -> bytes:
    """The owner that the sender acts for. Raises Refused(forbidden) (E-3)."""
    owner = context.account if stated is None else stated
    if owner == context.account:
        return owner
    granted = state.get(DELEGATIONS, (owner, context.account))
    if granted is None or not granted.rights & right:
        raise Refused(FORBIDDEN, f"account {owner.hex()} has not granted the right to {RIGHTS_WORDS[right]}")
    if granted.until_ms is not None and granted.until_ms <= context.time_ms:
        raise Refused(FORBIDDEN, f"the rights that account {owner.hex()} granted ended at {granted.until_ms} ms")
    return owner


def _require_new_id(owner: bytes, identifier: bytes, state: State) -> None:
    if state.get(EVIDENCE, (owner, identifier)) is not None:
        raise Refused(ALREADY_EXISTS, f"account {owner.hex()} has an evidence {identifier.hex()} already")


def _require_new_digest(owner: bytes, statement: Statement, replaces: bytes | None, state: State) -> bool:
    """E-2; whether the owner has recorded this digest before.

    replaces: id of the record that is about to be superseded, None if a first record is made.
    """
    known = latest_of_digest(owner, statement.algorithm, statement.digest, state)
    if known is None:
        return False
    if replaces is not None:
        end = state.get(ENDS, (owner, known))
        if known == replaces or (end is not None and end.status == SUPERSEDED):
            return True
    raise Refused(ALREADY_RECORDED, f"account {owner.hex()} recorded this digest as evidence {known.hex()}")


def _record(context: Context, state: State, arguments: RecordEvidence) -> None:
    owner, said = _owner_for(context, arguments.owner, MAY_RECORD, state), arguments.statement
    _require_new_id(owner, arguments.id, state)
    _require_new_digest(owner, said, None, state)
    new = Evidence(said.algorithm, said.digest, origin_of(context), context.time_ms, None, False)
    state.put(EVIDENCE, (owner, arguments.id), new)


def _supersede(context: Context, state: State, arguments: SupersedeEvidence) -> None:
    owner, said = _owner_for(context, arguments.owner, MAY_SUPERSEDE, state), arguments.statement
    current_evidence(owner, arguments.replaces, state)
    _require_new_id(owner, arguments.id, state)
    restates = _require_new_digest(owner, said, arguments.replaces, state)
    origin = origin_of(context)
    new = Evidence(said.algorithm, said.digest, origin, context.time_ms, arguments.replaces, restates)
    state.put(EVIDENCE, (owner, arguments.id), new)
    ended = EvidenceEnd(SUPERSEDED, origin, context.time_ms, arguments.id, None)
    state.put(ENDS, (owner, arguments.replaces), ended)
    if restates:
        state.put(LATEST, (said.algorithm, said.digest, owner), EvidenceId(arguments.id))


def _revoke(context: Context, state: State, arguments: RevokeEvidence) -> None:
    owner = _owner_for(context, arguments.owner, MAY_REVOKE, state)
    current_evidence(owner, arguments.id, state)
    ended = EvidenceEnd(REVOKED, origin_of(context), context.time_ms, None, arguments.reason)
    state.put(ENDS, (owner, arguments.id), ended)


def _grant(context: Context, state: State, arguments: GrantRights) -> None:
    if arguments.delegate == context.account:
        raise Refused(BAD_ARGUMENTS, "delegate: an owner needs no grant")
    if arguments.until_ms is not None and arguments.until_ms <= context.time_ms:
        raise Refused(BAD_ARGUMENTS, f"until_ms: not after block time {context.time_ms}")
    state.put(DELEGATIONS, (context.account, arguments.delegate), Delegation(arguments.rights, arguments.until_ms))


def _withdraw(context: Context, state: State, arguments: WithdrawRights) -> None:
    if state.get(DELEGATIONS, (context.account, arguments.delegate)) is None:
        raise Refused(NOT_FOUND, f"account {arguments.delegate.hex()} holds no grant of the sender's")
    state.delete(DELEGATIONS, (context.account, arguments.delegate))


def _of_owner(owner: bytes | None) -> str:
    return "" if owner is None else f" for account {short(owner)}"


def _statement_words(statement: Statement) -> str:
    if statement.algorithm == SHA256:
        what = f"a document of {statement.size} bytes with SHA-256 {statement.digest.hex()}"
    else:
        what = f"a document of {statement.size} salted fields with root {statement.digest.hex()}"
    said = [
        f"{name} {quoted(value)}"
        for name, value in (
            ("media type", statement.media_type),
            ("type", statement.type),
            ("step", statement.step),
            ("reference", statement.reference),
        )
        if value
    ]
    return what + (f" ({', '.join(said)})" if said else "")


def _explain_record(arguments: RecordEvidence, _result: None) -> str:
    where = f"evidence {arguments.id.hex()}{_of_owner(arguments.owner)}"
    return f"Recorded as {where}: {_statement_words(arguments.statement)}."


def _explain_supersede(arguments: SupersedeEvidence, _result: None) -> str:
    why = f", because {quoted(arguments.reason)}" if arguments.reason else ""
    return (
        f"Replaced evidence {arguments.replaces.hex()} by {arguments.id.hex()}{_of_owner(arguments.owner)}{why}: "
        f"{_statement_words(arguments.statement)}."
    )


def _explain_revoke(arguments: RevokeEvidence, _result: None) -> str:
    words = f" ({quoted(arguments.words)})" if arguments.words else ""
    why = f"{REASON_WORDS[arguments.reason]}{words}"
    return f"Revoked evidence {arguments.id.hex()}{_of_owner(arguments.owner)}: {why}."


def _explain_grant(arguments: GrantRights, _result: None) -> str:
    rights = ", ".join(words for right, words in RIGHTS_WORDS.items() if arguments.rights & right)
    until = "" if arguments.until_ms is None else f" until {arguments.until_ms} ms of block time"
    return f"Account {short(arguments.delegate)} may {rights} evidence for the sender{until}."


def _explain_withdraw(arguments: WithdrawRights, _result: None) -> str:
    return f"Account {short(arguments.delegate)} may do nothing more for the sender's evidence."


_NEW_REFUSALS: Final = (FORBIDDEN, ALREADY_EXISTS, ALREADY_RECORDED)
_STATUS_REFUSALS: Final = (NOT_FOUND, EVIDENCE_REVOKED, EVIDENCE_SUPERSEDED)

EVIDENCE_APP: Final[App] = make_app(
    "evidence",
    "Digests of documents and of their salted fields: recorded, superseded, revoked.",
    (EVIDENCE, ENDS, LATEST, DELEGATIONS),
    [
        (
            OperationKind(
                name="record",
                arguments=RecordEvidence,
                result=None,
                words="Record the digest of a document, or the root of its salted fields.",
                apply=_record,
                refusals=_NEW_REFUSALS,
            ),
            _explain_record,
        ),
        (
            OperationKind(
                name="supersede",
                arguments=SupersedeEvidence,
                result=None,
                words="Replace a current record by a new one; each names the other.",
                apply=_supersede,
                refusals=(*_NEW_REFUSALS, *_STATUS_REFUSALS),
            ),
            _explain_supersede,
        ),
        (
            OperationKind(
                name="revoke",
                arguments=RevokeEvidence,
                result=None,
                words="Revoke a current record for good, with a reason.",
                apply=_revoke,
                refusals=(FORBIDDEN, *_STATUS_REFUSALS),
            ),
            _explain_revoke,
        ),
        (
            OperationKind(
                name="grant",
                arguments=GrantRights,
                result=None,
                words="Let another account record, supersede or revoke for the sender.",
                apply=_grant,
                refusals=(BAD_ARGUMENTS,),
            ),
            _explain_grant,
        ),
        (
            OperationKind(
                name="withdraw",
                arguments=WithdrawRights,
                result=None,
                words="Take back what was granted to an account.",
                apply=_withdraw,
                refusals=(NOT_FOUND,),
            ),
            _explain_withdraw,
        ),
    ],
)
