"""A data directory as a node leaves it: real blocks under real certificates, segments that rolled over, a journal that
was rotated, the state that execution made of it; and sources that have the same blocks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

from daemon.runtime.workers.execute import Ledger
from daemon.runtime.workers.kinds import ExecuteNeeds
from daemon.store.directory import create
from daemon.store.files import OsFiles
from daemon.store.journal import Journal
from daemon.store.segments import Segments
from daemon.upkeep.check import Subject
from daemon.upkeep.sources import NoBlock
from protocol.codec import encode
from protocol.ledger.genesis import DEFAULT_PARAMETERS, Genesis
from protocol.ledger.records import Block, header_hash
from protocol.node.interface import JournalKind
from tests.ledger.world import make_genesis
from tests.proofs.chain import certificate
from tests.runtime.ledgers import executes, many, real_world

JOURNAL_ID = bytes(range(16))
SEGMENT_BYTES = 4_500
BLOCKS = 15
ABOVE = 2
"""Blocks at the end that only the journal holds: the segments were not synced with them."""


class Chain:
    """A network's blocks: encoded, by height from 1. Every third has no certificate of its own, but the last has."""

    def __init__(self, blocks: int = BLOCKS, genesis: Genesis | None = None, valid_ms: int = 60_000) -> None:
        self.world = real_world(genesis)
        for number in range(blocks):
            self.world.run(*many(self.world, 1 + 10 * number, 1 + number % 3, valid_ms))
        self.genesis: Genesis = self.world.genesis
        self.network_id = self.world.network_id
        self.blocks: dict[int, bytes] = {}
        for header, batches in self.world.blocks:
            covered = header.height % 3 or header.height == blocks
            final = encode(certificate(self.network_id, header_hash(header))) if covered else None
            self.blocks[header.height] = encode(Block(encode(header), batches, final))


@cache
def chain() -> Chain:
    return Chain()


class Given:
    """A source with these blocks; `asked` is what it was asked for."""

    def __init__(self, blocks: dict[int, bytes], name: str = "another node") -> None:
        self.blocks = blocks
        self.name = name
        self.asked: list[int] = []

    def read(self, height: int) -> bytes:
        self.asked.append(height)
        if height not in self.blocks:
            raise NoBlock(f"it has no block {height}")
        return self.blocks[height]


def make(directory: Path, made: Chain | None = None) -> Subject:
    """Write the directory."""
    made = made or chain()
    network, files = made.network_id, OsFiles()
    create(directory, network, JOURNAL_ID)
    segments = Segments.open(directory / "segments", files, network, segment_bytes=SEGMENT_BYTES)
    synced = len(made.blocks) - ABOVE
    for height in range(1, synced + 1):
        segments.append(height, made.blocks[height])
        segments.sync()
    segments.close()
    (directory / "state").mkdir(mode=0o700)
    ledger = Ledger(ExecuteNeeds(encode(made.genesis), str(directory / "state")))
    for at in range(0, len(made.blocks), 5):
        ledger.run([(one.height, one.header, one.batches) for one in executes(made.world)[at : at + 5]])
    ledger.close()
    journal, _, _ = Journal.open(directory / "journal", files, network, JOURNAL_ID)
    journal.append([(JournalKind.VOTE_FLOOR, b"before")])
    journal.sync()
    journal.rotate([])
    for header, batches in made.world.blocks[synced - 1 :]:
        journal.append([(JournalKind.HEADER, encode(header)), *((JournalKind.BATCH, batch) for batch in batches)])
        journal.sync()
    journal.close()
    return Subject(directory, made.genesis, JOURNAL_ID)


def small_window(blocks: int = 70) -> Chain:
    """A chain of which little has to be kept: twice a second of block time, twice five heights."""
    few = replace(DEFAULT_PARAMETERS, envelope_ttl_max_ms=1_000, batch_ttl_max=5, execution_lag_max=1)
    return Chain(blocks, make_genesis(parameters=few), 900)


def copied(pattern: Path, place: Path) -> Subject:
    """A copy of a directory that was made."""
    shutil.copytree(pattern, place)
    return Subject(place, chain().genesis, JOURNAL_ID)


def held(directory: Path, last: int) -> dict[int, bytes | None]:
    """What a node that starts here would serve, by height."""
    segments = Segments.open(directory / "segments", OsFiles(), chain().network_id, segment_bytes=SEGMENT_BYTES)
    try:
        return {height: segments.read(height) for height in range(1, last + 1)}
    finally:
        segments.close()
