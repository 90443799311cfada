"""Making a snapshot: the state at a checkpoint, cut into pieces, in a directory of its own.

    <directory>/snapshots/<height>/    data.mdb: pieces by prefix (behind b"p"), and the offer under b"o"
                          making/      one that is not complete, dropped by whoever finds it

The state at the checkpoint is the newest one less what was changed since (`ledger.undo`), read in one view that is let
go before anything is sorted: so a writer's pages are pinned for one sequential read, not for the whole work. The
pieces' root is compared with the header's before the directory gets its name: a node whose state is damaged serves
nothing.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from daemon.snapshots.heap_file import MEMORY_BYTES, heap_of
from daemon.snapshots.pieces_file import PiecesFile
from daemon.store.files import DIRECTORY_MODE, OsFiles
from daemon.store.tables import StateStore
from protocol.codec import decode, encode
from protocol.errors import BrokenInvariant
from protocol.ledger.undo import HistoricState
from protocol.snapshot.offers import read_offer
from protocol.snapshot.pieces import cut
from protocol.snapshot.staging import OFFER_KEY, piece_key
from protocol.wire.snapshot import SnapshotOffer

SNAPSHOTS: Final = "snapshots"
MAKING: Final = "making"


def snapshot_heights(directory: Path) -> list[int]:
    """Heights of the complete snapshots of a data directory, ascending."""
    folder = directory / SNAPSHOTS
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def snapshot_path(directory: Path, height: int) -> Path:
    """Where one lies."""
    return directory / SNAPSHOTS / f"{height:020d}"


def make_snapshot(
    directory: Path, state: StateStore, offer_data: bytes, *, heap_bytes: int = MEMORY_BYTES
) -> SnapshotOffer:
    """Make the snapshot of this offer and give it its name; the offer with the number of its pieces.

    Raises Refused if the state at that height is not to be had any more, BrokenInvariant if it has another root than
    the network's, DiskFull, StoreFailed.
    """
    offer = decode(SnapshotOffer, offer_data)
    executed = read_offer(offer).executed
    folder, making = directory / SNAPSHOTS, directory / SNAPSHOTS / MAKING
    folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=DIRECTORY_MODE)
    with state.reader() as reader:
        historic = HistoricState(reader, offer.height)
        heap = heap_of(historic.pairs(), making / "heap")
    file = PiecesFile.open(making, writer=True)
    count = 0

    def put(prefix: bytes, data: bytes) -> None:
        nonlocal count
        count += 1
        file.put(piece_key(prefix), data)
        if file.full:
            file.commit()

    try:
        root = cut(heap, put, heap_bytes=heap_bytes)
        if root != executed.state_root:
            words = f"the state at height {offer.height} has root {root.hex()[:16]}, the network's is"
            raise BrokenInvariant(f"{words} {executed.state_root.hex()[:16]}: see papilio store check")
        offer = replace(offer, pieces=count)
        file.put(OFFER_KEY, encode(offer))
        file.commit()
    finally:
        file.close()
    (making / "lock.mdb").unlink(missing_ok=True)
    files = OsFiles()
    files.sync_directory(making)
    files.rename(making, snapshot_path(directory, offer.height))
    files.sync_directory(folder)
    return offer


def drop_snapshot(directory: Path, height: int) -> None:
    """Delete one: its name first, so that nothing half deleted has it."""
    making = directory / SNAPSHOTS / f"dropped-{height}"
    snapshot_path(directory, height).rename(making)
    shutil.rmtree(making, ignore_errors=True)


def tidy(directory: Path) -> None:
    """Remove what an interrupted making or dropping left."""
    folder = directory / SNAPSHOTS
    if folder.is_dir():
        for path in folder.iterdir():
            if not path.name.isdecimal():
                shutil.rmtree(path, ignore_errors=True)
