"""Block sync: a node that was away asks one peer for final blocks, range by range.

What comes is believed only as far as it proves itself: each header names its parent by hash, each batch
matches the digest in its header, and blocks are appended only up to one whose own finalization was checked
here. Until then they wait here, apart from all that consensus knows, bounded in bytes and number.
Signatures of clients need not be checked again: a quorum of finalize votes stands for them; those of the
batches' authors are, because a digest does not cover them. A peer that sends what does not fit, or blocks
that no finalization covers, is left for another. So is one that only keeps this node busy: time is won by new
parts of the very next block and by nothing else, and over each `PATIENCE_INTERVALS` the distance to what others
have must have become less.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from protocol import limits
from protocol.codec import decode, encode
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.errors import Malformed
from protocol.ledger.records import Batch, Block, Header, batch_digest
from protocol.wire.messages import BlockPart, BlocksWanted

WAITING_BYTES_MAX: Final = 32 * limits.MIB
"""Fetched blocks that wait for a finalization above them, in bytes..."""
WAITING_BLOCKS_MAX: Final = 2 * limits.SYNC_BLOCKS_MAX
"""...and in number, so that made-up blocks without batches end too."""
PATIENCE_INTERVALS: Final = 16
"""Retry intervals after which a peer with which this node has come no closer to the others is left for another."""
PART_BYTES: Final = limits.MESSAGE_BYTES_MAX - limits.HEADER_BYTES_MAX - 66 * limits.KIB
PARTS_MAX: Final = 2 * limits.BLOCK_BYTES_MAX // PART_BYTES + 2
"""Parts of the largest block: any two that follow each other hold more than one could."""


@dataclass(slots=True)
class FetchedBlock:
    """A block that came whole: header, its encoding, batches by digest, the finalization or nothing."""

    hash: bytes
    header: Header
    header_bytes: bytes
    batches: list[bytes]
    finalization: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits."""
        return len(self.header_bytes) + len(self.finalization) + sum(map(len, self.batches))


