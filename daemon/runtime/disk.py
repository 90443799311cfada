"""Watching the room on the disk: the node stops accepting and voting before it is full (L-28).

Looked at every `DISK_LOOK_SECONDS`, and told at once by whoever finds no room for a write. With hysteresis: pressure
begins below `DISK_FREE_LOW_BYTES` and ends above `DISK_FREE_ENOUGH_BYTES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
import trio

from daemon import limits


class DiskWatch:
    """`free_bytes` looks; `tell(full)` hears of each change."""

    def __init__(self, free_bytes: Callable[[], int], tell: Callable[[bool], None]) -> None:
        self._free_bytes = free_bytes
        self._tell = tell
        self._log: Any = structlog.get_logger()
        self.full = False

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            self.look(await trio.to_thread.run_sync(self._free_bytes))
            await trio.sleep(limits.DISK_LOOK_SECONDS)

    def look(self, free: int) -> None:
        """Judge this many free bytes."""
        if not self.full and free < limits.DISK_FREE_LOW_BYTES:
            self._change(full=True, free=free)
        elif self.full and free >= limits.DISK_FREE_ENOUGH_BYTES:
            self._change(full=False, free=free)

    def found_full(self) -> None:
        """A write found no room, whatever was seen before."""
        if not self.full:
            self._change(full=True, free=0)

    def _change(self, *, full: bool, free: int) -> None:
        self.full = full
        words = "accepts and votes no more until there is room" if full else "there is room again"
        self._log.warning("disk", full=full, free_bytes=free, words=words)
        self._tell(full)
