"""From what a joiner gathered to a data directory, so that a crash anywhere leaves one that the next start finishes.

    <directory>/joining/staged/      what was gathered (pieces_file.py)
                       state/        tables, being filled
                       segments/     blocks, being written
                       epochs/       how epochs ended
                       history.json  where the history begins
                       ready         all of these are whole: from here on they only have to be moved into place

Until `ready` is there an interrupted installing is begun again from `staged`. Afterwards `finish` moves what is left to
move: each step looks for what it would move, so it may be interrupted and repeated. The mark of the history goes first
(history.py), and `joining` goes last.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from daemon.snapshots.pieces_file import PiecesFile
from daemon.store.errors import DiskFull
from daemon.store.files import DIRECTORY_MODE, Files, OsFiles
from daemon.store.history import EPOCHS, HISTORY_NAME, Beginning, write_beginning, write_ended, write_whole
from daemon.store.pages import glance
from daemon.store.segments import Segments
from daemon.store.tables import StateStore
from protocol.ledger.index import read_base
from protocol.ledger.tables import Writes
from protocol.node.joining import Joining
from protocol.snapshot.installing import Installing

JOINING: Final = "joining"
STAGED: Final = "staged"
READY: Final = "ready"
_STATE: Final = "state"
_SEGMENTS: Final = "segments"
SYNC_BYTES: Final = 64 * 1024 * 1024


def open_staged(directory: Path) -> PiecesFile:
    """What was gathered so far, to be added to. Raises PageDamaged if its file is no whole one, StoreFailed."""
    joining = directory / JOINING
    joining.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    data = joining / STAGED / "data.mdb"
    if data.exists() and data.stat().st_size:
        glance(data)  # LMDB believes its file, and a page past the end would be a bus error
    return PiecesFile.open(joining / STAGED, writer=True)


def drop_staged(directory: Path) -> None:
    """Gather anew."""
    shutil.rmtree(directory / JOINING / STAGED, ignore_errors=True)


def is_joining(directory: Path) -> bool:
    """Whether a joining was begun here and is not finished."""
    return (directory / JOINING).is_dir()


def install(
    directory: Path,
    network_id: bytes,
    joining: Joining,
    told: Callable[[str, int, int], None],
    room: Callable[[], None],
) -> int:
    """Fill tables and blocks from what `joining` gathered, and put them in place; the height of the state.

    told: (what, how many, of how many), now and then. room: called when the disk is full, before the next try.
    Raises Malformed if what was gathered is damaged (nothing is in place then), StoreFailed.
    """
    assert joining.complete, "everything is here"
    gathering, offer = joining.gathering, joining.offer
    assert gathering is not None
    assert offer is not None
    folder, files = directory / JOINING, OsFiles()
    for name in (_STATE, _SEGMENTS, EPOCHS):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / HISTORY_NAME).unlink(missing_ok=True)
    height = gathering.offered.height
    state = StateStore.open(folder / _STATE, network_id, writer=True)
    rows = 0

    def put(writes: Writes) -> None:
        nonlocal rows
        _with_room(partial(state.commit, [writes], height), room)
        rows += len(writes)
        told("rows", rows, 0)

    installing = Installing(joining.genesis, gathering, offer, joining.epochs, put)
    try:
        installing.tables()
        with state.reader() as reader:
            base = read_base(reader)
    finally:
        state.close()
    assert base is not None, "it was written"
    for epoch, closed in installing.ended():
        _with_room(partial(write_ended, folder, files, epoch, closed), room)
    _write_blocks(folder, network_id, installing, files, told, room)
    why = f"this node joined by a snapshot of the state at height {height}"
    write_beginning(folder, files, Beginning(base.first_height, base.below, why))
    write_whole(folder / READY, files, b"")
    finish(directory)
    return height


def _write_blocks(
    folder: Path,
    network_id: bytes,
    installing: Installing,
    files: Files,
    told: Callable[[str, int, int], None],
    room: Callable[[], None],
) -> None:
    files.make_directory(folder / _SEGMENTS)
    segments = Segments.open(folder / _SEGMENTS, files, network_id)
    window = installing.gathering.window
    assert window is not None
    waiting = 0
    try:
        for height, data in installing.blocks():
            _with_room(partial(segments.append, height, data), room)
            waiting += len(data)
            if waiting >= SYNC_BYTES:
                _with_room(segments.sync, room)
                waiting = 0
            told("blocks", height - window.lowest + 1, window.blocks)
        _with_room(segments.sync, room)
    finally:
        segments.close()


def _with_room(write: Callable[[], object], room: Callable[[], None]) -> None:
    while True:
        try:
            write()
        except DiskFull:
            room()
        else:
            return


def finish(directory: Path) -> bool:
    """Move what is ready into place; whether there was anything. To be called before the directory is opened."""
    folder, files = directory / JOINING, OsFiles()
    if not (folder / READY).exists():
        return False
    if (folder / HISTORY_NAME).exists():
        files.rename(folder / HISTORY_NAME, directory / HISTORY_NAME)
        files.sync_directory(directory)
    for name in (EPOCHS, _SEGMENTS, _STATE):
        if (folder / name).is_dir():
            shutil.rmtree(directory / name, ignore_errors=True)
            files.rename(folder / name, directory / name)
            files.sync_directory(directory)
    drop_staged(directory)
    (folder / READY).unlink()
    shutil.rmtree(folder)
    files.sync_directory(directory)
    return True
