"""A TCP proxy that records all bytes that pass, in both directions: what somebody on the line would see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio

READ_BYTES = 65_536


@dataclass(slots=True)
class Recording:
    """What passed. place: HOST:PORT that leads to the target. streams: one for each direction of each connection."""

    place: str
    streams: list[bytearray] = field(default_factory=list)

    @property
    def connections(self) -> int:
        """Connections so far."""
        return len(self.streams) // 2

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.streams))

    def holds(self, needle: bytes) -> bool:
        """Whether these bytes passed in one direction of one connection."""
        return any(needle in stream for stream in self.streams)


@asynccontextmanager
async def recording(target: str) -> AsyncIterator[Recording]:
    """A proxy to `target` (HOST:PORT), while the block runs."""
    host, _, port = target.rpartition(":")
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    here = Recording(f"127.0.0.1:{listeners[0].socket.getsockname()[1]}")

    async def accepted(client: trio.SocketStream) -> None:
        try:
            server = await trio.open_tcp_stream(host, int(port))
        except OSError:
            return
        async with server:
            out, back = bytearray(), bytearray()
            here.streams += [out, back]
            async with trio.open_nursery() as both:
                both.start_soon(_pass_on, client, server, out)
                both.start_soon(_pass_on, server, client, back)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, accepted, listeners)
        yield here
        nursery.cancel_scope.cancel()


async def _pass_on(source: trio.SocketStream, sink: trio.SocketStream, record: bytearray) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while data := await source.receive_some(READ_BYTES):
            record += data
            await sink.send_all(data)
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await sink.send_eof()
