"""What envelopes a final block held, opened: for receipts with readable results, and for the event stream.

Opening a block costs some 30 microseconds an envelope, so a large one is opened in a thread, and the newest blocks stay
opened, shared by all who ask, up to `API_CONTENTS_ENVELOPES`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import trio

from daemon import limits
from daemon.runtime.service import NodeService, refuse_pruned
from protocol.codec import decode
from protocol.errors import NOT_FOUND, Refused
from protocol.ledger.batch import open_batch
from protocol.ledger.envelope import parse_envelope
from protocol.ledger.records import Block, Header
from protocol.ledger.succession import home_at

T = TypeVar("T")


class Read(Protocol):
    """Does something that reads the disk, in a thread (`surroundings.Surroundings.read`)."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """What the work returns."""
        ...


class Named(NamedTuple):
    """An operation by its name alone."""

    app: str
    name: str


class Content(NamedTuple):
    """One envelope of a block: its sender, and the names of its operations."""

    account: bytes
    operations: tuple[Named, ...]


class Contents:
    """The newest blocks, opened. read: does something that reads the disk, in a thread."""

    def __init__(self, node: NodeService, read: Read) -> None:
        self._node = node
        self._read = read
        self._opened: OrderedDict[int, tuple[Content, ...]] = OrderedDict()
        self._opening: dict[int, trio.Event] = {}
        self._envelopes = 0

    async def at(self, height: int) -> tuple[Content, ...]:
        """The envelopes of a block, by position. Raises SegmentDamaged, Refused(not_found)."""
        while height in self._opening:
            await self._opening[height].wait()
        found = self._opened.get(height)
        if found is not None:
            self._opened.move_to_end(height)
            return found
        done = self._opening[height] = trio.Event()
        try:
            data = self._recent(height)
            if data is not None and len(data) <= limits.API_BLOCK_HERE_BYTES:
                found = self._opened_block(decode(Block, data))
            else:
                found = await self._read(partial(self._open, height))
            self._keep(height, found)
        finally:
            del self._opening[height]
            done.set()
        return found

    def _recent(self, height: int) -> bytes | None:
        """A block that was written a moment ago, so that reading it waits for no disk."""
        executed = self._node.progress.executed
        if executed is None or executed.height - height > limits.API_BLOCKS_RECENT:
            return None
        return self._node.block(height)

    def _open(self, height: int) -> tuple[Content, ...]:
        """A block, read and opened; in a thread."""
        return self._opened_block(read_block(self._node, height))

    def _opened_block(self, block: Block) -> tuple[Content, ...]:
        names: dict[Named, Named] = {}
        found = []
        home = home_at(self._node.genesis, decode(Header, block.header).height)
        for batch in block.batches:
            for data in open_batch(batch)[1].envelopes:
                body = parse_envelope(data, home).body
                named = [Named(operation.app, operation.name) for operation in body.operations]
                found.append(Content(body.account, tuple([names.setdefault(name, name) for name in named])))
        return tuple(found)

    def _keep(self, height: int, content: tuple[Content, ...]) -> None:
        self._opened[height] = content
        self._envelopes += len(content)
        while self._envelopes > limits.API_CONTENTS_ENVELOPES and len(self._opened) > 1:
            self._envelopes -= len(self._opened.popitem(last=False)[1])


def read_block(node: NodeService, height: int) -> Block:
    """The block of the segments. Raises SegmentDamaged, Refused (not_found, pruned)."""
    data = node.block(height)
    if data is None:
        refuse_pruned(height, node.first_height)
        raise Refused(NOT_FOUND, f"block {height} is not here")
    return decode(Block, data)
