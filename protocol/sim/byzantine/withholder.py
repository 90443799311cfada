"""The withholder: names batches that others can't get.

Its own batches go to some only or to nobody, are announced to all, referenced by its own proposals, and never served;
nor is any other's batch. A leader that believes the announcement must not stall the network, and a validator that
lacks the batch must not vote (L-13, L-15).
"""

from __future__ import annotations

from dataclasses import replace

from protocol.codec import decode
from protocol.ledger.records import Batch, BatchBody, Header
from protocol.node.interface import Effect, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, plays
from protocol.sim.facts import ANNOUNCEMENT_HEAD, BATCH_HEAD, PROPOSAL_HEAD
from protocol.sim.services import AnyNode
from protocol.wire.messages import ProposalMessage


class Withholder(Wrapper):
    """Announces and references, and does not serve."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.sealed: dict[bytes, None] = {}

    def lie(self, send: Send) -> list[Effect]:
        """Own batches: once, to some; whatever is asked for: nothing."""
        head = send.data[:2]
        if head == ANNOUNCEMENT_HEAD:
            self.did("announced")
        elif head == PROPOSAL_HEAD:
            self._count_references(send.data)
        if head != BATCH_HEAD:
            return [send]
        own = decode(BatchBody, decode(Batch, send.data).body).author == self.key.public
        if not own or send.data in self.sealed:
            self.did("not served")
            return []
        self.sealed[send.data] = None
        to = self.some(send.to)
        self.did("batch to some" if to else "batch to nobody")
        return [replace(send, to=to)] if to else []

    def _count_references(self, data: bytes) -> None:
        header = decode(Header, decode(ProposalMessage, data).header)
        own = header.proposer == self.key.public
        if own and any(reference.author == self.key.public for reference in header.references):
            self.did("withheld batch referenced")


WITHHOLDER = Actor(
    "names batches that it does not serve",
    plays(Withholder),
    ("batch to some", "batch to nobody", "not served", "announced", "withheld batch referenced"),
)
