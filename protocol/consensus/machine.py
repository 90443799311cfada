"""The consensus machine: one table from (phase of the view, input) to a handler.

What it is: Simplex (Chan and Pass, ePrint 2023/463) with three separate votes. The numbered rules stand in
SPECIFICATION.md beside this file; code cites them. It orders opaque payloads; it knows no blocks.

How to read it: `TRANSITIONS` is the dispatcher and the documentation at once. A pair that is not in it is
refused: the state stays deep-equal and nothing is said. `voting.py` holds what is signed, `counting.py` how
quorums become certificates and where these lead, `views.py` how a view begins, `spreading.py` what is sent
again, `votes.py` the slots, `pace.py` how long is waited, `core.py` the state.

Properties, with the reason of each:
* Agreement. Two quorums share an honest validator; C-10 lets it sign only one of nullify and finalize in a
  view, and C-7 one notarize; so nothing can be notarized above a final view that does not descend from it.
* Durability. Every own statement is in a Persist effect before the Send in the same list, and counts here
  only when it comes back as `VoteDurable`.
* Liveness. Every view ends: by a notarization, or because every honest timer fires and C-12 carries the
  certificate to the last one.

Where it differs from the paper: three votes in place of a dummy block; certificates go to peers only when
not shown in time; leaders without a sign of life are not waited for; idle networks wait for work. Where
from the specification's letter: timers are state that the caller reads (`wake_at_ms`), not effects; a
certificate is forwarded after a quarter of Δ unless shown.

Deliberately absent: epochs after this one (a new epoch is a new machine, `protocol.node.epochs`), clocks, I/O,
randomness; the conversation of C-24 (`protocol.node.memory`), of which only the vote floor and what is not remembered
stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from protocol.consensus import counting, spreading, views, voting
from protocol.consensus.certificates import certificate_items, vote_well_formed, well_formed
from protocol.consensus.core import Core, Instance, PeerView, Phase, Recalled
from protocol.consensus.inputs import (
    CertificateReceived,
    Charge,
    Effect,
    Evidence,
    Forked,
    Input,
    PayloadExecuted,
    PayloadJudged,
    PayloadOffered,
    PeerJoined,
    PeerLeft,
    PeerShown,
    ProposalReceived,
    RequestReceived,
    SignaturesVerified,
    Timer,
    TimerFired,
    Twin,
    Verdict,
    Verify,
    VoteDurable,
    VoteReceived,
    WorkChanged,
)
from protocol.consensus.memory import statement_in
from protocol.consensus.pace import Activity, Tempo
from protocol.consensus.rotation import Rotation
from protocol.consensus.statements import Certificate, Proposal, Vote, VoteKind
from protocol.consensus.votes import VoteKeeper
from protocol.crypto.signing import SigningKey

Handler = Callable[["Machine", Any, int], list[Effect]]


class Machine:
    """One epoch's consensus on one node."""

    def __init__(self, instance: Instance, tempo: Tempo, key: SigningKey | None, now_ms: int) -> None:
        rotation = Rotation(instance.network_id, instance.epoch, instance.validators)
        me = None if key is None else instance.validators.index_of(key.public)
        activity = Activity(len(instance.validators.keys), 1, now_ms)
        self.core = Core(instance, tempo, rotation, VoteKeeper(instance.validators), activity, key, me)

    @property
    def wake_at_ms(self) -> int | None:
        """Monotonic time of the next timer, or None."""
        timers = self.core.timers
        return min(timers.values()) if timers else None

    def due(self, now_ms: int) -> Timer | None:
        """A timer whose time has come: the earliest, ties by name."""
        wake_ms = self.wake_at_ms
        if wake_ms is None or wake_ms > now_ms:
            return None
        ready = [(at, timer.value, timer) for timer, at in self.core.timers.items() if at <= now_ms]
        return min(ready)[2]

    # -- Start --------------------------------------------------------------------------------------

    def restore(
        self,
        votes: Iterable[Vote],
        proposals: Iterable[tuple[Proposal, Vote]],
        certificates: Iterable[Certificate],
        vote_floor: int,
    ) -> None:
        """C-10, L-24: remember what was signed and held before a restart. Before `start`, without effects."""
        core = self.core
        core.vote_floor = vote_floor
        for certificate in certificates:
            counting.hold(core, certificate, 0)
        for vote in votes:
            self._remember(vote)
        for proposal, vote in proposals:
            self._remember(vote)
            core.own_of(proposal.view).proposal = proposal
        core.recalled = Recalled(frozenset(vote for own in core.own.values() for vote in own.votes()))
        for view in [view for view in core.own if view <= core.final_view]:
            del core.own[view]

    def _remember(self, vote: Vote) -> None:
        own = self.core.own_of(vote.view)
        if vote.kind == VoteKind.NOTARIZE:
            own.notarized = vote
        elif vote.kind == VoteKind.NULLIFY:
            own.nullified = vote
        else:
            own.finalized = vote
        self.core.keeper.add(vote, verified=True)

    def start(self, now_ms: int) -> list[Effect]:
        """Enter the view that the disk implies (L-24): above the final one, all signed in, all certificates."""
        core = self.core
        reached = [core.final_view + 1, 1]
        reached += [view for view, own in core.own.items() if own.votes()]
        reached += [view + 1 for view in (*core.notarizations, *core.nullifications)]
        for view in [view for view in (*core.notarizations, *core.nullifications) if view <= core.final_view]:
            core.notarizations.pop(view, None)
            core.nullifications.pop(view, None)
        core.activity = Activity(len(core.instance.validators.keys), max(reached), now_ms)
        return self._settled(views.enter(core, max(reached), None, now_ms), now_ms)

    def hold_back(self, held_back: bool, now_ms: int) -> list[Effect]:
        """Sign nothing from now on, or again: a disk without room (L-28), a journal not trusted (C-24)."""
        core = self.core
        if held_back == core.held_back:
            return []
        core.held_back = held_back
        if held_back:
            if core.phase is Phase.JUDGE and core.proposal is not None:
                core.early[core.view] = core.proposal
            core.phase = Phase.FOLLOW
            return []
        return self._settled(views.resume(core, now_ms), now_ms)

    # -- The door -----------------------------------------------------------------------------------

    def step(self, given: Input, now_ms: int) -> list[Effect]:
        """Take one input; return what follows, in order."""
        handler = TRANSITIONS.get((self.core.phase, type(given)))
        if handler is None:
            return []
        return self._settled(handler(self, given, now_ms), now_ms)

    def _settled(self, effects: list[Effect], now_ms: int) -> list[Effect]:
        core = self.core
        if Timer.RETRY not in core.timers and spreading.unfinished(core):
            core.timers[Timer.RETRY] = now_ms + core.tempo.retry_interval_ms
        if core.timers.get(Timer.FORWARD) == 0:
            core.timers[Timer.FORWARD] = now_ms + core.tempo.forward_ms
        return effects

    # -- Handlers -----------------------------------------------------------------------------------

    def on_proposal(self, given: ProposalReceived, now_ms: int) -> list[Effect]:
        """C-6: the first proposal of the view's leader; a second one is equivocation.

        One that is early waits; so does one that comes while this node is held back: at a start of all, some know their
        memory a moment sooner than others.
        """
        core, proposal = self.core, given.proposal
        leader = core.rotation.leader(proposal.view)
        vote = Vote(int(VoteKind.NOTARIZE), proposal.epoch, proposal.view, proposal, leader, given.signature)
        if not vote_well_formed(core.instance.validators, vote, core.instance.epoch):
            return [Charge(None, given.peer, "a proposal that is not well formed")]
        if not counting.in_reach(core, proposal.view):
            return []
        if leader == core.me:
            return self._own_seen(vote)
        core.activity.signed(leader, proposal.view, now_ms)
        spreading.note_vote(core, vote)
        self._note_equivocation(vote)
        effects = counting.take(core, vote, verified=True, now_ms=now_ms)
        if proposal.view > core.view or (proposal.view == core.view and core.held_back):
            core.early.setdefault(proposal.view, proposal)
        elif proposal.view == core.view and core.phase is Phase.WAIT and not core.leading:
            effects += voting.take_proposal(core, proposal, now_ms)
        return effects

    def _note_equivocation(self, vote: Vote) -> None:
        """C-8: remember that a leader proposed two things in one view."""
        held = self.core.keeper.conflict_of(vote, vote.signer)
        if held is not None and held.kind == VoteKind.NOTARIZE and vote.signer == self.core.rotation.leader(vote.view):
            self.core.equivocated.add(vote.view)

    def end_asking(self) -> None:
        """C-24: others' word is not held any more against what the disk remembered."""
        self.core.recalled = None

    def raise_floor(self, view: int) -> None:
        """C-24: at and below `view` nothing is ever signed again. Durable before."""
        core = self.core
        core.vote_floor = max(core.vote_floor, view)
        if core.view <= core.vote_floor:
            core.phase = Phase.FOLLOW
            for timer in (Timer.LEADER, Timer.VIEW, Timer.IDLE):
                core.timers.pop(timer, None)

    def adopt(self, vote: Vote) -> bool:
        """C-24: take a statement by our key, which others show, as our own. While nothing is signed.

        False where another one of that kind and view is ours already, or one that C-10 forbids beside it.
        """
        held = {own.kind for own in self.core.own_of(vote.view).votes()}
        opposite = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}.get(VoteKind(vote.kind))
        if vote.kind in held or opposite in held:
            return False
        self._remember(vote)
        return True

    def _own_seen(self, vote: Vote) -> list[Effect]:
        """C-24: a statement by our key that we do not remember. Ours, come back to us, is nothing new."""
        core, recalled = self.core, self.core.recalled
        settled = core.vote_floor if recalled is not None else max(core.vote_floor, core.final_view)
        known = vote in core.has_signed(vote.view).votes() or (recalled is not None and vote in recalled.votes)
        return [] if known or vote.view <= settled else [Twin(vote)]

    def _own_seen_in(self, certificate: Certificate) -> list[Effect]:
        own = None if self.core.me is None else statement_in(certificate, self.core.me)
        return [] if own is None else self._own_seen(own)

    def on_vote(self, given: VoteReceived, now_ms: int) -> list[Effect]:
        """C-18, C-19: a vote takes its slot. One from below shows a peer that is behind (C-12)."""
        core, vote = self.core, given.vote
        if not vote_well_formed(core.instance.validators, vote, core.instance.epoch):
            return [Charge(None, given.peer, "a vote that is not well formed")]
        if vote.signer == core.me:
            return self._own_seen(vote) if given.verified else []
        if counting.in_reach(core, vote.view):
            # A vote for a view beyond all reach shows nothing: one would do for ever (C-13).
            core.activity.signed(vote.signer, vote.view, now_ms)
        self._note_equivocation(vote)
        own_channel = given.peer is not None and given.peer == core.peer_of(vote.signer)
        if (given.verified or own_channel) and spreading.note_vote(core, vote):
            # What others say of a peer's view, unchecked, shows nothing of that peer (C-24 asks for it later).
            core.timers.setdefault(Timer.FORWARD, 0)
        return counting.take(core, vote, verified=given.verified, now_ms=now_ms)

    def on_durable(self, given: VoteDurable, now_ms: int) -> list[Effect]:
        """An own vote counts here from now on."""
        return counting.take(self.core, given.vote, verified=True, now_ms=now_ms)

    def on_certificate(self, given: CertificateReceived, now_ms: int) -> list[Effect]:
        """C-12, C-18: a certificate is used whatever its view, once; one already held is not checked again.

        Unless it says that this validator has signed what it does not remember (C-24). Who knows that it has forgotten
        compares nothing.
        """
        del now_ms
        core, certificate = self.core, given.certificate
        kind = VoteKind(certificate.kind)
        if not well_formed(core.instance.validators, certificate, core.instance.epoch):
            return [Charge(None, given.peer, "a certificate that is not well formed")]
        remembers = core.recalled is not None or not core.held_back
        known = counting.known(core, certificate.view, kind) and not (remembers and self._own_seen_in(certificate))
        if known and not counting.contradicts(core, certificate):
            spreading.note_certificate(core, certificate, given.peer)
            return []
        if any(held == certificate for held, _ in core.certificate_checks.values()):
            return []
        of_peer = sum(1 for _, peer in core.certificate_checks.values() if peer == given.peer)
        if len(core.certificate_checks) >= counting.CHECKS_IN_FLIGHT_MAX or of_peer >= counting.CHECKS_OF_PEER_MAX:
            return []
        job = counting.next_job(core)
        core.certificate_checks[job] = (certificate, given.peer)
        return [Verify(job, certificate_items(core.instance.network_id, core.instance.validators, certificate))]

    def on_verified(self, given: SignaturesVerified, now_ms: int) -> list[Effect]:
        """Signatures were checked: of votes, of a certificate, of suspected evidence."""
        core = self.core
        if given.job in core.vote_checks:
            return self._votes_checked(given, now_ms)
        if given.job in core.certificate_checks:
            certificate, peer = core.certificate_checks.pop(given.job)
            if not all(given.good):
                return [Charge(None, peer, "a certificate with a bad signature")]
            spreading.note_certificate(core, certificate, peer)
            unremembered = self._own_seen_in(certificate)
            if counting.contradicts(core, certificate):
                assert core.finalization is not None, "it is what is contradicted"
                return [Forked(core.finalization, certificate)]
            if not counting.known(core, certificate.view, VoteKind(certificate.kind)):
                return [*unremembered, *counting.certified(core, certificate, now_ms)]
            return unremembered
        if given.job in core.evidence_checks:
            first, second = core.evidence_checks.pop(given.job)
            if not all(given.good):
                return [Charge(first.signer, None, "a vote with a bad signature")]
            core.keeper.proven.add((first.signer, first.view))
            return [Evidence(first, second)]
        return []

    def _votes_checked(self, given: SignaturesVerified, now_ms: int) -> list[Effect]:
        core = self.core
        view, kind, votes = core.vote_checks.pop(given.job)
        if view in core.keeper.views:
            core.keeper.views[view].checking.discard(kind)
        effects: list[Effect] = []
        for vote, good in zip(votes, given.good, strict=True):
            if core.keeper.settle(vote, good=good):
                effects.append(Charge(vote.signer, None, "a vote with a bad signature"))
        return effects + counting.count(core, view, kind, now_ms)

    def on_request(self, given: RequestReceived, now_ms: int) -> list[Effect]:
        """C-20."""
        del now_ms
        return spreading.answer(self.core, given.views, given.peer)

    def on_offer(self, given: PayloadOffered, now_ms: int) -> list[Effect]:
        """C-5: the payload to propose, if the view is still the one it was built for."""
        if given.view != self.core.view:
            return []
        effects = voting.propose(self.core, given.parent_view, given.payload, now_ms)
        return effects or voting.lead(self.core, now_ms)

    def on_judged(self, given: PayloadJudged, now_ms: int) -> list[Effect]:
        """C-6: valid: notarize; invalid: nullify."""
        del now_ms
        if given.proposal != self.core.proposal or not self.core.judging:
            return []
        if given.verdict is Verdict.VALID:
            return voting.notarize(self.core, given.proposal)
        return voting.nullify(self.core)

    def on_timer(self, given: TimerFired, now_ms: int) -> list[Effect]:
        """C-11, C-12, C-15."""
        core = self.core
        if core.timers.pop(given.timer, None) is None:
            return []
        if given.timer in (Timer.LEADER, Timer.VIEW):
            return voting.nullify(core)
        if given.timer is Timer.IDLE:
            return voting.lead(core, now_ms)
        if given.timer is Timer.RETRY:
            return spreading.retry(core, now_ms) + voting.look_again(core) + voting.lead(core, now_ms)
        return spreading.forward(core, now_ms)

    def on_work(self, given: WorkChanged, now_ms: int) -> list[Effect]:
        """C-15."""
        self.core.work = given.work
        if not given.work:
            views.relax(self.core, now_ms)
            return []
        views.hasten(self.core, now_ms)
        return voting.lead(self.core, now_ms)

    def on_executed(self, given: PayloadExecuted, now_ms: int) -> list[Effect]:
        """C-15: the pace of the next turn."""
        del now_ms
        self.core.execution_ms = given.took_ms
        return []

    def on_joined(self, given: PeerJoined, now_ms: int) -> list[Effect]:
        """A channel stands: bring the peer to where we are."""
        self._forget_channel(given.peer)
        self.core.peers[given.peer] = PeerView(given.signer, now_ms)
        if given.signer is not None:
            self.core.channels[given.signer] = given.peer
        return spreading.greet(self.core, given.peer)

    def _forget_channel(self, name: bytes) -> None:
        peer = self.core.peers.get(name)
        if peer is not None and peer.signer is not None and self.core.channels.get(peer.signer) == name:
            del self.core.channels[peer.signer]

    def on_left(self, given: PeerLeft, now_ms: int) -> list[Effect]:
        """A channel is gone."""
        del now_ms
        self._forget_channel(given.peer)
        self.core.peers.pop(given.peer, None)
        return []

    def on_shown(self, given: PeerShown, now_ms: int) -> list[Effect]:
        """A peer said how far it is; if that is behind, what it lacks goes to it."""
        core, peer = self.core, self.core.peers.get(given.peer)
        if peer is None:
            return []
        due = core.final_view if now_ms - core.finalized_ms >= core.tempo.forward_ms else peer.due_view
        peer.said_ms, peer.due_view, peer.lacks = now_ms, core.final_view, given.final_view < due
        peer.view, peer.final_view = max(peer.view, given.view), max(peer.final_view, given.final_view)
        peer.notarized = max(peer.notarized, given.final_view)
        if spreading.needed_by(core, peer, now_ms):
            core.timers.setdefault(Timer.FORWARD, 0)
        return []


ALWAYS: Final[dict[type[Any], Handler]] = {
    ProposalReceived: Machine.on_proposal,
    VoteReceived: Machine.on_vote,
    VoteDurable: Machine.on_durable,
    CertificateReceived: Machine.on_certificate,
    RequestReceived: Machine.on_request,
    SignaturesVerified: Machine.on_verified,
    TimerFired: Machine.on_timer,
    WorkChanged: Machine.on_work,
    PayloadExecuted: Machine.on_executed,
    PeerJoined: Machine.on_joined,
    PeerLeft: Machine.on_left,
    PeerShown: Machine.on_shown,
}
"""Inputs that mean the same in every phase."""

TRANSITIONS: Final[dict[tuple[Phase, type[Any]], Handler]] = {
    **{(phase, given): handler for phase in Phase for given, handler in ALWAYS.items()},
    (Phase.BUILD, PayloadOffered): Machine.on_offer,
    (Phase.JUDGE, PayloadJudged): Machine.on_judged,
}
"""(phase of the view, input) -> handler. What is not here is refused, and nothing changes."""
