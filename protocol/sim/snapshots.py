"""A node's snapshots in memory: what the simulator and tests serve from, where the daemon has files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from protocol.codec import decode
from protocol.ledger.closings import Closing, closings
from protocol.ledger.records import Block
from protocol.ledger.tables import Reader
from protocol.ledger.undo import HistoricState
from protocol.proofs.build import closed_by
from protocol.proofs.records import ClosedEpoch
from protocol.snapshot.checkpoints import checkpoint
from protocol.snapshot.pieces import MemoryHeap, cut
from protocol.wire.snapshot import SnapshotOffer

KEPT_MAX = 2
"""Snapshots that are kept; older ones are dropped."""


class MadeSnapshot(NamedTuple):
    """A snapshot that is whole: what is offered, and its pieces by prefix."""

    offer: SnapshotOffer
    pieces: dict[bytes, bytes]


class MemorySnapshots:
    """A `snapshot.serving.Source` over tables and blocks. block_at: a final block, encoded, or None.

    piece_pairs: so few pairs in a piece, so that small states have many. made: snapshots that are there already.
    closed_at: how an epoch ended, where blocks alone do not say it.
    """

    def __init__(
        self,
        reader: Reader,
        block_at: Callable[[int], bytes | None],
        piece_pairs: int = 4,
        made: dict[int, MadeSnapshot] | None = None,
        closed_at: Callable[[Closing], ClosedEpoch | None] | None = None,
    ) -> None:
        self.reader = reader
        self._piece_pairs = piece_pairs
        self._block_at = block_at
        self._closed_at = closed_at or self._closed_by_its_block
        self.made: dict[int, MadeSnapshot] = {} if made is None else made

    def make(self, covering_height: int, slot_ms: int) -> SnapshotOffer | None:
        """Make the snapshot of the newest slot, unless it is there; the offer, if one was made.

        Raises Refused where the state of that height can't be had any more.
        """
        offer = checkpoint(self._block, covering_height, slot_ms)
        if offer is None or offer.height in self.made:
            return None
        state = HistoricState(self.reader, offer.height)
        pieces: dict[bytes, bytes] = {}
        root = cut(MemoryHeap(state.pairs()), pieces.__setitem__, piece_pairs=self._piece_pairs)
        assert root == state.root, "the pieces make the state's root"
        offer = replace(offer, pieces=len(pieces))
        self.made[offer.height] = MadeSnapshot(offer, pieces)
        while len(self.made) > KEPT_MAX:
            del self.made[min(self.made)]
        return offer

    def _block(self, height: int) -> Block | None:
        data = self._block_at(height)
        return None if data is None else decode(Block, data)

    def offers(self) -> Sequence[SnapshotOffer]:
        """Ascending by height."""
        return [offer for _, (offer, _) in sorted(self.made.items(), key=lambda item: item[0])]

    def piece(self, height: int, prefix: bytes) -> bytes | None:
        """A piece of one of them."""
        made = self.made.get(height)
        return None if made is None else made[1].get(prefix)

    def header(self, height: int) -> bytes | None:
        """A final header."""
        block = self._block(height)
        return None if block is None else block.header

    def closed(self, first_epoch: int, count: int) -> Sequence[ClosedEpoch]:
        """How epochs ended."""
        found: list[ClosedEpoch] = []
        for closing in closings(self.reader, first_epoch, count):
            closed = self._closed_at(closing)
            if closed is None:
                break
            found.append(closed)
        return found

    def _closed_by_its_block(self, closing: Closing) -> ClosedEpoch | None:
        return closed_by(self._block_at(closing.height), closing)
