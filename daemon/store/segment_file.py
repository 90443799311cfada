"""One segment file: its name, its header, and the offsets of its blocks as a scan finds them.

`00000000000000000001.seg` is named by its first height (20 digits, so that names sort as heights do). The header holds
the network id, the first height, and a random salt that keys the checks of the frames after it: who chooses the
content of a block cannot put bytes into it that pass for another block when a scan searches past damage.
"""

from __future__ import annotations

import re
import struct
from array import array
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from daemon import limits
from daemon.store.errors import SegmentDamaged
from daemon.store.files import File, Files
from daemon.store.framing import FRAME_OVERHEAD_BYTES, HEAD_BYTES, Frame, Scan, Seal, make_frame, scan
from daemon.store.squeeze import OPENED_HEAD_BYTES, Unsqueezable, opened_bytes, squeeze, unsqueeze
from protocol.errors import OperatorFault

SEGMENT_VERSION: Final = 2
SALT_BYTES: Final = 16
_MAGIC: Final = b"papilios"
_HEADER: Final = struct.Struct("<8sH32sQ16s")
_CHECK_BYTES: Final = 8
SEGMENT_HEADER_BYTES: Final = _HEADER.size + _CHECK_BYTES
_NAME: Final = re.compile(r"(\d{20})\.seg")


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first bytes of a segment."""

    network_id: bytes
    first: int
    salt: bytes

    def encode(self) -> bytes:
        """`SEGMENT_HEADER_BYTES` bytes, the last eight a check of the others."""
        fields = _HEADER.pack(_MAGIC, SEGMENT_VERSION, self.network_id, self.first, self.salt)
        return fields + blake2b(fields, digest_size=_CHECK_BYTES).digest()

    def seal(self) -> Seal:
        """The checks of this segment's frames."""
        return Seal(self.salt + self.network_id + self.first.to_bytes(8, "little"))

    @staticmethod
    def decode(data: bytes) -> SegmentHeader | None:
        """The header, or None if it does not check. Raises OperatorFault for another format."""
        fields = data[: _HEADER.size]
        if len(data) != SEGMENT_HEADER_BYTES or not data.startswith(_MAGIC):
            return None
        if blake2b(fields, digest_size=_CHECK_BYTES).digest() != data[_HEADER.size :]:
            return None
        _, version, network_id, first, salt = _HEADER.unpack(fields)
        if version != SEGMENT_VERSION:
            remedy = "run a newer one" if version > SEGMENT_VERSION else "run the one that wrote it"
            raise OperatorFault(f"a segment has format {version}, this program knows {SEGMENT_VERSION}; {remedy}")
        return SegmentHeader(network_id, first, salt)


def block_frame(seal: Seal, offset: int, height: int, synced: int, block: bytes) -> bytes:
    """The bytes of a block's frame that will stand at `offset`: its body squeezed (squeeze.py)."""
    return make_frame(seal, offset, height, synced, squeeze(block))


def block_of(body: bytes | None) -> bytes | None:
    """The block in a frame's body; None if there is none, or what checks cannot be opened."""
    try:
        return None if body is None else unsqueeze(body, limits.BLOCK_FRAME_BYTES_MAX)
    except Unsqueezable:
        return None


def opened_frame(file: File, frame: Frame) -> int:
    """How long a frame would be if its body were not squeezed."""
    head = file.read_at(frame.offset + HEAD_BYTES, OPENED_HEAD_BYTES)
    return FRAME_OVERHEAD_BYTES + opened_bytes(head, frame.body_bytes)


def is_mark(frame: Frame) -> bool:
    """Whether a frame holds no block: it names everything before it as synced, and the last height as its tag."""
    return frame.body_bytes == 0


def segment_path(directory: Path, first: int) -> Path:
    """Path of the segment that begins at height `first`."""
    return directory / f"{first:020d}.seg"


def index_path(directory: Path, first: int) -> Path:
    """Path of that segment's index."""
    return directory / f"{first:020d}.idx"


def first_heights(files: Files, directory: Path) -> list[int]:
    """First heights of the segments in `directory`, ascending."""
    return sorted(int(match[1]) for name in files.list(directory) if (match := _NAME.fullmatch(name)))


def create_segment(files: Files, directory: Path, header: SegmentHeader) -> File:
    """A new segment, its header and name durable on return."""
    file = files.open(segment_path(directory, header.first), create=True)
    try:
        file.write_at(0, header.encode())
        file.sync()
        files.sync_directory(directory)
    except BaseException:
        file.close()
        raise
    return file


def scan_segment(file: File, header: SegmentHeader) -> tuple[Scan, array[int]]:
    """Read a segment whole: the scan, and the offset of each height from `first` on, 0 where it is damaged.

    Raises SegmentDamaged where a frame that checks has a height that cannot be.
    """
    scanned = scan(file, header.seal(), SEGMENT_HEADER_BYTES, keep_bodies=False)
    wrong = out_of_order(scanned, header.first)
    if wrong is not None:
        name = segment_path(Path(), header.first).name
        words = f"a record of height {wrong.tag} stands where that cannot be"
        raise SegmentDamaged(wrong.tag, name, wrong.offset, words)
    offsets = array("Q")
    for frame in scanned.frames:
        if is_mark(frame):
            offsets.extend([0] * (frame.tag - header.first + 1 - len(offsets)))
            continue
        offsets.extend([0] * (frame.tag - header.first - len(offsets)))
        offsets.append(frame.offset)
    return scanned, offsets


def out_of_order(scanned: Scan, first: int) -> Frame | None:
    """The first frame whose height cannot follow those before it; None if all can.

    Heights follow each other without a gap. Damage before a frame stands for as many blocks as its bytes can have held:
    so what a scan allots is bounded by the file, whatever heights it names.
    """
    following, holes = first, list(scanned.damage)
    for frame in scanned.frames:
        lost = 0
        while holes and holes[0].start < frame.offset:
            hole = holes.pop(0)
            lost += (hole.end - hole.start) // (FRAME_OVERHEAD_BYTES + 1)
        due = following - 1 if is_mark(frame) else following
        if not due <= frame.tag <= due + lost:
            return frame
        following = frame.tag + 1
    return None
