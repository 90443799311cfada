"""Watching the room on the disk: the node stops accepting and voting before it is full (L-28).

Looked at every `DISK_LOOK_SECONDS`. With hysteresis: pressure begins below `DISK_FREE_LOW_BYTES` and ends above
`DISK_FREE_ENOUGH_BYTES`. Free bytes are not all: a write may find a quota or a read-only disk. So whoever has a write
refused tells at once, again at each try, and pressure lasts until no write has been refused between two looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
import trio

from daemon import limits
from daemon.beats import next_beat


class DiskWatch:
    """`free_bytes` looks; `tell(full)` hears of each change."""

    def __init__(self, free_bytes: Callable[[], int], tell: Callable[[bool], None]) -> None:
        self._free_bytes = free_bytes
        self._tell = tell
        self._log: Any = structlog.get_logger()
        self._refused = False
        self.full = False

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            self.look(await trio.to_thread.run_sync(self._free_bytes))
            await next_beat(limits.DISK_LOOK_SECONDS)

    def look(self, free: int) -> None:
        """Judge this many free bytes."""
        refused, self._refused = self._refused, False
        if not self.full and free < limits.DISK_FREE_LOW_BYTES:
            self._change(full=True, words="accepts and votes no more until there is room", free_bytes=free)
        elif self.full and not refused and free >= limits.DISK_FREE_ENOUGH_BYTES:
            self._change(full=False, words="there is room again", free_bytes=free)

    def found_full(self, words: str) -> None:
        """A write was refused, whatever was seen before; to be told again each time it is."""
        self._refused = True
        if not self.full:
            self._change(full=True, words=f"accepts and votes no more until writes pass again: {words}")

    def _change(self, *, full: bool, words: str, **facts: int) -> None:
        self.full = full
        self._log.warning("disk", full=full, words=words, **facts)
        self._tell(full)
