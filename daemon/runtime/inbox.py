"""Inputs that wait for the node: urgent ones first, and both kinds bounded.

One task steps the node, so everything else hands its inputs over here. There are two lines:

* *urgent*: what consensus waits for (votes and proposals of peers, answers to signature checks, `Persisted`)
  and what is already counted elsewhere (answers to our own jobs);
* *bulk*: batches and sync from peers, and clients' envelopes.

The urgent line is always emptied first. So that clients still get through when peers talk without end, one
bulk input follows at latest after `URGENT_RUN_MAX` urgent ones.

Peers put through `put`, which waits while their line is full: the network then stops reading from that peer,
and TCP tells it to slow down (L-30). Our own answers use `put_nowait`: there are no more of them than jobs, and
a task that answers must not wait for the task that reads.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from daemon import limits
from protocol.node.interface import Input, Received

URGENT_RUN_MAX: Final = 64
"""Urgent inputs in a row before one bulk input gets its turn: some 10 ms of votes."""


class Line:
    """One bounded queue: counted in inputs and in the bytes of messages."""

    __slots__ = ("_bytes_max", "_count_max", "_room", "bytes", "inputs")

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self.inputs: deque[Input] = deque()
        self.bytes = 0
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._room = trio.Event()

    @property
    def full(self) -> bool:
        """Whether a peer has to wait. One input more than the bound is never far more: a message is bounded."""
        return len(self.inputs) >= self._count_max or self.bytes >= self._bytes_max

    def push(self, item: Input) -> None:
        """Add at the end, whether full or not."""
        self.inputs.append(item)
        self.bytes += _size(item)

    def pop(self) -> Input:
        """Take the first; wakes whoever waits for room."""
        item = self.inputs.popleft()
        self.bytes -= _size(item)
        if not self.full and self._room.statistics().tasks_waiting:
            self._room.set()
            self._room = trio.Event()
        return item

    async def room(self) -> None:
        """Return when there is room."""
        while self.full:
            await self._room.wait()


class Inbox:
    """Both lines, and the bell that wakes the driver."""

    __slots__ = ("_bell", "_run", "bulk", "urgent")

    def __init__(self) -> None:
        self.urgent = Line(limits.INBOX_URGENT_MAX, limits.INBOX_URGENT_BYTES_MAX)
        self.bulk = Line(limits.INBOX_BULK_MAX, limits.INBOX_BULK_BYTES_MAX)
        self._bell = trio.Event()
        self._run = 0

    def __len__(self) -> int:
        return len(self.urgent.inputs) + len(self.bulk.inputs)

    def put_nowait(self, item: Input, *, urgent: bool = True) -> None:
        """Hand over an input of our own."""
        (self.urgent if urgent else self.bulk).push(item)
        self._bell.set()

    async def put(self, item: Input, *, urgent: bool) -> None:
        """Hand over an input from outside; waits while its line is full."""
        line = self.urgent if urgent else self.bulk
        await line.room()
        self.put_nowait(item, urgent=urgent)

    def pop(self) -> Input | None:
        """The next input, or None if nothing waits."""
        if self.urgent.inputs and (self._run < URGENT_RUN_MAX or not self.bulk.inputs):
            self._run += 1
            return self.urgent.pop()
        self._run = 0
        return self.bulk.pop() if self.bulk.inputs else None

    async def wait(self) -> None:
        """Return when there is an input; a checkpoint."""
        if not len(self):
            self._bell = trio.Event()
            await self._bell.wait()
        else:
            await trio.lowlevel.checkpoint()


def _size(item: Input) -> int:
    return len(item.data) if type(item) is Received else 0
