"""Writes in a thread, and waiting for room on a full disk (L-28).

`DiskFull` promises that nothing was written or lost and that the same call may be repeated. So a writer that meets it
tells the node, which stops accepting and voting, and tries again every `RETRY_SECONDS`. What waits behind the write
keeps waiting: nothing leaves before it is durable. `StoreFailed` is not caught: nobody knows what is on the disk then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from daemon.store.errors import DiskFull

InThread = Callable[[Callable[[], object]], Awaitable[None]]
RETRY_SECONDS: Final = 1.0


def one_thread() -> InThread:
    """Runs functions in a thread, one at a time and in the order of calls; each is finished even when cancelled."""
    limiter = trio.CapacityLimiter(1)

    async def run(work: Callable[[], object]) -> None:
        await trio.to_thread.run_sync(work, limiter=limiter)

    return run


async def until_room(in_thread: InThread, work: Callable[[], object], disk_full: Callable[[], None]) -> None:
    """Run `work` in a thread; while the disk is full, say so and repeat it. Raises StoreFailed."""
    while True:
        try:
            await in_thread(work)
        except DiskFull:
            disk_full()
        else:
            return
        await trio.sleep(RETRY_SECONDS)
