"""A chain with the product's own applications, for tests of workers and of whole nodes."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.apps.evidence.records import SHA256, RecordEvidence, Statement
from protocol.apps.registry import RULES
from protocol.codec import encode
from protocol.crypto.signing import SigningKey
from protocol.ledger.batch import seal_batch
from protocol.ledger.envelope import seal_envelope
from protocol.ledger.genesis import Genesis
from protocol.ledger.records import EnvelopeBody, Operation, account_name
from protocol.node.interface import Execute
from tests.ledger.world import World, key, make_genesis


def real_world(genesis: Genesis | None = None) -> World:
    """A world in memory whose rules are those that worker processes know."""
    return World(genesis or make_genesis(), list(RULES[1].applications.values()))


def evidence(number: int) -> Operation:
    """An operation that records a digest under an id, both made from a small number."""
    statement = Statement(SHA256, number.to_bytes(32, "big"), 7, "text/plain", "", "", "", None)
    return Operation("evidence", "record", encode(RecordEvidence(None, number.to_bytes(16, "big"), statement)))


def envelope(network_id: bytes, number: int, valid_until_ms: int, signer: SigningKey | None = None) -> bytes:
    """An envelope with one such operation, by key(1) unless told otherwise."""
    signer = signer or key(1)
    account, name = account_name(signer.public), number.to_bytes(16, "big")
    body = EnvelopeBody(network_id, account, name, valid_until_ms, (evidence(number),), (signer.public,))
    return seal_envelope(body, [signer])


def many(world: World, first: int, count: int, valid_ms: int = 60_000) -> list[bytes]:
    """Envelopes numbered from `first` on, valid for a minute unless told otherwise."""
    return [envelope(world.network_id, number, world.time_ms + valid_ms) for number in range(first, first + count)]


def batch(world: World, envelopes: Sequence[bytes], author: int = 0) -> bytes:
    """A batch of the validator of member `author`."""
    return seal_batch(world.network_id, key(300 + author), 50, envelopes)


def executes(world: World) -> list[Execute]:
    """All blocks of the world, as the node hands them to execution."""
    return [Execute(header.height, encode(header), batches) for header, batches in world.blocks]
