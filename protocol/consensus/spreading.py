"""Getting certificates and votes to those who need them (C-12, C-20).

On a quiet network everyone makes every certificate from votes, and none needs to be sent. So a new
certificate waits `forward_ms` (a quarter of Δ) for a peer to show that it has it: by voting in a later
view, by sending it, by saying how far it is. Then it is sent. A finalization, which no vote shows and nobody waits
for, is sent to who says that it lacks it. Everything that could have been lost is sent
again each retry interval until it is shown or moot.
"""

from __future__ import annotations

from protocol import limits
from protocol.consensus.core import Core, PeerView
from protocol.consensus.inputs import Effect, SendCertificate, SendProposal, SendRequest, SendVote, Timer
from protocol.consensus.statements import Certificate, Vote, VoteKind


def entry(core: Core) -> Certificate | None:
    """The best certificate for entering the current view: the highest finalization, else the view below's."""
    if core.finalization is not None and core.finalization.view >= core.view - 1:
        return core.finalization
    held = core.held(core.view - 1)
    return held[0] if held else core.entered_by


def needed_by(core: Core, peer: PeerView, now_ms: int) -> list[Certificate]:
    """Certificates that a peer has not shown: for entering this view, the highest notarized, the highest final one."""
    wanted: list[Certificate] = []
    if core.finalization is not None and _lacks_finalization(core, peer, now_ms):
        wanted.append(core.finalization)
    top = core.notarizations.get(core.highest_notarized)
    if top is not None and top.view > core.final_view and peer.notarized < top.view:
        wanted.append(top)
    best = entry(core)
    if best is not None and peer.view < core.view and best not in wanted:
        wanted.append(best)
    return wanted


def _lacks_finalization(core: Core, peer: PeerView, now_ms: int) -> bool:
    """Whether a peer has said that it lacks a finalization that came here a moment ago or earlier; or says nothing.

    No vote shows that its signer has a finalization, and no progress waits for one: so what a peer says of itself is
    waited for. Otherwise everyone would send each finalization to everyone. Where the next finalization always comes
    before that moment is over, what was final here at its word before counts (`PeerView.due_view`).
    """
    if peer.final_view >= core.final_view:
        return False
    silent = now_ms - peer.said_ms > core.tempo.retry_interval_ms
    return silent or peer.lacks


def forward(core: Core, now_ms: int) -> list[Effect]:
    """C-12: send each peer what it has not shown, each certificate once in a retry interval and connection."""
    recipients: dict[Certificate, list[bytes]] = {}
    for name, peer in core.peers.items():
        for certificate in needed_by(core, peer, now_ms):
            mark = (certificate.kind, certificate.view)
            sent = peer.sent.get(mark)
            if sent is None or now_ms - sent >= core.tempo.retry_interval_ms:
                peer.sent[mark] = now_ms
                peer.lacks = peer.lacks and certificate is not core.finalization
                recipients.setdefault(certificate, []).append(name)
    return [SendCertificate(certificate, tuple(names)) for certificate, names in recipients.items()]


def unfinished(core: Core) -> bool:
    """Whether something may have to be sent or asked for again.

    That is: our nullify of this view, our finalize of the highest notarized one, a certificate that is missing.
    """
    if core.has_signed(core.view).nullified is not None:
        return True
    return core.highest_notarized > core.final_view or bool(_missing(core))


def own_to_repeat(core: Core) -> list[Vote]:
    """Own votes that others may still need (L-24): of the current view, and the finalize of the highest notarized one.

    Votes of views between add nothing: who left a view holds, durably, the certificate that ended it.
    """
    votes = core.has_signed(core.view).votes()
    top = core.highest_notarized
    if top > core.final_view and top != core.view:
        finalized = core.has_signed(top).finalized
        if finalized is not None:
            votes.append(finalized)
    return votes


def retry(core: Core, now_ms: int) -> list[Effect]:
    """C-12: what is sent again each retry interval."""
    effects: list[Effect] = []
    own = core.has_signed(core.view)
    if own.nullified is not None:
        effects.append(SendVote(own.nullified, None))
    top = core.highest_notarized
    finalized = core.has_signed(top).finalized
    if top > core.final_view and finalized is not None:
        effects.append(SendVote(finalized, None))
    effects.extend(forward(core, now_ms))
    missing = _missing(core)
    if missing and core.peers:
        effects.append(SendRequest(tuple(missing[: limits.CERTIFICATES_REQUESTED_MAX]), tuple(core.peers)))
    for peer in core.peers.values():
        peer.answers = 0
        for mark in [mark for mark in peer.sent if mark[1] < core.final_view]:
            del peer.sent[mark]
    return effects


def _missing(core: Core) -> list[int]:
    if core.leading:
        return core.parent_to_lead()[1]
    if core.proposal is not None and core.proposal.view == core.view and not core.hopeless(core.proposal):
        return core.lacks(core.proposal)
    return []


def greet(core: Core, name: bytes) -> list[Effect]:
    """A channel stands: what was sent while it did not stand is sent now."""
    effects: list[Effect] = []
    proposal = core.has_signed(core.view).proposal
    notarized = core.has_signed(core.view).notarized
    if proposal is not None and notarized is not None:
        effects.append(SendProposal(proposal, notarized.signature, (name,)))
    effects.extend(SendVote(vote, (name,)) for vote in own_to_repeat(core))
    core.timers.setdefault(Timer.FORWARD, 0)
    return effects


def answer(core: Core, views: tuple[int, ...], name: bytes) -> list[Effect]:
    """C-20: certificates asked for; a bounded number of answers each retry interval."""
    peer = core.peers.get(name)
    if peer is None or peer.answers >= limits.CERTIFICATES_REQUESTED_MAX * 2:
        return []
    effects: list[Effect] = []
    if core.finalization is not None and any(view <= core.final_view for view in views):
        effects.append(SendCertificate(core.finalization, (name,)))
    for view in views:
        if view > core.final_view:
            effects.extend(SendCertificate(certificate, (name,)) for certificate in core.held(view))
    peer.answers += 1 + len(effects)
    return effects


def note_vote(core: Core, vote: Vote) -> bool:
    """What a vote shows of its signer's peer. Returns whether the peer seems to be behind."""
    name = core.peer_of(vote.signer)
    if name is None:
        return False
    peer = core.peers[name]
    if vote.kind == VoteKind.FINALIZE:
        peer.view = max(peer.view, vote.view + 1)
        peer.notarized = max(peer.notarized, vote.view)
    else:
        peer.view = max(peer.view, vote.view)
    return vote.view < core.view


def note_certificate(core: Core, certificate: Certificate, name: bytes | None) -> None:
    """What a certificate shows of the peer that sent it."""
    peer = core.peers.get(name) if name is not None else None
    if peer is None:
        return
    peer.view = max(peer.view, certificate.view + 1)
    if certificate.kind == VoteKind.NOTARIZE:
        peer.notarized = max(peer.notarized, certificate.view)
    if certificate.kind == VoteKind.FINALIZE:
        peer.final_view = max(peer.final_view, certificate.view)
