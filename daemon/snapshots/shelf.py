"""The snapshots that a node serves: files that stand still, beside blocks and tables (`snapshot.serving.Source`).

One snapshot is open at a time for each height, read only and without locks: nobody writes it any more. Answers are made
in threads; `drop_old` waits for those under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final

from daemon.snapshots.making import drop_snapshot, snapshot_heights, snapshot_path
from daemon.snapshots.pieces_file import PiecesFile
from daemon.store.errors import SegmentDamaged, StoreFailed
from daemon.store.history import read_ended
from daemon.store.pages import PageDamaged, glance
from daemon.store.segments import Segments
from daemon.store.tables import StateStore
from protocol.codec import decode
from protocol.errors import Malformed, OperatorFault
from protocol.ledger.closings import closings
from protocol.ledger.records import Block
from protocol.ledger.tables import Reader
from protocol.proofs.build import closed_by
from protocol.proofs.records import ClosedEpoch
from protocol.snapshot import serving
from protocol.snapshot.staging import OFFER_KEY, piece_key
from protocol.wire.snapshot import SnapshotOffer

KEPT: Final = 2
IN_USE_SECONDS: Final = 600.0
"""A snapshot that somebody read so recently is kept, unless there are `KEPT_MAX`."""
KEPT_MAX: Final = serving.OFFERS_MAX
HEADERS_READ_BYTES: Final = 32 * 1024 * 1024
"""Blocks that are read for one answer of headers; the joiner asks on."""


class Shelf:
    """See the essay."""

    def __init__(self, directory: Path, segments: Segments, state: StateStore) -> None:
        self._directory = directory
        self._segments = segments
        self._state = state
        self._open: dict[int, tuple[SnapshotOffer, PiecesFile]] = {}
        self._read: dict[int, float] = {}
        self._lock = Lock()
        self.answers = 0
        self.take_new()

    @property
    def heights(self) -> list[int]:
        """Of the snapshots that are served, ascending."""
        return sorted(self._open)

    def take_new(self) -> None:
        """Open what was made since."""
        with self._lock:
            for height in snapshot_heights(self._directory):
                if height in self._open:
                    continue
                try:
                    self._open[height] = _opened(snapshot_path(self._directory, height))
                except (StoreFailed, PageDamaged, Malformed, OSError):
                    drop_snapshot(self._directory, height)  # it is derived, and the next one comes

    def drop_old(self) -> list[int]:
        """Delete all but the newest, and those that are being read; which."""
        with self._lock:
            now = monotonic()
            old = self.heights[:-KEPT]
            spared = {height for height in old if now - self._read.get(height, -IN_USE_SECONDS) < IN_USE_SECONDS}
            dropped = [height for height in old if height not in spared or height not in self.heights[-KEPT_MAX:]]
            for height in dropped:
                self._open.pop(height)[1].close()
                self._read.pop(height, None)
                drop_snapshot(self._directory, height)
            return dropped

    def answer(self, question: Any) -> tuple[bytes, ...]:
        """The messages that answer a peer's question; none if the disk fails under it."""
        try:
            with self._lock, self._state.reader() as reader:
                self.answers += 1
                return tuple(serving.answer(_Source(self, reader), question))
        except (StoreFailed, SegmentDamaged, OperatorFault):
            return ()

    def close(self) -> None:
        """Let go."""
        with self._lock:
            for _, file in self._open.values():
                file.close()
            self._open.clear()

    # -- For `_Source`, under the lock ----------------------------------------------------------------

    def offers(self) -> Sequence[SnapshotOffer]:
        """Ascending by height."""
        return [self._open[height][0] for height in self.heights]

    def piece(self, height: int, prefix: bytes) -> bytes | None:
        """A piece of one of them."""
        found = self._open.get(height)
        if found is None:
            return None
        self._read[height] = monotonic()
        return found[1].get(piece_key(prefix))

    def block(self, height: int) -> Block | None:
        """A final block."""
        data = self._segments.read(height)
        return None if data is None else decode(Block, data)

    def closed(self, reader: Reader, first_epoch: int, count: int) -> Sequence[ClosedEpoch]:
        """How epochs ended, as far as this node knows."""
        found: list[ClosedEpoch] = []
        for closing in closings(reader, first_epoch, count):
            closed = read_ended(self._directory, closing.epoch)
            closed = closed or closed_by(self._segments.read(closing.height), closing)
            if closed is None:
                break
            found.append(closed)
        return found


def _opened(path: Path) -> tuple[SnapshotOffer, PiecesFile]:
    """A snapshot that was made. Raises StoreFailed, PageDamaged, Malformed, OSError if it is not whole."""
    glance(path / "data.mdb")  # LMDB believes its file, and a page past the end would be a bus error
    file = PiecesFile.open(path, writer=False)
    data = file.get(OFFER_KEY)
    if data is None:
        file.close()
        raise StoreFailed(f"{path} has no offer")
    return decode(SnapshotOffer, data), file


class _Source:
    """The shelf with one view of the tables. Headers are read from whole blocks, so many bytes for one answer."""

    def __init__(self, shelf: Shelf, reader: Reader) -> None:
        self._shelf = shelf
        self._left_bytes = HEADERS_READ_BYTES
        self.reader = reader

    def offers(self) -> Sequence[SnapshotOffer]:
        return self._shelf.offers()

    def piece(self, height: int, prefix: bytes) -> bytes | None:
        return self._shelf.piece(height, prefix)

    def header(self, height: int) -> bytes | None:
        block = self._shelf.block(height) if self._left_bytes > 0 else None
        if block is None:
            return None
        self._left_bytes -= len(block.header) + sum(map(len, block.batches))
        return block.header

    def closed(self, first_epoch: int, count: int) -> Sequence[ClosedEpoch]:
        return self._shelf.closed(self.reader, first_epoch, count)
