"""The double voter: signs what C-10 forbids, and tells each half of the network another thing."""

from __future__ import annotations

from protocol.codec import decode
from protocol.consensus.statements import Proposal, Vote, VoteKind
from protocol.node.interface import Effect, Priority, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, plays
from protocol.sim.facts import PROPOSAL_HEAD, VOTE_HEAD
from protocol.sim.services import AnyNode
from protocol.wire.messages import ProposalMessage


class DoubleVoter(Wrapper):
    """Nullify and finalize for one view, notarize for whatever is proposed."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.proposals: dict[int, Proposal] = {}

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """Remember what was proposed, to vote for it whatever else was said."""
        del peer
        if data[:2] == PROPOSAL_HEAD:
            proposal = decode(ProposalMessage, data).proposal
            self.proposals[proposal.view] = proposal
        return []

    def lie(self, send: Send) -> list[Effect]:
        """To one half what the real node says, to the other half the opposite."""
        if send.data[:2] != VOTE_HEAD:
            return [send]
        vote = decode(Vote, send.data)
        opposite = self._opposite(vote) if vote.signer == self.signer else None
        if opposite is None:
            return [send]
        left, right = self.halves()
        if right:
            self.did("opposite vote")
        parts = ((left, send.data), (right, opposite))
        return [Send(to, Priority.CONSENSUS, data) for to, data in parts if to]

    def _opposite(self, vote: Vote) -> bytes | None:
        proposal = self.proposals.get(vote.view) if vote.proposal is None else vote.proposal
        if vote.kind == VoteKind.NULLIFY and proposal is not None:
            return self.vote(VoteKind.FINALIZE, vote.epoch, vote.view, proposal)
        if vote.kind in (VoteKind.FINALIZE, VoteKind.NOTARIZE):
            return self.vote(VoteKind.NULLIFY, vote.epoch, vote.view, None)
        return None


DOUBLE_VOTER = Actor("signs both of what excludes each other", plays(DoubleVoter), ("opposite vote",))
