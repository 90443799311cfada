"""Reading messages: every kind, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from protocol.codec import decode, encode
from protocol.codec.records import KINDS
from protocol.errors import Malformed
from protocol.ledger.records import Receipt
from protocol.wire.messages import MESSAGES, BatchesWanted, Keepalive, heard_bitmap, heard_places, read


def test_the_table_names_the_kinds_of_its_classes() -> None:
    assert {kind: KINDS[kind] for kind in MESSAGES} == MESSAGES


def test_a_record_that_is_no_message_is_refused() -> None:
    receipt = encode(Receipt(bytes(32), 1, 1, 0, "ok", None, "", ()))
    assert decode(Receipt, receipt).code == "ok"
    with pytest.raises(Malformed, match="no message of kind 7"):
        read(receipt)


@given(some.binary(max_size=300))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)


@given(some.binary(max_size=40), some.integers(0, 60))
def test_flipped_messages_read_as_themselves_or_not_at_all(noise: bytes, place: int) -> None:
    """L-1: whatever reads encodes to the same bytes."""
    data = encode(BatchesWanted((b"d" * 32, b"e" * 32)))
    altered = data[:place] + noise + data[place + len(noise) :]
    try:
        message = read(altered)
    except Malformed:
        return
    assert encode(message) == altered


@given(some.integers(1, 256), some.data())
def test_whom_a_node_hears_is_a_bit_each(count: int, data: some.DataObject) -> None:
    places = sorted(data.draw(some.sets(some.integers(0, count - 1))))
    bitmap = heard_bitmap(places, count)
    assert heard_places(bitmap, count) == places
    assert len(encode(Keepalive(2**53 - 1, 2**53 - 1, 2**53 - 1, 2**53 - 1, bitmap, True, 2**53 - 1))) <= 128
    for other in {count % 256 + 1, max(1, count - 8)} - {count}:
        if len(bitmap) != (other + 7) // 8:
            with pytest.raises(Malformed, match="hears"):
                heard_places(bitmap, other)
    if count % 8:
        spare = bitmap[:-1] + bytes([bitmap[-1] | 1 << count % 8])
        with pytest.raises(Malformed, match="hears"):
            heard_places(spare, count)