@dataclass(slots=True)
class BlockSync:
    """The state of one catching-up."""

    retry_interval_ms: int
    peer: bytes | None = None
    target_height: int = 0
    next_height: int = 0
    waiting_bytes: int = 0
    end_height: int = 0
    """Height behind the last block of the answer; 0 while that is not known."""
    parts: dict[int, dict[int, BlockPart]] = field(default_factory=dict)
    pending: list[FetchedBlock] = field(default_factory=list)
    """Blocks that came whole, in order, above the final tip."""
    checking: bool = False
    """Whether a finalization of theirs is being checked."""
    session: int = 0
    deadline_ms: int = 0
    measured_ms: int = 0
    """When the distance to other peers was last measured..."""
    distance: int = 0
    """...and how much it was, in blocks."""
    progress: int = 0
    """Blocks that came since the last question."""
    previous: bytes = b""
    """Hash of the last block that came, which the next names as its parent."""
    avoid: dict[bytes, int] = field(default_factory=dict)
    """Peers that failed us, until when they are left alone."""

    def begin(self, peer: bytes, first_height: int, previous: bytes, target_height: int, now_ms: int) -> BlocksWanted:
        """Start asking `peer` for what stands on the block `previous`."""
        self.peer, self.target_height, self.next_height = peer, target_height, first_height
        self.previous = previous
        self.session += 1
        self.measured_ms, self.distance = now_ms - PATIENCE_INTERVALS * self.retry_interval_ms, 0
        return self.ask(now_ms)

    def measure(self, highest: int, now_ms: int) -> bool:
        """Once in a while, and first at once: whether others are ahead, up to `highest`, and come no closer."""
        if now_ms - self.measured_ms < PATIENCE_INTERVALS * self.retry_interval_ms:
            return False
        before, self.distance = self.distance, max(0, highest - self.next_height + 1)
        self.measured_ms = now_ms
        return 0 < before <= self.distance

    def ask(self, now_ms: int) -> BlocksWanted:
        """Ask for the next range."""
        self.progress, self.end_height = 0, 0
        self.deadline_ms = now_ms + 4 * self.retry_interval_ms
        return BlocksWanted(self.next_height, limits.SYNC_BLOCKS_MAX)

    def end(self, now_ms: int, *, failed: bool) -> None:
        """Stop; a peer that failed is left alone for a while."""
        if failed and self.peer is not None:
            self.avoid[self.peer] = now_ms + 10 * self.retry_interval_ms
            while len(self.avoid) > limits.PEERS_MAX:
                del self.avoid[next(iter(self.avoid))]
        self.peer, self.parts, self.pending, self.waiting_bytes, self.checking = None, {}, [], 0, False

    def finalized(self) -> int:
        """How many pending blocks the first finalization among them covers; 0 if there is none."""
        return next((index for index, block in enumerate(self.pending, 1) if block.finalization), 0)

    def release(self, count: int) -> list[FetchedBlock]:
        """The first pending blocks: they are final."""
        blocks, self.pending = self.pending[:count], self.pending[count:]
        self.waiting_bytes -= sum(block.size for block in blocks)
        return blocks

    def usable(self, peer: bytes, now_ms: int) -> bool:
        """Whether this peer may be asked."""
        return self.avoid.get(peer, 0) <= now_ms

    def answered(self) -> bool:
        """Whether all that the answer holds has come."""
        return self.end_height != 0 and self.next_height >= self.end_height

    def take(self, part: BlockPart, now_ms: int) -> None:
        """A part came from the peer asked. Whole blocks go to `pending` in order, whatever order parts come in.

        Raises Malformed if it does not fit.
        """
        if part.count == 0:
            self.end_height = part.height
            return
        if part.height < self.next_height:
            return
        if part.height >= self.next_height + limits.SYNC_BLOCKS_MAX or part.index >= part.count:
            raise Malformed("height", f"a part of block {part.height}, which was not asked for")
        if part.count > PARTS_MAX:
            raise Malformed("count", f"block {part.height} in {part.count} parts")
        parts = self.parts.setdefault(part.height, {})
        if part.index not in parts:
            parts[part.index] = part
            self.waiting_bytes += _size(part)
            if part.height == self.next_height:
                self.deadline_ms = now_ms + 4 * self.retry_interval_ms
        while self._is_whole():
            self.pending.append(self._assemble())
        if self.waiting_bytes > WAITING_BYTES_MAX + limits.BLOCK_BYTES_MAX or len(self.pending) > WAITING_BLOCKS_MAX:
            raise Malformed("finalization", "blocks without a finalization above them")

    def _is_whole(self) -> bool:
        parts = self.parts.get(self.next_height, {})
        return bool(parts) and len(parts) == next(iter(parts.values())).count

    def _assemble(self) -> FetchedBlock:
        parts = self.parts[self.next_height]
        first = parts.get(0)
        if first is None or set(parts) != set(range(first.count)):
            raise Malformed("index", f"block {self.next_height}: parts that do not make a whole")
        header = decode(Header, first.header)
        batches = [batch for index in range(first.count) for batch in parts[index].batches]
        if header.height != self.next_height or len(batches) != len(header.references):
            raise Malformed("batches", f"block {self.next_height}: not what its header says")
        if header.parent != self.previous:
            raise Malformed("parent", f"block {self.next_height} does not stand on the one before it")
        for reference, data in zip(header.references, batches, strict=True):
            if batch_digest(decode(Batch, data).body) != reference.digest or len(data) != reference.bytes:
                raise Malformed("batches", f"block {self.next_height}: a batch with another digest than referenced")
        del self.parts[self.next_height]
        whole = FetchedBlock(digest(Domain.HEADER, first.header), header, first.header, batches, first.finalization)
        # Not what came, but what is kept: later parts may hold headers that nobody asked for.
        self.waiting_bytes += whole.size - sum(map(_size, parts.values()))
        self.previous = whole.hash
        self.next_height += 1
        self.progress += 1
        return whole

    def forget_parts(self) -> None:
        """The rest of the answer is asked for again: what came of blocks that are not whole is let go."""
        self.waiting_bytes -= sum(_size(part) for parts in self.parts.values() for part in parts.values())
        self.parts.clear()


def _size(part: BlockPart) -> int:
    return len(part.header) + len(part.finalization) + sum(map(len, part.batches))


def end_of_answer(next_height: int) -> bytes:
    """What ends an answer: a part without content."""
    return encode(BlockPart(next_height, 0, 0, b"", b"", ()))


def parts_of(height: int, data: bytes) -> list[bytes]:
    """An encoded `Block` as encoded `BlockPart`s, each within a message's bound."""
    block = decode(Block, data)
    groups: list[list[bytes]] = [[]]
    size = 0
    for batch in block.batches:
        if size + len(batch) > PART_BYTES and groups[-1]:
            groups.append([])
            size = 0
        groups[-1].append(batch)
        size += len(batch) + 5
    return [
        encode(
            BlockPart(
                height,
                index,
                len(groups),
                block.header if index == 0 else b"",
                (block.finalization or b"") if index == 0 else b"",
                tuple(group),
            )
        )
        for index, group in enumerate(groups)
    ]
