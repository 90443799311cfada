"""Streams of what became final, resumable at any position without gap or repeat.

The position of a transaction is its index in the receipt log: dense, in final order, the same on every node for ever.
So a stream is nothing but a reader that remembers the next index: it reads the store, and when it has read all, it
waits for the next executed block. Nobody queues anything for it. A slow subscriber holds at most `EVENTS_READ_MAX`
receipts, costs the node nothing while it does not read, and misses nothing, on this node or on another one to which
it moves with its last position. (How long a connection may stand still is for the API to say.)

Blocks have their height for a position, in the same way.

A stream ends by itself when the node stops: `async for` is over, after what is already final was delivered.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import trio

from daemon import limits
from daemon.store.rows import StateReader
from daemon.store.tables import StateStore
from protocol.codec import decode
from protocol.ledger.index import Roots, number_key, number_of, read_roots
from protocol.ledger.records import Executed, Receipt
from protocol.ledger.tables import Table


class FinalTransaction(NamedTuple):
    """A receipt and its place in the log."""

    log_index: int
    receipt: Receipt
    data: bytes
    """The receipt, encoded."""


class Progress:
    """The newest executed height, and the bell that rings with each."""

    def __init__(self) -> None:
        self.executed: Executed | None = None
        self.changed = trio.Event()
        """Set with the next block, or the end; then there is another one."""
        self.stopping = False
        self.words = ""

    def advance(self, executed: Executed) -> None:
        """A block was executed and stored."""
        self.executed = executed
        self._ring()

    def stop(self, words: str) -> None:
        """Nothing follows any more."""
        self.stopping, self.words = True, words
        self._ring()

    def _ring(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


class TransactionStream:
    """Asynchronous iterator of final transactions."""

    def __init__(self, state: StateStore, progress: Progress, next_index: int) -> None:
        self._state = state
        self._progress = progress
        self._ready: deque[FinalTransaction] = deque()
        self.next_index = next_index
        """What the next one will have."""

    def __aiter__(self) -> TransactionStream:
        return self

    async def __anext__(self) -> FinalTransaction:
        while not self._ready:
            changed = self._progress.changed
            with self._state.reader() as reader:
                self._ready.extend(read_transactions(reader, self.next_index, limits.EVENTS_READ_MAX))
            if self._ready:
                await trio.lowlevel.checkpoint()
            elif self._progress.stopping:
                raise StopAsyncIteration
            else:
                await changed.wait()
        found = self._ready.popleft()
        assert found.log_index == self.next_index, "the log is dense"
        self.next_index += 1
        return found


class BlockStream:
    """Asynchronous iterator of what stands at each executed height."""

    def __init__(self, state: StateStore, progress: Progress, next_height: int) -> None:
        self._state = state
        self._progress = progress
        self.next_height = next_height

    def __aiter__(self) -> BlockStream:
        return self

    async def __anext__(self) -> Roots:
        while True:
            changed = self._progress.changed
            with self._state.reader() as reader:
                roots = read_roots(reader, self.next_height)
            if roots is not None:
                self.next_height += 1
                await trio.lowlevel.checkpoint()
                return roots
            if self._progress.stopping:
                raise StopAsyncIteration
            await changed.wait()


def read_transactions(reader: StateReader, first: int, limit: int) -> list[FinalTransaction]:
    """Final transactions from log index `first` on, at most `limit`."""
    return [
        FinalTransaction(number_of(key), decode(Receipt, data), data)
        for key, data in reader.scan(Table.RECEIPT, b"", number_key(first), limit)
    ]
