"""What a joiner has gathered: keys and values that the host keeps durably, and reads back after a crash.

Everything in it was checked before it was kept, and stands by itself: so what is there need not be asked for again,
and a joiner that is killed anywhere goes on with what it lacks.

    b"o"                    the accepted `SnapshotOffer`
    b"e" epoch (8)          `ClosedEpoch`s, each as an `EpochsFound` of one
    b"p" prefix             pieces of the state
    b"h" height (8)         headers below the offer's chain
    b"b" height (8)         blocks: header, batches, no finalization
    b"r" first (8)          runs of receipts (`ReceiptsFound`)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from protocol.codec import decode, encode
from protocol.ledger.index import number_key
from protocol.proofs.records import ClosedEpoch
from protocol.wire.snapshot import EpochsFound, ReceiptsFound

OFFER_KEY = b"o"


class Staged(Protocol):
    """What was kept."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def has(self, key: bytes) -> bool:
        """Whether there is one."""
        ...


def epoch_key(epoch: int) -> bytes:
    """Where the end of an epoch stands."""
    return b"e" + number_key(epoch)


def piece_key(prefix: bytes) -> bytes:
    """Where a piece stands."""
    return b"p" + prefix


def header_key(height: int) -> bytes:
    """Where a header stands."""
    return b"h" + number_key(height)


def block_key(height: int) -> bytes:
    """Where a block stands."""
    return b"b" + number_key(height)


def receipts_key(first: int) -> bytes:
    """Where a run of receipts stands."""
    return b"r" + number_key(first)


def pack_epoch(epoch: int, closed: ClosedEpoch) -> bytes:
    """The end of one epoch."""
    return encode(EpochsFound(epoch, (closed,)))


def staged_epochs(staged: Staged) -> Iterator[ClosedEpoch]:
    """Ends of epochs, from the first on, as many as are there."""
    epoch = 1
    while (data := staged.get(epoch_key(epoch))) is not None:
        yield decode(EpochsFound, data).closed[0]
        epoch += 1


def staged_receipts(staged: Staged, first: int, end: int) -> Iterator[ReceiptsFound]:
    """Runs of receipts that follow each other from `first` on, below `end`, as far as they are there."""
    while first < end and (data := staged.get(receipts_key(first))) is not None:
        run = decode(ReceiptsFound, data)
        yield run
        first += len(run.receipts)
