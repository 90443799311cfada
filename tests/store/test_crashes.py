"""A crash at every write, sync and change of a name of a recorded run of the whole store: journal with rotations,
segments that roll over, indexes, and a segment that is mended (L-24, L-25; testing.md, "Storage").

The run keeps a node's order: a block is durable in the journal before it is appended, the journal leaves it out only
when the segments that hold it are synced, and what was said to somebody (`promised`) is what a sync returned for. For
every step, and every disk that a power cut there can leave (all unsynced lost, kept, torn at a byte, reordered), the
store is opened again and the same blocks come out: from the segments or from the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from daemon import limits
from daemon.store.directory import create, read_format, write_format
from daemon.store.errors import SegmentDamaged
from daemon.store.journal import Journal
from daemon.store.mending import QUARANTINE, replace_segment
from daemon.store.segments import Segments
from protocol.errors import OperatorFault
from tests.store.disk import Disk, crashes

PLACE = Path("/node")
NETWORK = bytes(range(32))
JOURNAL_ID = bytes(16)
SMALL = 400
BLOCK, VOTE = 6, 1


def block(height: int) -> bytes:
    return height.to_bytes(4, "big") + bytes([height % 256]) * (30 + height * 13 % 50)


@dataclass
class Run:
    """One life, recorded; `seed` decides when it syncs, rotates, stops and starts."""

    seed: int
    disk: Disk = field(default_factory=lambda: Disk(directories={PLACE, PLACE.parent}))
    height: int = 0
    votes: int = 0

    def begin(self) -> None:
        create(PLACE, NETWORK, JOURNAL_ID, self.disk)
        self.open()
        self.disk.moments.clear()  # creation has a test of its own
        self.disk.promised = (0, 0)

    def open(self) -> None:
        self.segments = Segments.open(PLACE / "segments", self.disk, NETWORK, segment_bytes=SMALL)
        self.journal, self.records, health = Journal.open(PLACE / "journal", self.disk, NETWORK, JOURNAL_ID)
        assert health.remembers

    def commit(self) -> None:
        """A block and a vote: durable in the journal, then told, then appended."""
        self.height += 1
        self.votes += 1
        self.journal.append([(BLOCK, block(self.height)), (VOTE, self.votes.to_bytes(4, "big"))])
        self.journal.sync()
        self.disk.promised = (self.height, self.votes)
        self.segments.append(self.height, block(self.height))

    def rotate(self) -> None:
        self.segments.sync()
        self.journal.rotate([(VOTE, self.votes.to_bytes(4, "big"))])
        self.journal.sync()

    def restart(self) -> None:
        self.segments.close()
        self.journal.close()
        self.open()

    def live(self, steps: int) -> None:
        random = Random(self.seed)
        self.begin()
        for _ in range(steps):
            choice = random.random()
            if choice < 0.55:
                self.commit()
            elif choice < 0.75:
                self.segments.sync()
            elif choice < 0.92:
                self.rotate()
            else:
                self.restart()


def recovered(disk: Disk) -> tuple[dict[int, bytes], int]:
    """What a start has: blocks by height, and the newest vote."""
    segments = Segments.open(PLACE / "segments", disk, NETWORK, segment_bytes=SMALL)
    _, records, health = Journal.open(PLACE / "journal", disk, NETWORK, JOURNAL_ID)
    assert health.remembers, health.words
    assert not segments.report.damaged, "a crash is never taken for damage"
    blocks = {height: segments.read(height) for height in range(1, segments.last_height + 1)}
    votes = 0
    for kind, data in records:
        if kind == VOTE:
            votes = max(votes, int.from_bytes(data, "big"))
        else:
            blocks.setdefault(int.from_bytes(data[:4], "big"), data)
    assert all(data is not None for data in blocks.values())
    return {height: data for height, data in blocks.items() if data is not None}, votes


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5))])
def test_a_crash_at_every_step_leaves_every_final_block_and_every_vote(
    seed: int, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOURNAL_ALLOCATION_BYTES", 256)
    run = Run(seed)
    run.live(80 if pytestconfig.getoption("--long") else 16)
    tried = 0
    for number, moment in enumerate(run.disk.moments):
        for words, cut in crashes(moment, set(run.disk.directories)):
            where = f"seed {seed}, step {number} ({moment.step}), {words}"
            assert isinstance(moment.promised, tuple)
            height, votes = moment.promised
            blocks, newest_vote = recovered(cut)
            assert newest_vote >= votes, f"{where}: a vote is forgotten"
            assert set(blocks) >= set(range(1, height + 1)), f"{where}: a final block is lost"
            assert all(data == block(at) for at, data in blocks.items()), where
            tried += 1
    assert any(name.endswith(".idx") for name in run.disk.list(PLACE / "segments")), "a segment rolled over"
    assert tried > 200


def test_a_crash_at_every_step_of_mending_leaves_the_damaged_file_or_the_good_one() -> None:
    disk = Disk(directories={PLACE, PLACE / "segments"})
    segments = Segments.open(PLACE / "segments", disk, NETWORK, segment_bytes=SMALL)
    for height in range(1, 14):
        segments.append(height, block(height))
        segments.sync()
    segments.close()
    first = PLACE / "segments" / f"{1:020d}.seg"
    content = bytearray(disk.content(first))
    content[150] ^= 1
    disk.put(first, bytes(content))
    found = Segments.open(PLACE / "segments", disk, NETWORK, segment_bytes=SMALL)
    count = found._sealed._indexes[0].count
    (lost,) = [height for height in range(1, 14) if not readable(found, height)]
    disk.moments.clear()
    replace_segment(
        PLACE / "segments", disk, NETWORK, 1, [block(height) for height in range(1, count + 1)], sealed=True
    )
    mended = 0
    for number, moment in enumerate(disk.moments):
        for words, cut in crashes(moment, set(disk.directories)):
            where = f"step {number} ({moment.step}), {words}"
            again = Segments.open(PLACE / "segments", cut, NETWORK, segment_bytes=SMALL)
            for height in range(1, 14):
                if height != lost or readable(again, height):
                    assert again.read(height) == block(height), where
            whole = readable(again, lost)
            mended += whole
            kept = cut.list(PLACE / QUARANTINE) if PLACE / QUARANTINE in cut.directories else []
            evidence = cut.content(PLACE / QUARANTINE / kept[0]) if kept else b""
            assert not whole or evidence == bytes(content), f"{where}: evidence is gone"
    assert mended > 0
    assert readable(Segments.open(PLACE / "segments", disk, NETWORK, segment_bytes=SMALL), lost)


def readable(segments: Segments, height: int) -> bool:
    try:
        return segments.read(height) is not None
    except SegmentDamaged:
        return False


def test_a_crash_at_every_step_of_writing_the_identity_leaves_one_or_words() -> None:
    disk = Disk(directories={PLACE})
    write_format(PLACE, disk, NETWORK)
    first = len(disk.moments)
    write_format(PLACE, disk, NETWORK)
    for number, moment in enumerate(disk.moments):
        for words, cut in crashes(moment, {PLACE}):
            try:
                assert read_format(PLACE, cut) == NETWORK
            except (FileNotFoundError, ValueError, OperatorFault):
                assert number < first, f"step {number} ({moment.step}), {words}: it was there before"
