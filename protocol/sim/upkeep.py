"""The upkeep of a running node's disk, as node.toml's `[storage]` asks for it: snapshots are made, and old blocks go.

After each sync of segments: where the newest header stands in another slot of block time than the last one looked at,
the slot's snapshot is made by the rule of all nodes (`snapshot.checkpoints`), takes a while, and is served from then
on, the newest two; then old blocks go that nobody needs (`snapshot.keeping`). A crash while a snapshot is made leaves
nothing of it. While the disk is full nothing is made (L-28).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.codec import decode
from protocol.errors import Refused
from protocol.ledger.records import Block, Header
from protocol.sim.disk import Disk
from protocol.snapshot.keeping import Keep, lowest_kept

if TYPE_CHECKING:
    from protocol.sim.host import Host

MAKING_US = (5_000, 60_000)
"""Shortest and longest time in which a snapshot is made."""


@dataclass(frozen=True, slots=True)
class StoragePlan:
    """What nodes keep and serve, and how those begin that have no blocks yet."""

    snapshot_interval_ms: int = 0
    """Of block time, between two snapshots; 0: none are made."""
    by_snapshot: tuple[int, ...] = ()
    """Nodes that begin with a snapshot where they have no blocks; the others with the first block."""
    pruned: tuple[int, ...] = ()
    """Nodes that keep the newest blocks only."""
    keep_blocks: int = 1
    """So many of them, and those that somebody needs."""


class Upkeep:
    """Of one life of a host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.plan = host.around.storage
        self._slot = 0
        self._making = False

    def look(self) -> None:
        """Segments were synced."""
        if self.plan.snapshot_interval_ms and not self._making and not self.host.disk.full:
            self._make()
        if self.host.index in self.plan.pruned:
            self._prune()

    def _make(self) -> None:
        host = self.host
        assert host.node is not None, "a node runs"
        height = host.node.status().covering_height
        newest = host.disk.blocks.at(height)
        if newest is None:
            return
        slot = decode(Header, decode(Block, newest.short).header).time_ms // self.plan.snapshot_interval_ms
        if slot != self._slot:
            self._slot, self._making = slot, True
            host.later(host.generator.randint(*MAKING_US), self._made, host.life, height)

    def _made(self, life: int, height: int) -> None:
        host = self.host
        if life != host.life:
            return
        self._making = False
        try:
            offer = host.snapshots.make(height, self.plan.snapshot_interval_ms)
        except Refused:
            host.count("snapshot_not_made")
            return
        if offer is not None:
            host.count("snapshot_made")
            host.line(f"snapshot of height {offer.height}: {offer.pieces} pieces")

    def _prune(self) -> None:
        host, disk = self.host, self.host.disk
        parameters = host.setup.genesis.parameters
        keep = Keep(blocks=self.plan.keep_blocks)
        height, _ = lowest_kept(_Blocks(disk), disk.tables, parameters, keep, disk.made)
        height = min(height, disk.blocks_synced)
        if height > disk.blocks.first:
            host.count("pruned")
            disk.drop_below(height)


class _Blocks:
    """A disk's blocks as `snapshot.keeping.Blocks`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.first_height = disk.blocks.first
        self.last_height = disk.blocks.last
        self.synced_height = disk.blocks_synced

    def header(self, height: int) -> Header | None:
        """None as well where it is damaged."""
        stored = None if height in self._disk.damaged else self._disk.blocks.at(height)
        return None if stored is None else decode(Header, decode(Block, stored.short).header)
