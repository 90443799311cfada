"""Segments: the finalized blocks, for ever (L-25). Append-only files of bounded size, never rewritten.

A segment is a header and one frame for each block (framing.py), its tag the height, its body squeezed (squeeze.py).
Heights are contiguous, within a file and over all files. Only the last segment is appended to; once a sync finds its
blocks, not squeezed, larger than `segment_bytes` it is sealed: its index is written, and a new one begun.

**Memory stays flat in history.** Of sealed segments only the first heights are kept (8 bytes each); where a block
stands is read from the segment's index on demand (segment_index.py). Of the last one the offsets are kept, 8 bytes a
block.

**At a start** the last segment is scanned whole: a torn tail is cut and reported, damage is reported and kept. Sealed
ones are checked by their index's header and their length; a missing or wrong index is rebuilt from its segment.

An orderly end adds an empty frame that names all before it as synced (framing.py): what is damaged below it later is
no tear, and nothing above it is cut.

**Damage** is found when a block is read: its head, height and content are checked each time. What does not check is
`SegmentDamaged`: never served, never guessed. Other blocks are served on. A read that the system refuses (a bad sector,
no descriptor left) is that block's trouble too, and poisons nothing. Finding it beforehand (`scrub`) and fetching
it again from peers are the runtime's (`damaged` says what was found, `mend` puts it in place).

One thread at a time appends and syncs; any number of threads read, also while another appends: a block can be read as
soon as `append` returned. After a failed write or sync every later append and sync raises `StoreFailed`.

A reader in another process opens with `writable=False`: nothing is cut, written or rebuilt on disk, and it sees the
blocks that were there when it opened.

**Dropping.** Sealed segments at the front may go, whole (`drop_below`), the lowest first, so that what is left after a
crash is contiguous. A reader that is in one of them finds nothing there, and no damage.

Deliberately absent: what a block means, which blocks may go (`daemon.store.pruning`).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock

from daemon import limits
from daemon.store.errors import DiskFull, SegmentDamaged, StoreFailed
from daemon.store.files import File, Files
from daemon.store.framing import FRAME_OVERHEAD_BYTES, Seal, make_frame
from daemon.store.sealed_segments import SealedSegments, SegmentsReport, read_block
from daemon.store.segment_file import (
    SALT_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    block_frame,
    create_segment,
    first_heights,
    index_path,
    is_mark,
    opened_frame,
    scan_segment,
    segment_path,
)
from daemon.store.segment_index import make_index, write_index
from protocol.errors import OperatorFault


@dataclass(slots=True)
class _Active:
    """The last segment. `offsets[i]` is where height `first + i` stands, 0 where it is damaged.

    opened: how long it would be if nothing in it were squeezed; of damage, what is there.
    """

    header: SegmentHeader
    seal: Seal
    file: File
    offsets: array[int]
    end: int
    synced: int
    opened: int
    marked: bool = False
    """Whether what stands last is a mark."""

    @property
    def first(self) -> int:
        return self.header.first

    @property
    def following(self) -> int:
        """The height that comes next."""
        return self.header.first + len(self.offsets)


class Segments:
    """All finalized blocks of a node; see the essay. Heights are from 1; 0 means none."""

    def __init__(self, directory: Path, files: Files, network_id: bytes, segment_bytes: int, *, writable: bool) -> None:
        """Use `open`."""
        self._directory = directory
        self._files = files
        self._network_id = network_id
        self._segment_bytes = segment_bytes
        self._writable = writable
        self._sealed = SealedSegments(directory, files, network_id, writable=writable)
        self._active: _Active | None = None
        self._synced_height = 0
        self._failure: str | None = None
        self._writing = Lock()
        self.damaged: set[int] = set()
        """Heights whose blocks did not check when they were read, until they are mended."""

    @staticmethod
    def open(
        directory: Path,
        files: Files,
        network_id: bytes,
        *,
        segment_bytes: int = limits.SEGMENT_BYTES,
        writable: bool = True,
    ) -> Segments:
        """Open the segments in `directory`, which exists; `report` says what was found.

        Raises SegmentDamaged if the last segment's header is damaged (nothing in it can be told then), OperatorFault
        for another network or a newer format, StoreFailed if the disk fails.
        """
        segments = Segments(directory, files, network_id, segment_bytes, writable=writable)
        firsts = first_heights(files, directory)
        while firsts and segments._active is None:
            segments._active = segments._open_last(firsts.pop(), alone=not firsts)
        if segments._active is not None:
            for first, end in pairwise([*firsts, segments._active.first]):
                segments._sealed.find(first, end)
        segments._synced_height = segments.last_height
        return segments

    @property
    def directory(self) -> Path:
        """Where the files lie."""
        return self._directory

    @property
    def report(self) -> SegmentsReport:
        """What the start found and did."""
        return self._sealed.report

    def _open_last(self, first: int, *, alone: bool) -> _Active | None:
        """The last segment, scanned, cut and synced; None if it was begun and never held anything."""
        path = segment_path(self._directory, first)
        file = self._files.open(path, writable=self._writable)
        size = file.size()
        header = SegmentHeader.decode(file.read_at(0, SEGMENT_HEADER_BYTES))
        if header is None and size > SEGMENT_HEADER_BYTES:
            file.close()
            raise SegmentDamaged(first, path.name, 0, "its header is damaged, and it is the last segment")
        if header is None or (alone and size == SEGMENT_HEADER_BYTES):
            file.close()
            self._drop(path)
            return None
        if (header.network_id, header.first) != (self._network_id, first):
            file.close()
            raise OperatorFault(f"{path} belongs to another network, or was renamed; see papilio store check")
        try:
            scanned, offsets = scan_segment(file, header)
            opened = SEGMENT_HEADER_BYTES + sum(
                opened_frame(file, each) for each in scanned.frames if not is_mark(each)
            )
        except (SegmentDamaged, StoreFailed):
            file.close()
            raise
        opened += sum(hole.end - hole.start for hole in scanned.damage)
        self.report.torn_bytes = scanned.torn_bytes
        self.report.damaged += [f"{path.name}: bytes {hole.start} to {hole.end}" for hole in scanned.damage]
        if self._writable:
            if scanned.end != size:
                file.truncate(scanned.end)
            file.sync()
        marked = bool(scanned.frames) and is_mark(scanned.frames[-1])
        return _Active(header, header.seal(), file, offsets, scanned.end, scanned.end, opened, marked)

    def _drop(self, path: Path) -> None:
        if self._writable:
            self._files.unlink(path)
            self._files.sync_directory(self._directory)

    # -- Writing ------------------------------------------------------------------------------------

    def append(self, height: int, data: bytes) -> None:
        """Write the block of `height`, the last one's + 1 (any if there is none); durable after the next `sync`.

        Raises DiskFull (nothing happened, and it may be called again) or StoreFailed.
        """
        assert height >= 1, "blocks have heights from 1"
        assert 0 < len(data) <= limits.BLOCK_FRAME_BYTES_MAX, "a frame without content is a mark, a longer one not read"
        with self._exclusive():
            if self._active is None:
                self._active = self._begin(height)
            active = self._active
            assert height == active.following, f"block {height} comes where {active.following} is due"
            frame = block_frame(active.seal, active.end, height, active.synced, data)
            active.file.write_at(active.end, frame)
            active.offsets.append(active.end)
            active.end += len(frame)
            active.opened += FRAME_OVERHEAD_BYTES + len(data)
            active.marked = False

    def sync(self) -> int:
        """Make all appended blocks durable and return the last height; seals a segment that is full.

        Blocks. Raises StoreFailed, for ever then, or DiskFull (all is durable, but a full segment is not sealed yet).
        """
        with self._exclusive():
            active = self._active
            if active is None:
                return 0
            if active.synced != active.end:
                active.file.sync()
                active.synced = active.end
            self._synced_height = self.last_height
            if active.opened >= self._segment_bytes:
                self._seal(active)
            return self._synced_height

    def mend(self, blocks: dict[int, bytes]) -> list[str]:
        """Put good blocks in the place of damaged ones; which files were written, in words.

        The caller has made sure of the blocks. Damage in the last segment seals it first, so that it is rewritten whole
        like every other; one with more damaged blocks than these is left as it is. Raises DiskFull, StoreFailed.
        """
        with self._exclusive():
            active = self._active
            if active is not None and any(height >= active.first for height in blocks) and active.offsets:
                active.file.sync()
                active.synced = active.end
                self._synced_height = self.last_height
                self._seal(active)
        done = self._sealed.replace(blocks, self.damaged)
        self.damaged -= {height for height in blocks if self._reads(height)}
        return done

    def _reads(self, height: int) -> bool:
        try:
            return self.read(height) is not None
        except SegmentDamaged:
            return False

    @property
    def synced_height(self) -> int:
        """All blocks up to it are durable; 0 if none."""
        return self._synced_height

    def close(self) -> None:
        """Sync and let go of the last file; without room a full one is sealed by the next sync after a start."""
        try:
            if self._writable and self._failure is None:
                with suppress(DiskFull):
                    self.sync()
                    self._mark()
        finally:
            self._failure = self._failure or "the segments are closed"
            if self._active is not None:
                self._active.file.close()

    def _mark(self) -> None:
        """Name all of the last segment as synced, so that later damage to it is not taken for a tear."""
        with self._exclusive():
            active = self._active
            if active is None or active.marked or not active.offsets:
                return
            frame = make_frame(active.seal, active.end, active.following - 1, active.end, b"")
            active.file.write_at(active.end, frame)
            active.file.sync()
            active.end += len(frame)
            active.synced, active.marked = active.end, True

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One writer at a time; a fault other than a full disk is for ever."""
        assert self._writable, "opened to read"
        with self._writing:
            if self._failure is not None:
                raise StoreFailed(self._failure)
            try:
                yield
            except DiskFull:
                raise
            except BaseException as error:
                self._failure = f"the segments failed and take nothing more: {error}"
                raise

    def _begin(self, height: int) -> _Active:
        path = segment_path(self._directory, height)
        if path.name in self._files.list(self._directory):  # begun before, when there was no room for its header
            self._files.unlink(path)
        header = SegmentHeader(self._network_id, height, os.urandom(SALT_BYTES))
        file = create_segment(self._files, self._directory, header)
        size = SEGMENT_HEADER_BYTES
        return _Active(header, header.seal(), file, array("Q"), end=size, synced=size, opened=size)

    def _seal(self, full: _Active) -> None:
        """Write the full segment's index and begin the next. Readers find each block in one of the two throughout."""
        index = make_index(full.first, full.offsets, full.end, full.header.salt)
        write_index(self._files, index_path(self._directory, full.first), index, full.offsets)
        following = self._begin(full.following)
        self._sealed.add(index)
        self._active = following
        full.file.close()

    @property
    def sealed(self) -> list[tuple[int, int, int]]:
        """(first height, following height, bytes) of each sealed segment held, ascending."""
        return [(index.first, index.first + index.count, index.segment_bytes) for index in self._sealed.held]

    def drop_below(self, height: int) -> list[str]:
        """Delete sealed segments of which every block is below `height`; names of the files that went.

        The caller has written the mark that says so (history.py). Never the last segment. Raises StoreFailed.
        """
        return self._sealed.drop_below(height) if self._writable else []

    # -- Reading ------------------------------------------------------------------------------------

    @property
    def first_height(self) -> int:
        """The lowest height held; 0 if none."""
        if self._sealed.first_height:
            return self._sealed.first_height
        return self._active.first if self._active is not None and self._active.offsets else 0

    @property
    def last_height(self) -> int:
        """The highest height held, synced or not; 0 if none."""
        return self._active.following - 1 if self._active is not None and self.first_height else 0

    def read(self, height: int) -> bytes | None:
        """The block of `height`, or None if it is not held. Raises SegmentDamaged."""
        blocks = self.read_range(height, 1, 0)
        return blocks[0] if blocks else None

    def read_range(self, first: int, count: int, bytes_max: int) -> list[bytes]:
        """At most `count` blocks from `first` on, while they have at most `bytes_max` bytes together.

        The first is given however large it is; none if it is not held. Raises SegmentDamaged if the first is damaged,
        and ends before a later one that is.
        """
        found: list[bytes] = []
        total = 0
        if not 0 < self.first_height <= first:
            return found
        with closing(self._walk(first, min(first + count, self.last_height + 1))) as blocks:
            try:
                for block in blocks:
                    total += len(block)
                    if found and total > bytes_max:
                        break
                    found.append(block)
            except SegmentDamaged as damage:
                if damage.height < self.first_height:
                    return found  # dropped while it was read
                self.damaged.add(damage.height)
                if not found:
                    raise
            except StoreFailed as fault:
                if not found:
                    raise SegmentDamaged(first, self._directory.name, 0, fault.words) from fault
        return found

    def _walk(self, height: int, end: int) -> Generator[bytes, None, None]:
        """Blocks from `height` to before `end`, file by file."""
        while height < end:
            active = self._active
            assert active is not None, "what is held has a last segment"
            part = (
                self._active_blocks(active, height, end) if height >= active.first else self._sealed.blocks(height, end)
            )
            for block in part:
                yield block
                height += 1

    def _active_blocks(self, active: _Active, height: int, end: int) -> Iterator[bytes]:
        """Read through a descriptor of its own, since the writer closes its when it seals."""
        path = segment_path(self._directory, active.first)
        file = self._files.open(path, writable=False)
        try:
            for at in range(height, min(end, active.following)):
                yield read_block(file, active.seal, path.name, at, active.offsets[at - active.first])
        finally:
            file.close()
