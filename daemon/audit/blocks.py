"""The blocks of a directory, read from its segment files alone, one after another (L-25).

Indexes are not looked at: what they say follows from the segments, and a wrong one would lead past a block. Each file
is read from its header on, frame by frame; what does not check is told with its place, and reading goes on at the next
frame that does. Memory is one block, whatever a file claims of its lengths and heights.

A node may be running on the files. `BlockStream` reads up to where they ended when it was opened; `extend` takes in
what has come since. What stands at the very end and is no whole frame is a torn tail, which was never promised
(framing.py), or is being written just now. What is followed by a frame that checks is damage here, even where a node at
its start could not tell it from writes that a power cut lost: this copy is not whole, and that is what an audit says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from daemon import limits
from daemon.store.files import File, OsFiles
from daemon.store.framing import CHECK_BYTES, HEAD_BYTES, Frame, Seal, body_of, head_at, next_head
from daemon.store.segment_file import SEGMENT_HEADER_BYTES, SegmentHeader, block_of, first_heights, segment_path
from protocol.errors import OperatorFault


@dataclass(frozen=True, slots=True)
class Found:
    """A block's record that checks. height: as its frame says. data: the encoded block."""

    height: int
    data: bytes
    file: Path
    offset: int


@dataclass(frozen=True, slots=True)
class Damaged:
    """Bytes `offset` to before `end` of a file that are no record; expected and found are of what does not check."""

    file: Path
    offset: int
    end: int
    field: str
    expected: str
    found: str


class BlockStream:
    """See the essay. Heights are given as the frames say them; whoever reads judges their order.

    Raises OperatorFault for segments of another network or a newer format, StoreFailed if the disk fails.
    """

    def __init__(self, directory: Path, network_id: bytes) -> None:
        self._directory = directory
        self._network_id = network_id
        self._files = OsFiles()
        self._sizes: dict[int, int] = {}
        self._firsts: list[int] = []
        self._at = -1
        self._file: File | None = None
        self._path = directory
        self._seal = Seal(bytes(1))
        self._offset = 0
        self._passed_bytes = 0
        self.torn_bytes = 0
        """Length of what stood at the end and was no whole record, when reading last came there."""
        self.extend()

    def extend(self) -> None:
        """Take in what the files hold by now."""
        self._firsts = first_heights(self._files, self._directory)
        self._sizes = {first: segment_path(self._directory, first).stat().st_size for first in self._firsts}

    @property
    def total_bytes(self) -> int:
        """Length of all files."""
        return sum(self._sizes.values())

    @property
    def read_bytes(self) -> int:
        """How much of them has been read."""
        return self._passed_bytes + self._offset

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def next(self) -> Found | Damaged | None:
        """The next record, or what stands in its place; None at the end, until `extend` finds more."""
        while True:
            if self._file is None:
                if self._at + 1 >= len(self._firsts):
                    return None
                damaged = self._enter(self._at + 1)
                if damaged is not None:
                    return damaged
                if self._file is None:
                    return None
            if self._offset < self._size:
                found = self._read(self._file)
                if isinstance(found, Found) and not found.data:
                    continue  # the mark of an orderly end: no block
                return found
            if self._is_last:
                self.torn_bytes = 0
                return None
            self._leave()

    @property
    def _size(self) -> int:
        return self._sizes[self._firsts[self._at]]

    @property
    def _is_last(self) -> bool:
        return self._at == len(self._firsts) - 1

    def _enter(self, at: int) -> Damaged | None:
        """Open a file and read its header."""
        first = self._firsts[at]
        self._path = segment_path(self._directory, first)
        file = self._files.open(self._path, writable=False)
        data = file.read_at(0, SEGMENT_HEADER_BYTES)
        header = SegmentHeader.decode(data)
        if header is not None and header.network_id != self._network_id:
            file.close()
            words = f"{self._path} is of network {header.network_id.hex()}, the file given of {self._network_id.hex()}"
            raise OperatorFault(words)
        if header is None and at == len(self._firsts) - 1 and self._sizes[first] <= SEGMENT_HEADER_BYTES:
            file.close()  # begun and never written to, or being begun just now
            return None
        self._at, self._offset = at, SEGMENT_HEADER_BYTES
        if header is not None and header.first == first:
            self._file, self._seal = file, header.seal()
            return None
        file.close()
        size = self._sizes[first]
        self._offset = 0
        self._passed_bytes += size
        if header is None:
            return Damaged(self._path, 0, size, "header", "a segment's header", data[:16].hex() or "nothing")
        return Damaged(self._path, 0, size, "header.first", str(first), str(header.first))

    def _leave(self) -> None:
        self._passed_bytes += self._offset
        self._offset = 0
        self.close()

    def _read(self, file: File) -> Found | Damaged | None:
        frame = head_at(file, self._seal, self._offset)
        readable = frame is not None and frame.body_bytes <= limits.BLOCK_FRAME_BYTES_MAX and frame.end <= self._size
        if frame is not None and readable:
            body = body_of(file, self._seal, frame)
            if body is not None:
                block, offset = block_of(body), self._offset
                self._offset = frame.end
                if block is None:
                    words = f"{len(body)} bytes that cannot be opened"
                    return Damaged(self._path, offset, frame.end, "content", "a block", words)
                return Found(frame.tag, block, self._path, offset)
        end = next_head(file, self._seal, self._offset + 1, self._size)
        long = frame is not None and not readable and frame.end <= self._size
        if self._is_last and end >= self._size and not long:
            self.torn_bytes = self._size - self._offset
            return None
        damaged = self._damaged(file, frame, end)
        self._offset = end
        return damaged

    def _damaged(self, file: File, frame: Frame | None, end: int) -> Damaged:
        if frame is None:
            head = file.read_at(self._offset, HEAD_BYTES).hex()
            return Damaged(self._path, self._offset, end, "head", "the head of a record", head)
        if frame.body_bytes > limits.BLOCK_FRAME_BYTES_MAX:
            longest = f"at most {limits.BLOCK_FRAME_BYTES_MAX}"
            return Damaged(self._path, self._offset, end, "length", longest, str(frame.body_bytes))
        data = file.read_at(frame.offset, frame.end - frame.offset)
        if len(data) != frame.end - frame.offset:
            whole = f"{frame.end - frame.offset} bytes"
            return Damaged(self._path, self._offset, end, "length", whole, f"{len(data)} bytes")
        check = self._seal.check(frame.offset, data[:HEAD_BYTES], data[HEAD_BYTES:-CHECK_BYTES])
        return Damaged(self._path, self._offset, end, "check", check.hex(), data[-CHECK_BYTES:].hex())
