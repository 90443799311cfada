"""Leading and voting in the current view (C-3 to C-11).

Every signature of this validator is made here, in `_sign`, behind the one guard that C-10 is: whoever
looks for how a double vote is impossible reads `permits`. What is signed becomes durable, is sent, and
counts here only when `VoteDurable` brings it back.
"""

from __future__ import annotations

from protocol.consensus.core import Core, Own, Phase
from protocol.consensus.inputs import (
    Build,
    Effect,
    Judge,
    PersistProposal,
    PersistVote,
    SendProposal,
    SendRequest,
    SendVote,
    Timer,
)
from protocol.consensus.statements import CONTEXTS, Proposal, Vote, VoteKind, statement_bytes
from protocol.errors import BrokenInvariant


def permits(own: Own, kind: VoteKind, proposal: Proposal | None) -> bool:
    """C-7, C-10: whether a vote of this kind may follow what was signed in the view."""
    if kind is VoteKind.NULLIFY:
        return own.nullified is None and own.finalized is None
    if kind is VoteKind.FINALIZE:
        return own.nullified is None and own.finalized is None
    return own.notarized is None and own.nullified is None and own.finalized is None and proposal is not None


def _sign(core: Core, kind: VoteKind, view: int, proposal: Proposal | None) -> Vote:
    """Sign one statement and remember it. The caller has asked `permits` and `may_sign`."""
    own = core.own_of(view)
    if not permits(own, kind, proposal) or not core.may_sign(view) or core.key is None or core.me is None:
        raise BrokenInvariant(f"C-10: a {kind.name.lower()} in view {view} would conflict with an earlier vote")
    epoch = core.instance.epoch
    payload = statement_bytes(kind, epoch, view, proposal)
    signature = core.key.sign(CONTEXTS[kind], core.instance.network_id, payload)
    vote = Vote(int(kind), epoch, view, proposal, core.me, signature)
    if kind is VoteKind.NOTARIZE:
        own.notarized = vote
    elif kind is VoteKind.NULLIFY:
        own.nullified = vote
    else:
        own.finalized = vote
    return vote


def _cast(core: Core, kind: VoteKind, view: int, proposal: Proposal | None) -> list[Effect]:
    vote = _sign(core, kind, view, proposal)
    return [PersistVote(vote), SendVote(vote, None)]


def finalize(core: Core, proposal: Proposal) -> list[Effect]:
    """C-8: finalize a notarized view unless it was nullified here or its leader was seen to equivocate in it."""
    view = proposal.view
    if not core.may_sign(view) or view in core.equivocated:
        return []
    if not permits(core.has_signed(view), VoteKind.FINALIZE, proposal):
        return []
    return _cast(core, VoteKind.FINALIZE, view, proposal)


def nullify(core: Core) -> list[Effect]:
    """C-11: nullify the current view, also after a notarize, never after a finalize."""
    if not core.may_sign(core.view) or not permits(core.has_signed(core.view), VoteKind.NULLIFY, None):
        return []
    core.phase = Phase.NULLIFIED
    core.judging = False
    for timer in (Timer.LEADER, Timer.VIEW, Timer.IDLE):
        core.timers.pop(timer, None)
    return _cast(core, VoteKind.NULLIFY, core.view, None)


def lead(core: Core, now_ms: int) -> list[Effect]:
    """C-4, C-15: ask for a payload if this validator leads, has a parent, and it is time."""
    if not core.leading or core.phase is not Phase.WAIT or not core.may_sign(core.view):
        return []
    if core.has_signed(core.view).votes():
        return []
    parent, missing = core.parent_to_lead()
    if parent is None:
        return request(core, missing)
    due_ms = _due_to_lead_ms(core)
    if now_ms < due_ms:
        core.timers[Timer.IDLE] = due_ms
        return []
    payload = core.payload_at(parent)
    assert payload is not None, "parent_to_lead names a view whose payload is held"
    core.phase = Phase.BUILD
    core.timers.pop(Timer.IDLE, None)
    return [Build(core.view, parent, payload)]


def _due_to_lead_ms(core: Core) -> int:
    """C-15: with work a moment after the last proposal, without when the view was idle long enough."""
    pace_ms = core.tempo.pace_ms(core.round_ms, core.execution_ms)
    paced = 0 if core.offered_ms is None else core.offered_ms + pace_ms
    return paced if core.work else max(paced, core.entered_ms + core.tempo.idle_interval_ms)


def propose(core: Core, parent_view: int, payload: bytes, now_ms: int) -> list[Effect]:
    """C-5: the application's payload becomes this view's proposal, durable before it is sent.

    A higher parent that has become known since the payload was built is no objection (C-6); one that is
    final above it is: then the leader starts again.
    """
    if parent_view < core.final_view or not core.may_sign(core.view):
        core.phase = Phase.WAIT
        return []
    proposal = Proposal(core.instance.epoch, core.view, parent_view, payload)
    vote = _sign(core, VoteKind.NOTARIZE, core.view, proposal)
    core.own_of(core.view).proposal = proposal
    core.proposal, core.offered_ms = proposal, now_ms
    core.phase = Phase.VOTED
    core.timers.pop(Timer.LEADER, None)
    return [PersistProposal(proposal, vote), SendProposal(proposal, vote.signature, None)]


def take_proposal(core: Core, proposal: Proposal, now_ms: int) -> list[Effect]:
    """C-6: the first proposal of the current view's leader is in hand."""
    core.proposal, core.offered_ms = proposal, now_ms
    core.phase = Phase.JUDGE
    core.judging = False
    core.timers.pop(Timer.LEADER, None)
    return look_again(core)


def look_again(core: Core) -> list[Effect]:
    """C-6: ask the application once the proposal's certificates are here; ask peers for what is missing."""
    proposal = core.proposal
    if core.phase is not Phase.JUDGE or proposal is None or core.judging:
        return []
    if core.hopeless(proposal):
        return nullify(core)
    missing = core.lacks(proposal)
    if missing:
        return request(core, missing)
    parent_payload = core.payload_at(proposal.parent_view)
    assert parent_payload is not None, "nothing is missing"
    core.judging = True
    return [Judge(proposal, parent_payload)]


def notarize(core: Core, proposal: Proposal) -> list[Effect]:
    """The application found the payload valid."""
    if not core.may_sign(core.view) or not permits(core.has_signed(core.view), VoteKind.NOTARIZE, proposal):
        return []
    core.phase = Phase.VOTED
    core.judging = False
    return _cast(core, VoteKind.NOTARIZE, core.view, proposal)


def request(core: Core, views: list[int]) -> list[Effect]:
    """Ask for certificates: the leader first if it has a channel, everyone at the retry interval."""
    if not views:
        return []
    peer = core.peer_of(core.leader) if not core.leading else None
    others = tuple(core.peers)
    to = (peer,) if peer is not None else others[:2]
    return [SendRequest(tuple(views), to)] if to else []
