"""Where a write runs: on the loop while the disk is quick, in a thread when it is not or the write is large."""

from __future__ import annotations

import threading

import pytest
import trio

from daemon import limits
from daemon.runtime.patience import Writer


class Disk:
    """A clock that writes move: each takes `seconds`; where they ran."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seconds = 0.0
        self.threads: list[bool] = []

    def clock(self) -> float:
        return self.now

    def write(self) -> None:
        self.now += self.seconds
        self.threads.append(threading.current_thread() is not threading.main_thread())


async def test_a_disk_that_is_quick_gets_its_writes_on_the_loop() -> None:
    disk = Disk()
    writer = Writer(disk.clock)
    disk.seconds = limits.WRITE_HERE_SECONDS / 10
    assert not writer.on_loop, "nothing is known of this disk yet"
    for _ in range(40):
        await writer.small(disk.write)
    assert disk.threads[0]
    assert not disk.threads[-1]
    assert writer.on_loop


async def test_a_disk_that_becomes_slow_gets_them_in_a_thread_until_it_is_quick_again() -> None:
    disk = Disk()
    writer = Writer(disk.clock)
    disk.seconds = limits.WRITE_HERE_SECONDS / 10
    for _ in range(40):
        await writer.small(disk.write)
    disk.seconds = 30 * limits.WRITE_HERE_SECONDS
    await writer.small(disk.write)
    assert not writer.on_loop
    disk.seconds = limits.WRITE_HERE_SECONDS / 10
    await writer.small(disk.write)
    assert disk.threads[-1]
    for _ in range(80):
        await writer.small(disk.write)
    assert not disk.threads[-1]


async def test_a_large_write_is_never_on_the_loop_and_nothing_overtakes_it() -> None:
    disk = Disk()
    writer = Writer(disk.clock)
    for _ in range(40):
        await writer.small(disk.write)
    order: list[str] = []
    gate = threading.Event()

    def large() -> None:
        gate.wait()
        order.append("large")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.large, large)
        await trio.testing.wait_all_tasks_blocked()
        assert not writer.on_loop
        nursery.start_soon(writer.small, lambda: order.append("small"))
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert order == ["large", "small"]


async def test_what_a_write_raises_comes_out() -> None:
    def fails() -> None:
        raise OSError("no")

    disk = Disk()
    writer = Writer(disk.clock)
    for _ in range(80):
        with pytest.raises(OSError, match="no"):
            await writer.small(fails)
    assert writer.on_loop, "a quick failure is quick"
