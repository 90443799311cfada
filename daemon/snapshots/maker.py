"""Making snapshots while the node runs: one for each slot of block time, in a process of its own.

The newest header with a finalization of its own is looked at now and then. When it stands in another slot than the
last one, the checkpoint is worked out from the blocks (`snapshot.checkpoints`), the same at every node, and a child
makes the snapshot. It is served from then on, and the oldest is dropped. A slot whose state can't be had any more, or
whose making fails, is told and passed over: the next one comes.

While the disk is nearly full nothing is made (L-28).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog
import trio

from daemon.beats import next_beat
from daemon.runtime.workers.link import LinkFault, LinkLost, open_link
from daemon.snapshots.making import tidy
from daemon.snapshots.shelf import Shelf
from daemon.store.errors import SegmentDamaged, StoreFailed
from daemon.store.segments import Segments
from protocol.codec import decode, encode
from protocol.ledger.records import Block, Header
from protocol.snapshot.checkpoints import checkpoint
from protocol.wire.snapshot import SnapshotOffer

MODULE: Final = "daemon.snapshots.child"
LOOK_SECONDS: Final = 1.0


class Maker:
    """See the essay. covering_height: as `Node.covering_height`. disk_full: whether nothing may be made now."""

    def __init__(
        self,
        directory: Path,
        network_id: bytes,
        segments: Segments,
        shelf: Shelf,
        *,
        slot_ms: int,
        covering_height: Callable[[], int],
        disk_full: Callable[[], bool],
    ) -> None:
        self._directory = directory
        self._network_id = network_id
        self._segments = segments
        self._shelf = shelf
        self._slot_ms = slot_ms
        self._covering_height = covering_height
        self._disk_full = disk_full
        self._looked_height = 0
        self._slot = 0
        self._log: Any = structlog.get_logger()

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        await trio.to_thread.run_sync(tidy, self._directory)
        while True:
            await next_beat(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Make the snapshot of the present slot, if it is to be made and was not."""
        height = self._covering_height()
        if height == self._looked_height or self._disk_full():
            return
        self._looked_height = height
        offer = await trio.to_thread.run_sync(self._due, height)
        if offer is not None:
            await self._make(offer)

    def _due(self, height: int) -> SnapshotOffer | None:
        try:
            newest = self._block(height)
            if newest is None:
                return None
            slot = decode(Header, newest.header).time_ms // self._slot_ms
            if slot == self._slot:
                return None
            self._slot = slot
            offer = checkpoint(self._block, height, self._slot_ms)
        except (SegmentDamaged, StoreFailed):
            return None
        return None if offer is None or offer.height in self._shelf.heights else offer

    def _block(self, height: int) -> Block | None:
        data = self._segments.read(height)
        return None if data is None else decode(Block, data)

    async def _make(self, offer: SnapshotOffer) -> None:
        began = trio.current_time()
        needs = [str(self._directory), self._network_id, encode(offer)]
        try:
            async with open_link(MODULE, needs) as link:
                ((_, pieces),) = await link.receive()
        except LinkLost as fault:
            code = fault.code if isinstance(fault, LinkFault) else None
            words = fault.words if isinstance(fault, LinkFault) else str(fault)
            self._log.warning("snapshot_not_made", height=offer.height, code=code, words=words)
            return
        seconds = round(trio.current_time() - began, 1)
        self._log.info("snapshot_made", height=offer.height, pieces=pieces, seconds=seconds)
        await trio.to_thread.run_sync(self._renew)

    def _renew(self) -> None:
        self._shelf.take_new()
        self._shelf.drop_old()
