"""The sender of wrong batches: of each kind that must be refused, or must be without effect; and of wrong references.

A batch with one bad envelope is refused whole (L-13). Where form and signatures are good, execution has to skip what a
stranger copied, repeated or kept too long (L-7). References that do not fit what they name make a block invalid (L-18);
those that name nothing make it wait, and its view end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from protocol import limits
from protocol.codec import decode, encode
from protocol.crypto.contexts import Context
from protocol.errors import Malformed
from protocol.ledger.records import Batch, BatchBody, Envelope, EnvelopeBody, Header, Reference
from protocol.node.interface import Effect, Input, Now, Priority, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import (
    RAW_BYTES_MAX,
    Actor,
    Stage,
    Wrapper,
    plays,
)
from protocol.sim.facts import BATCH_HEAD, BATCHES_WANTED_HEAD, PROPOSAL_HEAD
from protocol.sim.raw import array_head, binary, integer
from protocol.sim.services import AnyNode
from protocol.wire.messages import ProposalMessage

REMEMBERED = 64
"""Envelopes and references of others that are kept to be misused."""


class BadBatcher(Wrapper):
    """Sends wrong batches, references wrongly, and answers with other batches than were asked for."""

    PAUSE_MS = 60

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.envelopes: dict[bytes, None] = {}
        self.references: dict[Reference, None] = {}
        self.served: bytes = b""
        self.expiry = 0
        self.wall_ms = 0

    def step(self, given: Input, now: Now) -> list[Effect]:
        """As the real node, changed; the clock tells which envelopes have expired."""
        self.wall_ms = now.wall_ms
        return super().step(given, now)

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """Collect what can be misused; answer questions for batches with another batch."""
        if data[:2] == BATCH_HEAD:
            self._remember(decode(BatchBody, decode(Batch, data).body))
            self.served = data
        elif data[:2] == PROPOSAL_HEAD:
            self.references.update(dict.fromkeys(decode(Header, decode(ProposalMessage, data).header).references))
            self.references = dict.fromkeys(list(self.references)[-REMEMBERED:])
        elif data[:2] == BATCHES_WANTED_HEAD and self.served:
            self.did("another batch than asked for")
            return [Send((peer,), Priority.BATCHES, self.served)]
        return []

    def _remember(self, content: BatchBody) -> None:
        self.envelopes.update(dict.fromkeys(content.envelopes))
        self.envelopes = dict.fromkeys(list(self.envelopes)[-REMEMBERED:])
        self.expiry = max(self.expiry, content.expiry_height)

    def act(self) -> list[Effect]:
        """One wrong batch, to everyone."""
        if not self.envelopes:
            return []
        found = self.pick(_BATCHES, self, self.generator.choice(list(self.envelopes)))
        assert found is not None, "most of them always find something"
        self.did(found[0])
        return self.to_all(Priority.BATCHES, found[1])

    def lie(self, send: Send) -> list[Effect]:
        """Own proposals, often with references that do not fit."""
        if send.data[:2] == BATCH_HEAD:
            self._remember(decode(BatchBody, decode(Batch, send.data).body))
        if send.data[:2] != PROPOSAL_HEAD or self.generator.randrange(2):
            return [send]
        message = decode(ProposalMessage, send.data)
        header = decode(Header, message.header)
        if header.proposer != self.key.public:
            return [send]
        found = self.pick(_REFERENCES, self, header.references)
        assert found is not None, "some of them always find something"
        self.did(found[0])
        return [replace(send, data=self.proposal(message.proposal, replace(header, references=found[1])))]


# -- Wrong batches ----------------------------------------------------------------------------------


def _bad_author_signature(actor: BadBatcher, envelope: bytes) -> bytes | None:
    batch = decode(Batch, actor.batch((envelope,), actor.expiry))
    return encode(replace(batch, signature=batch.signature[:-1] + bytes([batch.signature[-1] ^ 1])))


def _bad_envelope_signature(actor: BadBatcher, envelope: bytes) -> bytes | None:
    whole = decode(Envelope, envelope)
    broken = (whole.signatures[0][:5] + bytes([whole.signatures[0][5] ^ 1]) + whole.signatures[0][6:],)
    return actor.batch((envelope, encode(replace(whole, signatures=broken))), actor.expiry)


def _changed_envelope(actor: BadBatcher, envelope: bytes) -> bytes | None:
    whole = decode(Envelope, envelope)
    body = decode(EnvelopeBody, whole.body)
    later = encode(replace(body, valid_until_ms=body.valid_until_ms + 1))
    return actor.batch((encode(replace(whole, body=later)),), actor.expiry)


def _another_network(actor: BadBatcher, envelope: bytes) -> bytes | None:
    content = BatchBody(bytes(32), actor.key.public, actor.expiry, (envelope,))
    body = encode(content)
    return encode(Batch(body, actor.key.sign(Context.BATCH, bytes(32), body)))


def _not_an_envelope(actor: BadBatcher, envelope: bytes) -> bytes | None:
    return actor.batch((envelope[:-1], bytes(7)), actor.expiry)


def _anothers_name(actor: BadBatcher, envelope: bytes) -> bytes | None:
    author = actor.generator.choice(actor.genesis.validators).voting_key
    return actor.batch((envelope,), actor.expiry, author) if author != actor.key.public else None


def _no_validator(actor: BadBatcher, envelope: bytes) -> bytes | None:
    return actor.batch((envelope,), actor.expiry, actor.genesis.members[0].keys[0])


def _far_expiry(actor: BadBatcher, envelope: bytes) -> bytes | None:
    return actor.batch((envelope,), actor.expiry + actor.generator.choice((60, 200, 10**9)))


def _past_expiry(actor: BadBatcher, envelope: bytes) -> bytes | None:
    return actor.batch((envelope,), max(1, actor.expiry - 200))


def _same_envelope_twice(actor: BadBatcher, envelope: bytes) -> bytes | None:
    return actor.batch((envelope, envelope), actor.expiry)


def _old_envelopes(actor: BadBatcher, _envelope: bytes) -> bytes | None:
    return actor.batch(tuple(actor.envelopes)[:16], actor.expiry + actor.generator.randrange(3))


def _expired_envelope(actor: BadBatcher, _envelope: bytes) -> bytes | None:
    late = [e for e in actor.envelopes if _valid_until_ms(e) <= actor.wall_ms + 100]
    return actor.batch(tuple(late[:4]), actor.expiry) if late else None


def _valid_until_ms(envelope: bytes) -> int:
    try:
        return decode(EnvelopeBody, decode(Envelope, envelope).body).valid_until_ms
    except Malformed:
        return 0


def _too_many_envelopes(actor: BadBatcher, _envelope: bytes) -> bytes | None:
    return _by_hand(actor, [b"\x00"] * (limits.BATCH_ENVELOPES_MAX + 1))


def _too_large(actor: BadBatcher, _envelope: bytes) -> bytes | None:
    return _by_hand(actor, [bytes(limits.ENVELOPE_BYTES_MAX)] * 3 + [bytes(RAW_BYTES_MAX - 800 * 1024)])


def _by_hand(actor: BadBatcher, envelopes: list[bytes]) -> bytes:
    """A batch that breaks its own bounds."""
    head = array_head(6) + integer(4) + integer(1) + binary(actor.network_id) + binary(actor.key.public)
    body = head + integer(actor.expiry) + array_head(len(envelopes)) + b"".join(map(binary, envelopes))
    signature = actor.key.sign(Context.BATCH, actor.network_id, body)
    return array_head(4) + integer(5) + integer(1) + binary(body) + binary(signature)


_BATCHES: dict[str, Callable[[BadBatcher, bytes], bytes | None]] = {
    "bad author signature": _bad_author_signature,
    "bad envelope signature": _bad_envelope_signature,
    "changed envelope": _changed_envelope,
    "batch of another network": _another_network,
    "no envelope": _not_an_envelope,
    "batch in another's name": _anothers_name,
    "batch by no validator": _no_validator,
    "expiry far ahead": _far_expiry,
    "expiry passed": _past_expiry,
    "envelope twice": _same_envelope_twice,
    "envelopes of others, again": _old_envelopes,
    "expired envelope": _expired_envelope,
    "too many envelopes": _too_many_envelopes,
    "too large": _too_large,
}

# -- Wrong references -------------------------------------------------------------------------------

References = tuple[Reference, ...]


def _unknown_digest(actor: BadBatcher, references: References) -> References | None:
    return (*references[:15], Reference(actor.key.public, actor.generator.randbytes(32), 1_000, 1))


def _wrong_count(_actor: BadBatcher, references: References) -> References | None:
    return (replace(references[0], count=references[0].count + 1), *references[1:]) if references else None


def _wrong_bytes(_actor: BadBatcher, references: References) -> References | None:
    return (replace(references[0], bytes=references[0].bytes - 1), *references[1:]) if references else None


def _wrong_author(actor: BadBatcher, references: References) -> References | None:
    author = actor.generator.choice(actor.genesis.validators).voting_key
    if not references or references[0].author == author:
        return None
    return (replace(references[0], author=author), *references[1:])


def _twice(_actor: BadBatcher, references: References) -> References | None:
    return (*references[:15], references[0]) if references else None


def _used_before(actor: BadBatcher, _references: References) -> References | None:
    return (actor.generator.choice(list(actor.references)),) if actor.references else None


def _too_many(actor: BadBatcher, _references: References) -> References | None:
    count = actor.genesis.parameters.block_references_max + 1
    return tuple(Reference(actor.key.public, actor.generator.randbytes(32), 1_000, 1) for _ in range(count))


_REFERENCES: dict[str, Callable[[BadBatcher, References], References | None]] = {
    "reference to nothing": _unknown_digest,
    "reference with a wrong count": _wrong_count,
    "reference with wrong bytes": _wrong_bytes,
    "reference with a wrong author": _wrong_author,
    "reference twice": _twice,
    "reference used before": _used_before,
    "too many references": _too_many,
}

BAD_BATCHER = Actor(
    "sends wrong batches and references wrongly",
    plays(BadBatcher),
    (*_BATCHES, *_REFERENCES, "another batch than asked for"),
)
