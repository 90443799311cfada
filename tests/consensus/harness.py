"""Several consensus machines on one seeded heap: the smallest world in which the C-rules can be watched.

Payloads are made up: any payload is valid on any parent. Signatures are a stand-in. Every vote that is
sent or persisted is remembered, so that tests can look for what C-10 forbids. Faults: delay, loss, cuts,
crashes that lose what was not durable, restarts from the journal.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protocol.consensus import inputs as given
from protocol.consensus.core import Instance
from protocol.consensus.machine import Machine
from protocol.consensus.pace import Tempo
from protocol.consensus.statements import Certificate, Proposal, Vote, VoteKind
from protocol.consensus.validators import Validators
from protocol.crypto.contexts import Context

TEMPO = Tempo(delta_ms=100, idle_interval_ms=1000, retry_interval_ms=150, backoff_max=16)


@dataclass(frozen=True)
class StandInKey:
    """Signs with a hash: enough to tell statements apart, nothing more."""

    public: bytes

    def sign(self, context: Context, network_id: bytes, payload: bytes) -> bytes:
        return hashlib.sha512(self.public + context.value + network_id + payload).digest()


def good(item: tuple[bytes, bytes, bytes]) -> bool:
    public, message, signature = item
    return hashlib.sha512(public + message).digest() == signature


def keys(count: int) -> list[StandInKey]:
    return [StandInKey(bytes([index + 1]) * 32) for index in range(count)]


def instance(count: int, powers: tuple[int, ...] | None = None) -> Instance:
    validators = Validators(tuple(key.public for key in keys(count)), powers or (1,) * count)
    return Instance(b"n" * 32, 1, validators, b"floor".ljust(32, b"."))


@dataclass
class Disk:
    """What one machine has made durable."""

    votes: list[Vote] = field(default_factory=list)
    proposals: list[tuple[Proposal, Vote]] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)


@dataclass
class Member:
    machine: Machine
    disk: Disk
    alive: bool = True
    life: int = 0
    finalized: list[Certificate] = field(default_factory=list)
    pending: list[Any] = field(default_factory=list)


class World:
    """Members, the wires between them, and time."""

    def __init__(self, count: int, seed: int, *, loss: float = 0.0, delay: tuple[int, int] = (1, 20)) -> None:
        self.random = random.Random(seed)
        self.instance = instance(count)
        self.keys = keys(count)
        self.now = 0
        self.order = 0
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.loss, self.delay = loss, delay
        self.cut: set[tuple[int, int]] = set()
        self.said: list[Vote] = []
        self.evidence: list[given.Evidence] = []
        self.entered: list[tuple[int, int]] = []
        self.journal_certificates = True
        self.sync_ms = (1, 4)
        self.machine_class: type[Machine] = Machine
        self.members = [Member(self._machine(index), Disk()) for index in range(count)]
        self.payloads: dict[bytes, bytes] = {}

    def _machine(self, index: int) -> Machine:
        return self.machine_class(self.instance, TEMPO, self.keys[index], self.now)  # type: ignore[arg-type]

    def at(self, delay: int, action: Callable[[], None]) -> None:
        self.order += 1
        heapq.heappush(self.heap, (self.now + delay, self.order, action))

    def start(self) -> None:
        for index in range(len(self.members)):
            self._start(index)

    def _start(self, index: int) -> None:
        member = self.members[index]
        self.carry(index, member.machine.start(self.now))
        for other, peer in enumerate(self.members):
            if other != index and peer.alive:
                self.step(index, given.PeerJoined(self.name(other), other))
                self.step(other, given.PeerJoined(self.name(index), index))
        self.step(index, given.WorkChanged(True))
        self._keepalive(index, member.life)

    def _keepalive(self, index: int, life: int) -> None:
        member = self.members[index]
        if member.life != life or not member.alive:
            return
        core = member.machine.core
        self.send(index, None, given.PeerShown(self.name(index), core.view, core.final_view))
        self.at(TEMPO.retry_interval_ms, lambda: self._keepalive(index, life))

    def name(self, index: int) -> bytes:
        return b"peer%d" % index

    def step(self, index: int, what: given.Input) -> None:
        member = self.members[index]
        if member.alive:
            self.carry(index, member.machine.step(what, self.now))

    def tick(self, index: int, life: int) -> None:
        member = self.members[index]
        if not member.alive or member.life != life:
            return
        due = member.machine.due(self.now)
        while due is not None:
            self.carry(index, member.machine.step(given.TimerFired(due), self.now))
            due = member.machine.due(self.now)

    def carry(self, index: int, effects: list[given.Effect]) -> None:
        """Duties: persist first; what follows a persist in a list waits for the sync."""
        member = self.members[index]
        life = member.life
        held: list[given.Effect] = []
        for effect in effects:
            if isinstance(effect, given.PersistVote | given.PersistProposal | given.PersistCertificate) or held:
                held.append(effect)
            else:
                self.immediate(index, effect)
        if held:
            self.at(self.random.randint(*self.sync_ms), lambda: self.durable(index, life, held))
        wake = member.machine.wake_at_ms
        if wake is not None:
            self.at(max(0, wake - self.now), lambda: self.tick(index, life))

    def durable(self, index: int, life: int, effects: list[given.Effect]) -> None:
        member = self.members[index]
        if member.life != life:
            return
        for effect in effects:
            if isinstance(effect, given.PersistVote):
                member.disk.votes.append(effect.vote)
                self.said.append(effect.vote)
            elif isinstance(effect, given.PersistProposal):
                member.disk.proposals.append((effect.proposal, effect.vote))
                self.said.append(effect.vote)
            elif isinstance(effect, given.PersistCertificate) and self.journal_certificates:
                member.disk.certificates.append(effect.certificate)
        for effect in effects:
            if isinstance(effect, given.PersistVote | given.PersistProposal):
                self.step(index, given.VoteDurable(effect.vote))
            else:
                self.immediate(index, effect)

    def immediate(self, index: int, effect: given.Effect) -> None:
        member, life = self.members[index], self.members[index].life
        match effect:
            case given.SendVote(vote, to):
                self.said.append(vote)
                self.send(index, to, given.VoteReceived(vote, self.name(index), False))
            case given.SendProposal(proposal, signature, to):
                self.send(index, to, given.ProposalReceived(proposal, signature, self.name(index)))
            case given.SendCertificate(certificate, to):
                self.send(index, to, given.CertificateReceived(certificate, self.name(index)))
            case given.SendRequest(views, to):
                self.send(index, to, given.RequestReceived(views, self.name(index)))
            case given.Verify(job, items):
                answer = given.SignaturesVerified(job, tuple(good(item) for item in items))
                self.at(1, lambda: self.alive_step(index, life, answer))
            case given.Build(view, parent_view, payload):
                made = hashlib.sha256(payload + bytes([index]) + view.to_bytes(8, "big")).digest()
                self.payloads[made] = payload
                self.at(1, lambda: self.alive_step(index, life, given.PayloadOffered(view, parent_view, made)))
            case given.Judge(proposal, parent):
                fits = self.payloads.get(proposal.payload, parent) == parent
                verdict = given.Verdict.VALID if fits else given.Verdict.INVALID
                self.at(1, lambda: self.alive_step(index, life, given.PayloadJudged(proposal, verdict)))
            case given.Finalized(certificate):
                member.finalized.append(certificate)
            case given.Evidence():
                self.evidence.append(effect)
            case given.Entered(view, _, _):
                self.entered.append((index, view))
            case _:
                pass

    def alive_step(self, index: int, life: int, what: given.Input) -> None:
        if self.members[index].life == life:
            self.step(index, what)

    def send(self, index: int, to: tuple[bytes, ...] | None, what: given.Input) -> None:
        for other in range(len(self.members)):
            if other == index or (to is not None and self.name(other) not in to):
                continue
            if (index, other) in self.cut or self.random.random() < self.loss:
                continue
            self.at(self.random.randint(*self.delay), lambda other=other: self.step(other, what))  # type: ignore[misc]

    def crash(self, index: int) -> None:
        member = self.members[index]
        member.alive = False
        member.life += 1
        for other in range(len(self.members)):
            self.step(other, given.PeerLeft(self.name(index)))

    def restart(self, index: int) -> None:
        member = self.members[index]
        member.alive = True
        member.machine = self._machine(index)
        member.machine.restore(member.disk.votes, member.disk.proposals, member.disk.certificates, 0)
        self._start(index)

    def run(self, until: int) -> None:
        while self.heap and self.heap[0][0] <= until:
            self.now, _, action = heapq.heappop(self.heap)
            action()
        self.now = until

    # -- What must hold -----------------------------------------------------------------------------

    def final_views(self) -> list[int]:
        return [member.machine.core.final_view for member in self.members]

    def check_votes(self, honest: set[int] | None = None) -> None:
        """C-10 over everything that was ever said."""
        seen: dict[tuple[int, int], list[Vote]] = {}
        for vote in self.said:
            if honest is None or vote.signer in honest:
                seen.setdefault((vote.signer, vote.view), []).append(vote)
        for votes in seen.values():
            kinds = {vote.kind for vote in votes}
            assert not {VoteKind.NULLIFY, VoteKind.FINALIZE} <= kinds, "nullify and finalize in one view"
            for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE):
                assert len({vote.proposal for vote in votes if vote.kind == kind}) <= 1, "two of one kind in one view"

    def check_agreement(self) -> None:
        """All finalized proposals lie on one chain of payloads."""
        finals: dict[int, bytes] = {}
        for member in self.members:
            for certificate in member.finalized:
                assert certificate.proposal is not None
                held = finals.setdefault(certificate.view, certificate.proposal.payload)
                assert held == certificate.proposal.payload, "two payloads final in one view"
        chain: set[bytes] = set()
        if finals:
            payload = finals[max(finals)]
            while payload in self.payloads:
                chain.add(payload)
                payload = self.payloads[payload]
        for payload in finals.values():
            assert payload in chain, "a final payload is not an ancestor of a later final one"
