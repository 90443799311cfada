"""Envelopes and batches: their form, their signatures, and what is refused (L-5, L-11, L-13)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.codec import decode, encode
from protocol.crypto.signing import verify_message
from protocol.errors import BrokenInvariant, Malformed, Refused
from protocol.ledger.batch import batch_signature_items, open_batch, parse_batch, seal_batch
from protocol.ledger.envelope import parse_envelope, seal_envelope, signature_items
from protocol.ledger.records import (
    Batch,
    BatchBody,
    Envelope,
    EnvelopeBody,
    Operation,
    account_name,
    batch_digest,
    transaction_id,
)
from tests.ledger.world import World, key

WORLD = World()
ID = WORLD.network_id


def body(signers: int = 1, operations: int = 1) -> EnvelopeBody:
    publics = sorted(key(i).public for i in range(1, signers + 1))
    operation = Operation("test", "put", b"\x01")
    return EnvelopeBody(ID, account_name(publics[0]), bytes(16), 5, (operation,) * operations, tuple(publics))


def code(data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        parse_envelope(data, ID)
    return caught.value.code


def forged(changed: EnvelopeBody, signatures: int = 1) -> bytes:
    return encode(Envelope(encode(changed), (bytes(64),) * signatures))


@pytest.mark.parametrize("signers", [1, 2, 8])
def test_a_sealed_envelope_parses_and_its_signatures_verify(signers: int) -> None:
    """L-5: one signature of each signer over all fields; the id is the hash of what is signed."""
    made = body(signers)
    data = seal_envelope(made, [key(i) for i in range(1, signers + 1)])
    parsed = parse_envelope(data, ID)
    assert (parsed.body, parsed.data) == (made, data)
    assert parsed.transaction == transaction_id(encode(made))
    assert (parsed.account, parsed.id, parsed.valid_until_ms, parsed.signers) == (
        made.account,
        made.id,
        made.valid_until_ms,
        made.signers,
    )
    items = signature_items(parsed)
    assert [item.public for item in items] == list(made.signers)
    assert all(verify_message(*item) for item in items)


def test_signatures_hold_the_network_and_every_field() -> None:
    """L-4, L-5: the signature of another body or network does not verify."""
    data = seal_envelope(body(), [key(1)])
    signatures = decode(Envelope, data).signatures
    for changed in (
        replace(body(), id=bytes([1]) * 16),
        replace(body(), valid_until_ms=6),
        replace(body(), account=bytes(32)),
        replace(body(), operations=(Operation("test", "put", b"\x02"),)),
    ):
        parsed = parse_envelope(encode(Envelope(encode(changed), signatures)), ID)
        assert not any(verify_message(*item) for item in signature_items(parsed))
    elsewhere = replace(body(), network_id=bytes(32))
    parsed = parse_envelope(encode(Envelope(encode(elsewhere), signatures)), bytes(32))
    assert not verify_message(*signature_items(parsed)[0])


def test_what_is_not_well_formed_is_refused_with_its_code() -> None:
    low, high = sorted([key(1).public, key(2).public])
    assert code(b"") == "malformed"
    assert code(seal_envelope(body(), [key(1)]) + b"\x00") == "malformed"
    assert code(bytes(limits.ENVELOPE_BYTES_MAX + 1)) == "too_large"
    assert code(forged(replace(body(), network_id=bytes(32)))) == "wrong_network"
    assert code(forged(replace(body(), signers=(high, low)), 2)) == "malformed"
    assert code(forged(replace(body(), signers=(low, low)), 2)) == "malformed"
    assert code(forged(replace(body(), signers=(low, high)), 1)) == "malformed"
    assert code(forged(body(), 2)) == "malformed"
    assert code(encode(Envelope(b"\x90", (bytes(64),)))) == "malformed"


def test_only_the_signers_seal() -> None:
    with pytest.raises(BrokenInvariant):
        seal_envelope(body(2), [key(1)])
    with pytest.raises(BrokenInvariant):
        seal_envelope(body(1), [key(1), key(2)])


@settings(max_examples=300)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_any_changed_byte_is_refused_or_breaks_a_signature(at: int, value: int) -> None:
    data = seal_envelope(body(2), [key(1), key(2)])
    at %= len(data)
    changed = data[:at] + bytes([value]) + data[at + 1 :]
    if changed == data:
        return
    try:
        parsed = parse_envelope(changed, ID)
    except Refused:
        return
    assert not all(verify_message(*item) for item in signature_items(parsed))


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else(data: bytes) -> None:
    assert code(data) == "malformed"
    with pytest.raises(Refused):
        parse_batch(data, ID)


# -- Batches ----------------------------------------------------------------------------------------


def test_a_sealed_batch_parses_and_all_its_signatures_verify() -> None:
    """L-11, L-13: the author's signature first, then each envelope's."""
    envelopes = [WORLD.put(1), WORLD.put(2, signers=[key(1), key(2)])]
    data = WORLD.batch(envelopes, author=2, expiry_height=7)
    parsed = parse_batch(data, ID)
    assert [envelope.data for envelope in parsed.envelopes] == envelopes
    assert (parsed.author, parsed.expiry_height) == (key(302).public, 7)
    assert (parsed.reference.bytes, parsed.reference.count) == (len(data), 2)
    items = batch_signature_items(parsed)
    assert len(items) == 1 + 1 + 2
    assert items[0].public == key(302).public
    assert all(verify_message(*item) for item in items)
    digest, opened, _ = open_batch(data)
    assert digest == parsed.digest == batch_digest(encode(opened))


def test_the_authors_signature_holds_author_expiry_and_content() -> None:
    data = WORLD.batch([WORLD.put(1)])
    batch = decode(Batch, data)
    opened = decode(BatchBody, batch.body)
    for changed in (
        replace(opened, author=key(301).public),
        replace(opened, expiry_height=51),
        replace(opened, envelopes=(WORLD.put(2),)),
    ):
        parsed = parse_batch(encode(Batch(encode(changed), batch.signature)), ID)
        assert not verify_message(*batch_signature_items(parsed)[0])


def test_one_bad_envelope_refuses_the_whole_batch_and_is_named() -> None:
    """L-13."""
    with pytest.raises(Refused, match=r"envelopes\[1\]") as caught:
        parse_batch(WORLD.batch([WORLD.put(1), b"\x00"]), ID)
    assert caught.value.code == "malformed"
    with pytest.raises(Refused) as elsewhere:
        parse_batch(WORLD.batch([forged(replace(body(), network_id=bytes(32)))]), ID)
    assert elsewhere.value.code == "wrong_network"
    with pytest.raises(Refused) as other:
        parse_batch(seal_batch(bytes(32), key(300), 1, [WORLD.put(1)]), ID)
    assert other.value.code == "wrong_network"


def test_a_batch_is_bounded_in_bytes_and_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused) as caught:
        parse_batch(bytes(limits.BATCH_BYTES_MAX + 1), ID)
    assert caught.value.code == "too_large"
    monkeypatch.setattr(limits, "BATCH_OPERATIONS_MAX", 19)
    full = WORLD.batch([forged(body(1, 10)), forged(body(1, 10))])
    with pytest.raises(Refused, match="operations") as many:
        parse_batch(full, ID)
    assert many.value.code == "too_large"
    monkeypatch.setattr(limits, "BATCH_SIGNATURES_MAX", 1)
    with pytest.raises(Refused, match="signatures"):
        parse_batch(full, ID)


def test_a_batch_without_envelopes_is_malformed() -> None:
    with pytest.raises(BrokenInvariant):
        WORLD.batch([])
    with pytest.raises(Malformed):
        open_batch(b"")
