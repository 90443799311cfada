"""The flooder: asks for everything, all the time, and sends whatever makes others work or remember.

Every kind of question at full rate, votes for every view within reach, announcements of batches that are nowhere,
junk and good envelopes, batches up to any bound, keepalives that say everything. It must not make an honest node grow
(the checker of bounds looks at all tables), nor stop finality.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol import limits
from protocol.apps.evidence.records import SHA256, RecordEvidence, Statement
from protocol.codec import decode, encode
from protocol.consensus.statements import Certificate, Proposal, VoteKind
from protocol.crypto.contexts import Context
from protocol.ledger.records import (
    Batch,
    Envelope,
    EnvelopeBody,
    Operation,
    Reference,
    account_name,
    batch_digest,
)
from protocol.node.interface import Effect, Input, Now, Priority, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, plays
from protocol.sim.facts import BATCH_HEAD, CERTIFICATE_HEAD, KEEPALIVE_HEAD
from protocol.sim.services import AnyNode
from protocol.wire.messages import (
    Announcement,
    BatchesWanted,
    BlocksWanted,
    CertificatesWanted,
    EnvelopesRelayed,
    HeaderFound,
    HeadersWanted,
    Keepalive,
    ProposalMessage,
)

KINDS_AT_ONCE = 3
"""Kinds of message in one burst."""


class Flooder(Wrapper):
    """Floods."""

    PAUSE_MS = 12

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.view = 1
        self.height = 1
        self.wall_ms = 0
        self.digests: list[bytes] = [bytes(32)]
        self.certificate: Certificate | None = None
        self.serial = stage.memory.setdefault("serial", [0])

    def step(self, given: Input, now: Now) -> list[Effect]:
        """As the real node, changed; the clock is for envelopes."""
        self.wall_ms = now.wall_ms
        return super().step(given, now)

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """Where the network is, and what there is to ask for."""
        del peer
        if data[:2] == KEEPALIVE_HEAD:
            message = decode(Keepalive, data)
            self.view, self.height = max(1, message.view), max(1, message.final_height)
        elif data[:2] == BATCH_HEAD:
            self.digests = [*self.digests[-40:], batch_digest(decode(Batch, data).body)]
        elif data[:2] == CERTIFICATE_HEAD:
            self.certificate = decode(Certificate, data)
        return []

    def act(self) -> list[Effect]:
        """A burst of some kinds, to everyone."""
        effects: list[Effect] = []
        for deed in self.generator.sample(tuple(_FLOODS), KINDS_AT_ONCE):
            for priority, data in _FLOODS[deed](self):
                effects.append(Send(tuple(self.peers), priority, data))
            self.did(deed)
        return effects

    def digests_wanted(self) -> tuple[bytes, ...]:
        """As many as one may ask for: some that there are, the rest made up."""
        count = limits.DIGESTS_REQUESTED_MAX
        return tuple((self.digests + [self.generator.randbytes(32) for _ in range(count)])[:count])

    def envelope(self, arguments_bytes: int) -> bytes:
        """A good envelope by a key of ours."""
        self.serial[0] += 1
        name = self.serial[0].to_bytes(16, "big")
        statement = Statement(SHA256, self.generator.randbytes(32), 1, "", "", "", "x" * arguments_bytes, None)
        operation = Operation("evidence", "record", encode(RecordEvidence(None, name, statement)))
        account, until_ms = account_name(self.key.public), self.wall_ms + 5_000
        body = encode(EnvelopeBody(self.network_id, account, name, until_ms, (operation,), (self.key.public,)))
        return encode(Envelope(body, (self.key.sign(Context.ENVELOPE, self.network_id, body),)))


Messages = list[tuple[Priority, bytes]]


def _certificates_wanted(actor: Flooder) -> Messages:
    first = max(1, actor.view - 32)
    views = tuple(range(first, first + limits.CERTIFICATES_REQUESTED_MAX))
    return [(Priority.CONSENSUS, encode(CertificatesWanted(1, views)))] * 4


def _batches_wanted(actor: Flooder) -> Messages:
    return [(Priority.CONSENSUS, encode(BatchesWanted(actor.digests_wanted())))] * 4


def _headers_wanted(actor: Flooder) -> Messages:
    return [(Priority.CONSENSUS, encode(HeadersWanted(actor.digests_wanted())))] * 4


def _blocks_wanted(actor: Flooder) -> Messages:
    firsts = (1, max(1, actor.height - 8), actor.height + 1, 2**50)
    return [(Priority.CONSENSUS, encode(BlocksWanted(first, limits.SYNC_BLOCKS_MAX))) for first in firsts]


def _keepalives(actor: Flooder) -> Messages:
    count = len(actor.genesis.validators)
    right, wrong = (actor.generator.randbytes(size) for size in ((count + 7) // 8, limits.VALIDATORS_MAX // 8))
    return [(Priority.CONSENSUS, encode(Keepalive(actor.view, 0, 0, 0, hears, True))) for hears in (right, wrong)]


def _announcements(actor: Flooder) -> Messages:
    authors = [validator.voting_key for validator in actor.genesis.validators]
    made_up = tuple(
        Reference(actor.generator.choice(authors), actor.generator.randbytes(32), 1_000, 1)
        for _ in range(limits.REFERENCES_MAX)
    )
    return [(Priority.BATCHES, encode(Announcement(made_up)))]


def _votes(actor: Flooder) -> Messages:
    found: Messages = []
    for _ in range(8):
        view = max(1, actor.view + actor.generator.randrange(-8, 3 * limits.VIEW_LOOKAHEAD))
        kind = VoteKind(actor.generator.randrange(3))
        proposal = None
        if kind is not VoteKind.NULLIFY:
            proposal = Proposal(1, view, view - 1, actor.generator.randbytes(32))
        found.append((Priority.CONSENSUS, actor.vote(kind, 1, view, proposal)))
    return found


def _proposals(actor: Flooder) -> Messages:
    header = actor.generator.randbytes(64)
    like = Proposal(1, actor.view + actor.generator.randrange(limits.VIEW_LOOKAHEAD), 0, bytes(32))
    signature = actor.generator.randbytes(64)
    return [(Priority.CONSENSUS, encode(ProposalMessage(like, signature, header)))]


def _certificates(actor: Flooder) -> Messages:
    if actor.certificate is None:
        return []
    return [(Priority.CONSENSUS, encode(actor.certificate))] * 8


def _headers(actor: Flooder) -> Messages:
    return [(Priority.CONSENSUS, encode(HeaderFound(actor.generator.randbytes(400)))) for _ in range(8)]


def _junk_envelopes(actor: Flooder) -> Messages:
    junk = tuple(actor.generator.randbytes(40) for _ in range(256))
    return [(Priority.BATCHES, encode(EnvelopesRelayed(junk)))]


def _good_envelopes(actor: Flooder) -> Messages:
    return [(Priority.BATCHES, encode(EnvelopesRelayed(tuple(actor.envelope(200) for _ in range(2)))))]


def _batches(actor: Flooder) -> Messages:
    expiry = actor.height + actor.genesis.parameters.batch_ttl_max // 2
    return [(Priority.BATCHES, actor.batch((actor.envelope(10),), expiry)) for _ in range(2)]


def _bytes(actor: Flooder) -> Messages:
    return [(Priority.CONSENSUS, actor.generator.randbytes(actor.generator.randrange(200)))]


_FLOODS: dict[str, Callable[[Flooder], Messages]] = {
    "asks for certificates": _certificates_wanted,
    "asks for batches": _batches_wanted,
    "asks for headers": _headers_wanted,
    "asks for blocks": _blocks_wanted,
    "keepalives": _keepalives,
    "announcements": _announcements,
    "votes": _votes,
    "proposals": _proposals,
    "certificates": _certificates,
    "headers": _headers,
    "junk envelopes": _junk_envelopes,
    "good envelopes": _good_envelopes,
    "batches": _batches,
    "bytes": _bytes,
}

FLOODER = Actor("asks for everything and floods", plays(Flooder), tuple(_FLOODS))
