"""Certificates and votes from outside: their form, and what has to be checked of them.

Strict by intention: one statement and one set of signers has one encoding. The bitmap has exactly
`ceil(n/8)` bytes, spare bits are zero, there are as many signatures as bits, and the signers' power is a
quorum. Whoever verifies a proof years later uses the same functions.
"""

from __future__ import annotations

from protocol.consensus.statements import CONTEXTS, Certificate, Proposal, Vote, VoteKind, statement_bytes
from protocol.consensus.validators import Validators
from protocol.crypto.signing import signing_message, verify_message


def statement_well_formed(kind: int, epoch: int, view: int, proposal: Proposal | None) -> bool:
    """Whether a vote's or certificate's parts state one thing: a nullify no proposal, the others one of this view."""
    if kind == VoteKind.NULLIFY:
        return proposal is None
    return (
        proposal is not None
        and proposal.epoch == epoch
        and proposal.view == view
        and proposal.parent_view < proposal.view
    )


def vote_well_formed(validators: Validators, vote: Vote, epoch: int) -> bool:
    """Form of a vote for this epoch and set; its signature is not checked."""
    known = vote.signer < len(validators.keys) and vote.epoch == epoch
    return known and statement_well_formed(vote.kind, vote.epoch, vote.view, vote.proposal)


def signers_of(certificate: Certificate) -> list[int]:
    """Indices of the signers, ascending."""
    bits = int.from_bytes(certificate.signers, "little")
    return [index for index in range(bits.bit_length()) if bits >> index & 1]


def well_formed(validators: Validators, certificate: Certificate, epoch: int) -> bool:
    """Form and power of a certificate for this epoch and set; its signatures are not checked."""
    count = len(validators.keys)
    signers = signers_of(certificate)
    return (
        certificate.epoch == epoch
        and statement_well_formed(certificate.kind, certificate.epoch, certificate.view, certificate.proposal)
        and len(certificate.signers) == (count + 7) // 8
        and all(index < count for index in signers)
        and len(signers) == len(certificate.signatures)
        and sum(validators.powers[index] for index in signers) >= validators.quorum
    )


def certificate_items(
    network_id: bytes, validators: Validators, certificate: Certificate
) -> tuple[tuple[bytes, bytes, bytes], ...]:
    """(public key, message, signature) of each signer of a well-formed certificate."""
    payload = statement_bytes(certificate.kind, certificate.epoch, certificate.view, certificate.proposal)
    message = signing_message(CONTEXTS[VoteKind(certificate.kind)], network_id, payload)
    pairs = zip(signers_of(certificate), certificate.signatures, strict=True)
    return tuple((validators.keys[index], message, signature) for index, signature in pairs)


def verify_certificate(network_id: bytes, validators: Validators, certificate: Certificate, epoch: int) -> bool:
    """Whether a certificate is well formed for this epoch and set, and every signature in it good."""
    if not well_formed(validators, certificate, epoch):
        return False
    return all(verify_message(*item) for item in certificate_items(network_id, validators, certificate))
