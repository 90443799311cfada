"""Block sync: parts in any order make blocks; what does not fit is refused."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from protocol import limits
from protocol.codec import decode, encode
from protocol.errors import Malformed
from protocol.ledger.records import Batch, Block, Executed, Header, Reference, batch_digest, header_hash
from protocol.sync import BlockSync, end_of_answer, parts_of
from protocol.sync import blocks as blocks_module
from protocol.wire.messages import BlockPart

START = b"n" * 32


def chain(count: int, batches: int = 2, size: int = 100) -> list[bytes]:
    blocks: list[bytes] = []
    parent = START
    for height in range(1, count + 1):
        contents = [encode(Batch(bytes([height, index]) * size, bytes(64))) for index in range(batches)]
        references = tuple(
            Reference(bytes(32), batch_digest(decode(Batch, data).body), len(data), 1) for data in contents
        )
        executed = Executed(0, bytes(32), 0, bytes(32))
        header = Header(1, 1, height, parent, height, bytes(32), references, executed, bytes(32), bytes(32))
        blocks.append(encode(Block(encode(header), tuple(contents), b"certificate")))
        parent = header_hash(header)
    return blocks


def parts(blocks: list[bytes]) -> list[BlockPart]:
    return [decode(BlockPart, part) for height, block in enumerate(blocks, 1) for part in parts_of(height, block)]


def take_all(sync: BlockSync, pieces: list[BlockPart]) -> None:
    for part in pieces:
        sync.take(part, 0)


def test_parts_stay_below_a_message_and_come_back_whole() -> None:
    blocks = chain(1, batches=3, size=limits.BATCH_BYTES_MAX // 2 - 100)
    encoded = parts_of(1, blocks[0])
    assert len(encoded) == 3
    assert max(map(len, encoded)) <= limits.MESSAGE_BYTES_MAX
    sync = BlockSync(100)
    sync.begin(b"p", 1, START, 1, 0)
    take_all(sync, parts(blocks))
    (whole,) = sync.pending
    assert tuple(whole.batches) == decode(Block, blocks[0]).batches


@pytest.mark.parametrize("seed", range(10))
def test_any_order_gives_blocks_in_order(seed: int) -> None:
    blocks = chain(6)
    pieces = [*parts(blocks), decode(BlockPart, end_of_answer(7))]
    random.Random(seed).shuffle(pieces)
    sync = BlockSync(100)
    sync.begin(b"p", 1, START, 6, 0)
    take_all(sync, pieces)
    assert [block.header.height for block in sync.pending] == [1, 2, 3, 4, 5, 6]
    assert sync.answered()
    assert sync.finalized() == 1
    assert sync.waiting_bytes == sum(block.size for block in sync.pending)
    assert len(sync.release(4)) == 4
    assert sync.waiting_bytes == sum(block.size for block in sync.pending)


def test_what_does_not_fit_is_refused() -> None:
    good = parts(chain(2))
    other = parts(chain(2, size=50))
    wrong = {
        "another parent": [good[0], other[1]],
        "a batch of another digest": [replace(good[0], batches=other[0].batches)],
        "too few batches": [replace(good[0], batches=good[0].batches[:1])],
        "far ahead": [replace(good[0], height=limits.SYNC_BLOCKS_MAX + 1)],
        "an index past the count": [replace(good[0], index=1)],
        "no first part": [replace(good[0], index=1, count=2), replace(good[0], index=1, count=1)],
    }
    for pieces in wrong.values():
        sync = BlockSync(100)
        sync.begin(b"p", 1, START, 2, 0)
        with pytest.raises(Malformed):
            take_all(sync, pieces)


def test_blocks_without_a_finalization_are_bounded() -> None:
    """Nothing that a peer sends makes the node grow (L-31)."""
    sync = BlockSync(100)
    sync.begin(b"p", 1, START, 99, 0)
    (part,) = parts(chain(1, batches=1, size=limits.BATCH_BYTES_MAX // 2 - 100))
    with pytest.raises(Malformed, match="without a finalization"):
        take_all(sync, [replace(part, height=height, count=2) for height in range(2, 200)])


def test_made_up_blocks_without_batches_end_too() -> None:
    """A lying peer holds nobody for ever."""
    sync = BlockSync(100)
    blocks = [encode(replace(decode(Block, block), finalization=None)) for block in chain(600, batches=0)]
    sync.begin(b"p", 1, START, 10_000, 0)
    with pytest.raises(Malformed, match="without a finalization"):
        take_all(sync, parts(blocks))


def test_a_peer_that_failed_is_left_alone_for_a_while() -> None:
    sync = BlockSync(100)
    sync.begin(b"p", 1, START, 2, 0)
    sync.end(50, failed=True)
    assert not sync.usable(b"p", 1049)
    assert sync.usable(b"p", 1050)
    assert sync.usable(b"q", 50)


def test_only_new_parts_of_the_next_block_win_time() -> None:
    """L-31: a peer that sends the same again, or parts of blocks far on, does not keep us with it."""
    pieces = parts(chain(3))
    sync = BlockSync(100)
    sync.begin(b"p", 1, START, 3, 0)
    began_ms = sync.deadline_ms
    sync.take(pieces[2], 50)
    assert sync.deadline_ms == began_ms, "a later block"
    first = replace(pieces[0], count=2)
    sync.take(first, 60)
    assert sync.deadline_ms == 60 + 400
    sync.take(first, 90)
    assert sync.deadline_ms == 60 + 400, "the same again"


def test_a_block_has_no_more_parts_than_the_largest_needs() -> None:
    sync = BlockSync(100)
    sync.begin(b"p", 1, START, 3, 0)
    with pytest.raises(Malformed, match="parts"):
        sync.take(replace(parts(chain(1))[0], count=blocks_module.PARTS_MAX + 1), 0)
    most = [encode(Batch(bytes(limits.BLOCK_BYTES_MAX // 64 - 200), bytes(64)))] * 64
    header = decode(Block, chain(1)[0]).header
    assert len(parts_of(1, encode(Block(header, tuple(most), None)))) <= blocks_module.PARTS_MAX


def test_what_waits_is_counted_as_it_comes_and_goes() -> None:
    """L-31: parts that are let go, and headers in parts that need none, count for nothing any more."""
    pieces = parts(chain(2))
    sync = BlockSync(100)
    sync.begin(b"p", 1, START, 2, 0)
    sync.take(replace(pieces[1], count=2), 0)
    assert sync.waiting_bytes > 0
    sync.forget_parts()
    assert sync.waiting_bytes == 0
    take_all(sync, pieces)
    assert sync.waiting_bytes == sum(block.size for block in sync.pending)
    sync.release(2)
    assert sync.waiting_bytes == 0


@pytest.mark.parametrize(("blocks", "left"), [(3, True), (4, False)])
def test_a_peer_that_brings_us_no_closer_to_the_others_is_left(blocks: int, left: bool) -> None:
    """Others gain three blocks while this one sends three, or four."""
    pieces = parts(chain(blocks))
    sync = BlockSync(100)
    sync.begin(b"p", 1, START, 50, 0)
    assert not sync.measure(40, 0), "the first time there is nothing to compare with"
    take_all(sync, pieces)
    assert not sync.measure(43, 1_599), "it has some patience"
    assert sync.measure(43, 1_600) is left


def test_without_others_ahead_a_peer_is_never_left_for_them() -> None:
    sync = BlockSync(100)
    sync.begin(b"p", 1, START, 50, 0)
    assert not any(sync.measure(0, now_ms) for now_ms in range(0, 10_000, 1_000))
