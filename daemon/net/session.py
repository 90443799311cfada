"""Opening a channel on a stream: the Trio part of `opening`.

Reads little at a time, writes what the machine says, and ends in time. When it fails, the machine's last word (a
refusal) is still sent, our half is shut, and a little is read and thrown away: closing on unread bytes would take the
words back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import trio

from daemon import limits
from daemon.net.opening import Awaits, Channel, Opening, OpeningFailed
from protocol import errors

_FAREWELL_SECONDS: Final = 1
_FAREWELL_READS: Final = 16


async def open_channel(
    stream: trio.abc.HalfCloseableStream,
    opening: Opening,
    *,
    seconds: float = limits.NET_HANDSHAKE_SECONDS,
    pause: Callable[[], float] = lambda: 0.0,
) -> Channel:
    """The channel that came about. Raises OpeningFailed; the stream is then the caller's to close.

    pause: asked once, behind a good preamble, how many seconds to wait before the handshake's work.
    """
    with trio.move_on_after(seconds) as scope:
        try:
            return await _converse(stream, opening, pause)
        except OpeningFailed:
            await _farewell(stream, opening.take())
            raise
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            words = f"the connection broke where the {opening.awaits.value} was due"
            raise OpeningFailed(errors.CONNECTION_LOST, words) from None
    assert scope.cancelled_caught
    raise OpeningFailed(errors.HANDSHAKE_TIMEOUT, f"no {opening.awaits.value} came within {seconds} s")


async def _converse(stream: trio.abc.HalfCloseableStream, opening: Opening, pause: Callable[[], float]) -> Channel:
    paused = False
    while True:
        if not paused and opening.awaits is not Awaits.PREAMBLE:
            paused = True
            await trio.sleep(pause())
        out = opening.take()
        if out:
            await stream.send_all(out)
        if opening.channel is not None:
            return opening.channel
        data = await stream.receive_some(limits.NET_OPENING_READ_BYTES)
        if not data:
            opening.end_of_stream()
        opening.receive(bytes(data))


async def _farewell(stream: trio.abc.HalfCloseableStream, words: bytes) -> None:
    if not words:
        return
    with (
        trio.move_on_after(_FAREWELL_SECONDS),
        contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError),
    ):
        await stream.send_all(words)
        await stream.send_eof()
        for _ in range(_FAREWELL_READS):
            if not await stream.receive_some(limits.NET_OPENING_READ_BYTES):
                break
