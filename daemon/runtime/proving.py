"""Proof files from what this node holds (L-21).

The header of a proof is the newest final one with a finalization of its own; the segments hold both. It covers results
up to its *executed*: a receipt that is final but younger is refused with `not_covered`, and can be proven a block or
two later. A header of a later epoch than the first comes with how each epoch before ended (C-22): closing header,
finalization and next set, from the segments and the state.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.runtime.service import BlockReader, refuse_pruned
from daemon.store.rows import StateReader
from protocol.codec import decode
from protocol.consensus.statements import Certificate
from protocol.errors import NOT_COVERED, NOT_FOUND, BrokenInvariant, Refused
from protocol.ledger.closings import closings
from protocol.ledger.genesis import FIRST_EPOCH, Genesis
from protocol.ledger.index import locate
from protocol.ledger.records import Block, Header
from protocol.proofs.build import closed_by, covering_size, envelope_at, finality_of, receipt_proof, state_proof
from protocol.proofs.records import ClosedEpoch, Finality


class Prover:
    """Makes proofs, in threads too; `covering_height` says where the newest header with its own finalization is.

    (0: none yet.) It is asked beside the loop that steps the node, so it reads one value and walks over nothing.
    kept: how an epoch ended, where its blocks may be gone (store/history.py). first_height: from where blocks are here.
    """

    def __init__(
        self,
        genesis: Genesis,
        segments: BlockReader,
        covering_height: Callable[[], int],
        kept: Callable[[int], ClosedEpoch | None] = lambda _epoch: None,
        first_height: Callable[[], int] = lambda: 1,
    ) -> None:
        self._genesis = genesis
        self._segments = segments
        self._covering_height = covering_height
        self._kept = kept
        self._first_height = first_height
        self._held: tuple[int, Finality] | None = None
        self._closed: list[ClosedEpoch] = []
        """Of ended epochs, from the first on, as far as they were needed."""

    def finality(self) -> Finality:
        """Header and finalization. Raises Refused(not_covered) before the first, SegmentDamaged."""
        height = self._covering_height()
        if self._held is not None and self._held[0] == height:
            return self._held[1]
        data = self._segments.read(height) if height else None
        if data is None:  # none yet, or it is still on its way to the disk
            if self._held is not None:
                return self._held[1]
            raise Refused(NOT_COVERED, "no block with a finalization of its own is final and written here yet")
        block = decode(Block, data)
        if block.finalization is None:
            raise BrokenInvariant(f"block {height} was said to have a finalization")
        finality = finality_of(decode(Header, block.header), decode(Certificate, block.finalization))
        self._held = (height, finality)
        return finality

    def receipt(self, reader: StateReader, transaction: bytes) -> bytes:
        """The encoded `ReceiptProof` of a final transaction.

        Raises Refused: not_found, not_covered (try again after the next block), pruned. SegmentDamaged.
        """
        place = locate(reader, transaction)
        if place is None:
            raise Refused(NOT_FOUND, f"transaction {transaction.hex()} is not final here")
        refuse_pruned(place.height, self._first_height())
        finality = self._finality_within(reader)
        covering_size(finality, place.log_index)  # before the block is read: who waits for a proof asks at each block
        data = self._segments.read(place.height)
        if data is None:
            raise Refused(NOT_COVERED, f"block {place.height} is not written to the segments here yet")
        envelope = envelope_at(decode(Block, data).batches, place.position)
        return receipt_proof(self._genesis, reader, place.log_index, envelope, finality)

    def state(self, reader: StateReader, key: bytes) -> bytes:
        """The encoded `StateProof` of a state key, as `proofs.build.state_proof`. Raises Refused, SegmentDamaged."""
        return state_proof(self._genesis, reader, key, self._finality_within(reader))

    def _finality_within(self, reader: StateReader) -> Finality:
        """The header to prove under; this node must have executed what it covers."""
        finality = self.finality()
        header = decode(Header, finality.header)
        covered = header.executed.height
        if covered > (reader.height or 0):
            raise Refused(NOT_COVERED, f"height {covered} is final and not executed here yet")
        if header.epoch == FIRST_EPOCH:
            return finality
        return finality_of(header, finality.finalization, self.closed_before(reader, header.epoch))

    def closed_before(self, reader: StateReader, epoch: int) -> list[ClosedEpoch]:
        """C-22: how each epoch before this one ended. Raises Refused(not_covered) until that is written here."""
        known = list(self._closed)
        for closing in closings(reader, len(known) + 1, max(0, epoch - 1 - len(known))):
            kept = self._kept(closing.epoch)
            if kept is not None:
                known.append(kept)
                continue
            data = self._segments.read(closing.height)
            if data is None:
                break
            closed = closed_by(data, closing)
            if closed is None:
                raise BrokenInvariant(f"block {closing.height} closes an epoch without a finalization")
            known.append(closed)
        self._closed = known
        if len(known) < epoch - 1:
            raise Refused(NOT_COVERED, f"how epoch {len(known) + 1} ended is not executed or not written here yet")
        return known[: epoch - 1]
