"""One report, verified by itself: its signature, the chain of epochs from genesis, every certificate and vote (R-3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from protocol.codec import decode
from protocol.consensus.certificates import verify_certificate
from protocol.consensus.statements import CONTEXTS, VoteKind, statement_bytes
from protocol.crypto.contexts import Context
from protocol.crypto.signing import signing_message, verify_message
from protocol.errors import (
    RESTART_BAD_REPORT,
    Malformed,
    OperatorFault,
    PapilioError,
)
from protocol.ledger.genesis import (
    Genesis,
    ValidatorSet,
    check_validator_set,
    network_id,
)
from protocol.ledger.records import Header, header_hash
from protocol.proofs.finality import ProofRefused, verify_finality, voters_of, walk_epochs
from protocol.proofs.records import Finality
from protocol.restart.records import RestartReport, SignedReport


class RestartRefused(PapilioError):
    """A restart cannot be made of this, or is not what it claims; the code says in which respect."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words, code=code)


class Base(NamedTuple):
    """A block that a report proves final: hash, header, and the view that it was finalized in (0: it closed an
    epoch)."""

    hash: bytes
    header: Header
    view: int


@dataclass(frozen=True, slots=True)
class OpenedReport:
    """A report whose signatures are good. `closing`: hashes of its closing headers. epoch, validators: the present."""

    report: RestartReport
    epoch: int
    validators: ValidatorSet
    closing: tuple[bytes, ...]
    base: Base | None
    headers: Mapping[bytes, Header]


def open_report(genesis: Genesis, data: bytes) -> OpenedReport:
    """The verified report in the encoded `SignedReport`. Raises RestartRefused(restart_bad_report)."""
    network = network_id(genesis)
    try:
        signed = decode(SignedReport, data)
        report = decode(RestartReport, signed.report)
        headers = {header_hash(header): header for header in (decode(Header, one) for one in report.headers)}
    except Malformed as fault:
        raise RestartRefused(RESTART_BAD_REPORT, fault.words) from fault
    name = f"the report of {report.voting_key.hex()}"
    if report.network_id != network:
        raise RestartRefused(RESTART_BAD_REPORT, f"{name} is of network {report.network_id.hex()}")
    message = signing_message(Context.REPORT, network, signed.report)
    if not verify_message(report.voting_key, message, signed.signature):
        raise RestartRefused(RESTART_BAD_REPORT, f"{name} is not signed by that key")
    try:
        opened = _open_chain(genesis, report, headers)
        for validators in report.coming:
            check_validator_set(validators)
    except (ProofRefused, OperatorFault, Malformed) as fault:
        raise RestartRefused(RESTART_BAD_REPORT, f"{name}: {fault.words}") from fault
    words = _wrong_statements(network, opened)
    if words:
        raise RestartRefused(RESTART_BAD_REPORT, f"{name}: {words}")
    return opened


def _open_chain(genesis: Genesis, report: RestartReport, headers: Mapping[bytes, Header]) -> OpenedReport:
    epoch, validators, _, closing = walk_epochs(genesis, report.closed)
    base = None
    if report.final is not None:
        finality = Finality(report.final.header, report.final.finalization, report.closed, None)
        final = verify_finality(genesis, finality)
        base = Base(final.hash, final.header, report.final.finalization.view)
    elif report.closed:
        base = Base(closing[-1], decode(Header, report.closed[-1].header), 0)
    return OpenedReport(report, epoch, validators, tuple(closing), base, headers)


def _wrong_statements(network: bytes, opened: OpenedReport) -> str:
    """Of certificates and votes: all have to be of the present epoch, in form, and signed."""
    report, voters = opened.report, voters_of(opened.validators)
    for certificate in report.certificates:
        if certificate.kind == VoteKind.NULLIFY:
            return "a nullification has no place in it"
        if not verify_certificate(network, voters, certificate, opened.epoch):
            return f"a certificate of view {certificate.view} does not verify"
    place = voters.index_of(report.voting_key)
    for vote in report.votes:
        if vote.signer != place or vote.epoch != opened.epoch or vote.proposal is None:
            return "a vote that is not its own, or states no proposal of the epoch"
        if (vote.proposal.epoch, vote.proposal.view) != (vote.epoch, vote.view) or vote.kind == VoteKind.NULLIFY:
            return f"a vote of view {vote.view} that is not well formed"
        payload = statement_bytes(vote.kind, vote.epoch, vote.view, vote.proposal)
        message = signing_message(CONTEXTS[VoteKind(vote.kind)], network, payload)
        if not verify_message(report.voting_key, message, vote.signature):
            return f"a vote of view {vote.view} is not signed by it"
    return ""
