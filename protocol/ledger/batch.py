"""Batches: envelopes sealed together by one validator (L-11, L-13).

A batch is good as a whole or refused as a whole: its author answers for every envelope in it. Here stands its
form: the network, every envelope's form, and the limits on signatures and operations that its size alone does
not set. `batch_signature_items` gives what has to verify, the author's signature first. Whether the author is a
validator, and the heights at which the batch can be referenced, are judged where the epoch is known (L-18).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple

from protocol import limits
from protocol.codec import decode, encode
from protocol.crypto.contexts import Context
from protocol.crypto.signing import SigningKey, signing_message
from protocol.errors import MALFORMED, TOO_LARGE, WRONG_NETWORK, Malformed, Refused
from protocol.ledger.envelope import ParsedEnvelope, SignatureItem, parse_envelope, signature_items
from protocol.ledger.records import Batch, BatchBody, Reference, batch_digest


class ParsedBatch(NamedTuple):
    """A batch of good form; no signature is verified.

    data: the encoded `Batch`. signed: the encoded body. digest: as references name it. author: voting key.
    """

    data: bytes
    signed: bytes
    signature: bytes
    network_id: bytes
    digest: bytes
    author: bytes
    expiry_height: int
    envelopes: tuple[ParsedEnvelope, ...]

    @property
    def reference(self) -> Reference:
        """As a header names it."""
        return Reference(self.author, self.digest, len(self.data), len(self.envelopes))


def seal_batch(network_id: bytes, author: SigningKey, expiry_height: int, envelopes: Sequence[bytes]) -> bytes:
    """The encoded `Batch` of these encoded envelopes, signed by its author."""
    signed = encode(BatchBody(network_id, author.public, expiry_height, tuple(envelopes)))
    return encode(Batch(signed, author.sign(Context.BATCH, network_id, signed)))


def open_batch(data: bytes) -> tuple[bytes, BatchBody, bytes]:
    """(digest, body, signature) of an encoded `Batch`; its envelopes stay closed. Raises Malformed."""
    batch = decode(Batch, data)
    return batch_digest(batch.body), decode(BatchBody, batch.body), batch.signature


def parse_batch(data: bytes, network_id: bytes) -> ParsedBatch:
    """Judge a batch's form and that of every envelope in it.

    Raises Refused: malformed, too_large, wrong_network; the words say which envelope.
    """
    steps = parse_batch_in_steps(data, network_id, limits.BATCH_ENVELOPES_MAX)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            parsed: ParsedBatch = end.value
            return parsed


def parse_batch_in_steps(data: bytes, network_id: bytes, step: int) -> Generator[None, None, ParsedBatch]:
    """As `parse_batch`, but yields after every `step` envelopes, so that something more urgent can come between."""
    if len(data) > limits.BATCH_BYTES_MAX:
        raise Refused(TOO_LARGE, f"a batch of {len(data)} bytes, at most {limits.BATCH_BYTES_MAX}")
    try:
        batch = decode(Batch, data)
        body = decode(BatchBody, batch.body)
    except Malformed as fault:
        raise Refused(MALFORMED, f"batch: {fault.words}") from fault
    if body.network_id != network_id:
        raise Refused(WRONG_NETWORK, f"the batch is for network {body.network_id.hex()}, not {network_id.hex()}")
    envelopes: list[ParsedEnvelope] = []
    for start in range(0, len(body.envelopes), step):
        for envelope in body.envelopes[start : start + step]:
            envelopes.append(_parse_one(envelope, len(envelopes), network_id))
        yield
    parsed = ParsedBatch(
        data,
        batch.body,
        batch.signature,
        network_id,
        batch_digest(batch.body),
        body.author,
        body.expiry_height,
        tuple(envelopes),
    )
    _check_sums(parsed)
    return parsed


def batch_signature_items(parsed: ParsedBatch) -> list[SignatureItem]:
    """What has to verify for the batch to be good: the author's signature, then each envelope's."""
    message = signing_message(Context.BATCH, parsed.network_id, parsed.signed)
    items = [SignatureItem(parsed.author, message, parsed.signature)]
    for envelope in parsed.envelopes:
        items += signature_items(envelope)
    return items


def _parse_one(data: bytes, index: int, network_id: bytes) -> ParsedEnvelope:
    try:
        return parse_envelope(data, network_id)
    except Refused as fault:
        raise Refused(fault.code, f"envelopes[{index}]: {fault.words}") from fault


def _check_sums(parsed: ParsedBatch) -> None:
    signatures = sum(len(envelope.signatures) for envelope in parsed.envelopes)
    if signatures > limits.BATCH_SIGNATURES_MAX:
        raise Refused(TOO_LARGE, f"a batch of {signatures} signatures, at most {limits.BATCH_SIGNATURES_MAX}")
    operations = sum(len(envelope.body.operations) for envelope in parsed.envelopes)
    if operations > limits.BATCH_OPERATIONS_MAX:
        raise Refused(TOO_LARGE, f"a batch of {operations} operations, at most {limits.BATCH_OPERATIONS_MAX}")
