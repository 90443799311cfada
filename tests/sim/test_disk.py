"""What a crash takes from a simulated disk, and what it leaves."""

from __future__ import annotations

from collections import Counter

import pytest

from protocol.codec import decode
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Block, Executed
from protocol.ledger.tables import Table, Writes
from protocol.node.interface import JournalKind, JournalRecord
from protocol.sim.disk import Disk, DiskModel
from protocol.sim.events import stream
from tests.sim.fakes import GENESIS_RESULT, ZERO, block


def made(records: int, synced: int, blocks: int = 0, blocks_synced: int = 0) -> Disk:
    disk = Disk(DiskModel(), MemoryTables(), GENESIS_RESULT)
    for index in range(records):
        kind = JournalKind.CERTIFICATE if index % 2 else JournalKind.VOTE
        disk.write(JournalRecord(kind, bytes([index])))
    disk.journal_synced = synced
    for height in range(1, blocks + 1):
        disk.append(block(height), decode(Block, block(height)))
    disk.segments_synced(blocks_synced, 0)
    return disk


def test_a_crash_keeps_what_was_synced_and_a_beginning_of_the_rest() -> None:
    kept: Counter[int] = Counter()
    for seed in range(300):
        disk = made(10, 4, blocks=5, blocks_synced=2)
        before, blocks = list(disk.journal), [stored.data for stored in disk.blocks]
        disk.crash(stream(seed, "crash"))
        assert disk.journal == before[: len(disk.journal)]
        assert [stored.data for stored in disk.blocks] == blocks[: disk.blocks.last]
        assert 4 <= len(disk.journal) == disk.journal_synced <= 10
        assert 2 <= disk.blocks.last == disk.blocks_synced <= 5
        kept[len(disk.journal)] += 1
    assert set(kept) == set(range(4, 11)), "everything from nothing to all of the tail happens"


def test_a_crash_takes_the_state_back_to_a_height_exactly() -> None:
    seen: set[int] = set()
    for seed in range(100):
        disk = made(0, 0, blocks=6)
        states = [dict[bytes, bytes]()]
        for height in range(1, 7):
            writes: Writes = {(Table.STATE, b"k"): b"%d" % height, (Table.STATE, b"%d" % height): b"new"}
            if height > 1:
                writes[Table.STATE, b"%d" % (height - 1)] = None
            disk.apply(writes, Executed(height, ZERO, 0, ZERO))
            states.append(dict(disk.tables.scan(Table.STATE, b"")))
            if height == 2:
                disk.segments_synced(2, 2)
        disk.crash(stream(seed, "crash"))
        height = disk.executed.last
        seen.add(height)
        assert height >= 2
        assert dict(disk.tables.scan(Table.STATE, b"")) == states[height]
    assert seen == {2, 3, 4, 5, 6}


def test_a_crash_during_a_rotation_finds_one_of_both_journals_whole() -> None:
    """L-24."""
    found: Counter[bool] = Counter()
    for seed in range(60):
        disk = made(6, 6)
        old, new = list(disk.journal), [JournalRecord(JournalKind.VOTE_FLOOR, b"floor")]
        disk.rotating = [*new]
        disk.write(JournalRecord(JournalKind.VOTE, b"meanwhile"))
        disk.crash(stream(seed, "crash"))
        assert disk.journal in (old, new, [*old, JournalRecord(JournalKind.VOTE, b"meanwhile")])
        assert not disk.rotating
        found[disk.journal == new] += 1
    assert min(found[True], found[False]) > 10


def test_blocks_are_read_within_count_and_bytes_but_at_least_one() -> None:
    disk = made(0, 0, blocks=5)
    assert disk.read(2, 3, 10**9) == tuple(block(height) for height in (2, 3, 4))
    assert disk.read(2, 3, 1) == (block(2),)
    assert disk.read(6, 3, 10**9) == ()


def test_the_planted_bug_forgets_certificates_and_nothing_else() -> None:
    disk = made(10, 10)
    disk.forget_certificates = True
    disk.crash(stream(0, "crash"))
    assert [record.data[0] for record in disk.journal] == [0, 2, 4, 6, 8]


def test_a_state_is_written_only_on_the_one_below_it() -> None:
    disk = made(0, 0, blocks=2)
    with pytest.raises(AssertionError):
        disk.apply({}, Executed(2, ZERO, 0, ZERO))
