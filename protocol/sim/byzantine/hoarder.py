"""The hoarder: makes others fetch and keep what nobody can use yet (L-13).

In its turns to lead it references good batches of its own that it sent to nobody, hands them out for the asking, and
made them so that no block can hold them for a long time: others fetch them beyond its share, because a proposal needs
them, and its view ends without a block. If what is fetched so stayed until its expiry, its turns would fill everyone's
memory.
"""

from __future__ import annotations

from dataclasses import replace

from protocol.codec import decode, encode
from protocol.crypto.contexts import Context
from protocol.ledger.records import (
    Batch,
    Envelope,
    EnvelopeBody,
    Header,
    Operation,
    Reference,
    account_name,
    batch_digest,
)
from protocol.node.interface import Effect, Input, Now, Priority, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, plays
from protocol.sim.facts import BATCHES_WANTED_HEAD, PROPOSAL_HEAD
from protocol.sim.services import AnyNode
from protocol.wire.messages import BatchesWanted, ProposalMessage

USABLE_IN = 8
"""Heights less than the longest time that a batch is kept for before it can be used."""


class Hoarder(Wrapper):
    """References its own hidden batches, and serves them."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.hoard: dict[bytes, bytes] = {}
        self.wall_ms = 0
        self.serial = stage.memory.setdefault("serial", [0])

    def step(self, given: Input, now: Now) -> list[Effect]:
        """As the real node, changed; the clock is for envelopes."""
        self.wall_ms = now.wall_ms
        return super().step(given, now)

    def lie(self, send: Send) -> list[Effect]:
        """Own proposals: as many hidden batches as a block may reference."""
        if send.data[:2] != PROPOSAL_HEAD:
            return [send]
        message = decode(ProposalMessage, send.data)
        header = decode(Header, message.header)
        if header.proposer != self.key.public:
            return [send]
        self.did("hidden batches referenced")
        count = self.genesis.parameters.block_references_max
        hidden = tuple(self._hide(header.height) for _ in range(count))
        ahead = replace(header, time_ms=header.time_ms + 3_600_000, references=hidden)
        return [replace(send, data=self.proposal(message.proposal, ahead))]

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """Whoever asks is served."""
        if data[:2] != BATCHES_WANTED_HEAD:
            return []
        wanted = [self.hoard[digest] for digest in decode(BatchesWanted, data).digests if digest in self.hoard]
        if wanted:
            self.did("hidden batches served")
        return [Send((peer,), Priority.BATCHES, batch) for batch in wanted]

    def _hide(self, height: int) -> Reference:
        ttl = self.genesis.parameters.batch_ttl_max
        data = self.batch((self._envelope(),), height + 2 * ttl - USABLE_IN)
        digest = batch_digest(decode(Batch, data).body)
        self.hoard[digest] = data
        return Reference(self.key.public, digest, len(data), 1)

    def _envelope(self) -> bytes:
        self.serial[0] += 1
        name, account = self.serial[0].to_bytes(16, "big"), account_name(self.key.public)
        operations = (Operation("evidence", "nothing", b""),)
        until_ms = self.wall_ms + 60_000
        body = encode(EnvelopeBody(self.network_id, account, name, until_ms, operations, (self.key.public,)))
        return encode(Envelope(body, (self.key.sign(Context.ENVELOPE, self.network_id, body),)))


HOARDER = Actor(
    "makes others keep what nobody can use", plays(Hoarder), ("hidden batches referenced", "hidden batches served")
)
