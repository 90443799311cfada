"""Frames: messages of three streams in and out of encrypted frames (L-30). Sans-IO.

On the wire a channel is frames, each 2 bytes of length (big-endian) and one Noise transport message of at most 64 KiB.
A frame's plaintext is one or more chunks, each 1 byte of kind, 2 bytes of length, content:

    0x00 to 0x0e   a piece of a message: stream in bits 0 and 1, bit 2 set on its first piece, bit 3 on its last
    0x10           credit: stream (1 byte), bytes (4): so much more may be sent on this bulk stream
    0x11           ping, empty: I live
    0x12           a `Goodbye` record: the last chunk of this side

So small messages that wait together share one frame, one encryption and one write; and a large one is cut, so that
what is more urgent passes between its pieces.

**Priority.** A frame takes what waits of consensus first, then of batches, then of sync. With bulk in it a frame is at
most `NET_BULK_FRAME_BYTES` long: a vote waits for one such frame at most (and for what the kernel has taken, which is
kept short by TCP_NOTSENT_LOWAT).

**Windows.** Each bulk stream has a window: what was sent and not yet dealt with by the receiver is bounded by
`CHANNEL_WINDOW_BYTES`, counted as the bytes of each piece and `CHANNEL_CHUNK_CHARGE_BYTES`. The receiver gives credit
back when it has dealt with a message. A receiver that is busy therefore just gives no credit: it never has to stop
reading, and votes never stand behind a batch that nobody takes. Consensus has no window: there the receiver stops
reading, and TCP tells. No window can lock up: with less than a quarter to give back, more than the largest message
is with the receiver, so a whole one is among it, and dealing with that gives credit.

**Strict.** An unknown kind, an empty piece, a first piece inside a message or a later one outside, more than the
window or than a message may have: each is a `PeerFault`, and the channel ends. What is kept for a peer is bounded by
the two windows and one message of consensus.

`Outgoing` makes plaintexts, `Incoming` takes them; `Frames` cuts the stream of bytes. Ciphers are the caller's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from daemon import limits
from protocol.codec import decode, encode
from protocol.crypto.noise import TAG_BYTES
from protocol.errors import BrokenInvariant, PeerFault
from protocol.limits import (
    CHANNEL_CHUNK_CHARGE_BYTES,
    CHANNEL_WINDOW_BYTES,
    CONSENSUS_MESSAGE_BYTES_MAX,
    FRAME_BYTES_MAX,
    MESSAGE_BYTES_MAX,
)
from protocol.node.interface import Priority
from protocol.wire.channel import Goodbye, fitting

LENGTH_BYTES: Final = 2
FRAME_PLAIN_BYTES_MAX: Final = FRAME_BYTES_MAX - TAG_BYTES
_HEAD: Final = Struct(">BH")
_CREDIT: Final = Struct(">BHBI")
HEAD_BYTES: Final = _HEAD.size
FIRST: Final = 0x04
LAST: Final = 0x08
_STREAM: Final = 0x03
CREDIT: Final = 0x10
PING: Final = 0x11
GOODBYE: Final = 0x12

CONSENSUS: Final = int(Priority.CONSENSUS)
STREAMS: Final = tuple(int(priority) for priority in Priority)
BULK: Final = tuple(stream for stream in STREAMS if stream != CONSENSUS)
_GRANT_BYTES: Final = CHANNEL_WINDOW_BYTES // 4
"""Credit is given back in portions of so many bytes."""


class Frames:
    """Cuts a stream of bytes into frames (ciphertexts)."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole once `data` has come. Raises PeerFault if one is too short to be one."""
        buffer = self._buffer
        buffer += data
        at, size = 0, len(buffer)
        whole = []
        while size - at >= LENGTH_BYTES:
            end = at + LENGTH_BYTES + (buffer[at] << 8 | buffer[at + 1])
            if end - at <= LENGTH_BYTES + TAG_BYTES:
                raise PeerFault(f"a frame of {end - at - LENGTH_BYTES} bytes")
            if end > size:
                break
            whole.append(bytes(buffer[at + LENGTH_BYTES : end]))
            at = end
        del buffer[:at]
        return whole

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that is not whole."""
        return len(self._buffer)


def framed(ciphertext: bytes) -> bytes:
    """A ciphertext as it goes on the wire."""
    return len(ciphertext).to_bytes(LENGTH_BYTES, "big") + ciphertext


# -- Out --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Line:
    """What waits on one stream for one peer; both bounds are checked before a message is taken."""

    count_max: int
    bytes_max: int
    messages: deque[bytes] = field(default_factory=deque)
    waiting_bytes: int = 0
    offset: int = 0
    """How much of the first message is sent."""
    credit: int = CHANNEL_WINDOW_BYTES
    refused: int = 0

    def push(self, data: bytes) -> bool:
        """Take a message; False, and counted, if there is no room."""
        if len(self.messages) >= self.count_max or self.waiting_bytes + len(data) > self.bytes_max:
            self.refused += 1
            return False
        self.messages.append(data)
        self.waiting_bytes += len(data)
        return True


class Outgoing:
    """What waits to be sent to one peer, and the frames made of it."""

    __slots__ = ("_credits", "_goodbye", "_ping", "lines")

    def __init__(self) -> None:
        bulk = (limits.NET_OUT_BULK_MAX, limits.NET_OUT_BULK_BYTES)
        self.lines = (Line(limits.NET_OUT_CONSENSUS_MAX, limits.NET_OUT_CONSENSUS_BYTES), Line(*bulk), Line(*bulk))
        self._credits = [0] * len(STREAMS)
        self._ping = False
        self._goodbye: bytes | None = None

    def push(self, stream: int, data: bytes) -> bool:
        """Queue one message; False, and counted, if there is no room. Raises BrokenInvariant if empty or too large."""
        size_max = MESSAGE_BYTES_MAX if stream else CONSENSUS_MESSAGE_BYTES_MAX
        if not 0 < len(data) <= size_max:
            raise BrokenInvariant(f"a message of {len(data)} bytes on stream {stream}; 1 to {size_max} are possible")
        return self.lines[stream].push(data)

    def ping(self) -> None:
        """Say that we live, if nothing else is said."""
        self._ping = True

    def grant(self, stream: int, amount: int) -> None:
        """Give the peer credit back."""
        self._credits[stream] += amount

    def credited(self, stream: int, amount: int) -> None:
        """The peer gave credit. Raises PeerFault if that is more than it was sent."""
        if stream not in BULK or not 0 < amount <= CHANNEL_WINDOW_BYTES - self.lines[stream].credit:
            raise PeerFault(f"credit of {amount} bytes on stream {stream}, for what it was not sent")
        self.lines[stream].credit += amount

    def goodbye(self, code: str, words: str) -> None:
        """End with these words, behind what waits. Only the first call counts."""
        if self._goodbye is None:
            self._goodbye = encode(Goodbye(code, fitting(words)))

    def drop_bulk(self) -> None:
        """Forget bulk that waits, but for the rest of a message that is partly sent."""
        for stream in BULK:
            line = self.lines[stream]
            while len(line.messages) > (1 if line.offset else 0):
                line.waiting_bytes -= len(line.messages.pop())

    def next_frame(self) -> bytes | None:
        """The plaintext of the next frame, or None if nothing can be sent now."""
        parts = self._control()
        used = sum(map(len, parts))
        used += self._fill(CONSENSUS, parts, FRAME_PLAIN_BYTES_MAX - used)
        for stream in BULK:
            if self.lines[stream].messages:
                used += self._fill(stream, parts, limits.NET_BULK_FRAME_BYTES - used)
        ping, self._ping = self._ping, False
        if parts:
            return b"".join(parts)
        return _HEAD.pack(PING, 0) if ping else None

    def last_frame(self) -> bytes | None:
        """The goodbye, once; None if there is none to say."""
        goodbye, self._goodbye = self._goodbye, None
        return None if goodbye is None else _HEAD.pack(GOODBYE, len(goodbye)) + goodbye

    def _control(self) -> list[bytes]:
        parts = []
        for stream in BULK:
            if self._credits[stream]:
                parts.append(_CREDIT.pack(CREDIT, _CREDIT.size - HEAD_BYTES, stream, self._credits[stream]))
                self._credits[stream] = 0
        return parts

    def _fill(self, stream: int, parts: list[bytes], room: int) -> int:
        """Append pieces of what waits on `stream` while they fit; the bytes appended."""
        line = self.lines[stream]
        messages, offset, left = line.messages, line.offset, room
        while messages:
            data = messages[0]
            rest = len(data) - offset
            size = min(rest, left - HEAD_BYTES)
            if stream:
                size = min(size, line.credit - CHANNEL_CHUNK_CHARGE_BYTES)
            if size < rest and size < limits.NET_PIECE_BYTES_MIN:
                break
            kind = stream | (0 if offset else FIRST) | (LAST if size == rest else 0)
            parts.append(_HEAD.pack(kind, size))
            parts.append(data if size == len(data) else data[offset : offset + size])
            left -= HEAD_BYTES + size
            if stream:
                line.credit -= size + CHANNEL_CHUNK_CHARGE_BYTES
            if size < rest:
                offset += size
                continue
            offset = 0
            line.waiting_bytes -= len(data)
            messages.popleft()
        line.offset = offset
        return room - left


# -- In ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Arrivals:
    """What some frames brought: whole messages in order, credit for what we sent, and a goodbye."""

    consensus: list[bytes] = field(default_factory=list)
    bulk: list[tuple[int, bytes, int]] = field(default_factory=list)
    """(stream, message, what it took of the window)."""
    credits: list[tuple[int, int]] = field(default_factory=list)
    """(stream, bytes)."""
    goodbye: Goodbye | None = None


@dataclass(slots=True)
class _Assembly:
    """The message under way on one stream, and what is left of its window."""

    bytes_max: int
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    charge: int = 0
    window: int = CHANNEL_WINDOW_BYTES
    owed: int = 0


class Incoming:
    """Puts messages together from frames' plaintexts."""

    __slots__ = ("_assemblies", "_over")

    def __init__(self) -> None:
        self._assemblies = tuple(
            _Assembly(MESSAGE_BYTES_MAX if stream else CONSENSUS_MESSAGE_BYTES_MAX) for stream in STREAMS
        )
        self._over = False

    def take(self, plaintext: bytes, arrivals: Arrivals) -> None:
        """Take one frame, adding to `arrivals`. Raises PeerFault or Malformed; then the channel is over."""
        at, end = 0, len(plaintext)
        if not end:
            raise PeerFault("a frame without content")
        while at < end:
            if self._over:
                raise PeerFault("something behind a goodbye")
            if end - at < HEAD_BYTES:
                raise PeerFault("a frame that ends inside the head of a chunk")
            kind, size = _HEAD.unpack_from(plaintext, at)
            at += HEAD_BYTES
            if end - at < size:
                raise PeerFault(f"a chunk of {size} bytes, of which the frame holds {end - at}")
            content = plaintext[at : at + size]
            at += size
            if kind < CREDIT:
                self._piece(kind, content, arrivals)
            else:
                self._other(kind, content, arrivals)

    def dealt_with(self, stream: int, charge: int) -> int:
        """A bulk message was dealt with: how much credit to give back now (0: later, together with more)."""
        assembly = self._assemblies[stream]
        assembly.owed += charge
        if assembly.owed < _GRANT_BYTES:
            return 0
        grant, assembly.owed = assembly.owed, 0
        assembly.window += grant
        assert assembly.window <= CHANNEL_WINDOW_BYTES, "no more is given back than was taken"
        return grant

    def _piece(self, kind: int, content: bytes, arrivals: Arrivals) -> None:
        stream = kind & _STREAM
        if stream >= len(STREAMS) or not content:
            raise PeerFault(f"a piece of {len(content)} bytes on stream {stream}")
        assembly = self._assemblies[stream]
        if bool(kind & FIRST) == bool(assembly.pieces):
            raise PeerFault(f"a message on stream {stream} that begins inside another or has no beginning")
        assembly.size += len(content)
        if assembly.size > assembly.bytes_max:
            raise PeerFault(f"a message on stream {stream} of more than {assembly.bytes_max} bytes")
        charge = len(content) + CHANNEL_CHUNK_CHARGE_BYTES
        assembly.charge += charge
        if stream:
            assembly.window -= charge
            if assembly.window < 0:
                raise PeerFault(f"more on stream {stream} than its window allows")
        elif len(assembly.pieces) >= _CONSENSUS_PIECES_MAX:
            raise PeerFault(f"a message on stream {stream} in more than {_CONSENSUS_PIECES_MAX} pieces")
        if kind & LAST:
            message = b"".join((*assembly.pieces, content)) if assembly.pieces else content
            if stream:
                arrivals.bulk.append((stream, message, assembly.charge))
            else:
                arrivals.consensus.append(message)
            assembly.pieces, assembly.size, assembly.charge = [], 0, 0
        else:
            assembly.pieces.append(content)

    def _other(self, kind: int, content: bytes, arrivals: Arrivals) -> None:
        if kind == CREDIT and len(content) == _CREDIT.size - HEAD_BYTES:
            arrivals.credits.append((content[0], int.from_bytes(content[1:], "big")))
        elif kind == GOODBYE:
            arrivals.goodbye = decode(Goodbye, content)
            self._over = True
        elif kind != PING or content:
            raise PeerFault(f"a chunk of kind {kind} and {len(content)} bytes, which is none")


_CONSENSUS_PIECES_MAX: Final = 64
"""Of one message of consensus: a sender cuts it into two or three."""
