"""Counting: votes become quorums, quorums become certificates, certificates lead on (C-1, C-8, C-9, C-17 to C-19)."""

from __future__ import annotations

from typing import Final

from protocol import limits
from protocol.consensus import views, voting
from protocol.consensus.certificates import signers_of
from protocol.consensus.core import Core
from protocol.consensus.inputs import Effect, Finalized, Notarized, NullifiedView, PersistCertificate, Timer, Verify
from protocol.consensus.statements import CONTEXTS, Certificate, Vote, VoteKind, statement_bytes
from protocol.crypto.signing import signing_message

CHECKS_IN_FLIGHT_MAX: Final = 256
"""Certificates and evidence whose signatures are being checked; past it a certificate is dropped (it comes again)."""
CHECKS_OF_PEER_MAX: Final = 32
"""Of these, certificates of one peer: each is a quorum of signatures, and an honest one sends a few at a time."""


def hold(core: Core, certificate: Certificate, now_ms: int) -> None:
    """Keep a valid certificate, if it is above what is final."""
    if certificate.kind == VoteKind.FINALIZE:
        if certificate.view > core.final_view:
            core.finalization, core.finalized_ms = certificate, now_ms
    elif certificate.view > core.final_view:
        held = core.notarizations if certificate.kind == VoteKind.NOTARIZE else core.nullifications
        held[certificate.view] = certificate


def take(core: Core, vote: Vote, *, verified: bool, now_ms: int) -> list[Effect]:
    """C-18: a vote takes its slot, and may complete a quorum."""
    if not in_reach(core, vote.view):
        return []
    conflict = core.keeper.add(vote, verified=verified)
    effects = [] if conflict is None else suspect(core, conflict, vote)
    kind = VoteKind(vote.kind)
    effects += count(core, vote.view, kind, now_ms)
    if kind is VoteKind.NULLIFY and vote.view == core.view:
        effects += nullify_seen(core, vote, now_ms)
    return effects


def in_reach(core: Core, view: int) -> bool:
    """Whether votes for this view are kept."""
    low = core.view - limits.VIEW_RETENTION
    return view == core.highest_notarized or low <= view <= core.view + limits.VIEW_LOOKAHEAD


def nullify_seen(core: Core, vote: Vote, now_ms: int) -> list[Effect]:
    """C-11: a nullify by the leader fires the timers at once. C-15: one of blocking power is work."""
    del vote
    views.heed_nullifies(core, now_ms)
    return []


def count(core: Core, view: int, kind: VoteKind, now_ms: int) -> list[Effect]:
    """C-8, C-9, C-19: use a quorum of checked votes, or have those of a possible quorum checked."""
    if known(core, view, kind):
        return []
    certificate = core.keeper.certificate(view, kind)
    if certificate is not None:
        return certified(core, certificate, now_ms)
    votes = core.keeper.unchecked(view, kind)
    if not votes:
        return []
    core.keeper.views[view].checking.add(kind)
    job = next_job(core)
    core.vote_checks[job] = (view, kind, tuple(votes))
    return [Verify(job, tuple(item(core, vote) for vote in votes))]


def item(core: Core, vote: Vote) -> tuple[bytes, bytes, bytes]:
    """(public key, message, signature) of a vote."""
    instance = core.instance
    payload = statement_bytes(vote.kind, vote.epoch, vote.view, vote.proposal)
    message = signing_message(CONTEXTS[VoteKind(vote.kind)], instance.network_id, payload)
    return (instance.validators.keys[vote.signer], message, vote.signature)


def next_job(core: Core) -> int:
    """Number of the next check of signatures."""
    core.jobs += 1
    return core.jobs


def known(core: Core, view: int, kind: VoteKind) -> bool:
    """Whether the certificate of this kind and view would be nothing new."""
    if view <= core.final_view:
        return True
    if kind is VoteKind.NOTARIZE:
        return view in core.notarizations
    return kind is VoteKind.NULLIFY and view in core.nullifications


def contradicts(core: Core, certificate: Certificate) -> bool:
    """Whether this would finalize another proposal in the highest final view: a fork, if it is genuine."""
    final = core.finalization
    return (
        final is not None
        and certificate.kind == VoteKind.FINALIZE
        and certificate.view == final.view
        and certificate.proposal != final.proposal
    )


def certified(core: Core, certificate: Certificate, now_ms: int) -> list[Effect]:
    """A valid certificate that was not held: keep it, and go where it leads (C-1, C-8, C-9)."""
    view, proposal = certificate.view, certificate.proposal
    effects: list[Effect] = [PersistCertificate(certificate)]
    core.timers.setdefault(Timer.FORWARD, 0)
    for signer in signers_of(certificate):
        core.activity.signed(signer, view, now_ms)
    effects += _compare(core, certificate)
    hold(core, certificate, now_ms)
    if certificate.kind == VoteKind.FINALIZE:
        assert proposal is not None, "a finalization states a proposal"
        effects.append(Finalized(certificate))
        views.prune(core)
    elif certificate.kind == VoteKind.NOTARIZE:
        assert proposal is not None, "a notarization states a proposal"
        effects.append(Notarized(certificate))
        effects += voting.finalize(core, proposal)
    else:
        effects.append(NullifiedView(certificate))
    if view >= core.view:
        return effects + views.enter(core, view + 1, certificate, now_ms)
    return effects + voting.look_again(core) + voting.lead(core, now_ms)


def _compare(core: Core, certificate: Certificate) -> list[Effect]:
    """C-17: a vote inside a certificate may contradict one that came here: where each node was told one thing."""
    effects: list[Effect] = []
    statement = (certificate.kind, certificate.epoch, certificate.view, certificate.proposal)
    for signer, signature in zip(signers_of(certificate), certificate.signatures, strict=True):
        conflict = core.keeper.conflict_of(certificate, signer)
        if conflict is not None and signer != core.me:
            effects += suspect(core, conflict, Vote(*statement, signer, signature))
    return effects


def suspect(core: Core, first: Vote, second: Vote) -> list[Effect]:
    """C-17: two statements that may be evidence: check both signatures."""
    checking = {(one.signer, one.view) for one, _ in core.evidence_checks.values()}
    if len(checking) >= CHECKS_IN_FLIGHT_MAX or (first.signer, first.view) in checking:
        return []
    job = next_job(core)
    core.evidence_checks[job] = (first, second)
    return [Verify(job, (item(core, first), item(core, second)))]
