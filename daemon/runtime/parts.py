"""All parts of one node's life, as they come up: what ties them together, and what they count."""

from __future__ import annotations

from collections.abc import Callable

import trio

from daemon.observe.lines import Lines
from daemon.observe.notify import Stage
from daemon.runtime.disk import DiskWatch
from daemon.runtime.driver import Driver
from daemon.runtime.edges import PeerNetwork, Running
from daemon.runtime.finals import Finals
from daemon.runtime.hands import NodeHands
from daemon.runtime.inbox import Inbox
from daemon.runtime.keeper import JournalKeeper
from daemon.runtime.mender import Mender
from daemon.runtime.pump import Pump
from daemon.runtime.service import Metrics
from daemon.runtime.workers.executor import Executor
from daemon.runtime.workers.verifiers import Verifiers
from daemon.snapshots.shelf import Shelf
from daemon.store.directory import Store
from protocol.node.interface import BlockExecuted, Execute
from protocol.node.node import Node


class Parts:
    """Everything of one life, as it comes up."""

    executor: Executor
    verifiers: Verifiers
    node: Node
    driver: Driver
    pump: Pump
    finals: Finals
    keeper: JournalKeeper
    hands: NodeHands
    disk: DiskWatch
    mender: Mender
    shelf: Shelf
    first_height: Callable[[], int]
    network: PeerNetwork
    running: Running

    def __init__(self, store: Store) -> None:
        self.store = store
        self.inbox = Inbox()
        self.driving = trio.CancelScope()
        self.lines: Lines | None = None

    def execute(self, effect: Execute) -> None:
        """A final block was written: execute it."""
        self.executor.put(effect)

    def executed(self, result: BlockExecuted, time_ms: int) -> None:
        """A result is stored. While the state is replayed there is nobody to tell."""
        if self.lines is None:
            return
        self.running.service.executed(result)
        self.lines.block(result, time_ms)
        self.inbox.put_nowait(result)

    async def drive(self) -> None:
        """Step the node until the orderly end."""
        with self.driving:
            self.driver.start()
            await self.driver.run()

    def stages(self) -> tuple[Stage, ...]:
        """For the watchdog: the loop, the journal, the segments. A full disk is waited out, so it counts as idle.

        The execute worker is not among them: so many blocks as it takes at once may last longer than a watchdog's
        patience, and when it is behind the network holds back by itself (L-18).
        """
        full = self.disk.full
        return (
            Stage(self.driver.steps, not len(self.inbox)),
            Stage(self.pump.commits, self.pump.idle or full),
            Stage(self.finals.turns, self.finals.idle or full),
        )

    def numbers(self) -> Metrics:
        """What all parts count."""
        status = self.node.status()
        assert self.lines is not None, "asked once it runs"
        counters = {
            **{f"node_{name}": value for name, value in status.counters.items()},
            **self.lines.counters,
            **self.network.numbers(),
            "loop_steps": self.driver.steps,
            "journal_commits": self.pump.commits,
            "journal_rotations": self.keeper.rotations,
            "segments_syncs": self.finals.syncs,
            "scrub_passes": self.mender.status.passes,
            "scrub_blocks": self.mender.status.blocks,
            "scrub_bytes": self.mender.status.bytes,
            "blocks_found_damaged": self.mender.status.found,
            "blocks_mended": self.mender.status.mended,
            "snapshot_answers": self.shelf.answers,
            "sends_dropped": self.hands.sends_dropped,
            "checks_done": self.verifiers.done_count,
            "checks_failed": self.verifiers.failed_count,
        }
        gauges = {
            "view": status.view,
            "final_height": status.final_height,
            "final_time_ms": status.final_time_ms,
            "executed_height": status.executed_height,
            "covered_height": status.covered_height,
            "log_size": status.log_size,
            "pool_envelopes": status.pool_envelopes,
            "pool_bytes": status.pool_bytes,
            "unordered_batches": status.unordered_batches,
            "peers": len(status.peers),
            "voting": int(status.voting),
            "amnesiac": int(status.memory in ("amnesiac", "probation")),
            "vote_floor": status.vote_floor,
            "memory_answers_missing": len(status.memory_missing),
            "syncing_to_height": status.syncing_to_height,
            "first_height": self.first_height(),
            "snapshots": len(self.shelf.heights),
            "snapshot_height": max(self.shelf.heights, default=0),
            "scrub_height": self.mender.status.height,
            "blocks_damaged": self.mender.damaged_count,
            "disk_full": int(self.disk.full),
            "inbox_urgent": len(self.inbox.urgent.inputs),
            "inbox_bulk": len(self.inbox.bulk.inputs),
            "checks_waiting": self.verifiers.waiting_count,
            "execute_waiting": self.executor.waiting_count,
            "segments_waiting_bytes": self.finals.waiting_bytes,
            "journal_bytes": self.store.journal.written_bytes,
            "loop_step_ms_max": self.driver.step_ms_max,
        }
        return Metrics(counters, gauges)
