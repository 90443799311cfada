"""Envelopes: made by clients, judged here as far as that needs no state (L-5, L-7, L-13).

`parse_envelope` is on the hot path: every envelope passes it when it comes, in a batch, and at execution. It
opens both records in one pass and checks what their field types cannot say: the network, the order of the
signers, one signature a signer. `signature_items` then gives what has to be verified, as plain triples, so
that it can be done in bulk and elsewhere; nothing here verifies a client's signature.

Whether the signers may act for the account is a question to the state (`accounts`, `admission`, `execution`).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from protocol import limits
from protocol.codec import decode, encode
from protocol.crypto.contexts import Context
from protocol.crypto.signing import SigningKey, signing_message
from protocol.errors import MALFORMED, TOO_LARGE, WRONG_NETWORK, BrokenInvariant, Malformed, Refused
from protocol.ledger.records import Envelope, EnvelopeBody, transaction_id


class ParsedEnvelope(NamedTuple):
    """An envelope of good form; its signatures are not verified.

    data: the encoded `Envelope`. body: what is signed, opened. signed: the encoded body. transaction: its id.
    """

    data: bytes
    body: EnvelopeBody
    signed: bytes
    transaction: bytes
    signatures: tuple[bytes, ...]

    @property
    def account(self) -> bytes:
        """Who sends (32 bytes)."""
        return self.body.account

    @property
    def id(self) -> bytes:
        """The client's id (16 bytes)."""
        return self.body.id

    @property
    def valid_until_ms(self) -> int:
        """Block time at which it can become final no more."""
        return self.body.valid_until_ms

    @property
    def signers(self) -> tuple[bytes, ...]:
        """Public keys, distinct and ascending."""
        return self.body.signers


class SignatureItem(NamedTuple):
    """One signature to verify by L-3."""

    public: bytes
    message: bytes
    signature: bytes


def seal_envelope(body: EnvelopeBody, keys: Iterable[SigningKey]) -> bytes:
    """The encoded `Envelope` of a body, signed by its signers' keys (given in any order).

    Raises BrokenInvariant if the keys are not exactly the signers', or these not distinct and ascending.
    """
    by_public = {key.public: key for key in keys}
    if set(by_public) != set(body.signers) or not _ascending(body.signers):
        raise BrokenInvariant("an envelope is signed by exactly its signers, distinct and ascending")
    signed = encode(body)
    signatures = tuple(by_public[p].sign(Context.ENVELOPE, body.network_id, signed) for p in body.signers)
    return encode(Envelope(signed, signatures))


def parse_envelope(data: bytes, network_id: bytes) -> ParsedEnvelope:
    """Judge an envelope's form (L-5), without state and without signatures.

    Raises Refused: too_large, malformed, wrong_network.
    """
    if len(data) > limits.ENVELOPE_BYTES_MAX:
        raise Refused(TOO_LARGE, f"an envelope of {len(data)} bytes, at most {limits.ENVELOPE_BYTES_MAX}")
    try:
        envelope = decode(Envelope, data)
        body = decode(EnvelopeBody, envelope.body)
    except Malformed as fault:
        raise Refused(MALFORMED, f"envelope: {fault.words}") from fault
    if body.network_id != network_id:
        raise Refused(WRONG_NETWORK, f"the envelope is for network {body.network_id.hex()}, not {network_id.hex()}")
    signers = body.signers
    if len(signers) > 1 and not _ascending(signers):
        raise Refused(MALFORMED, "envelope: signers must be distinct and ascending")
    if len(envelope.signatures) != len(signers):
        words = f"envelope: {len(signers)} signers and {len(envelope.signatures)} signatures"
        raise Refused(MALFORMED, words)
    return ParsedEnvelope(data, body, envelope.body, transaction_id(envelope.body), envelope.signatures)


def signature_items(parsed: ParsedEnvelope) -> list[SignatureItem]:
    """What has to verify for the envelope's signatures to be good: one item a signer."""
    message = signing_message(Context.ENVELOPE, parsed.body.network_id, parsed.signed)
    pairs = zip(parsed.body.signers, parsed.signatures, strict=True)
    return [SignatureItem(public, message, signature) for public, signature in pairs]


def _ascending(keys: tuple[bytes, ...]) -> bool:
    return all(low < high for low, high in pairwise(keys))
