"""Writes that block, and waiting for room on a full disk (L-28).

**Where a write runs.** Handing a write to a thread costs 140 us and a fight for the interpreter lock, the write itself
and its sync on a good disk 100 to 200 us. So while small writes take less than `WRITE_HERE_SECONDS` on average they
run right here, on the loop; else, and whatever is large, in a thread. What the loop risks is one slow write: nothing
of consensus could leave before it anyway, clients wait as long as it lasts, and a disk that hangs for good stops the
loop, which the watchdog sees.

**Room.** `DiskFull`, of a disk that is full or read-only, promises that nothing was written or lost and that the same
call may be repeated. So a writer that meets it tells the node, which stops accepting and voting, and tries again every
`RETRY_SECONDS`. What waits behind the write keeps waiting: nothing leaves before it is durable. `StoreFailed` is not
caught: nobody knows what is on the disk then.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from daemon import limits
from daemon.store.errors import DiskFull

Write = Callable[[Callable[[], object]], Awaitable[None]]
"""Runs a function that blocks; raises what it raises."""
RETRY_SECONDS: Final = 1.0
WEIGHT: Final = 1 / 16
"""Of the newest duration in their average."""


class Writer:
    """Runs functions one at a time and in the order of calls; each is finished even when cancelled.

    `small` on the loop where the disk is quick, `large` always in a thread. clock: seconds, for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._limiter = trio.CapacityLimiter(1)
        self._average = 2 * limits.WRITE_HERE_SECONDS
        self._in_thread = 0

    @property
    def on_loop(self) -> bool:
        """Whether the next small one runs on the loop."""
        return self._average <= limits.WRITE_HERE_SECONDS and not self._in_thread

    async def small(self, work: Callable[[], object]) -> None:
        """Run `work`, of some KiB; raises what it raises."""
        if self.on_loop:
            self._timed(work)
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await self.large(partial(self._timed, work))

    async def large(self, work: Callable[[], object]) -> None:
        """Run `work`, however long it takes; raises what it raises."""
        self._in_thread += 1
        try:
            await trio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._in_thread -= 1

    def _timed(self, work: Callable[[], object]) -> None:
        began = self._clock()
        try:
            work()
        finally:
            self._average += (self._clock() - began - self._average) * WEIGHT


async def until_room(write: Write, work: Callable[[], object], disk_full: Callable[[str], None]) -> None:
    """Run `work`; while the disk takes nothing, say why and repeat it. Raises StoreFailed."""
    while True:
        try:
            await write(work)
        except DiskFull as fault:
            disk_full(fault.words)
        else:
            return
        await trio.sleep(RETRY_SECONDS)
