"""That a header is final: from genesis over the closing headers of ended epochs to its own certificate (C-22, L-21).

A certificate counts for exactly one header: its statement has to be *finalize*, of the header's epoch, and its
payload the header's hash. A header that became final only because a descendant did has no certificate of its
own; a proof uses the later header then. Power is summed over the distinct signers of the bitmap, the quorum
follows from the set that the chain leads to, and every signature is verified, also those beyond the quorum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from protocol.codec import decode
from protocol.consensus.certificates import (
    certificate_items,
    signers_of,
    statement_well_formed,
    well_formed,
)
from protocol.consensus.statements import Certificate, VoteKind
from protocol.consensus.validators import Validators
from protocol.crypto.signing import verify_message
from protocol.errors import (
    PROOF_BAD_CERTIFICATE,
    PROOF_BAD_CHAIN,
    PROOF_BAD_SIGNATURE,
    PROOF_MALFORMED,
    PROOF_NO_QUORUM,
    PROOF_WRONG_PIN,
    PROOF_WRONG_STATEMENT,
    PROOF_WRONG_VALIDATORS,
    Malformed,
    OperatorFault,
    PapilioError,
)
from protocol.ledger.closings import closes
from protocol.ledger.genesis import (
    FIRST_EPOCH,
    Genesis,
    ValidatorSet,
    check_validator_set,
    network_id,
    validator_set,
    validators_hash,
)
from protocol.ledger.records import Header, header_hash
from protocol.proofs.records import ClosedEpoch, Finality


class ProofRefused(PapilioError):
    """A proof does not prove what it claims; the code says in which respect."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words, code=code)


class FinalHeader(NamedTuple):
    """A header that was verified to be final, and by how much.

    signers: how many validators signed, of `validators`. power: theirs, of `total_power`, at least `quorum_power`.
    """

    header: Header
    hash: bytes
    signers: int
    validators: int
    power: int
    quorum_power: int
    total_power: int


def verify_finality(genesis: Genesis, finality: Finality, pinned: bytes | None = None) -> FinalHeader:
    """The header that `finality` proves final on the network of `genesis`.

    pinned: hash of a closing header that the verifier insists on, or None. Raises ProofRefused.
    """
    epoch, validators, height, closing = walk_epochs(genesis, finality.closed)
    for pin in (finality.pinned, pinned):
        if pin is not None and pin not in closing:
            raise ProofRefused(PROOF_WRONG_PIN, f"no ended epoch in the proof was closed by header {pin.hex()}")
    return verify_header(network_id(genesis), epoch, validators, finality.header, finality.finalization, height)


def walk_epochs(genesis: Genesis, closed: Sequence[ClosedEpoch]) -> tuple[int, ValidatorSet, int, list[bytes]]:
    """Where a chain of ended epochs leads from genesis (C-22). Raises ProofRefused.

    Gives the epoch after the last of them, its set, and of the closing headers the last one's height (0 without any)
    and all hashes.
    """
    network, epoch, validators = network_id(genesis), FIRST_EPOCH, validator_set(genesis)
    closing: list[bytes] = []
    height = 0
    for ended in closed:
        header, hashed = verify_closed(network, epoch, validators, ended, height)
        closing.append(hashed)
        epoch, validators, height = epoch + 1, ended.validators, header.height
    return epoch, validators, height, closing


def voters_of(validators: ValidatorSet) -> Validators:
    """A set as certificates are judged by it."""
    entries = validators.validators
    return Validators(tuple(entry.voting_key for entry in entries), tuple(entry.power for entry in entries))


def check_certificate(network: bytes, validators: Validators, certificate: Certificate, header: Header) -> int:
    """The signers' power, if the certificate finalizes exactly this header. Raises ProofRefused."""
    _check_statement(certificate, header)
    count, signers = len(validators.keys), signers_of(certificate)
    if len(certificate.signers) != (count + 7) // 8 or any(index >= count for index in signers):
        raise ProofRefused(PROOF_BAD_CERTIFICATE, f"the bitmap of signers is not one of {count} validators")
    if len(signers) != len(certificate.signatures):
        words = f"{len(certificate.signatures)} signatures by {len(signers)} distinct signers"
        raise ProofRefused(PROOF_BAD_CERTIFICATE, words)
    power = sum(validators.powers[index] for index in signers)
    if power < validators.quorum:
        words = f"the signers have power {power}, a quorum is {validators.quorum} of {validators.total}"
        raise ProofRefused(PROOF_NO_QUORUM, words)
    assert well_formed(validators, certificate, header.epoch), "both rooms judge the form alike"
    for public, message, signature in certificate_items(network, validators, certificate):
        if not verify_message(public, message, signature):
            raise ProofRefused(PROOF_BAD_SIGNATURE, f"the signature of validator {public.hex()} is bad")
    return power


def _check_statement(certificate: Certificate, header: Header) -> None:
    if certificate.kind != VoteKind.FINALIZE:
        name = VoteKind(certificate.kind).name.lower()
        raise ProofRefused(PROOF_WRONG_STATEMENT, f"the certificate is of {name} votes, which make nothing final")
    proposal = certificate.proposal
    whole = statement_well_formed(certificate.kind, certificate.epoch, certificate.view, proposal)
    if proposal is None or not whole:
        raise ProofRefused(PROOF_WRONG_STATEMENT, "the certificate does not state one proposal of one view")
    if certificate.epoch != header.epoch:
        words = f"the certificate is of epoch {certificate.epoch}, the header of {header.epoch}"
        raise ProofRefused(PROOF_WRONG_STATEMENT, words)
    if proposal.payload != header_hash(header):
        raise ProofRefused(PROOF_WRONG_STATEMENT, "the certificate is of another header")


def verify_header(
    network: bytes, epoch: int, validators: ValidatorSet, data: bytes, finalization: Certificate, above_height: int
) -> FinalHeader:
    """The header, if this finalization makes it final in this epoch, above this height. Raises ProofRefused."""
    try:
        header = decode(Header, data)
    except Malformed as fault:
        raise ProofRefused(PROOF_MALFORMED, f"header: {fault.words}") from fault
    if header.epoch != epoch or header.validators_hash != validators_hash(validators):
        raise ProofRefused(PROOF_WRONG_VALIDATORS, f"the header is not by the validators of epoch {epoch}")
    if header.height <= above_height or header.executed.height >= header.height:
        raise ProofRefused(PROOF_BAD_CHAIN, f"the header's height {header.height} does not fit")
    entries = validators.validators
    voters = voters_of(validators)
    power = check_certificate(network, voters, finalization, header)
    signers = len(finalization.signatures)
    return FinalHeader(header, header_hash(header), signers, len(entries), power, voters.quorum, voters.total)


def verify_closed(
    network: bytes, epoch: int, validators: ValidatorSet, closed: ClosedEpoch, above_height: int
) -> tuple[Header, bytes]:
    """The closing header of an epoch of this set, and its hash (C-22). Raises ProofRefused."""
    final = verify_header(network, epoch, validators, closed.header, closed.finalization, above_height)
    header = final.header
    if not closes(header):
        raise ProofRefused(PROOF_BAD_CHAIN, f"header {header.height} closes no epoch: it names no new validators")
    if header.next_validators_hash != validators_hash(closed.validators):
        raise ProofRefused(PROOF_BAD_CHAIN, f"closing header {header.height} names another set than the proof holds")
    try:
        check_validator_set(closed.validators)
    except OperatorFault as fault:
        raise ProofRefused(PROOF_BAD_CHAIN, fault.words) from fault
    return header, final.hash
