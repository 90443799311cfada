"""What envelopes a final block held, opened: for receipts with readable results, and for the event stream.

Opening a block costs some 30 microseconds an envelope, so it happens in a thread, and the newest blocks stay opened,
shared by all who follow the stream, up to `API_CONTENTS_ENVELOPES`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import trio

from daemon import limits
from daemon.runtime.service import NodeService
from protocol.codec import decode
from protocol.errors import NOT_FOUND, Refused
from protocol.ledger.batch import open_batch
from protocol.ledger.envelope import parse_envelope
from protocol.ledger.records import Block, Operation
from protocol.proofs.build import envelope_at


class Content(NamedTuple):
    """One envelope of a block: its sender, and (app, name) of its operations."""

    account: bytes
    operations: tuple[tuple[str, str], ...]


class Contents:
    """The newest blocks, opened."""

    def __init__(self, node: NodeService, network_id: bytes, limiter: trio.CapacityLimiter) -> None:
        self._node = node
        self._network_id = network_id
        self._limiter = limiter
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
            found = await trio.to_thread.run_sync(self._open, height, limiter=self._limiter)
            self._keep(height, found)
        finally:
            del self._opening[height]
            done.set()
        return found

    def _open(self, height: int) -> tuple[Content, ...]:
        """All envelopes of a block, read and opened; in a thread."""
        names: dict[tuple[str, str], tuple[str, str]] = {}
        found = []
        for batch in read_block(self._node, height).batches:
            for data in open_batch(batch)[1].envelopes:
                body = parse_envelope(data, self._network_id).body
                pairs = [(operation.app, operation.name) for operation in body.operations]
                found.append(Content(body.account, tuple([names.setdefault(pair, pair) for pair in pairs])))
        return tuple(found)

    def _keep(self, height: int, content: tuple[Content, ...]) -> None:
        self._opened[height] = content
        self._envelopes += len(content)
        while self._envelopes > limits.API_CONTENTS_ENVELOPES and len(self._opened) > 1:
            self._envelopes -= len(self._opened.popitem(last=False)[1])


def read_block(node: NodeService, height: int) -> Block:
    """The block of the segments. Raises SegmentDamaged, Refused(not_found)."""
    data = node.block(height)
    if data is None:
        raise Refused(NOT_FOUND, f"block {height} is not here")
    return decode(Block, data)


def operations_at(node: NodeService, network_id: bytes, height: int, position: int) -> tuple[Operation, ...]:
    """The operations of one envelope of a final block. Raises as `read_block`."""
    data = envelope_at(read_block(node, height).batches, position)
    return parse_envelope(data, network_id).body.operations
