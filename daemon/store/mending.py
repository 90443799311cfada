"""Putting good content in the place of a damaged file, whatever interrupts it.

A segment is never rewritten in place. A new file is written beside it under another name and synced; the old one gets
a second name in `quarantine/` of the data directory, durable; then the new one is renamed over the old: at every moment
the name is either the damaged file or the good one, and nothing that was there is ever deleted. The index follows, and
where a crash comes between the two, it is seen to be wrong and made anew as always.

A segment that is mended is a new file: it has a salt of its own, and its frames name everything before them as synced,
since nothing of it can be seen before all of it is.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from daemon.store.files import Files
from daemon.store.segment_file import (
    SALT_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    block_frame,
    index_path,
    scan_segment,
    segment_path,
)
from daemon.store.segment_index import IndexHeader, make_index, write_index

QUARANTINE: Final = "quarantine"


def set_aside(files: Files, path: Path, quarantine: Path) -> Path:
    """Give `path` a second name in `quarantine`, durable on return; that name."""
    files.make_directory(quarantine)
    files.sync_directory(quarantine.parent)
    taken = set(files.list(quarantine))
    number = next(n for n in range(1, len(taken) + 2) if f"{path.name}.{n}" not in taken)
    kept = quarantine / f"{path.name}.{number}"
    files.link(path, kept)
    files.sync_directory(quarantine)
    return kept


def replace_segment(
    directory: Path, files: Files, network_id: bytes, first: int, blocks: Iterable[bytes], *, sealed: bool
) -> tuple[IndexHeader, array[int], Path | None]:
    """Put a segment of `blocks`, from height `first` on, in place of the one that is there, or not there.

    sealed: it gets an index. Gives the index, the blocks' offsets, and where the old file is kept, None if none was.
    Durable on return. Raises DiskFull (nothing is changed), StoreFailed.
    """
    path = segment_path(directory, first)
    header = SegmentHeader(network_id, first, os.urandom(SALT_BYTES))
    unfinished = path.with_name(f"{path.name}.tmp")
    names = files.list(directory)
    if unfinished.name in names:
        files.unlink(unfinished)
    offsets = array("Q")
    end = SEGMENT_HEADER_BYTES
    file = files.open(unfinished, create=True)
    try:
        file.write_at(0, header.encode())
        seal = header.seal()
        for height, block in enumerate(blocks, first):
            frame = block_frame(seal, end, height, end, block)
            file.write_at(end, frame)
            offsets.append(end)
            end += len(frame)
        file.sync()
    finally:
        file.close()
    kept = set_aside(files, path, directory.parent / QUARANTINE) if path.name in names else None
    files.rename(unfinished, path)
    files.sync_directory(directory)
    index = make_index(first, offsets, end, header.salt)
    if sealed:
        write_index(files, index_path(directory, first), index, offsets)
        files.sync_directory(directory)
    return index, offsets, kept


def remake_index(directory: Path, files: Files, first: int) -> Path | None:
    """Make the index of a whole segment anew; where the old one is kept, None if there was none.

    Raises StoreFailed, DiskFull, AssertionError if the segment is not whole.
    """
    file = files.open(segment_path(directory, first), writable=False)
    try:
        header = SegmentHeader.decode(file.read_at(0, SEGMENT_HEADER_BYTES))
        assert header is not None, "the segment was found whole"
        offsets, size = scan_segment(file, header)[1], file.size()
    finally:
        file.close()
    path = index_path(directory, first)
    kept = set_aside(files, path, directory.parent / QUARANTINE) if path.name in files.list(directory) else None
    write_index(files, path, make_index(first, offsets, size, header.salt), offsets)
    files.sync_directory(directory)
    return kept
