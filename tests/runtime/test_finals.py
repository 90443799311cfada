"""Duty 3: final blocks to the segments, then to execution; background syncs; a full disk is waited out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from daemon import limits
from daemon.runtime.finals import Finals
from daemon.store.errors import DiskFull, StoreFailed
from protocol.node.interface import Append, Execute


class Bench:
    """Segments in memory, and everything that happened in one log."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.faults: list[Exception] = []
        self.full = 0
        self.finals = Finals(
            self, execute=self.execute, disk_full=self.count, write=self.directly, write_large=self.directly
        )

    def append(self, height: int, block: bytes) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.log.append(f"append {height}")

    def sync(self) -> int:
        self.log.append("sync")
        return 0

    def execute(self, effect: Execute) -> None:
        self.log.append(f"execute {effect.height}")

    def count(self, words: str) -> None:
        self.full += 1

    async def directly(self, work: Callable[[], object]) -> None:
        await trio.lowlevel.checkpoint()
        work()

    def put(self, *heights: int) -> None:
        for height in heights:
            self.finals.put(Append(height, b"block"))
            self.finals.put(Execute(height, b"", ()))


async def test_a_block_is_written_before_it_is_executed(nursery: trio.Nursery) -> None:
    bench = Bench()
    nursery.start_soon(bench.finals.run)
    bench.put(1, 2)
    await trio.testing.wait_all_tasks_blocked()
    bench.put(3)
    await trio.testing.wait_all_tasks_blocked()
    assert bench.log == ["append 1", "append 2", "execute 1", "execute 2", "append 3", "execute 3"]
    assert bench.finals.waiting_bytes == 0


async def test_a_request_is_answered_when_all_before_it_is_synced(nursery: trio.Nursery) -> None:
    bench = Bench()
    nursery.start_soon(bench.finals.run)
    bench.put(1)
    bench.finals.request_sync(lambda: bench.log.append("answered"))
    await trio.testing.wait_all_tasks_blocked()
    assert bench.log == ["append 1", "execute 1", "sync", "answered"]


async def test_dirty_blocks_are_synced_in_the_background(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    bench = Bench()
    nursery.start_soon(bench.finals.run)
    bench.put(1)
    await trio.sleep(limits.SEGMENTS_DIRTY_SECONDS - 1)
    assert "sync" not in bench.log
    await trio.sleep(2)
    assert bench.log.count("sync") == 1
    await trio.sleep(10 * limits.SEGMENTS_DIRTY_SECONDS)
    assert bench.log.count("sync") == 1, "nothing new, nothing synced"


async def test_a_full_disk_is_waited_out_without_repeating_a_block(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """L-28."""
    bench = Bench()
    nursery.start_soon(bench.finals.run)
    bench.faults = [DiskFull("no room")]
    bench.put(1, 2)
    await bench.finals.drained()
    assert bench.full == 1
    assert bench.log == ["append 1", "append 2", "execute 1", "execute 2", "sync"]


async def test_a_failed_write_ends_the_task_and_executes_nothing() -> None:
    bench = Bench()
    bench.faults = [StoreFailed("gone")]
    bench.put(1)
    with pytest.raises(StoreFailed):
        await bench.finals.run()
    assert bench.log == []


async def test_whoever_brings_blocks_waits_while_many_are_to_be_written(nursery: trio.Nursery) -> None:
    bench = Bench()
    bench.finals.put(Append(1, bytes(limits.FINALS_WAITING_BYTES)))
    nursery.start_soon(bench.finals.room)
    await trio.testing.wait_all_tasks_blocked()
    assert len(nursery.child_tasks) == 1
    nursery.start_soon(bench.finals.run)
    await trio.testing.wait_all_tasks_blocked()
    assert len(nursery.child_tasks) == 1, "room came; only the server is left"
