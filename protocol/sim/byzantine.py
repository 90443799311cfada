"""Members that lie: wrappers around a real node, with its keys.

A wrapper steps the real node and changes what leaves it. So an actor follows the protocol in everything but its
lie, which is what makes it dangerous. Lies that are signed are made durable by nobody: an actor has no shame.

An actor is a function from the real node's factory to another factory, in `ACTORS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from protocol.codec import decode, encode
from protocol.consensus.statements import CONTEXTS, Proposal, Vote, VoteKind, statement_bytes
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.crypto.signing import SigningKey
from protocol.ledger.genesis import network_id
from protocol.ledger.records import Header
from protocol.node.interface import Effect, Input, JournalRecord, Now, PeerDown, PeerUp, Priority, Received, Send
from protocol.node.setup import NodeSetup, NodeStatus, Recovered
from protocol.sim.facts import PROPOSAL_HEAD, VOTE_HEAD
from protocol.sim.services import AnyNode, NodeFactory
from protocol.wire.messages import ProposalMessage


class Wrapper:
    """A node whose sends are changed. Subclasses override `lie`, and `heard` if they listen."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, generator: Random) -> None:
        assert setup.voting_key is not None, "actors are validators"
        self.inner = inner
        self.generator = generator
        self.key: SigningKey = setup.voting_key
        self.network_id = network_id(setup.genesis)
        self.peers: dict[bytes, None] = {}

    @property
    def wake_at_ms(self) -> int | None:
        """As the real node."""
        return self.inner.wake_at_ms

    def start(self, now: Now) -> list[Effect]:
        """As the real node, changed."""
        return self._changed(self.inner.start(now))

    def step(self, given: Input, now: Now) -> list[Effect]:
        """As the real node, changed."""
        if type(given) is PeerUp:
            self.peers[given.peer] = None
        elif type(given) is PeerDown:
            self.peers.pop(given.peer, None)
        effects = self._changed(self.inner.step(given, now))
        return effects + self.heard(given.data) if type(given) is Received else effects

    def status(self) -> NodeStatus:
        """As the real node."""
        return self.inner.status()

    def live_records(self) -> list[JournalRecord]:
        """As the real node."""
        return self.inner.live_records()

    def _changed(self, effects: list[Effect]) -> list[Effect]:
        changed: list[Effect] = []
        for effect in effects:
            changed += self.lie(effect) if type(effect) is Send else [effect]
        return changed

    def lie(self, send: Send) -> list[Effect]:
        """What to send in place of `send`."""
        return [send]

    def heard(self, data: bytes) -> list[Effect]:
        """What to say on hearing `data`, besides what the real node says."""
        del data
        return []

    def halves(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """The peers, split in two at random; each part may be empty."""
        left = tuple(peer for peer in self.peers if self.generator.randrange(2))
        return left, tuple(peer for peer in self.peers if peer not in left)

    def vote(self, kind: VoteKind, like: Vote, proposal: Proposal | None) -> bytes:
        """A vote of our own in the view of `like`, encoded."""
        payload = statement_bytes(kind, like.epoch, like.view, proposal)
        signature = self.key.sign(CONTEXTS[kind], self.network_id, payload)
        return encode(Vote(int(kind), like.epoch, like.view, proposal, like.signer, signature))

    def proposal(self, like: Proposal, header: Header) -> bytes:
        """A proposal of our own for this header, in place and on the parent of `like`, encoded."""
        encoded = encode(header)
        proposal = replace(like, payload=digest(Domain.HEADER, encoded))
        payload = statement_bytes(VoteKind.NOTARIZE, like.epoch, like.view, proposal)
        signature = self.key.sign(CONTEXTS[VoteKind.NOTARIZE], self.network_id, payload)
        return encode(ProposalMessage(proposal, signature, encoded))


class SilentLeader(Wrapper):
    """Never sends a proposal."""

    def lie(self, send: Send) -> list[Effect]:
        """Proposals vanish."""
        return [] if send.data[:2] == PROPOSAL_HEAD else [send]


class EquivocatingLeader(Wrapper):
    """Sends one proposal to some and another to the rest."""

    def lie(self, send: Send) -> list[Effect]:
        """A second header, a millisecond later, for a random part of those who would get the first."""
        if send.data[:2] != PROPOSAL_HEAD:
            return [send]
        message = decode(ProposalMessage, send.data)
        header = decode(Header, message.header)
        if header.proposer != self.key.public:
            return [send]  # another's, passed on
        other = self.proposal(message.proposal, replace(header, time_ms=header.time_ms + 1))
        deceived = tuple(peer for peer in send.to if self.generator.randrange(2))
        rest = tuple(peer for peer in send.to if peer not in deceived)
        parts = ((deceived, other), (rest, send.data))
        return [replace(send, to=to, data=data) for to, data in parts if to]


class StaleLeader(Wrapper):
    """Proposes beside the block notarized last, as if its view had been nullified, and never helps to finalize.

    Whoever asks for the nullification (C-6) does not vote for that; whoever does not ask forks.
    """

    def __init__(self, inner: AnyNode, setup: NodeSetup, generator: Random) -> None:
        super().__init__(inner, setup, generator)
        self.proposals: dict[int, ProposalMessage] = {}

    def heard(self, data: bytes) -> list[Effect]:
        """Remember what was proposed, to stand beside it."""
        if data[:2] == PROPOSAL_HEAD:
            message = decode(ProposalMessage, data)
            self.proposals[message.proposal.view] = message
        return []

    def lie(self, send: Send) -> list[Effect]:
        """A sibling of the parent in place of a child; no finalize."""
        if send.data[:2] == VOTE_HEAD:
            return [] if decode(Vote, send.data).kind == VoteKind.FINALIZE else [send]
        if send.data[:2] != PROPOSAL_HEAD:
            return [send]
        message = decode(ProposalMessage, send.data)
        below = self.proposals.get(message.proposal.parent_view)
        self.heard(send.data)
        passed_on = decode(Header, message.header).proposer != self.key.public
        return [send if below is None or passed_on else replace(send, data=self._beside(message, below))]

    def _beside(self, message: ProposalMessage, below: ProposalMessage) -> bytes:
        mine, theirs = decode(Header, message.header), decode(Header, below.header)
        header = replace(theirs, time_ms=max(mine.time_ms, theirs.time_ms + 1), proposer=self.key.public, references=())
        return self.proposal(replace(message.proposal, parent_view=below.proposal.parent_view), header)


class DoubleVoter(Wrapper):
    """Signs what C-10 forbids: nullify and finalize for one view, notarize for whatever is proposed."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, generator: Random) -> None:
        super().__init__(inner, setup, generator)
        self.proposals: dict[int, Proposal] = {}

    def heard(self, data: bytes) -> list[Effect]:
        """Remember what was proposed, to vote for it whatever else was said."""
        if data[:2] == PROPOSAL_HEAD:
            proposal = decode(ProposalMessage, data).proposal
            self.proposals[proposal.view] = proposal
        return []

    def lie(self, send: Send) -> list[Effect]:
        """To one half what the real node says, to the other half the opposite."""
        if send.data[:2] != VOTE_HEAD:
            return [send]
        vote = decode(Vote, send.data)
        opposite = self._opposite(vote)
        if opposite is None:
            return [send]
        left, right = self.halves()
        parts = ((left, send.data), (right, opposite))
        return [Send(to, Priority.CONSENSUS, data) for to, data in parts if to]

    def _opposite(self, vote: Vote) -> bytes | None:
        proposal = self.proposals.get(vote.view) if vote.proposal is None else vote.proposal
        if vote.kind == VoteKind.NULLIFY and proposal is not None:
            return self.vote(VoteKind.FINALIZE, vote, proposal)
        if vote.kind in (VoteKind.FINALIZE, VoteKind.NOTARIZE):
            return self.vote(VoteKind.NULLIFY, vote, None)
        return None


Actor = Callable[[AnyNode, NodeSetup, Random], AnyNode]

ACTORS: dict[str, Actor] = {
    "silent_leader": SilentLeader,
    "equivocating_leader": EquivocatingLeader,
    "stale_leader": StaleLeader,
    "double_voter": DoubleVoter,
}
"""Every actor by the name that scenarios use."""


def acting(name: str, factory: NodeFactory, generator: Random) -> NodeFactory:
    """A factory of nodes that lie as `name` says."""

    def make(setup: NodeSetup, recovered: Recovered) -> AnyNode:
        return ACTORS[name](factory(setup, recovered), setup, generator)

    return make
