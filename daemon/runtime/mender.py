"""Scrubbing and mending: a running node reads its blocks again, and gets anew what does not check (L-25).

**Scrub.** One pass reads every block from the first to the last, a little at a time: `SCRUB_BYTES_PER_SECOND`, so that
clients and consensus do not feel it. Each has to check (segments.py) and to be the block whose hash the state has for
its height. Then it rests for `SCRUB_PAUSE_SECONDS`, or until a pass is asked for (`request`).

**Mending.** Whatever read finds damage, the scrub's or a client's, leaves its height in `Segments.damaged`. Here those
heights are given to the node with the hashes that the state has for them, and the node asks its peers (`MendBlocks`).
What comes back (`Mended`) waits until all that is damaged in its segment is there; then the segment is written anew
in a thread, and the old file is kept in `quarantine/`. Until then the block is not served, and the node goes on.

Not looked at here: the journal (read at a start, and replaced every few minutes) and the values of the state, which
only executing again can judge; `papilio store check` does both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog
import trio

from daemon import limits
from daemon.beats import next_beat
from daemon.store.errors import DiskFull, SegmentDamaged
from daemon.store.tables import StateStore
from protocol.codec import decode
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.errors import Malformed
from protocol.ledger.closings import closings
from protocol.ledger.genesis import Genesis, ValidatorSet, validator_set
from protocol.ledger.index import read_roots
from protocol.ledger.records import Block
from protocol.node.interface import MendBlocks, Mended


class MendableSegments(Protocol):
    """What is needed of `daemon.store.segments`."""

    damaged: set[int]

    @property
    def first_height(self) -> int:
        """The lowest height held; 0 if none."""
        ...

    @property
    def last_height(self) -> int:
        """The highest."""
        ...

    def read_range(self, first: int, count: int, bytes_max: int) -> list[bytes]:
        """Encoded blocks. Raises SegmentDamaged."""
        ...

    def mend(self, blocks: dict[int, bytes]) -> list[str]:
        """Put good blocks in place. Raises DiskFull, StoreFailed."""
        ...


@dataclass(slots=True)
class ScrubStatus:
    """How far the scrub is. height: the last block read in this pass, 0 between two passes."""

    running: bool = False
    height: int = 0
    last_height: int = 0
    passes: int = 0
    blocks: int = 0
    bytes: int = 0
    found: int = 0
    mended: int = 0


class Mender:
    """See the essay.

    put: hands an input to the node.
    """

    def __init__(
        self,
        genesis: Genesis,
        segments: MendableSegments,
        state: StateStore,
        *,
        put: Callable[[MendBlocks], None],
    ) -> None:
        self._genesis = genesis
        self._segments = segments
        self._state = state
        self._put = put
        self._log: Any = structlog.get_logger()
        self._wanted = trio.Event()
        self._whole: dict[int, bytes] = {}
        self._told: set[int] = set()
        self.status = ScrubStatus()

    def request(self) -> None:
        """Begin a pass now, if none is under way."""
        self._wanted.set()

    def take(self, mended: Mended) -> None:
        """A block came, judged: it is put in place at the next look."""
        if mended.height not in self._segments.damaged:
            return  # asked for twice, and in place already
        if sum(map(len, self._whole.values())) < limits.MEND_WAITING_BYTES:
            self._whole[mended.height] = mended.block

    @property
    def damaged_count(self) -> int:
        """Blocks known to be damaged, not mended yet."""
        return len(self._segments.damaged)

    # -- Mending ------------------------------------------------------------------------------------

    async def run_mending(self) -> None:
        """Look for damage, ask for good blocks, put them in place; until cancelled. Raises StoreFailed."""
        asked_at: dict[int, float] = {}
        while True:
            await next_beat(limits.MEND_LOOK_SECONDS)
            if self._whole:
                await self._mend()
            now = trio.current_time()
            damaged = sorted(self._segments.damaged - self._whole.keys())
            asked_at = {height: at for height, at in asked_at.items() if height in self._segments.damaged}
            due = [h for h in damaged if now - asked_at.get(h, float("-inf")) >= limits.MEND_RETRY_SECONDS]
            self._tell(damaged)
            if due:
                due = due[: limits.MEND_ASKED_MAX]
                blocks = await trio.to_thread.run_sync(partial(self._identities, due))
                asked_at |= dict.fromkeys(due, now)
                if blocks:
                    self._put(MendBlocks(blocks))

    def _tell(self, damaged: list[int]) -> None:
        self._told &= self._segments.damaged
        new = [height for height in damaged if height not in self._told]
        if new:
            self._told |= set(new)
            self.status.found += len(new)
            words = "not served any more; asked of peers"
            self._log.error("damage_found", height=new[0], blocks=len(new), words=words)

    def _identities(self, heights: list[int]) -> tuple[tuple[int, bytes, bytes, ValidatorSet], ...]:
        """Height, parent and hash of each, and the set of its epoch, as the state has them (C-22)."""
        found = []
        with self._state.reader() as reader:
            ended = closings(reader)
            for height in heights:
                before = [closing.validators for closing in ended if closing.height < height]
                validators = before[-1] if before else validator_set(self._genesis)
                own, below = read_roots(reader, height), read_roots(reader, height - 1)
                if own is not None and below is not None:
                    found.append((height, below.header_hash, own.header_hash, validators))
        return tuple(found)

    async def _mend(self) -> None:
        try:
            done = await trio.to_thread.run_sync(self._segments.mend, dict(self._whole))
        except DiskFull:
            return  # they wait on
        mended = [height for height in self._whole if height not in self._segments.damaged]
        for height in mended:
            del self._whole[height]
        self.status.mended += len(mended)
        if mended:
            self._log.warning("damage_mended", height=mended[0], blocks=len(mended), words="; ".join(done))

    # -- Scrubbing ----------------------------------------------------------------------------------

    async def run_scrub(self) -> None:
        """Pass after pass, until cancelled."""
        while True:
            with trio.move_on_after(limits.SCRUB_PAUSE_SECONDS):
                await self._wanted.wait()
            self._wanted = trio.Event()
            await self._pass()

    async def _pass(self) -> None:
        status, segments = self.status, self._segments
        status.running, status.last_height = True, segments.last_height
        before, blocks = status.found + len(segments.damaged), 0
        height = max(1, segments.first_height)
        while height <= status.last_height:
            count, size = await trio.to_thread.run_sync(partial(self._look, height, status.last_height))
            height, status.height = height + count, height + count - 1
            blocks += count
            status.blocks += count
            status.bytes += size
            await trio.sleep(max(size, limits.SCRUB_LEAST_BYTES) / limits.SCRUB_BYTES_PER_SECOND)
        status.passes += 1
        status.running, status.height = False, 0
        found = max(0, status.found + len(segments.damaged) - before)
        self._log.info("scrubbed", blocks=blocks, damaged=found, height=status.last_height)

    def _look(self, height: int, last: int) -> tuple[int, int]:
        """Read and judge some blocks from `height` on; how many, and their bytes. In a thread."""
        try:
            blocks = self._segments.read_range(height, last - height + 1, limits.SCRUB_READ_BYTES)
        except SegmentDamaged:
            return 1, 0
        with self._state.reader() as reader:
            for at, data in enumerate(blocks, height):
                roots = read_roots(reader, at)
                if roots is not None and _hash_of(data) != roots.header_hash:
                    self._segments.damaged.add(at)
        return max(1, len(blocks)), sum(map(len, blocks))


def _hash_of(data: bytes) -> bytes:
    """Hash of a block's header; nothing if it has none."""
    try:
        return digest(Domain.HEADER, decode(Block, data).header)
    except Malformed:
        return b""
