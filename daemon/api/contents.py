"""What envelopes a final block held, opened: for receipts with readable results, and for the event stream.

Opening a block costs some 30 microseconds an envelope, so a large one is opened in a thread, and the newest blocks stay
opened, shared by all who ask, up to `API_CONTENTS_BYTES`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeVar

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
_ENVELOPE_BYTES: Final = 200
_OPERATION_BYTES: Final = 8
_NAME_BYTES: Final = 300
"""What an opened envelope takes, about; each of its operations, a reference; each name that operations share."""


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


class _Opened(NamedTuple):
    """A block, and about how many bytes it takes."""

    envelopes: tuple[Content, ...]
    bytes: int


class Contents:
    """The newest blocks, opened. read: does something that reads the disk, in a thread."""

    def __init__(self, node: NodeService, read: Read) -> None:
        self._node = node
        self._read = read
        self._opened: OrderedDict[int, _Opened] = OrderedDict()
        self._opening: dict[int, trio.Event] = {}
        self._bytes = 0

    async def at(self, height: int) -> tuple[Content, ...]:
        """The envelopes of a block, by position. Raises SegmentDamaged, Refused (not_found, pruned)."""
        while height in self._opening:
            await self._opening[height].wait()
        found = self._opened.get(height)
        if found is not None:
            self._opened.move_to_end(height)
            return found.envelopes
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
        return found.envelopes

    def _recent(self, height: int) -> bytes | None:
        """A block that was written a moment ago, so that reading it waits for no disk."""
        executed = self._node.progress.executed
        if executed is None or executed.height - height > limits.API_BLOCKS_RECENT:
            return None
        return self._node.block(height)

    def _open(self, height: int) -> _Opened:
        """A block, read and opened; in a thread."""
        return self._opened_block(read_block(self._node, height))

    def _opened_block(self, block: Block) -> _Opened:
        names: dict[Named, Named] = {}
        found = []
        home = home_at(self._node.genesis, decode(Header, block.header).height)
        for batch in block.batches:
            for data in open_batch(batch)[1].envelopes:
                body = parse_envelope(data, home).body
                named = [Named(operation.app, operation.name) for operation in body.operations]
                found.append(Content(body.account, tuple([names.setdefault(name, name) for name in named])))
        operations = sum(len(one.operations) for one in found)
        size = _ENVELOPE_BYTES * len(found) + _OPERATION_BYTES * operations + _NAME_BYTES * len(names)
        return _Opened(tuple(found), size)

    def _keep(self, height: int, opened: _Opened) -> None:
        self._opened[height] = opened
        self._bytes += opened.bytes
        while self._bytes > limits.API_CONTENTS_BYTES and len(self._opened) > 1:
            self._bytes -= self._opened.popitem(last=False)[1].bytes


def read_block(node: NodeService, height: int) -> Block:
    """The block of the segments. Raises SegmentDamaged, Refused (not_found, pruned)."""
    data = node.block(height)
    if data is None:
        refuse_pruned(height, node.first_height)
        raise Refused(NOT_FOUND, f"block {height} is not here")
    return decode(Block, data)
