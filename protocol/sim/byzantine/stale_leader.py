"""The stale leader: proposes beside what was just notarized, as if that view had been nullified (C-4, C-6).

Whoever asks for the nullification does not vote for it; whoever does not ask forks. It never helps to finalize.
"""

from __future__ import annotations

from dataclasses import replace

from protocol.codec import decode
from protocol.consensus.statements import Vote, VoteKind
from protocol.ledger.records import Header
from protocol.node.interface import Effect, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, plays
from protocol.sim.facts import PROPOSAL_HEAD, VOTE_HEAD
from protocol.sim.services import AnyNode
from protocol.wire.messages import ProposalMessage


class StaleLeader(Wrapper):
    """Proposes beside the block notarized last."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.proposals: dict[int, ProposalMessage] = {}

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """Remember what was proposed, to stand beside it."""
        del peer
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
        self.proposals[message.proposal.view] = message
        passed_on = decode(Header, message.header).proposer != self.key.public
        if below is None or passed_on:
            return [send]
        self.did("proposal beside the parent")
        return [replace(send, data=self._beside(message, below))]

    def _beside(self, message: ProposalMessage, below: ProposalMessage) -> bytes:
        mine, theirs = decode(Header, message.header), decode(Header, below.header)
        header = replace(theirs, time_ms=max(mine.time_ms, theirs.time_ms + 1), proposer=self.key.public, references=())
        return self.proposal(replace(message.proposal, parent_view=below.proposal.parent_view), header)


STALE_LEADER = Actor("proposes beside what was just notarized", plays(StaleLeader), ("proposal beside the parent",))
