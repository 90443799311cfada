"""The equivocating leader: one proposal for some, another for the rest (C-7, C-8, C-17)."""

from __future__ import annotations

from dataclasses import replace

from protocol.codec import decode
from protocol.ledger.records import Header
from protocol.node.interface import Effect, Send
from protocol.sim.byzantine.actor import Actor, Wrapper, plays
from protocol.sim.facts import PROPOSAL_HEAD
from protocol.wire.messages import ProposalMessage


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
        if deceived and rest:
            self.did("two proposals")
        parts = ((deceived, other), (rest, send.data))
        return [replace(send, to=to, data=data) for to, data in parts if to]


EQUIVOCATING_LEADER = Actor("proposes two things at once", plays(EquivocatingLeader), ("two proposals",))
