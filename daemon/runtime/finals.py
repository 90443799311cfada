"""Final blocks: to the segments, then to execution, in order (duty 3).

`Append` and `Execute` effects come here once the pump lets them leave. One task takes all that have gathered, writes
the blocks, then hands the executions on. So a slow disk, whose writes run in a thread (patience), delays receipts and
never a vote, and a node that catches up writes many blocks for one hop to the thread.

Appended blocks need no sync of their own, because the journal holds what finalized them. They are synced in the
background when `SEGMENTS_DIRTY_BYTES` or `SEGMENTS_DIRTY_SECONDS` have gathered, when the journal's keeper asks
(`request_sync`: everything appended before the request is durable when it is answered), and at the end.

A full disk is waited out here: nothing is lost, the node hears of it by `Pressure`, and goes on (L-28). Any other
fault of a write ends the task, and with it the node (L-24).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import trio

from daemon import limits
from daemon.runtime.patience import Write, until_room
from protocol.node.interface import Append, Execute


class SegmentFiles(Protocol):
    """What is needed of `daemon.store.segments`; called from one thread at a time."""

    def append(self, height: int, block: bytes) -> None:
        """Write one encoded block behind the last. Raises DiskFull (nothing was written) or StoreFailed."""
        ...

    def sync(self) -> int:
        """Make everything appended durable. Raises StoreFailed."""
        ...


class Finals:
    """One queue of appends, executions and requests for a sync, and the task that serves it.

    segments: where blocks go.
    execute: takes each execution, after its block is written.
    disk_full: told when a write finds no room, once for each try.
    """

    def __init__(
        self,
        segments: SegmentFiles,
        *,
        execute: Callable[[Execute], None],
        disk_full: Callable[[str], None],
        write: Write,
        write_large: Write,
    ) -> None:
        self._segments = segments
        self._execute = execute
        self._disk_full = disk_full
        self._write_small, self._write_large = write, write_large
        self._queue: list[Append | Execute | Callable[[], None]] = []
        self._bell = trio.Event()
        self._room = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self._dirty_bytes = 0
        self._dirty_until = float("inf")
        self.waiting_bytes = 0
        self.appended_height = 0
        self.syncs = 0
        self.turns = 0

    def put(self, effect: Append | Execute) -> None:
        """Take one effect, in order."""
        if type(effect) is Append:
            self.waiting_bytes += len(effect.block)
        self._push(effect)

    def request_sync(self, done: Callable[[], None]) -> None:
        """Call `done` once everything put before is durable in the segments."""
        self._push(done)

    def _push(self, item: Append | Execute | Callable[[], None]) -> None:
        self._queue.append(item)
        self._bell.set()
        if self._idle.is_set():
            self._idle = trio.Event()

    @property
    def idle(self) -> bool:
        """Nothing waits to be written or synced on request."""
        return self._idle.is_set()

    async def room(self) -> None:
        """Return when less than `FINALS_WAITING_BYTES` wait: what takes in blocks of others asks here first."""
        while self.waiting_bytes >= limits.FINALS_WAITING_BYTES:
            await self._room.wait()

    async def run(self) -> None:
        """Serve the queue until cancelled. Raises StoreFailed."""
        while True:
            with trio.move_on_at(self._dirty_until):
                await self._bell.wait()
            self._bell = trio.Event()
            queue, self._queue = self._queue, []
            await self._serve(queue)
            self.turns += 1
            if not self._queue:
                self._idle.set()

    async def _serve(self, queue: Sequence[Append | Execute | Callable[[], None]]) -> None:
        appends = [item for item in queue if type(item) is Append]
        answered = [item for item in queue if not isinstance(item, Append | Execute)]
        await self._write(appends)
        for item in queue:
            if type(item) is Execute:
                self._execute(item)
        overdue = trio.current_time() >= self._dirty_until or self._dirty_bytes >= limits.SEGMENTS_DIRTY_BYTES
        if answered or overdue:
            await self._sync()
        for done in answered:
            done()

    async def _write(self, appends: Sequence[Append]) -> None:
        for append in appends:
            assert self.appended_height in (0, append.height - 1), "blocks are appended in order"
            self.appended_height = append.height
        if not appends:
            return
        left = list(appends)
        written = sum(len(append.block) for append in appends)
        run = self._write_small if written <= limits.WRITE_SMALL_BYTES else self._write_large
        await until_room(run, partial(_append_all, self._segments, left), self._disk_full)
        if not self._dirty_bytes:
            self._dirty_until = trio.current_time() + limits.SEGMENTS_DIRTY_SECONDS
        self._dirty_bytes += written
        self.waiting_bytes -= written
        self._room.set()
        self._room = trio.Event()

    async def _sync(self) -> None:
        if self._dirty_bytes:
            await self._write_large(self._segments.sync)
            self.syncs += 1
        self._dirty_bytes = 0
        self._dirty_until = float("inf")

    async def drained(self) -> None:
        """Return when everything put so far is written, handed on and synced: the orderly end."""
        synced = trio.Event()
        self.request_sync(synced.set)
        await synced.wait()
        await self._idle.wait()


def _append_all(segments: SegmentFiles, left: list[Append]) -> None:
    """Append and drop from `left` one by one, so that a repeat after DiskFull goes on where it stopped."""
    while left:
        segments.append(left[0].height, left[0].block)
        del left[0]
