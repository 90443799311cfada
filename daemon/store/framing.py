"""Frames: how records lie in an append-only file, and how to tell a torn tail from damage (L-24, L-25).

A frame is a head, a body, and a check of both::

    marker 4 | body bytes 4 | tag 8 | synced 8 | check of the head 8 | body | check of head and body 8

all integers little-endian. `tag` is the user's (a height). `synced` is the offset up to which the file had been
synced before this frame was written. Checks are keyed BLAKE2b of 8 bytes over the frame's own offset and its
bytes, under a key that is unique to the file: bytes left over from another file, from another place, or put
inside a body by whoever chose that body never pass for a frame.

**Torn or damaged.** A crash may lose, tear and reorder whatever was written after the last sync, so at the end of
the file anything may stand; but what was synced was there. The scan reads frame after frame; where one does not
check it searches on for the next head that does (a damaged length cannot hide what follows), and notes the hole.
The highest `synced` that any head names is *proven*. A hole that begins at or past it was never promised: the file
is cut there, later frames included. A hole that begins before it holds bytes that were durable once: damage, which
is reported and never cut. Zeros up to the end are reserved room, not a torn tail.

What one file cannot know: damage to the last synced frame with nothing written after it looks like a tear.
Therefore who closes a file, or begins one with content that matters, adds an empty frame that names the end as synced.

Deliberately absent: correction of errors, and any meaning of bodies.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b

from daemon.store.files import File

MARKER = b"pfr1"
CHECK_BYTES = 8
_FIELDS = struct.Struct("<4sIQQ")
_OFFSET = struct.Struct("<Q")
HEAD_BYTES = _FIELDS.size + CHECK_BYTES
FRAME_OVERHEAD_BYTES = HEAD_BYTES + CHECK_BYTES
_SEARCH_BYTES = 1 << 20
"""How much is read at once in the search for a head."""


class Seal:
    """Makes the checks of one file; `key` of 1 to 64 bytes is unique to it."""

    __slots__ = ("_state",)

    def __init__(self, key: bytes) -> None:
        self._state = blake2b(digest_size=CHECK_BYTES, key=key)

    def check(self, offset: int, *parts: bytes) -> bytes:
        """8 bytes over the offset and the parts, one after another."""
        state = self._state.copy()
        state.update(_OFFSET.pack(offset))
        for part in parts:
            state.update(part)
        return state.digest()


@dataclass(frozen=True, slots=True)
class Frame:
    """A head that checked: where it stands, its tag, what it names as synced, and its body's length in bytes."""

    offset: int
    tag: int
    synced: int
    body_bytes: int

    @property
    def end(self) -> int:
        """Offset of the first byte after the frame."""
        return self.offset + FRAME_OVERHEAD_BYTES + self.body_bytes


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes from `start` to before `end` that are no frame."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file holds: its frames below `end`, the damage among them, and what stands from `end` on."""

    frames: tuple[Frame, ...]
    bodies: tuple[bytes, ...]
    """One for each frame; empty unless they were asked for."""
    damage: tuple[Hole, ...]
    end: int
    """Where the next frame goes; a tail from here on was never promised."""
    torn_bytes: int
    """Length of that tail; 0 when it is only reserved room."""


def make_frame(seal: Seal, offset: int, tag: int, synced: int, body: bytes) -> bytes:
    """The bytes of a frame that will stand at `offset`."""
    assert synced <= offset, "what is synced lies before what is written"
    fields = _FIELDS.pack(MARKER, len(body), tag, synced)
    head = fields + seal.check(offset, fields)
    return b"".join((head, body, seal.check(offset, head, body)))


def head_at(file: File, seal: Seal, offset: int) -> Frame | None:
    """The frame whose head stands at `offset`, or None if none checks there."""
    return _parse_head(seal, offset, file.read_at(offset, HEAD_BYTES))


def body_of(file: File, seal: Seal, frame: Frame) -> bytes | None:
    """The body of `frame`, or None if it does not check."""
    data = file.read_at(frame.offset, frame.end - frame.offset)
    if len(data) != frame.end - frame.offset or _parse_head(seal, frame.offset, data[:HEAD_BYTES]) != frame:
        return None
    body = data[HEAD_BYTES:-CHECK_BYTES]
    return body if seal.check(frame.offset, data[:HEAD_BYTES], body) == data[-CHECK_BYTES:] else None


def scan(file: File, seal: Seal, start: int, *, keep_bodies: bool) -> Scan:
    """Read all frames from `start` on and judge what lies between and after them."""
    size = file.size()
    frames: list[Frame] = []
    bodies: list[bytes] = []
    holes: list[Hole] = []
    proven, offset = start, start
    while offset < size:
        frame = head_at(file, seal, offset)
        if frame is not None:
            proven = max(proven, frame.synced)
            body = body_of(file, seal, frame)
            if body is not None:
                frames.append(frame)
                bodies.append(body if keep_bodies else b"")
                offset = frame.end
                continue
        following = next_head(file, seal, offset + 1, size)
        holes.append(Hole(offset, following))
        offset = following
    # Cut at the first hole that was never promised; holes before it are damage.
    end = next((hole.start for hole in holes if hole.start >= proven), size)
    kept = sum(frame.offset < end for frame in frames)
    torn = 0 if _only_zeros(file, end, size) else size - end
    damage = tuple(hole for hole in holes if hole.start < proven)
    return Scan(tuple(frames[:kept]), tuple(bodies[:kept]), damage, end, torn)


def _parse_head(seal: Seal, offset: int, data: bytes) -> Frame | None:
    if len(data) != HEAD_BYTES or not data.startswith(MARKER):
        return None
    fields = data[: _FIELDS.size]
    if seal.check(offset, fields) != data[_FIELDS.size :]:
        return None
    _, body_bytes, tag, synced = _FIELDS.unpack(fields)
    return Frame(offset, tag, synced, body_bytes)


def next_head(file: File, seal: Seal, offset: int, size: int) -> int:
    """Offset of the first head at or after `offset` that checks; `size` if there is none."""
    while offset < size:
        chunk = file.read_at(offset, _SEARCH_BYTES + HEAD_BYTES - 1)
        at = chunk.find(MARKER)
        while 0 <= at < _SEARCH_BYTES:
            if _parse_head(seal, offset + at, chunk[at : at + HEAD_BYTES]) is not None:
                return offset + at
            at = chunk.find(MARKER, at + 1)
        offset += _SEARCH_BYTES
    return size


def _only_zeros(file: File, start: int, size: int) -> bool:
    while start < size:
        chunk = file.read_at(start, _SEARCH_BYTES)
        if not chunk or chunk.count(0) != len(chunk):
            return False
        start += len(chunk)
    return True
