"""The sealed segments: blocks found through an index on disk, checked each time they are read (segments.py).

In memory each has its first height and its index's header, whatever number of blocks it holds. A wrong or missing index
is noticed (its header at a start, an entry when it is used) and made anew from the segment. With `writable=False` a new
index is used and not kept.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

from daemon.store.errors import DiskFull, SegmentDamaged, StoreFailed
from daemon.store.files import File, Files
from daemon.store.framing import Seal, body_of, head_at
from daemon.store.mending import replace_segment
from daemon.store.segment_file import (
    SALT_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    block_of,
    index_path,
    scan_segment,
    segment_path,
)
from daemon.store.segment_index import (
    IndexHeader,
    index_is_right,
    make_index,
    read_entries,
    read_index_header,
    write_index,
)


@dataclass(slots=True)
class SegmentsReport:
    """What a start found and did: for the log."""

    torn_bytes: int = 0
    """Length of the torn tail that was cut; none of it was promised."""
    damaged: list[str] = field(default_factory=list)
    rebuilt_indexes: list[str] = field(default_factory=list)


def read_block(file: File, seal: Seal, name: str, height: int, offset: int) -> bytes:
    """The block of `height` at `offset`. Raises SegmentDamaged if it does not check there; 0 is known damage."""
    if offset == 0:
        raise SegmentDamaged(height, name, 0, "no record of this height checks in its segment")
    frame = head_at(file, seal, offset)
    if frame is None or frame.tag != height:
        raise SegmentDamaged(height, name, offset, "the head of its record does not check")
    block = block_of(body_of(file, seal, frame))
    if block is None:
        raise SegmentDamaged(height, name, offset, "its content does not check")
    return block


class SealedSegments:
    """Read-only segments in ascending order of heights."""

    def __init__(self, directory: Path, files: Files, network_id: bytes, *, writable: bool) -> None:
        self._directory = directory
        self._files = files
        self._network_id = network_id
        self.report = SegmentsReport()
        self._writable = writable
        self._firsts = array("Q")
        self._indexes: list[IndexHeader] = []
        self._made: dict[int, array[int]] = {}
        """Offsets of segments whose index was made anew and could not be written."""
        self._making = RLock()
        self._dropped = 0
        """How many of the lowest segments are not held any more."""

    @property
    def first_height(self) -> int:
        """The lowest height held; 0 if none."""
        return self._firsts[self._dropped] if self._dropped < len(self._firsts) else 0

    @property
    def held(self) -> list[IndexHeader]:
        """Of every segment held, ascending."""
        return self._indexes[self._dropped :]

    def drop_below(self, height: int) -> list[str]:
        """Delete segments of which every block is below `height`, lowest first; names of the files that went."""
        gone: list[str] = []
        while self._dropped < len(self._indexes):
            index = self._indexes[self._dropped]
            if index.first + index.count > height:
                break
            self._dropped += 1  # places in the lists stay: readers hold some
            self._made.pop(index.first, None)
            for path in (index_path(self._directory, index.first), segment_path(self._directory, index.first)):
                with suppress(FileNotFoundError):
                    self._files.unlink(path)
                    gone.append(path.name)
            self._files.sync_directory(self._directory)
        return gone

    def replace(self, blocks: dict[int, bytes], damaged: set[int]) -> list[str]:
        """Put these blocks in the place of damaged ones; names of the files that were written, and where old ones are.

        A segment of which other blocks are `damaged` too is left as it is; those found here are added there. Readers
        find each block in the old file or in the new one throughout. Raises DiskFull (nothing is changed), StoreFailed.
        """
        done: list[str] = []
        for at in sorted({bisect_right(self._firsts, height) - 1 for height in blocks if height >= self.first_height}):
            index = self._indexes[at]
            heights = range(index.first, index.first + index.count)
            if not any(height in blocks for height in heights) or not self._can_replace(heights, blocks, damaged):
                continue
            whole = self._filled(heights, blocks)
            with self._making:
                made, _, kept = replace_segment(
                    self._directory, self._files, self._network_id, index.first, whole, sealed=True
                )
                self._indexes[at] = made
                self._made.pop(index.first, None)
            name = segment_path(self._directory, index.first).name
            done.append(name if kept is None else f"{name}, the old one is {kept.parent.name}/{kept.name}")
        return done

    def _can_replace(self, heights: range, blocks: dict[int, bytes], damaged: set[int]) -> bool:
        """Whether every block of a segment is among these or can be read."""
        others = [height for height in heights if height not in blocks]
        if damaged.isdisjoint(others):
            damaged |= {height for height in others if not self._readable(height)}
        return damaged.isdisjoint(others)

    def _readable(self, height: int) -> bool:
        try:
            next(self.blocks(height, height + 1))
        except (SegmentDamaged, StoreFailed):
            return False
        return True

    def _filled(self, heights: range, blocks: dict[int, bytes]) -> Iterator[bytes]:
        for height in heights:
            yield blocks[height] if height in blocks else next(self.blocks(height, height + 1))

    def add(self, index: IndexHeader) -> None:
        """Take over a segment that was sealed just now."""
        assert not self._indexes or self._end == index.first, "segments follow one another"
        self._indexes.append(index)
        self._firsts.append(index.first)

    def find(self, first: int, end: int) -> None:
        """Take over the segment of heights `first` to before `end` at a start; checks its index, or makes it anew."""
        index = read_index_header(self._files, index_path(self._directory, first))
        path = segment_path(self._directory, first)
        file = self._files.open(path, writable=False)
        size, header = file.size(), SegmentHeader.decode(file.read_at(0, SEGMENT_HEADER_BYTES))
        file.close()
        # A segment that was mended has a salt of its own; a crash may have left it with the index of the old file.
        other = header is not None and index is not None and header.salt != index.salt
        if index is None or other or (index.first, index.count, index.segment_bytes) != (first, end - first, size):
            index = self._make(first, end - first, index)
        self.add(index)

    @property
    def _end(self) -> int:
        return self._indexes[-1].first + self._indexes[-1].count

    def blocks(self, height: int, end: int) -> Iterator[bytes]:
        """Blocks from `height` on, to before `end` or the end of the segment that holds `height`.

        Raises SegmentDamaged at the first that does not check.
        """
        at = bisect_right(self._firsts, height) - 1
        index = self._indexes[at]
        end = min(end, index.first + index.count)
        name = segment_path(self._directory, index.first).name
        offsets = self._offsets(at, height, end)
        file = self._opened(name, height)
        try:
            seal = self._seal(index)
            for position in range(end - height):
                try:
                    block = read_block(file, seal, name, height + position, offsets[position])
                except SegmentDamaged:
                    if not self._mend(at, index):
                        raise
                    index = self._indexes[at]
                    # The segment may have been mended meanwhile: then what is open is the old file.
                    before, file = file, self._opened(name, height + position)
                    before.close()
                    offsets, seal = self._offsets(at, height, end), self._seal(index)
                    block = read_block(file, seal, name, height + position, offsets[position])
                yield block
        finally:
            file.close()

    def _opened(self, name: str, height: int) -> File:
        try:
            return self._files.open(self._directory / name, writable=False)
        except FileNotFoundError:
            raise SegmentDamaged(height, name, 0, "the file is missing") from None

    def _seal(self, index: IndexHeader) -> Seal:
        return SegmentHeader(self._network_id, index.first, index.salt).seal()

    def _offsets(self, at: int, height: int, end: int) -> array[int]:
        """Where the blocks stand, as the index says; 0 where it says nothing."""
        first = self._indexes[at].first
        if first in self._made:
            return self._made[first][height - first : end - first]
        try:
            offsets = read_entries(self._files, index_path(self._directory, first), height - first, end - height)
        except FileNotFoundError:
            offsets = array("Q")
        offsets.extend([0] * (end - height - len(offsets)))
        return offsets

    def _mend(self, at: int, index: IndexHeader) -> bool:
        """Whether `index`, by which was read, was to blame for a record that does not check, and is replaced."""
        with self._making:
            if index is not self._indexes[at]:
                return True  # another reader was quicker, or the segment was mended
            if index.first in self._made or index_is_right(
                self._files, index_path(self._directory, index.first), index
            ):
                return False
            self._indexes[at] = self._make(index.first, index.count, index)
            return True

    def _make(self, first: int, count: int, old: IndexHeader | None) -> IndexHeader:
        """Scan a segment and make its index; heights that the scan does not find stand as damaged."""
        path = segment_path(self._directory, first)
        file = self._files.open(path, writable=False)
        try:
            header = SegmentHeader.decode(file.read_at(0, SEGMENT_HEADER_BYTES))
            if header is not None and (header.network_id, header.first) != (self._network_id, first):
                header = None  # another file under this name
            if header is None and old is not None:
                header = SegmentHeader(self._network_id, first, old.salt)
            offsets = self._scanned(file, header)[:count] if header is not None else array("Q")
            size = file.size()
        finally:
            file.close()
        offsets.extend([0] * (count - len(offsets)))
        if missing := offsets.count(0):
            self.report.damaged.append(f"{path.name}: {missing} of {count} blocks cannot be read")
        self.report.rebuilt_indexes.append(path.name)
        index = make_index(first, offsets, size, header.salt if header is not None else bytes(SALT_BYTES))
        self._keep(index, offsets)
        return index

    def _scanned(self, file: File, header: SegmentHeader) -> array[int]:
        try:
            return scan_segment(file, header)[1]
        except SegmentDamaged as fault:
            self.report.damaged.append(fault.words)
            return array("Q")  # none of its heights can be trusted

    def _keep(self, index: IndexHeader, offsets: array[int]) -> None:
        """On disk if that may and can be, else in memory."""
        try:
            if self._writable:
                write_index(self._files, index_path(self._directory, index.first), index, offsets)
                self._files.sync_directory(self._directory)
                return
        except DiskFull:
            pass  # an index is derived: it is made again at the next opening
        self._made[index.first] = offsets
