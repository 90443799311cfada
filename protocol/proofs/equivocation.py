"""Proof that one validator signed two statements of which C-10 lets an honest one sign one (C-17): kind 25.

    Equivocation(network_id, first, second, closed)

Two votes of one view by one place of the epoch's validator set, the lesser encoding first, so that one pair has one
record whoever found it and in whatever order. `closed` is the chain of ended epochs that leads from genesis to the set
(as in every proof, records.py); it is empty for the first epoch. So genesis alone, with these bytes, shows whose key it
was and that both signatures are that key's.

**What is forbidden**: two different notarizes of a view, two different finalizes of a view, a nullify and a finalize of
a view. Two equal statements, a notarize and a nullify, a notarize of one proposal and a finalize of another prove
nothing: an honest validator may be seen with the first two, and the third is another rule's affair.

Deliberately absent: why it happened. A validator that ran twice, or was restored from an old copy, looks the same as a
dishonest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from protocol import limits
from protocol.codec import Hash, Items, decode, encode, record
from protocol.consensus.certificates import statement_well_formed
from protocol.consensus.statements import CONTEXTS, Vote, VoteKind, statement_bytes
from protocol.crypto.signing import signing_message, verify_message
from protocol.errors import (
    PROOF_BAD_VOTE,
    PROOF_MALFORMED,
    PROOF_NO_CONFLICT,
    PROOF_WRONG_NETWORK,
    PROOF_WRONG_VALIDATORS,
    Malformed,
)
from protocol.ledger.genesis import Genesis, network_id
from protocol.proofs.finality import ProofRefused, walk_epochs
from protocol.proofs.records import ClosedEpoch


@record(kind=25, bytes_max=limits.PROOF_BYTES_MAX)
class Equivocation:
    """See the essay. The votes name their epoch, view, and the signer's place in that epoch's set."""

    network_id: Hash
    first: Vote
    second: Vote
    closed: Annotated[tuple[ClosedEpoch, ...], Items(0, limits.PROOF_EPOCHS_MAX)]


class VerifiedEquivocation(NamedTuple):
    """What was proven. member: the validator's, None of a key that genesis does not know. power: of `total_power`."""

    network: str
    network_id: bytes
    voting_key: bytes
    member: str | None
    power: int
    total_power: int
    first: Vote
    second: Vote


def equivocation(network: bytes, first: Vote, second: Vote, closed: Sequence[ClosedEpoch] = ()) -> bytes:
    """The encoded record of two votes, given in any order."""
    one, two = sorted((first, second), key=encode)
    return encode(Equivocation(network, one, two, tuple(closed)))


def verify_equivocation(genesis: Genesis, data: bytes) -> VerifiedEquivocation:
    """What the encoded record in `data` proves on the network of `genesis`. Raises ProofRefused."""
    network = network_id(genesis)
    try:
        found = decode(Equivocation, data)
    except Malformed as fault:
        raise ProofRefused(PROOF_MALFORMED, fault.words) from fault
    if found.network_id != network:
        words = f"it is of network {found.network_id.hex()}, the genesis given is of {network.hex()}"
        raise ProofRefused(PROOF_WRONG_NETWORK, words)
    _check_pair(found)
    epoch, validators, _, _ = walk_epochs(genesis, found.closed)
    if found.first.epoch != epoch:
        words = f"the votes are of epoch {found.first.epoch}, the chain in the record leads to epoch {epoch}"
        raise ProofRefused(PROOF_WRONG_VALIDATORS, words)
    entries = validators.validators
    if found.first.signer >= len(entries):
        raise ProofRefused(PROOF_BAD_VOTE, f"validator {found.first.signer} of {len(entries)} is none")
    entry = entries[found.first.signer]
    for name, vote in (("first", found.first), ("second", found.second)):
        payload = statement_bytes(vote.kind, vote.epoch, vote.view, vote.proposal)
        message = signing_message(CONTEXTS[VoteKind(vote.kind)], network, payload)
        if not verify_message(entry.voting_key, message, vote.signature):
            words = f"the {name} vote's signature is not by validator {entry.voting_key.hex()}"
            raise ProofRefused(PROOF_BAD_VOTE, words)
    member = next((v.member for v in genesis.validators if v.voting_key == entry.voting_key), None)
    total = sum(one.power for one in entries)
    return VerifiedEquivocation(
        genesis.name, network, entry.voting_key, member, entry.power, total, found.first, found.second
    )


def forbidden(first: Vote, second: Vote) -> str:
    """What C-10 says of two well-formed votes of one signer and view, in words; empty if it forbids nothing."""
    kinds = {first.kind, second.kind}
    if kinds == {VoteKind.NULLIFY, VoteKind.FINALIZE}:
        return "a nullify and a finalize of one view"
    if len(kinds) == 1 and first.proposal != second.proposal:
        return f"two different {VoteKind(first.kind).name.lower()}s of one view"
    return ""


def explain_equivocation(verified: VerifiedEquivocation) -> str:
    """Some lines of text for a person."""
    first, second = verified.first, verified.second
    who = f"member {verified.member}" if verified.member is not None else "a member that genesis does not name"
    lines = [
        f"EQUIVOCATION: the validator of {who} signed {forbidden(first, second)}, which no honest node does (C-10).",
        f"  Epoch {first.epoch}, view {first.view}.",
        f"  Voting key {verified.voting_key.hex()}, power {verified.power} of {verified.total_power}.",
    ]
    lines += [f"  It signed: {_statement(vote)}" for vote in (first, second)]
    lines.append("  A node that runs twice, or from an old copy of its disk, does this as well as a dishonest one.")
    lines.append(f"Network: {verified.network}, id {verified.network_id.hex()}. Nothing else had to be trusted.")
    return "\n".join(lines)


def _statement(vote: Vote) -> str:
    name = VoteKind(vote.kind).name.lower()
    if vote.proposal is None:
        return f"{name} view {vote.view}"
    return f"{name} {vote.proposal.payload.hex()} on view {vote.proposal.parent_view}"


def _check_pair(found: Equivocation) -> None:
    """Form and order of the two votes, and that they exclude each other."""
    first, second = found.first, found.second
    for name, vote in (("first", first), ("second", second)):
        if not statement_well_formed(vote.kind, vote.epoch, vote.view, vote.proposal):
            raise ProofRefused(PROOF_MALFORMED, f"{name}: it states no proposal of its view")
    if encode(first) >= encode(second):
        raise ProofRefused(PROOF_MALFORMED, "the votes do not ascend by their bytes")
    if (first.epoch, first.view, first.signer) != (second.epoch, second.view, second.signer):
        raise ProofRefused(PROOF_NO_CONFLICT, "the votes are not by one validator in one view")
    if not forbidden(first, second):
        raise ProofRefused(PROOF_NO_CONFLICT, "an honest validator may have signed both")
