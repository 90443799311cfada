"""How the node and its workers talk: frames over a socket pair, 4 bytes of length and one msgpack value.

Both ends are the same program on one machine, so there are no versions here, and what comes is trusted to have the
right shape; a length above the bound is a bug of ours and ends the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack

from daemon.limits import WORKER_FRAME_BYTES_MAX
from protocol.errors import BrokenInvariant

LENGTH_BYTES = 4
READ_BYTES = 256 * 1024
"""Asked of the socket at once: a batch in a few reads."""


def pack(value: Any) -> bytes:
    """One frame. Raises BrokenInvariant if it is too large."""
    body: bytes = msgpack.packb(value, use_bin_type=True)
    if len(body) > WORKER_FRAME_BYTES_MAX:
        raise BrokenInvariant(f"a message of {len(body)} bytes between the node and its worker")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Unframer:
    """Cuts a stream of bytes into values."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The values that are whole once `data` has come, in order. Raises BrokenInvariant."""
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[at : at + LENGTH_BYTES], "big")
            if length > WORKER_FRAME_BYTES_MAX:
                raise BrokenInvariant(f"a frame of {length} bytes between the node and its worker")
            end = at + LENGTH_BYTES + length
            if len(self._buffer) < end:
                break
            yield msgpack.unpackb(memoryview(self._buffer)[at + LENGTH_BYTES : end], raw=False)
            at = end
        del self._buffer[:at]
