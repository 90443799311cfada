"""The nullifier: wants no block at all. It nullifies every view that it hears of and the next ones too."""

from __future__ import annotations

from protocol.codec import decode
from protocol.consensus.statements import Vote, VoteKind
from protocol.node.interface import Effect, Priority, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, plays
from protocol.sim.facts import PROPOSAL_HEAD, VOTE_HEAD
from protocol.sim.services import AnyNode
from protocol.wire.messages import ProposalMessage

AHEAD = 4
"""Views beyond the one heard of that are nullified with it."""


class Nullifier(Wrapper):
    """Nullifies everything, proposes and supports nothing."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.highest = 0

    def lie(self, send: Send) -> list[Effect]:
        """No proposal; each vote becomes a nullify of its view."""
        if send.data[:2] == PROPOSAL_HEAD:
            self.did("proposal kept back")
            return []
        if send.data[:2] != VOTE_HEAD:
            return [send]
        vote = decode(Vote, send.data)
        if vote.signer != self.signer or vote.kind == VoteKind.NULLIFY:
            return [send]
        self.did("nullify for another vote")
        return [Send(send.to, Priority.CONSENSUS, self.vote(VoteKind.NULLIFY, vote.epoch, vote.view, None))]

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """A proposal opens a view: nullify it, and those to come, before anyone has looked at it."""
        del peer
        if data[:2] != PROPOSAL_HEAD:
            return []
        proposal = decode(ProposalMessage, data).proposal
        effects: list[Effect] = []
        for view in range(max(self.highest + 1, proposal.view), proposal.view + AHEAD + 1):
            self.did("nullify of every view")
            effects += self.to_all(Priority.CONSENSUS, self.vote(VoteKind.NULLIFY, proposal.epoch, view, None))
        self.highest = max(self.highest, proposal.view + AHEAD)
        return effects


NULLIFIER = Actor(
    "nullifies every view",
    plays(Nullifier),
    ("proposal kept back", "nullify for another vote", "nullify of every view"),
)
